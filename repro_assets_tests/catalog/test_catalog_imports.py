"""Runs that another tool recorded: its times count, and nothing is claimed that is not known."""

from __future__ import annotations

import pytest

from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import show_run
from repro_assets.journal.run_records import RunEnded, RunImported, RunStarted
from repro_assets.journal.segments import Journal
from repro_assets.store.home import Home

RUN = "aaaaaaaa11111111"


@pytest.mark.parametrize("reverse", [False, True])
def test_an_imported_run_has_the_other_tools_times(home: Home, reverse: bool) -> None:
    records = [
        RunStarted(RUN, "imported", "theirs"),
        RunImported(RUN, "mlflow", "mlruns", "0123", 1_000_000.5, 1_000_010.5, {"experiment": "7"}),
        RunEnded(RUN, "FAILED"),
    ]
    for record in reversed(records) if reverse else records:
        journal = Journal(home.journal)
        journal.append(record)
        journal.close()
        queries.rows(home, "SELECT 1")
    shown = show_run(home, RUN)
    assert (shown["started_at"].isoformat(), shown["seconds"]) == ("1970-01-12T13:46:40.500000", 10.0)
    assert (shown["state"], shown["run_kind"], shown["command"]) == ("FAILED", "imported", None)
    assert (shown["environment"], shown["source"]) == (None, None)
    (origin,) = shown["imported_from"]
    assert (origin["tool"], origin["place"], origin["foreign_id"]) == ("mlflow", "mlruns", "0123")
    assert origin["details"] == {"experiment": "7"}
    (told,) = queries.rows(home, "SELECT details FROM audit WHERE kind = 'run_imported'")
    assert told["details"] == "mlflow mlruns"


def test_what_the_other_tool_did_not_know_is_the_records_own(home: Home) -> None:
    journal = Journal(home.journal)
    journal.append(RunStarted(RUN, "imported", "theirs"), RunImported(RUN, "dvc", ".", "1"), RunEnded(RUN, "COMPLETED"))
    journal.close()
    shown = show_run(home, RUN)
    assert shown["started_at"] is not None and shown["ended_at"] is not None and shown["started_at"].year > 2000
