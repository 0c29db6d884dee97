"""A value has one form in JSON and one in words, wherever it is shown."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from repro_assets.cli.rendering import cell
from repro_assets.report.markup import text
from repro_assets.wording import counted, plain, type_in_words, words

SUMMER = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (math.nan, '"NaN"'),
        ([math.inf, -math.inf, -0.0], '["Infinity", "-Infinity", -0.0]'),
        (Decimal("12"), "12"),
        (Decimal("1.5"), "1.5"),
        (Decimal("NaN"), '"NaN"'),
        (datetime(2026, 1, 2, 3, 4, 5), '"2026-01-02T03:04:05+00:00"'),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=SUMMER), '"2026-01-02T01:04:05+00:00"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (timedelta(minutes=1.5), "90.0"),
        (memoryview(b"\x00\xff"), '"00ff"'),
        ({1: (True, None)}, '{"1": [true, null]}'),
    ],
)
def test_every_value_is_valid_json(value: object, written: str) -> None:
    assert json.dumps(plain(value), allow_nan=False) == written


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, ""),
        (False, "no"),
        (0.1 + 0.2, "0.3"),
        (datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC), "2026-01-02 03:04:05"),
        (["a", "b"], "a, b"),
        (["ä", 1], '["ä", 1]'),
        ({"loss": math.nan}, '{"loss": "NaN"}'),
        (12, "12"),
    ],
)
def test_a_terminal_and_a_page_show_the_same_words(value: object, read: str) -> None:
    assert words(value) == cell(value) == read
    assert text(value) == read.replace('"', "&quot;")


def test_what_would_steer_a_terminal_is_replaced() -> None:
    assert cell(["a\x1b[2J", "b\nc"]) == "a\N{REPLACEMENT CHARACTER}[2J, b\nc"


def test_one_is_not_several() -> None:
    assert [counted(number, "run") for number in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]


def test_a_type_has_its_article() -> None:
    assert [type_in_words(value) for value in (1, 1.5, [], OSError(), None)] == [
        *("an int", "a float", "a list", "an OSError", "None"),
    ]
