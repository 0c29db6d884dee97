"""Runs that go on from checkpoints of others: their curves, and what a person is shown of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from repro_assets.catalog.descriptions import show_run
from repro_assets.catalog.projection import refresh
from repro_assets.catalog.queries import connect, rows
from repro_assets.errors import InvalidValue
from repro_assets.identity.digest import Digest
from repro_assets.journal import run_records
from repro_assets.journal.segments import Journal
from repro_assets.store.home import Home

NOTHING = str(Digest.of(b""))


def points(first: int, last: int, value: float) -> list[list[Any]]:
    return [["loss", step, value, float(step)] for step in range(first, last + 1)]


def record(home: Home, *payloads: Any) -> None:
    journal = Journal(home.journal)
    journal.append(*payloads)
    journal.close()


def test_a_curve_shows_each_step_once_over_a_chain_of_runs(home: Home) -> None:
    record(
        home,
        # The first reached step 7 and had saved step 5; the second reached 12 and had saved 10; the third began again.
        run_records.Metrics.of("one", [*points(1, 7, 1.0), ["note", None, 3.0, 0.0]]),
        run_records.Metrics.of("two", points(6, 12, 2.0)),
        run_records.Metrics.of("three", points(11, 14, 3.0)),
        run_records.RunResumed("two", "one", "checkpoint_step_5", NOTHING, 5),
        run_records.RunResumed("three", "two", "checkpoint_step_10", NOTHING, 10),
        # Another branch goes back behind what the second had begun with.
        run_records.RunResumed("early", "one", "checkpoint_step_2", NOTHING, 2),
    )

    def curve(run: str) -> list[tuple[int, str]]:
        found = rows(home, "SELECT step, logged_by FROM curves WHERE run_id = ? AND name = 'loss' ORDER BY step", [run])
        return [(row["step"], row["logged_by"]) for row in found]

    whole = [*((step, "one") for step in range(1, 6)), *((step, "two") for step in range(6, 11))]
    assert curve("three") == [*whole, *((step, "three") for step in range(11, 15))]
    assert curve("two") == [*whole[:5], *((step, "two") for step in range(6, 13))]
    assert curve("one") == [(step, "one") for step in range(1, 8)]
    assert curve("early") == [(1, "one"), (2, "one")]
    # A point without a step has no place in somebody else's curve.
    assert rows(home, "SELECT run_id FROM curves WHERE name = 'note'") == [{"run_id": "one"}]


def test_runs_that_say_they_continue_each_other_end_the_question(home: Home) -> None:
    record(
        home,
        run_records.Metrics.of("one", points(1, 3, 1.0)),
        run_records.RunResumed("one", "two", "checkpoint_step_2", NOTHING, 2),
        run_records.RunResumed("two", "one", "checkpoint_step_3", NOTHING, 3),
    )
    assert rows(home, "SELECT count(*) > 0 AS some FROM curves WHERE run_id = 'one'") == [{"some": True}]


def test_a_run_says_what_it_went_on_from_and_what_went_on_from_it(home: Home) -> None:
    record(
        home,
        run_records.RunStarted("one", "asset", "first", asset="models/sft"),
        run_records.RunStarted("two", "asset", "second", asset="models/sft"),
        run_records.RunResumed("two", "one", "checkpoint_step_5", NOTHING, 5),
        run_records.RunEnded("two", "COMPLETED"),
    )
    first, second = show_run(home, "one"), show_run(home, "two")
    (before,) = second["resumed"]
    assert (before["resumed_run_id"], before["checkpoint"], before["step"]) == ("one", "checkpoint_step_5", 5)
    (after,) = first["resumed_by"]
    assert (after["run_id"], after["state"], after["step"]) == ("two", "COMPLETED", 5)
    assert first["resumed"] == second["resumed_by"] == []
    assert "--resume one/checkpoint_step_5" in second["fresh_command"]
    assert "--resume" not in first["fresh_command"]


def test_macros_take_a_run_by_its_beginning_or_its_name_and_refuse_what_is_none_or_several(home, recorder):
    for number in (1, 2):
        recorder.run(f"abcdef0{number}-long-id", number, points=3, name=("first", "twice")[number - 1])
    recorder.run("short", 3, points=4, name="twice")
    for given in ("abcdef01-long-id", "abcdef01", "first"):
        assert len(rows(home, "FROM curve(?)", [given])) == 3
        assert {row["run_id"] for row in rows(home, "FROM run_facts([?])", [given])} == {"abcdef01-long-id"}
    assert len(rows(home, "FROM curve('short')")) == 4
    both = rows(home, "SELECT DISTINCT run_id FROM run_facts(['first', 'abcdef01', 'short']) ORDER BY 1")
    assert [row["run_id"] for row in both] == ["abcdef01-long-id", "short"]
    assert rows(home, "FROM run_facts([])") == []
    for given, said in (("nothing-such", "there is no run nothing-such"), ("twice", "2 runs are called so"),
                        ("abcdef0", "there is no run abcdef0")):  # fmt: skip
        for sql in ("FROM curve(?)", "FROM run_facts(['first', ?])"):
            with pytest.raises(InvalidValue, match=said):
                rows(home, sql, [given])


def test_a_curve_is_read_without_the_points_of_other_runs(home, recorder):
    for number in range(3):
        recorder.journal.append(
            run_records.RunStarted(f"run-number-{number}", "asset", f"name-{number}"),
            run_records.Metrics.of(f"run-number-{number}", [["loss", step, 1.0, 0.0] for step in range(150_000)]),
        )
    refresh(home)
    with connect(home) as connection:
        (plan,) = connection.execute("EXPLAIN (ANALYZE, FORMAT json) FROM curve('name-1')").fetchall()
    scanned: list[int] = []

    def walk(node: dict[str, Any]) -> None:
        if "metrics" in str(node.get("extra_info", {}).get("Table", "")):
            scanned.append(node["operator_cardinality"])
        for child in node["children"]:
            walk(child)

    walk(json.loads(plan[1]))
    assert scanned == [150_000]
