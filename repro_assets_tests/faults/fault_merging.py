"""The merging of the journal, for the table of faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet  # noqa: F401 - once, and not in the process of every case
from fault_operations import Operation, home_of

from repro_assets.catalog import merging
from repro_assets.catalog.merging import merge
from repro_assets.journal.merged import MetricLine, forms, list_merges, read_form
from repro_assets.journal.run_records import Metrics, Params
from repro_assets.journal.segments import Journal, journal_at, list_segments

RUNS = 3


def _write(folder: Path, numbers: range) -> None:
    for number in numbers:
        journal = Journal(home_of(folder).journal)
        journal.append(Params(f"merged-{number}", {"n": number}))
        journal.append(Metrics.of(f"merged-{number}", [["loss", step, 0.5, 1.0] for step in range(50)]))
        journal.close()


def _make_segments(folder: Path) -> None:
    journal_at(home_of(folder).journal).close()
    _write(folder, range(1))
    # A small merge, which the next one takes in.
    merge(home_of(folder))
    _write(folder, range(1, RUNS))


def _merge(folder: Path) -> str:
    merge(home_of(folder))
    return "merged"


def _check_merged(folder: Path, result: Any) -> None:
    home = home_of(folder)
    assert len(list_merges(home.journal)) == len(list(home.journal.glob("*.merged"))) == 1
    assert list_segments(home.journal) == []


def _assert_all_there_once(folder: Path) -> None:
    home = home_of(folder)
    if not home.journal.is_dir():
        return
    points, params = 0, []
    for form in forms(home).values():
        for item, _ in read_form(home, form):
            if isinstance(item, MetricLine):
                points += item.points
            elif isinstance(getattr(item, "payload", None), Metrics):
                points += len(item.payload.which)  # type: ignore[union-attr]
            elif isinstance(getattr(item, "payload", None), Params):
                params.append(item.payload.run_id)  # type: ignore[union-attr]
    assert points == RUNS * 50
    assert sorted(params) == [f"merged-{number}" for number in range(RUNS)]


OPERATIONS = [Operation("merge the journal", _merge, _check_merged, _make_segments, _assert_all_there_once)]
assert merging.MANY > RUNS, "nothing merges by itself"
