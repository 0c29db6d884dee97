"""Every leaf that differs is named, with the first element and the greatest errors; a tolerance is for floats."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repro_assets.errors import InvalidValue
from repro_assets.replay.deviation import Deviation, Tolerance, deviations


def only(original: Any, replayed: Any, tolerance: str | None = None) -> Deviation:
    (found,) = deviations(original, replayed, None if tolerance is None else Tolerance.parse(tolerance))
    return found


def test_equal_values_have_none() -> None:
    value = {"a": torch.arange(3.0), "b": [1, "x", None], "c": pandas.DataFrame({"n": [1.5, math.nan]})}
    assert deviations(value, {"c": value["c"].copy(), "b": [1, "x", None], "a": torch.arange(3.0)}) == []


def test_of_a_tensor_the_first_element_and_the_greatest_errors() -> None:
    one = torch.tensor([[1.0, 2.0, 4.0], [0.0, -8.0, 1.0]])
    two = one.clone()
    two[0, 2] = 4.5
    two[1, 1] = float(numpy.nextafter(numpy.float32(-8.0), numpy.float32(-9.0)))
    found = only({"layer": {"weight": one}}, {"layer": {"weight": two}})
    assert (found.path, found.what, found.element, found.values) == ("layer.weight", "content", [0, 2], ["4.0", "4.5"])
    assert (found.differing, found.elements) == (2, 6)
    assert (found.max_absolute, found.max_relative, found.max_ulp) == (0.5, 0.125, 2**20)
    assert not found.within


@pytest.mark.parametrize(
    ("dtype", "ulps"), [("float16", 1), ("bfloat16", 1), ("float32", 1), ("float64", 1), ("complex64", 1)]
)
def test_a_neighbour_is_one_unit_in_the_last_place_off(dtype: str, ulps: int) -> None:
    one = torch.tensor([-1.5], dtype=getattr(torch, dtype))
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    plain = torch.view_as_real(one) if one.is_complex() else one
    raw = plain.clone().view(bits[plain.element_size()])
    raw.view(-1)[0] += 1
    two = raw.view(plain.dtype)
    again = torch.view_as_complex(two) if one.is_complex() else two
    assert only(one, again).max_ulp == ulps
    assert only(one, again, "ulp=1").within
    assert not only(one, again, "ulp=0").within


def test_signs_of_zero_and_payloads_of_nan_differ_in_bits_and_not_as_numbers() -> None:
    zeros = only(numpy.array([0.0]), numpy.array([-0.0]), "0")
    assert (zeros.max_absolute, zeros.max_ulp, zeros.within) == (0.0, 0.0, True)
    nans = [numpy.array([bits], "u8").view("f8") for bits in (0x7FF8000000000000, 0x7FF8000000000001)]
    assert only(*nans, "0").within
    for other in (math.nan, math.inf):
        found = only(numpy.array([1.0]), numpy.array([other]), "1e9")
        assert (found.max_absolute, found.max_relative, found.max_ulp, found.within) == (math.inf,) * 3 + (False,)
        assert found.document()["max_absolute"] == "Infinity"


def test_of_a_table_the_first_row_of_each_column() -> None:
    one = pandas.DataFrame({"id": [1, 2, 3], "name": ["a", "b", "c"], "price": [1.0, 2.0, 3.0]})
    two = pandas.DataFrame({"id": [1, 2, 4], "name": ["a", "x", "y"], "price": [1.0, 2.0, 3.0 + 1e-9]})
    found = {each.path: each for each in deviations(one, two, Tolerance.parse("1e-6"))}
    assert {path: (each.element, each.values, each.within) for path, each in found.items()} == {
        "['id']": ([2], ["3", "4"], False),
        "['name']": ([1], ["b", "x"], False),
        "['price']": ([2], ["3.0", "3.000000001"], True),
    }
    assert found["['name']"].differing == 2
    longer = pandas.concat([one, one.iloc[:1]], ignore_index=True)
    assert {each.what for each in deviations(one, longer)} == {"content", "shape"}
    assert [each.what for each in deviations(one, one.rename(columns={"id": "key"}))] == ["members", "removed", "added"]


def test_of_nested_values_the_path() -> None:
    one = {"metrics": {"accuracy": 0.5, "n": 3}, "classes": [{"label": "a"}]}
    two = {"metrics": {"accuracy": 0.5000001, "n": 4}, "classes": [{"label": "b"}]}
    found = {each.path: each for each in deviations(one, two, Tolerance.parse("1e-5"))}
    assert set(found) == {"metrics.accuracy", "metrics.n", "classes[0].label"}
    assert found["metrics.accuracy"].within and not found["metrics.n"].within
    assert found["classes[0].label"].values == ["a", "b"]
    whole = only({"n": 1}, {"n": 1.5})
    assert (whole.what, whole.values, whole.max_absolute, whole.within) == ("content", ["1.0", "1.5"], 0.5, False)
    typed = only({"n": 1}, {"n": "1"}, "1")
    assert (typed.what, typed.values, typed.within) == ("type", ["int", "text"], False)
    assert {(each.path, each.what) for each in deviations([1], [1, 2])} == {("", "members"), ("[1]", "added")}


@pytest.mark.parametrize(
    "text", ["", "x", "1e-6,2", "ulp=1.5", "relative=-1", "nan", "inf", "absolute=1,absolute=2", "b=1"]
)
def test_what_is_no_tolerance_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="tolerance"):
        Tolerance.parse(text)


@given(st.lists(st.floats(width=32), min_size=1, max_size=20), st.data())
def test_within_is_what_isclose_says(values: list[float], data: st.DataObject) -> None:
    one = numpy.array(values, "f4")
    two = numpy.array(data.draw(st.lists(st.floats(width=32), min_size=len(values), max_size=len(values))), "f4")
    limit = data.draw(st.sampled_from([0.0, 1e-6, 0.1, 3.0]))
    found = deviations(one, two, Tolerance(limit, limit))
    # isclose takes its second argument as the reference.
    close = numpy.isclose(two.astype("f8"), one.astype("f8"), rtol=limit, atol=limit, equal_nan=True)
    assert all(each.within for each in found) == bool(close.all())


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(0, 1000))
def test_so_many_steps_are_so_many_units(value: float, steps: int) -> None:
    one = two = numpy.array([value], "f4")
    for _ in range(steps):
        two = numpy.nextafter(two, numpy.float32(numpy.inf))
    found = deviations(one, two)
    if numpy.isfinite(two[0]):
        assert [each.max_ulp for each in found] == ([float(steps)] if steps else [])
