"""Reading from the catalog what a replay needs of the runs that it executes again."""

from __future__ import annotations

import json
from typing import Any

from repro_assets.catalog import queries
from repro_assets.errors import InvalidValue
from repro_assets.replay.plan import Recorded
from repro_assets.store.home import Home


def recorded_runs(home: Home, run_id: str) -> list[Recorded]:
    """Return the record of an asset's run, or of every run that a parent run groups, in the order of their starts.

    A replay stands for the run that it executed again.

    Raises
    ------
    InvalidValue
        If a run is still running, or has failed before it made anything.
    """
    with queries.connect(home) as connection:
        found = queries.read_rows(
            connection,
            "SELECT run_id, state, source, environment, mode, settings, plan, edited_sources FROM runs "
            "WHERE run_id IN (SELECT coalesce(replay_of, run_id) FROM runs "
            "WHERE run_kind = 'asset' AND $run IN (run_id, parent_run_id)) ORDER BY started_at, run_id",
            {"run": run_id},
        )
        for row in found:
            if row["state"] != "COMPLETED":
                raise InvalidValue(
                    f"run {row['run_id']} is {row['state']}, so it has no products to compare", "name a COMPLETED run"
                )
        return [_recorded(connection, row) for row in found]


def _recorded(connection: Any, row: dict[str, Any]) -> Recorded:
    def of_run(sql: str) -> list[dict[str, Any]]:
        return queries.read_rows(connection, sql, {"run": row["run_id"]})

    facts = of_run("SELECT * EXCLUDE (run_id, record, source) FROM sources WHERE run_id = $run")
    inputs = of_run("SELECT slot, partition, digest FROM run_inputs WHERE run_id = $run ORDER BY slot, partition")
    outputs = of_run("SELECT slot, name, digest FROM run_outputs WHERE run_id = $run")
    metrics = of_run("SELECT name, value FROM metrics_last WHERE run_id = $run")
    return Recorded(
        run_id=row["run_id"],
        source=row["source"],
        source_facts=facts[0] if facts else {},
        environment=row["environment"],
        mode=_json(row["mode"]),
        settings=_json(row["settings"]),
        plan=_json(row["plan"]),
        inputs=[[item["slot"], item["partition"], item["digest"]] for item in inputs],
        products={item["slot"]: (item["name"], item["digest"]) for item in outputs},
        metrics={item["name"]: item["value"] for item in metrics},
        edited_sources=list(row["edited_sources"] or []),
    )


def _json(text: Any) -> dict[str, Any]:
    value = json.loads(text) if isinstance(text, str) else text
    return dict(value or {})
