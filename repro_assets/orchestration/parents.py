"""Dagster's runs as parent runs in the journal.

Laws: a parent's state is Dagster's own once it is final, copied; a process of the run records its start, so the parent
is on record however it was launched; STARTED without a living executor is INTERRUPTED. Dagster keeps the process id of
whoever executes a run in its events; an id counts as living only if that process began before the event.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from dagster._core.code_pointer import FileCodePointer
from dagster._core.execution.context.system import StepExecutionContext

from repro_assets.capture.level import Level
from repro_assets.capture.project import project_root
from repro_assets.capture.secrets import redact_text
from repro_assets.journal.run_records import ParentState, RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.orchestration import pins, refusals
from repro_assets.orchestration.code_locations import module_of
from repro_assets.recording import capturing
from repro_assets.recording.capturing import Captured
from repro_assets.report.folder import newest
from repro_assets.store.home import Home

STATES = {
    dg.DagsterRunStatus.SUCCESS: "COMPLETED",
    dg.DagsterRunStatus.FAILURE: "FAILED",
    dg.DagsterRunStatus.CANCELED: "INTERRUPTED",
}
TRIAL_TAG = "trial"
REPORT_TAG = "repro/report"

_recorded: set[str] = set()
_captures: dict[tuple[str, Level, bool], Captured] = {}
_lock = threading.Lock()


def is_trial(run: dg.DagsterRun) -> bool:
    """Tell whether the run is tagged as a trial."""
    return run.tags.get(TRIAL_TAG, "false").lower() not in ("false", "0", "no")


def record_start(home: Home, run: dg.DagsterRun, instance: dg.DagsterInstance) -> None:
    """Record the parent run, once in each process that works for it; in Dagster its tags lead to the newest report."""
    if instance.is_ephemeral and pins.active() is not None:
        return
    with _lock:
        if run.run_id in _recorded:
            return
        _recorded.add(run.run_id)
    journal_at(home.journal).append(
        RunStarted(
            run_id=run.run_id,
            run_kind="parent",
            name=f"{run.job_name}-{run.run_id[:8]}",
            job=run.job_name,
            trial=is_trial(run),
            tags=sorted(f"{key}={value}" for key, value in run.tags.items() if _is_asked(key)),
            config={"run_config": dict(run.run_config)},
            plan={
                "code_location": code_location(run),
                "job": run.job_name,
                "selection": sorted(key.to_user_string() for key in run.asset_selection or ()),
            },
        )
    )
    page = newest(home)
    if page is not None and run.tags.get(REPORT_TAG) != str(page):
        instance.add_run_tags(run.run_id, {REPORT_TAG: str(page)})


def _is_asked(tag: str) -> bool:
    return not tag.startswith((".", "dagster/")) and tag != REPORT_TAG


def captured(home: Home, run_id: str, level: Level, *, with_environment: bool = True) -> Captured:
    """Capture source and environment, once in each process for each parent run."""
    with _lock:
        key = run_id, level, with_environment
        if key not in _captures:
            with_source = pins.active() is None
            _captures[key] = capturing.capture(home, level, with_source=with_source, with_environment=with_environment)
        return _captures[key]


def code_location(run: dg.DagsterRun) -> dict[str, str] | None:
    """Return module and attribute of the definitions that the run was launched from, if Dagster knows them."""
    origin = run.job_code_origin
    if origin is None:
        return None
    pointer = origin.repository_origin.code_pointer
    module = getattr(pointer, "module", None)
    if isinstance(pointer, FileCodePointer):
        # A replay imports it from the recorded tree, in which the project's folder comes first.
        root = project_root()
        module = module_of(root, Path(pointer.working_directory or root) / pointer.python_file)
    return {"module": module, "attribute": getattr(pointer, "fn_name", "defs")} if module else None


def replay_plan(step: StepExecutionContext, asset: str, partition: str | None) -> dict[str, Any]:
    """Return what a replay of this step needs beside source, environment, seeds and inputs."""
    run = step.dagster_run
    dynamic: dict[str, str] = {}
    for key in step.get_output_asset_keys():
        definition = step.job_def.asset_layer.get(key).partitions_def
        if isinstance(definition, dg.DynamicPartitionsDefinition) and definition.name and partition:
            dynamic[definition.name] = partition
    return {
        "format": 1,
        "code_location": code_location(run),
        "job": run.job_name,
        "selection": sorted(key.to_user_string() for key in step.get_output_asset_keys()),
        "checks": sorted(str(key) for key in run.asset_check_selection or ()),
        "asset": asset,
        "partition": partition,
        "dynamic_partitions": dynamic,
        "op": step.op.name,
        "run_config": dict(run.run_config),
        "tags": {key: value for key, value in run.tags.items() if not key.startswith(".dagster") and key != REPORT_TAG},
        "executor": step.job_def.executor_def.name,
        "variables": sorted(set(_variables(run.run_config))),
        "working_folder": str(project_root()),
        "argv": [redact_text(argument) for argument in sys.orig_argv],
    }


def reconcile(home: Home, instance: dg.DagsterInstance, run_ids: Iterable[str]) -> dict[str, str]:
    """Copy Dagster's state of parent runs into the journal.

    Parameters
    ----------
    home : Home
        The store.
    instance : DagsterInstance
        Dagster's own storage.
    run_ids : iterable of str
        Parents without a final state.

    Returns
    -------
    dict
        The state recorded for each run that has one now.
    """
    found: dict[str, str] = {}
    for run_id in run_ids:
        record = instance.get_run_record_by_id(run_id)
        if record is None:
            continue
        status = record.dagster_run.status
        state = STATES.get(status)
        if state is None and not executor_lives(instance, run_id):
            state = "INTERRUPTED"
        if state is None:
            continue
        found[run_id] = state
        journal_at(home.journal).append(
            ParentState(
                run_id=run_id,
                state=state,
                status=status.value,
                job=record.dagster_run.job_name,
                started=record.start_time,
                ended=record.end_time,
                error=_failure(instance, run_id) if state == "FAILED" else None,
            )
        )
    return found


def executor_lives(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Tell whether a process of this host executes a run, or none has begun to."""
    started = instance.get_records_for_run(
        run_id, of_type={dg.DagsterEventType.RUN_START, dg.DagsterEventType.ENGINE_EVENT}, limit=200
    ).records
    ids = [(r.event_log_entry.dagster_event.pid, r.timestamp) for r in started if r.event_log_entry.dagster_event]
    for pid, timestamp in ids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid) if pid is not None else None
            # One that has ended keeps its number until its parent asks; one that began after the event inherited it.
            if process and process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= timestamp + 1:
                return True
    # Nothing has begun yet: queued or starting.
    return not ids


def _failure(instance: dg.DagsterInstance, run_id: str) -> dict[str, str] | None:
    records = instance.get_records_for_run(
        run_id, of_type={dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    ).records
    for record in records:
        event = record.event_log_entry.dagster_event
        error = getattr(event.event_specific_data, "error", None) if event else None
        if event is not None and error is not None:
            error = refusals.root_cause(error)
            name = error.cls_name or "Error"
            return {
                "type": name,
                "message": redact_text(
                    f"{event.step_key or 'run'}: {refusals.fields_in_one_line(name, error.message)}"
                ),
                "trace": redact_text("".join(error.stack)),
            }
    return None


def _variables(config: Any) -> Iterable[str]:
    if isinstance(config, dict):
        if set(config) == {"env"} and isinstance(config["env"], str):
            yield config["env"]
            return
        for value in config.values():
            yield from _variables(value)
    elif isinstance(config, list):
        for value in config:
            yield from _variables(value)
