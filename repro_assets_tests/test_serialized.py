"""A document reads back equal from JSON and from YAML, whatever texts are in it."""

from __future__ import annotations

import datetime
import json
import math
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from repro_assets.serialized import as_json, as_yaml

TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
# https://yaml.org/spec/1.2.2/#1032-tag-resolution
NO_TEXT = re.compile(
    r"null|Null|NULL|~|true|True|TRUE|false|False|FALSE|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
AMBIGUOUS = (
    "1e3", "12e45678", "1e-7", "0o17", "0x1F", "12345678", "2026-01-01", "yes", "no", "null", "~", "1_000", "12:30:45",
    ".5", "+1", "NaN", ".nan", "", " ", "- a", "a: b", "#", "[", "*x", "&x", "!x", "\t", "\x85", "\u2028", "\ufeff",
)  # fmt: skip


@given(VALUES)
def test_both_read_back_equal(value: object) -> None:
    told = json.loads(as_json({"value": value}))
    assert yaml.safe_load(as_yaml({"value": value})) == told


def test_what_json_does_not_have_is_text_in_both() -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5)
    document = {"odd": [math.nan, math.inf, -math.inf], "time": moment, "bytes": b"\x00\xff", 1: "a key"}
    told = {
        "odd": ["NaN", "Infinity", "-Infinity"], "time": "2026-01-02T03:04:05+00:00", "bytes": "00ff", "1": "a key",
    }  # fmt: skip
    assert json.loads(as_json(document)) == yaml.safe_load(as_yaml(document)) == told


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_a_text_is_one_to_readers_of_yaml_1_1_and_1_2(text: str) -> None:
    written = as_yaml([text]).decode().removeprefix("- ").rstrip("\n")
    assert written[0] in "'\"" or NO_TEXT.fullmatch(written) is None
    assert yaml.safe_load(as_yaml([text])) == [text]


def test_a_text_that_only_begins_like_a_number_is_not_quoted() -> None:
    assert as_yaml(["1f2e", "12e4.dir", "0x1g"]) == b"- 1f2e\n- 12e4.dir\n- 0x1g\n"


def test_numbers_stay_numbers_and_what_is_no_unicode_is_an_escape() -> None:
    assert as_yaml({"a": 1, "b": 0.5, "c": 1e30, "d": True}) == b"a: 1\nb: 0.5\nc: 1.0e+30\nd: true\n"
    assert b"\\ud800" in as_json("\ud800").lower() and json.loads(as_json("\ud800")) == "\ud800"
    assert yaml.safe_load(as_yaml(["\ud800 ü"])) == ["\ud800 ü"]
