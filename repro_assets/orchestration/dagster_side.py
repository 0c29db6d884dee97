"""What Dagster's own storage says of runs, materializations and answers of checks, a page at a time.

Laws: nothing is written; no more than a page of events is held, of which a few words each are kept; an event that
Dagster cannot read is Dagster's error and stops the reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import sqlalchemy
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from repro_assets.orchestration.versions import TRIAL

RUNS = 500
EVENTS = 200
PARENT = "parent run"
"""Name of the metadata that says which Dagster run made what was reported without one."""
SHOWN = "repro/shown"
"""Tag of runs that Dagster did not execute and only shows (`shown_runs`)."""
SHOWN_PREFIX = "scripts"
"""First part of the keys of what such runs made."""


@dataclass(frozen=True, slots=True)
class Materialization:
    """One event; `run_id` is Dagster's run, `made_by` the run on record that it names, `version` its data version."""

    run_id: str
    asset: str
    partition: str | None
    version: str
    made_by: str | None
    trial: bool
    time: float


@dataclass(frozen=True, slots=True)
class Answer:
    """One evaluation of a check; `details` is its metadata as text."""

    run_id: str
    asset: str
    partition: str | None
    name: str
    passed: bool
    severity: str
    time: float
    details: dict[str, str]


def runs(instance: dg.DagsterInstance) -> Iterator[dg.RunRecord]:
    """Yield every run that Dagster executed, oldest first."""
    cursor = None
    while True:
        page = instance.get_run_records(limit=RUNS, ascending=True, cursor=cursor)
        yield from (record for record in page if SHOWN not in record.dagster_run.tags)
        if len(page) < RUNS:
            return
        cursor = page[-1].dagster_run.run_id


def materializations(instance: dg.DagsterInstance) -> Iterator[Materialization]:
    """Yield every materialization of what Dagster executed, asset by asset."""
    for key in sorted(key for key in instance.all_asset_keys() if key.path[0] != SHOWN_PREFIX):
        cursor = None
        while True:
            page = instance.fetch_materializations(key, limit=EVENTS, cursor=cursor, ascending=True)
            for record in page.records:
                if record.asset_materialization is not None:
                    yield _materialization(record)
            if not page.has_more:
                break
            cursor = page.cursor


def materialized_by(instance: dg.DagsterInstance, run_id: str) -> set[tuple[str, str | None]]:
    """Return the assets and partitions that a run's own log says it materialized; a wipe leaves that log alone."""
    found: set[tuple[str, str | None]] = set()
    cursor = None
    while True:
        page = instance.get_records_for_run(
            run_id, cursor=cursor, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION, limit=EVENTS
        )
        for record in page.records:
            made = record.asset_materialization
            if made is not None:
                found.add((made.asset_key.to_user_string(), made.partition))
        if not page.has_more:
            return found
        cursor = page.cursor


def answers(instance: dg.DagsterInstance) -> Iterator[Answer]:
    """Yield every answer of a check, check by check."""
    storage = instance.event_log_storage
    for key in _check_keys(storage):
        cursor = None
        while True:
            page = storage.get_asset_check_execution_history(key, limit=EVENTS, cursor=cursor)
            for record in page:
                event = record.event.dagster_event if record.event is not None else None
                if event is None or event.event_type is not dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                    # It was planned, and never made.
                    continue
                made = event.asset_check_evaluation_data
                yield Answer(
                    record.run_id,
                    key.asset_key.to_user_string(),
                    record.partition,
                    key.name,
                    made.passed,
                    made.severity.value,
                    record.event.timestamp if record.event is not None else record.create_timestamp,
                    {name: str(value.value) for name, value in made.metadata.items()},
                )
            if len(page) < EVENTS:
                break
            cursor = page[-1].id


def _check_keys(storage: Any) -> list[dg.AssetCheckKey]:
    # Dagster lists the checks of a code location; here it is those that were ever made, by whichever one.
    if not isinstance(storage, SqlEventLogStorage):
        return []
    table = AssetCheckExecutionsTable.c
    with storage.index_connection() as connection:
        found = connection.execute(sqlalchemy.select(table.asset_key, table.check_name).distinct()).fetchall()
    keys = [(dg.AssetKey.from_db_string(asset), name) for asset, name in sorted(found)]
    return [dg.AssetCheckKey(key, name) for key, name in keys if key is not None]


def _materialization(record: dg.EventLogRecord) -> Materialization:
    made = record.asset_materialization
    assert made is not None
    facts = made.metadata
    flag = facts.get(TRIAL)
    return Materialization(
        run_id=record.run_id or (str(facts[PARENT].value) if PARENT in facts else ""),
        asset=made.asset_key.to_user_string(),
        partition=made.partition,
        version=(made.tags or {}).get(DATA_VERSION_TAG, ""),
        made_by=str(facts["run"].value) if "run" in facts else None,
        trial=flag is not None and bool(flag.value),
        time=record.timestamp,
    )
