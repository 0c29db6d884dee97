"""Replay, with the verdict shown in Dagster: an observation of each asset that was made again."""

from __future__ import annotations

from typing import IO, Any

import dagster as dg

from repro_assets.catalog import queries
from repro_assets.orchestration.instance import open_instance
from repro_assets.replay.launch import Report, replay
from repro_assets.store.home import Home


def replay_and_show(
    home: Home, run_id: str, *, timeout: float | None = None, log: IO[bytes] | None = None, **options: Any
) -> Report:
    """Replay a run and put the verdict on the pages of the assets that it made; arguments as for `launch.replay`."""
    report = replay(home, run_id, timeout=timeout, log=log, **options)
    made = queries.rows(home, "SELECT run_id, asset, partition FROM run_outputs WHERE asset IS NOT NULL")
    assets = {(str(row["run_id"]), str(row["asset"]), row["partition"]) for row in made}
    with open_instance(home) as instance:
        for record in report.records:
            for run, asset, partition in sorted(assets, key=str):
                if run == record.original_run:
                    instance.report_runless_asset_event(
                        dg.AssetObservation(
                            asset_key=dg.AssetKey.from_user_string(asset),
                            partition=partition,
                            metadata={
                                "verdict": record.verdict,
                                "original run": record.original_run,
                                "replay run": record.replay_run or "none",
                                "reason": record.reason or "none",
                                "seconds": record.seconds or 0.0,
                            },
                        )
                    )
    return report
