"""The global generators: seeded in a scope, restored, saved and continued."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from repro_assets.artifacts import repository
from repro_assets.determinism.global_rng import seeded_globals, set_global_seed
from repro_assets.determinism.mode import SettingWarning
from repro_assets.determinism.rng_states import load_rng_states, save_rng_states
from repro_assets.determinism.seeds import Seeds
from repro_assets.errors import CheckFailed, InvalidValue
from repro_assets.store.home import make_store


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
    for wrong in (
        {**states, "format": 3},
        {"format": 1},
        {**states, "cuda": [states["torch"]] * 9},
        {**states, "generators": {"order": {"type": "random.Random", "state": {}}}},
        {**states, "torch": states["torch"][:100]},
        {**states, "torch": None},
        {**states, "numpy": {**states["numpy"], "keys": [1]}},
        {**states, "python": {}},
        {**states, "cuda": None},
        {**states, "generators": None},
        None,
    ):
        with pytest.raises(InvalidValue):
            load_rng_states(wrong)
        assert random.getstate() == seeded
    random.setstate(untouched)


@pytest.mark.parametrize("name", ["python", "pcg", "twister", "legacy", "torch"])
def test_a_damaged_state_of_a_passed_generator_is_named_and_nothing_is_loaded(name: str) -> None:
    generators = passed()
    states = save_rng_states(generators)
    damaged = {**states["generators"], name: {**states["generators"][name], "state": states["python"]["words"][:3]}}
    expected = drawn(passed())
    with pytest.raises(InvalidValue, match=f"generator '{name}' does not read"):
        load_rng_states({**states, "generators": damaged}, generators)
    assert drawn(generators) == expected


def test_states_without_named_generators_still_read() -> None:
    states = save_rng_states()
    expected = draws()
    del states["generators"]
    load_rng_states({**states, "format": 1})
    assert draws() == expected


def passed() -> dict[str, Any]:
    return {
        "python": random.Random(1),
        "pcg": numpy.random.default_rng(1),
        "philox": numpy.random.Generator(numpy.random.Philox(1)),
        "twister": numpy.random.Generator(numpy.random.MT19937(1)),
        "sfc": numpy.random.Generator(numpy.random.SFC64(1)),
        "legacy": numpy.random.RandomState(1),
        "torch": torch.Generator().manual_seed(1),
    }


def drawn(generators: dict[str, Any]) -> list[float]:
    def of(name: str, generator: Any) -> list[float]:
        if name == "torch":
            return [float(each) for each in torch.randn(5, generator=generator)]
        if name == "python":
            return [generator.gauss(0, 1) for _ in range(5)]
        # 32-bit draws leave half a word behind, which is part of the state.
        return [float(generator.standard_normal(dtype=numpy.float32)) if name != "legacy" else generator.randn()] * 3

    return [number for name, generator in generators.items() for number in of(name, generator)]


def test_a_stored_state_continues_every_passed_generator(tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    generators = passed()
    drawn(generators)
    artifact = repository.put(home, save_rng_states(generators), name="rng")
    expected = draws() + drawn(generators)
    others = passed()
    load_rng_states(artifact.load(), others)
    assert draws() + drawn(others) == expected


def test_other_generators_than_the_saved_ones_are_refused() -> None:
    states = save_rng_states({"a": random.Random(1)})
    for wrong, word in (
        ({}, "none"),
        ({"b": random.Random(1)}, "'b'"),
        ({"a": numpy.random.default_rng(1)}, "PCG64"),
        ({"a": random.SystemRandom()}, "no state"),
    ):
        with pytest.raises(InvalidValue, match=word):
            load_rng_states(states, wrong)


def test_a_global_seed_pins_every_stream(monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder) -> None:
    monkeypatch.setattr("repro_assets.determinism.global_rng.hash_seed_in_effect", lambda: "0")
    before = save_rng_states()
    try:
        assert set_global_seed(5, strict=True).root == 5
        first = draws()
        set_global_seed(6)
        other = draws()
        set_global_seed(5)
        assert draws() == first and not set(first) & set(other)
        with seeded_globals(Seeds(5)):
            assert draws() == first
    finally:
        load_rng_states(before)
    assert not [each for each in recwarn if each.category is SettingWarning]


def test_a_hash_seed_that_came_too_late_is_said_and_strict_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repro_assets.determinism.global_rng.hash_seed_in_effect", lambda: None)
    before = save_rng_states()
    with pytest.raises(CheckFailed, match="PYTHONHASHSEED"):
        set_global_seed(5, strict=True)
    assert save_rng_states()["python"] == before["python"]
    try:
        with pytest.warns(SettingWarning, match="PYTHONHASHSEED") as caught:
            set_global_seed(5)
        assert caught[0].filename == __file__
    finally:
        load_rng_states(before)
