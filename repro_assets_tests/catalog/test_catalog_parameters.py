"""Values for parameters: as literals they answer what DuckDB answers to the Python values."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro_assets.catalog.parameters import LISTED, execute


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


@pytest.fixture(autouse=True)
def _without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = duckdb.connect()
    connection.execute("SELECT ?", ["DuckDB has what it wants of pandas"])
    monkeypatch.delitem(sys.modules, "pandas")


def answer(ask: Any, *asked: Any) -> str:
    """What a question is answered with: names, types and values, or the first line of the error."""
    try:
        found = ask(*asked)
        return repr(([column[:2] for column in found.description], found.fetchall()))
    except duckdb.Error as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def equal(connection: duckdb.DuckDBPyConnection, sql: str, values: Any) -> None:
    assert answer(execute, connection, sql, values) == answer(connection.execute, sql, values)


PLAIN = st.one_of(
    st.text(st.characters(codec="utf-8")), st.integers(), st.floats(), st.booleans(), st.none(), st.binary()
)


@given(value=PLAIN | st.lists(st.text(st.characters(codec="utf-8"))) | st.lists(st.integers()))
def test_any_value_comes_back_with_the_type_that_duckdb_gives_it(
    connection: duckdb.DuckDBPyConnection, value: object
) -> None:
    equal(connection, "SELECT $value AS value, typeof($value) AS kind", {"value": value})
    equal(connection, "SELECT ? AS value", [value])


@pytest.mark.parametrize(
    "value",
    [
        *(sign * (1 << bits) + more for bits in (31, 32, 63, 64, 127, 128) for sign in (1, -1) for more in (-1, 0, 1)),
        "'; DROP TABLE runs; --",
        "a\0b",
        "$value",
        [],
        [1, "a"],
        [None],
        [["a"], ["b"]],
        ("a", "b"),
        float("nan"),
        float("-inf"),
        -0.0,
    ],
)  # fmt: skip
def test_values_at_the_edges_are_the_same(connection: duckdb.DuckDBPyConnection, value: object) -> None:
    equal(connection, "SELECT $value AS value, typeof($value) AS kind", {"value": value})


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("SELECT 1 AS one WHERE 'a' IN (SELECT unnest($names))", {"names": ["a", "b"]}),
        ("SELECT unnest($names) AS name", {"names": [str(number) for number in range(LISTED + 1)]}),
        ("SELECT 1 AS one WHERE '5' < $number", {"number": 10}),
        ("SELECT current_date < $day AS before", {"day": "2030-01-01"}),
        ("SELECT 1 AS one LIMIT $count", {"count": 0}),
        ("SELECT $number::INTEGER + 1 AS more -- and a comment", {"number": "5"}),
        ("SELECT '$number' AS text, $number AS number", {"number": 5}),
        ("SELECT $number AS number", {"number": 1, "more": 2}),
        ("SELECT $number AS number", {"other": 1}),
        ("SELECT ? AS number", [1, 2]),
        ("SELECT $number AS number", {'a" := 1, "number': 1}),
    ],
)
def test_a_statement_takes_and_refuses_what_duckdb_does(
    connection: duckdb.DuckDBPyConnection, sql: str, values: Any
) -> None:
    equal(connection, sql, values)


def test_nothing_but_duckdb_is_imported_for_plain_values() -> None:
    code = (
        "import sys, duckdb; from repro_assets.catalog.parameters import execute\n"
        "asked = execute(duckdb.connect(), 'SELECT $text, $number, $names', "
        "{'text': 'a', 'number': 1.5, 'names': ['b']})\n"
        "print(asked.fetchall(), 'pandas' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "[('a', 1.5, ['b'])] False\n"
