"""Derived seeds."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from repro_assets.determinism.seeds import Seeds
from repro_assets.errors import InvalidValue


def test_a_seed_depends_on_root_and_name_alone() -> None:
    alone, among = Seeds(5), Seeds(5)
    for name in ("x", "y", "z"):
        among.derive(name)
    assert alone.derive("data") == among.derive("data")
    assert Seeds(6).derive("data") != alone.derive("data") != alone.derive("data2")


def test_root_and_name_do_not_run_into_each_other() -> None:
    assert Seeds(1).derive("1") != Seeds(11).derive("")


def test_the_derivation_is_fixed_for_ever() -> None:
    assert Seeds(0).derive("data") == 5568636697648289562
    assert Seeds(2**63 - 1).derive("") == 895213590839309559


def test_used_names_are_kept_for_the_record() -> None:
    seeds = Seeds(3)
    value = seeds.derive("model")
    seeds.python("order")
    assert list(seeds.used) == ["model", "order"]
    assert seeds.used["model"] == value


def test_each_kind_of_generator_repeats() -> None:
    assert Seeds(1).python("a").random() == Seeds(1).python("a").random()
    assert Seeds(1).numpy("a").random() == Seeds(1).numpy("a").random()
    assert Seeds(1).torch("a").initial_seed() == Seeds(1).derive("a")


@pytest.mark.parametrize("root", [-1, 2**63, "a", True, 1.0, None])
def test_a_root_that_is_no_number_of_the_range_is_refused(root: Any) -> None:
    with pytest.raises(InvalidValue):
        Seeds(root)


def test_a_number_of_numpy_is_a_root() -> None:
    assert Seeds(numpy.int64(3)).derive("a") == Seeds(3).derive("a")  # type: ignore[arg-type]
