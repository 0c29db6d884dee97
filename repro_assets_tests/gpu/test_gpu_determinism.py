"""Determinism on a GPU: streams are seeded and continued, settings hold, fingerprints do not see the device."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from repro_assets.determinism.fingerprints import PIECE_BYTES, fingerprint_of, numbers_of
from repro_assets.determinism.global_rng import seeded_globals, set_global_seed
from repro_assets.determinism.parts import changed_place, part_of
from repro_assets.determinism.rng_states import load_rng_states, save_rng_states
from repro_assets.determinism.seeds import Seeds
from repro_assets.determinism.torch_settings import float32_precision

pytestmark = pytest.mark.gpu


def draws() -> list[float]:
    numbers = [random.random(), float(np.random.rand()), float(torch.rand(()))]
    for device in range(torch.cuda.device_count()):
        numbers += torch.rand(3, device=f"cuda:{device}").tolist()
    return numbers


@pytest.mark.filterwarnings("ignore::repro_assets.determinism.mode.SettingWarning")
def test_a_global_seed_pins_every_device() -> None:
    before = save_rng_states()
    try:
        found = []
        for seed in (1, 2, 1):
            set_global_seed(seed)
            found.append(draws())
    finally:
        load_rng_states(before)
    assert found[0] == found[2] and not set(found[0]) & set(found[1])


def test_states_continue_every_device_and_a_generator_on_one() -> None:
    with seeded_globals(Seeds(3)):
        draws()
        generator = torch.Generator(device="cuda").manual_seed(5)
        torch.rand(7, device="cuda", generator=generator)
        states = save_rng_states({"noise": generator})
        assert len(states["cuda"]) == torch.cuda.device_count()
        expected = draws() + torch.rand(4, device="cuda", generator=generator).tolist()
        other = torch.Generator(device="cuda")
        load_rng_states(states, {"noise": other})
        assert draws() + torch.rand(4, device="cuda", generator=other).tolist() == expected


def test_a_scope_leaves_the_streams_of_every_device_alone() -> None:
    draws()
    states = save_rng_states()
    expected = draws()
    load_rng_states(states)
    with seeded_globals(Seeds(1)):
        draws()
    assert draws() == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.complex64, torch.bool])
def test_the_device_does_not_count(dtype: torch.dtype) -> None:
    here = torch.randn(300, 7).to(dtype)
    there = here.cuda()
    assert fingerprint_of(there) == fingerprint_of(here)
    assert fingerprint_of(there.T) == fingerprint_of(here.T.contiguous())
    assert part_of(numbers_of(there)) == part_of(numbers_of(here))


def test_a_large_tensor_comes_over_in_pieces_and_its_one_change_is_named() -> None:
    before = torch.zeros(PIECE_BYTES // 4 + 1000, device="cuda")
    after = before.clone()
    after[PIECE_BYTES // 4 + 7] = 1
    assert max(len(piece) for piece in numbers_of(before).pieces()) == PIECE_BYTES
    assert changed_place(part_of(numbers_of(before)), part_of(numbers_of(after))) == (PIECE_BYTES // 4 + 7,)


def test_a_product_repeats_and_tf32_changes_it() -> None:
    left, right = (torch.randn(512, 512, device="cuda") for _ in range(2))
    with float32_precision(tf32=False):
        first, second = left @ right, left @ right
    with float32_precision(tf32=True):
        third = left @ right
    assert torch.equal(first, second)
    if torch.cuda.get_device_capability() >= (8, 0):
        assert not torch.equal(first, third)
