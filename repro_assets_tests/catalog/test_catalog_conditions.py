"""What a person types as a condition is one expression, and decides whether deleted runs are listed."""

from __future__ import annotations

import pytest

from repro_assets.catalog.conditions import undeleted
from repro_assets.catalog.groups import group_runs
from repro_assets.catalog.queries import best_runs, list_runs, query, rows
from repro_assets.errors import InvalidValue
from repro_assets.inspection import frames, recorded
from repro_assets.journal import run_records


@pytest.fixture
def filled(home, recorder):
    """A store with a run, and one that was deleted."""
    recorder.run("aaaaaaaa-1", 0, points=2)
    recorder.run("bbbbbbbb-2", 1, points=2)
    recorder.journal.append(run_records.RunDeleted("bbbbbbbb-2"))
    return home


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (None, "a"),
        ("true", "a"),
        ("note IS NULL -- deleted", "a"),
        ("name <> 'deleted'", "a"),
        ("deleted", "b"),
        ('"Deleted" = true', "b"),
        ("runs_wide.deleted AND seed = 1", "b"),
        ("deleted OR NOT deleted", "ba"),
    ],
)
def test_deleted_runs_are_listed_where_the_condition_names_them(filled, condition, found):
    assert [row["run_id"][0] for row in list_runs(filled, condition)] == list(found)
    assert [run[0] for run in frames.runs(condition, home=filled)["run_id"]] == list(found)


@pytest.mark.parametrize(
    "condition",
    ["1=1) OR (deleted", "1 = 1) UNION (SELECT 1", "", " -- nothing", "true, false", "true ORDER BY 1",
     "true; SELECT 1", "seed FROM runs", "SELECT true", "true AS a", "1 +"],
)  # fmt: skip
def test_what_is_not_one_expression_is_refused(filled, condition):
    for ask in (
        lambda: list_runs(filled, condition),
        lambda: frames.runs(condition, home=filled),
        lambda: group_runs(filled, ["asset"], ["loss"], where=condition),
    ):
        with pytest.raises(InvalidValue, match="is not one SQL condition") as caught:
            ask()
        assert "\n" not in str(caught.value).replace("\\n", "")


def test_what_duckdb_says_of_a_condition_shows_nothing_of_ours(filled):
    for ask in (
        lambda: list_runs(filled, "nope = 1"),
        lambda: frames.runs("nope = 1", home=filled),
        lambda: group_runs(filled, ["asset"], ["loss"], where="nope = 1"),
    ):
        with pytest.raises(InvalidValue, match='Referenced column "nope" not found') as caught:
            ask()
        assert "LINE" not in str(caught.value) and "WHERE" not in str(caught.value)
        assert caught.value.remedy == "see the columns with: repro sql 'DESCRIBE runs_wide'"
    assert {row["column_name"] for row in rows(filled, "DESCRIBE runs_wide")} > {"state", "replay_of"}


def test_a_name_inside_of_a_function_or_a_list_counts():
    assert undeleted("coalesce(deleted, false) IN (true)").startswith("(")
    assert undeleted("state = 'deleted'").startswith("NOT deleted AND (")


def test_what_is_no_text_is_refused(filled):
    for ask in (lambda: list_runs(filled, 5), lambda: frames.runs(["true"], home=filled)):
        with pytest.raises(InvalidValue, match="it is no text"):
            ask()
    for name in (None, 7):
        with pytest.raises(InvalidValue, match=f"{name} is no name of a run"):
            recorded.run(name, home=filled)


def test_a_limit_beyond_all_numbers_is_refused(filled):
    greatest = 2**63 - 1
    for ask in (lambda limit: list_runs(filled, limit=limit), lambda limit: best_runs(filled, "loss", limit=limit)):
        assert len(ask(greatest)) == 1
        for limit in (greatest + 1, 10**30, -1):
            with pytest.raises(InvalidValue, match=f"a limit of {limit} rows .0 to {greatest}"):
                ask(limit)


@pytest.mark.parametrize(
    ("sql", "name"),
    [("INSTALL httpfs", "INSTALL"), (" -- why\n/* a */ force Install httpfs", "INSTALL"), ("LOAD httpfs", "LOAD")],
)
def test_extensions_are_refused_by_their_own_word(filled, sql, name):
    with pytest.raises(InvalidValue, match=f"^{name} is refused"):
        query(filled, sql)
