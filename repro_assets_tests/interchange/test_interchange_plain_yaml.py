"""YAML of others is read as version 1.2 has it, and what is too large, too deep or endless is refused early."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro_assets.errors import InvalidInput
from repro_assets.interchange.plain_yaml import DEEPEST, MOST_BYTES, MOST_NODES, read_yaml
from repro_assets.serialized import as_yaml

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def one(text: str) -> Any:
    return read_yaml(f"a: {text}\n".encode(), "it")["a"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("on", "on"), ("1_000", "1_000"), ("12:30", "12:30"), ("0b1", "0b1"), ("010", 10), ("0o10", 8),
        ("2026-01-01", "2026-01-01"), ("1e-05", 1e-05), ("1e3", 1000.0), ("+.5", 0.5), ("-.inf", -math.inf),
        ("0x1F", 31), ("~", None), ("", None), ("TRUE", True), ("'1'", "1"), ("!!binary aGk=", "aGk="),
        ("!!str 1", "1"), ("!own 1", "1"), ("!!python/name:os.system", ""), ("!!set {x: }", {"x": None}),
    ],
)  # fmt: skip
def test_a_value_is_what_yaml_1_2_says(text: str, value: Any) -> None:
    found = one(text)
    assert found == value and type(found) is type(value)


def test_aliases_and_merges_are_read() -> None:
    text = b"a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, x: 2}\nc: *a\n"
    assert read_yaml(text, "it") == {"a": {"x": 1, "y": [1, 2]}, "b": {"x": 2, "y": [1, 2]}, "c": {"x": 1, "y": [1, 2]}}
    assert math.isnan(one(".NaN"))
    assert read_yaml(b"", "it") == read_yaml(b"# nothing\n", "it") == {}


@given(VALUES)
def test_what_is_written_here_reads_back(value: Any) -> None:
    assert read_yaml(as_yaml({"value": value}), "it") == {"value": value}


def _doubled(times: int) -> bytes:
    return "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, times))]).encode()


def _chained(times: int) -> bytes:
    return "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, times))]).encode()


def test_the_deepest_is_read() -> None:
    depth = DEEPEST - 1
    assert read_yaml(b"a: " + b"[" * depth + b"]" * depth, "it") and read_yaml(_chained(depth), "it")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_chained(DEEPEST), "deeper than"),
        (_doubled(64), f"more than {MOST_NODES}"),
        (b"a: &a [*a]", "of itself"),
        (b"a: *b\nb: &b 1", "not there yet"),
        (b"a: " + b"{a: " * (DEEPEST + 1), "deeper than"),
        (b"[" * 5_000_000, "deeper than"),
        (b"a: " + b"[]" * (MOST_BYTES // 2), "bytes"),
        (b"- a", "not a dictionary"),
        (b"a: b: c", "is not YAML"),
        (b"a: 'b", "is not YAML"),
        (b"a: 1\n---\nb: 1\n", "is not YAML"),
        (b"{[]: 1}", "is not YAML"),
        (b"a: " + b"9" * 10_000, "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
    ],
)
def test_what_is_wrong_or_hostile_is_refused_at_once(data: bytes, said: str) -> None:
    began = time.process_time()
    with pytest.raises(InvalidInput, match=said):
        read_yaml(data, "it")
    assert time.process_time() - began < 5
