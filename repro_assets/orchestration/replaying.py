"""Replay, with the verdict shown in Dagster: the check ``reproduces`` and an observation of each asset made again.

Laws: Dagster is loaded where an asset was made again, and not before: a replay of a script or a command needs none.
"""

from __future__ import annotations

from typing import IO, Any

from repro_assets.catalog import queries
from repro_assets.journal.run_records import CheckMade, ReplayMade
from repro_assets.journal.segments import journal_at
from repro_assets.replay.compare import EQUIVALENT, IDENTICAL
from repro_assets.replay.launch import Report, replay
from repro_assets.store.home import Home

REPRODUCES = "reproduces"
"""Name of the check that a replay is."""
_GOOD = (IDENTICAL, EQUIVALENT)


def replay_and_show(
    home: Home, run_id: str, *, timeout: float | None = None, log: IO[bytes] | None = None, **options: Any
) -> Report:
    """Replay a run and put the verdict on the pages of the assets that it made; arguments as for `launch.replay`."""
    report = replay(home, run_id, timeout=timeout, log=log, **options)
    checks = record_checks(home, report)
    if checks:
        _show(home, checks)
    return report


def _show(home: Home, checks: list[tuple[str, str | None, ReplayMade]]) -> None:
    import dagster as dg

    from repro_assets.orchestration.instance import open_instance

    with open_instance(home) as instance:
        for asset, partition, record in checks:
            metadata = said_of(record)
            key = dg.AssetKey.from_user_string(asset)
            instance.report_runless_asset_event(
                dg.AssetObservation(asset_key=key, partition=partition, metadata=metadata)
            )
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(key, REPRODUCES, passes(record), metadata, partition=partition)
            )


def record_checks(
    home: Home, report: Report, dagster_run: str | None = None
) -> list[tuple[str, str | None, ReplayMade]]:
    """Record the verdicts as checks; return asset, partition and verdict of each product of an asset.

    Parameters
    ----------
    home : Home
        The store.
    report : Report
        The answer of the replay.
    dagster_run : str, optional
        The run of Dagster that asked for it.
    """
    wanted = {record.original_run: record for record in report.records}
    made = queries.rows(
        home,
        "SELECT DISTINCT run_id, asset, partition FROM run_outputs "
        "WHERE asset IS NOT NULL AND list_contains($runs, run_id) ORDER BY asset, partition",
        {"runs": list(wanted)},
    )
    found = [(str(row["asset"]), row["partition"], wanted[row["run_id"]]) for row in made]
    checks = [
        CheckMade(
            REPRODUCES,
            passes(record),
            record.original_run,
            asset,
            partition,
            details=said_of(record),
            parent_run_id=dagster_run,
        )
        for asset, partition, record in found
    ]
    if checks:
        journal_at(home.journal).append(*checks)
    return found


def passes(record: ReplayMade) -> bool:
    """Whether a verdict keeps the promise."""
    return record.verdict in _GOOD


def said_of(record: ReplayMade) -> dict[str, Any]:
    """Return what a person reads of a verdict on a page."""
    return {
        "verdict": record.verdict,
        "original run": record.original_run,
        "replay run": record.replay_run or "none",
        "reason": record.reason or "none",
        "seconds": record.seconds or 0.0,
    }
