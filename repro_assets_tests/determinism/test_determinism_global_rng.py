"""The global generators: seeded in a scope, restored, saved and continued."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy
import pytest
import torch

from repro_assets.determinism.global_rng import load_rng_states, save_rng_states, seeded_globals
from repro_assets.determinism.seeds import Seeds
from repro_assets.errors import InvalidValue


def draws() -> list[float]:
    return [
        random.random(),
        random.gauss(0, 1),
        float(numpy.random.rand()),
        float(numpy.random.randn()),
        float(torch.rand(())),
        float(torch.randn(3)[0]),
    ]


def test_equal_seeds_give_equal_draws_and_others_do_not() -> None:
    with seeded_globals(Seeds(1)):
        first = draws()
    random.seed(99)
    torch.manual_seed(99)
    with seeded_globals(Seeds(1)):
        assert draws() == first
    with seeded_globals(Seeds(2)):
        assert not set(draws()) & set(first)


def test_what_was_before_is_continued_also_after_an_error() -> None:
    draws()  # leaves a cached Gaussian in Python's and NumPy's generators
    states = save_rng_states()
    expected = draws()
    load_rng_states(states)
    with pytest.raises(ZeroDivisionError), seeded_globals(Seeds(1)):
        draws()
        1 / 0  # noqa: B018
    assert draws() == expected


def test_the_seeds_used_are_in_the_record() -> None:
    seeds = Seeds(4)
    with seeded_globals(seeds):
        pass
    assert list(seeds.used) == ["global/python", "global/numpy", "global/torch", "global/cuda"]


def through_json(states: dict[str, Any]) -> dict[str, Any]:
    tensors = {"torch": states["torch"].clone(), "cuda": [state.clone() for state in states["cuda"]]}
    return {**json.loads(json.dumps({name: states[name] for name in ("format", "python", "numpy")})), **tensors}


def test_saved_states_are_plain_and_continue_every_stream_exactly() -> None:
    with seeded_globals(Seeds(7)):
        draws()
        states = through_json(save_rng_states())
        expected = [draws() for _ in range(400)]  # past a refill of the Mersenne twister's 624 words
        load_rng_states(states)
        assert [draws() for _ in range(400)] == expected


def test_states_that_do_not_fit_are_refused_before_anything_is_loaded() -> None:
    states = save_rng_states()
    untouched = random.getstate()
    random.seed(3)
    seeded = random.getstate()
    for wrong in ({**states, "format": 2}, {"format": 1}, {**states, "cuda": [states["torch"]] * 9}):
        with pytest.raises(InvalidValue):
            load_rng_states(wrong)
        assert random.getstate() == seeded
    random.setstate(untouched)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_stream_is_seeded_and_continued() -> None:
    torch.rand(1, device="cuda")
    with seeded_globals(Seeds(1)):
        first = torch.rand(4, device="cuda")
        states = save_rng_states()
        second = torch.rand(4, device="cuda")
        load_rng_states(states)
        assert torch.equal(torch.rand(4, device="cuda"), second)
    with seeded_globals(Seeds(1)):
        assert torch.equal(torch.rand(4, device="cuda"), first)
