"""Runs that Dagster did not execute, shown on its pages: of scripts, commands and notebooks.

Laws: the journal is the home of the record, and what is shown follows it: a run of Dagster's with the same start, end
and state, and a materialization of the external asset ``scripts/<project>/<product>`` for each versioned product. The
id of the shown run is a function of the recorded one, so nothing is shown twice, however often this is done and
whoever does it. Replays and deleted runs are not shown.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData
from dagster._core.events.log import EventLogEntry

from repro_assets.catalog import queries
from repro_assets.orchestration.dagster_side import SHOWN, SHOWN_PREFIX
from repro_assets.orchestration.metadata import of_report
from repro_assets.store.home import Home

_NAMESPACE = uuid.UUID("6f1f2b34-2f0e-5c0a-9a39-5f6d0f5e2f0b")
_ENDINGS = {
    "COMPLETED": DagsterEventType.RUN_SUCCESS,
    "FAILED": DagsterEventType.RUN_FAILURE,
    "INTERRUPTED": DagsterEventType.RUN_CANCELED,
}
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_.-]")
_TO_SHOW = (
    "FROM runs ANTI JOIN deleted_runs USING (run_id) WHERE run_kind IN ('script', 'command', 'notebook') "
    "AND replay_of IS NULL AND state IN ('COMPLETED', 'FAILED', 'INTERRUPTED')"
)
AT_ONCE = 100
"""So many runs are shown in one go; those that are left follow."""


def shown_id(run_id: str) -> str:
    """Return the id under which Dagster shows a recorded run."""
    return str(uuid.uuid5(_NAMESPACE, run_id))


def to_show(home: Home) -> str:
    """Return a text that stays the same for as long as there is no other run to show."""
    (found,) = queries.rows(home, f"SELECT count(*) AS runs, max(ended_at) AS last {_TO_SHOW}")
    return f"{found['runs']} runs until {found['last']}"


def show(home: Home, instance: dg.DagsterInstance, *, limit: int = AT_ONCE) -> list[str]:
    """Show the runs that are not shown yet, oldest first, and return their recorded ids.

    Parameters
    ----------
    home : Home
        The store.
    instance : DagsterInstance
        Dagster's storage.
    limit : int
        At most so many.

    Raises
    ------
    MachineError
        If the catalog cannot be brought up to date.
    """
    shown = instance.get_runs(dg.RunsFilter(tags={SHOWN: "true"}))
    known = {run.run_id for run in shown if run.is_finished}
    for cut_off in (run for run in shown if not run.is_finished):
        instance.delete_run(cut_off.run_id)
    rows = queries.rows(
        home,
        "SELECT run_id, name, run_kind, state, experiment, started_at, ended_at, error_message, parent_run_id, commit, "
        f"dirty {_TO_SHOW} ORDER BY started_at, run_id",
    )
    waiting = [row for row in rows if shown_id(row["run_id"]) not in known][:limit]
    for row in waiting:
        _show_one(home, instance, row)
    return [row["run_id"] for row in waiting]


def _show_one(home: Home, instance: dg.DagsterInstance, row: dict[str, Any]) -> None:
    shown, job = shown_id(row["run_id"]), _part(row["name"])
    ending = _ENDINGS[row["state"]]
    facts = {"repro/run": row["run_id"], "repro/name": row["name"], "repro/kind": row["run_kind"]}
    # Finished by its last event: what a kill cut off is taken away and shown again.
    instance.add_run(
        dg.DagsterRun(
            job_name=job,
            run_id=shown,
            status=dg.DagsterRunStatus.STARTED,
            tags={SHOWN: "true", **facts, **_parent_tag(row)},
        )
    )
    begin = _seconds(row["started_at"])
    end = _seconds(row["ended_at"]) if row["ended_at"] is not None else begin
    _tell(instance, shown, job, DagsterEventType.RUN_START, begin, f"{row['run_kind']} {row['name']}")
    for product in _products(home, row):
        data = StepMaterializationData(product)
        _tell(instance, shown, job, DagsterEventType.ASSET_MATERIALIZATION, end, "", data)
    _tell(instance, shown, job, ending, end, row["error_message"] or row["state"])


def _parent_tag(row: dict[str, Any]) -> dict[str, str]:
    parent = row["parent_run_id"]
    return {} if parent is None else {"repro/parent": parent}


def _products(home: Home, row: dict[str, Any]) -> list[dg.AssetMaterialization]:
    found = queries.rows(
        home,
        "SELECT collection, version, digest, name FROM run_outputs WHERE run_id = $run AND collection IS NOT NULL "
        "ORDER BY collection, version",
        {"run": row["run_id"]},
    )
    return [
        dg.AssetMaterialization(
            asset_key=[SHOWN_PREFIX, _part(row["experiment"] or row["name"]), _part(product["collection"])],
            description=f"{product['collection']}:v{product['version']} of the {row['run_kind']} {row['name']}",
            metadata={
                "run": row["run_id"],
                "digest": product["digest"],
                "version": product["version"],
                "name": product["name"],
                **({"commit": row["commit"], "dirty": bool(row["dirty"])} if row["commit"] else {}),
                **of_report(home),
            },
            tags={"dagster/data_version": product["digest"]},
        )
        for product in found
    ]


def _tell(
    instance: dg.DagsterInstance,
    run_id: str,
    job: str,
    kind: DagsterEventType,
    seconds: float,
    message: str,
    data: Any = None,
) -> None:
    event = DagsterEvent(kind.value, job_name=job, event_specific_data=data, message=message)
    entry = EventLogEntry(None, 20, message, run_id, seconds, job_name=job, dagster_event=event)  # type: ignore[no-untyped-call]
    instance.handle_new_event(entry)


def _part(text: str) -> str:
    """Return a name as Dagster's names and keys can hold it."""
    return _NOT_IN_KEYS.sub("_", text) or "_"


def _seconds(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp()
