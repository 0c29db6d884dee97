"""The process that executes a request: ``python -m repro_assets.orchestration.run_child REQUEST ANSWER``."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.execution.api import execute_run
from sqlalchemy.exc import OperationalError

from repro_assets import errors
from repro_assets.capture.project import project_root
from repro_assets.catalog.projection import refresh
from repro_assets.errors import InvalidValue, MachineError, ReproError, UnknownName
from repro_assets.orchestration import parents, refusals, selection, traces
from repro_assets.orchestration.config import check_fields
from repro_assets.orchestration.instance import open_instance
from repro_assets.orchestration.request import DEFAULT_JOB, RunAnswer, RunRequest
from repro_assets.recording import logs
from repro_assets.recording.redaction import redact
from repro_assets.recording.resumption import SLOT
from repro_assets.recording.tracers import tracers
from repro_assets.store.home import Home, find_store

INTERRUPTIONS = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Execute the request and write the answer."""
    _end_with_parent()
    request = RunRequest.read(Path(arguments[0]))
    try:
        logs.configure()
        answer = materialize(find_store(make=True), request)
    except ReproError as error:
        answer = RunAnswer(None, "FAILED", errors=[_said("", error)])
    except dg.DagsterInvalidConfigError as error:
        answer = RunAnswer(None, "FAILED", errors=[_said("", InvalidValue(_config_message(error)))])
    except OSError as error:
        answer = RunAnswer(None, "FAILED", errors=[_said("", errors.from_os_error(error, error.filename or "store"))])
    except OperationalError as error:
        # Dagster's own storage: SQLite says a full or read-only disk in its own words.
        said = MachineError(f"Dagster's storage cannot be used: {error.orig}", "check the disk's space and mode")
        answer = RunAnswer(None, "FAILED", errors=[_said("", said)])
    answer.write(Path(arguments[1]))
    return 0


def materialize(home: Home, request: RunRequest) -> RunAnswer:
    """Execute a request in this process and return what was made.

    Raises
    ------
    UnknownName
        If an asset, a job, a partition or what is to be resumed does not exist.
    InvalidValue
        If a config value does not fit, or looks like a credential: Dagster keeps a run's config as it is.
    """
    _refuse_secrets(request)
    repository = ReconstructableRepository.for_module(
        request.module, request.attribute, working_directory=str(project_root())
    )
    definition = repository.get_definition()
    keys = selection.selected(definition, request.selection)
    if not request.selection and request.job is None and DEFAULT_JOB not in definition.job_names:
        keys = set(definition.asset_graph.materializable_asset_keys)
    with open_instance(home) as instance:
        if request.with_missing:
            keys = selection.with_missing_upstream(definition, keys, request.partition, request.pins, instance)
        if keys:
            implicit = definition.get_implicit_job_def_for_assets(sorted(keys))
            if implicit is None:
                raise InvalidValue(
                    "the selected assets have different partitions", "select those of one kind with --select"
                )
            name = implicit.name
        else:
            name = request.job or DEFAULT_JOB
            if name not in definition.job_names:
                raise UnknownName(f"there is no job named {name!r}", f"one of {', '.join(definition.job_names)}")
        job = repository.get_reconstructable_job(name)
        if keys:
            job = job.get_subset(asset_selection=frozenset(keys))
        job_def = job.get_definition()
        executed = keys or set(job_def.asset_layer.executable_asset_keys)
        tags = {**request.tags, **_partition_tags(job_def, executed, request.partition, instance)}
        run = instance.create_run_for_job(
            job_def=job_def,
            run_config=_run_config(job_def, executed, request, home),
            tags=tags,
            asset_selection=frozenset(keys) or None,
            job_code_origin=job.get_python_origin(),
        )
        parents.record_start(home, run, instance)
        with traces.of_run(home, run):
            result = execute_run(job, run, instance)
        if _was_interrupted(result):
            # Dagster takes a signal that it did not send itself for a failure.
            instance.report_run_canceled(run, message="The run was interrupted.")
        parents.reconcile(home, instance, [run.run_id])
        answer = _answer(instance, run.run_id, result)
    tracers.flush_files()
    try:
        refresh(home)
    except MachineError as error:
        # The run is over and on record; the catalog can be made again at any time.
        logs.get_logger("run").warning(f"the catalog was not refreshed: {error}")
    return answer


def _refuse_secrets(request: RunRequest) -> None:
    given = {"settings": request.settings, "assets": request.assets, "tags": request.tags}
    for part, value in given.items():
        _, found = redact(value, part)
        if found:
            raise InvalidValue(
                f"{'; '.join(found)}; Dagster would keep it as it is",
                "put it into a variable and let the code read that",
            )


def _partition_tags(
    job: dg.JobDefinition, keys: set[dg.AssetKey], partition: str | None, instance: dg.DagsterInstance
) -> Mapping[str, str]:
    partitioned = [key for key in keys if job.asset_layer.get(key).partitions_def is not None]
    if not partitioned:
        if partition is not None:
            raise InvalidValue("none of the selected assets has partitions", "leave --partition out")
        return {}
    definition = job.asset_layer.get(partitioned[0]).partitions_def
    assert definition is not None
    known = definition.get_partition_keys(dynamic_partitions_store=instance)
    if partition is None:
        raise InvalidValue(
            f"{partitioned[0].to_user_string()} has partitions",
            f"choose one with --partition: {', '.join(known[:8])}",
        )
    if partition not in known:
        raise UnknownName(
            f"{partitioned[0].to_user_string()} has no partition {partition!r}", f"one of {', '.join(known[:8])}"
        )
    return {"dagster/partition": partition}


def _run_config(job: dg.JobDefinition, keys: set[dg.AssetKey], request: RunRequest, home: Home) -> dict[str, Any]:
    ops: dict[str, dict[str, Any]] = {}
    if request.resume is not None:
        for op, checkpoint in selection.resumed(job, keys, home, request.resume).items():
            ops[op] = {"config": {SLOT: checkpoint}}
    for name, values in request.assets.items():
        ops.setdefault(_op_of(job, keys, name), {}).setdefault("config", {}).update(values)
    for upstream, artifact in request.pins.items():
        consumers = list(_consumers(job, keys, upstream))
        if not consumers:
            raise UnknownName(f"no selected asset reads {upstream!r}", "name an upstream asset")
        for op, slot in consumers:
            config = ops.setdefault(op, {}).setdefault("config", {})
            config.setdefault("inputs", {})[slot] = artifact
    for op, given in ops.items():
        check_fields(op.rpartition("__")[2], job.get_node_named(op).definition, given["config"])
    return {
        "resources": {"repro": {"config": dict(request.settings)}},
        "execution": {"config": {request.executor: {}}},
        **({"ops": ops} if ops else {}),
    }


def _op_of(job: dg.JobDefinition, keys: set[dg.AssetKey], name: str) -> str:
    ops = {
        job.asset_layer.get(key).assets_def.node_def.name
        for key in keys
        if name in (key.to_user_string(), key.path[-1], job.asset_layer.get(key).assets_def.node_def.name)
    }
    if len(ops) != 1:
        known = sorted(key.to_user_string() for key in keys)
        raise UnknownName(f"there is no asset {name!r} to configure in this run", f"there are {', '.join(known)}")
    return ops.pop()


def _consumers(job: dg.JobDefinition, keys: set[dg.AssetKey], upstream: str) -> Iterator[tuple[str, str]]:
    for key in sorted(keys):
        assets_def = job.asset_layer.get(key).assets_def
        for slot, source in assets_def.keys_by_input_name.items():
            if upstream in (source.to_user_string(), source.path[-1]):
                yield assets_def.node_def.name, slot


def _answer(instance: dg.DagsterInstance, run_id: str, result: Any) -> RunAnswer:
    products = []
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            made = event.step_materialization_data.materialization
            facts = {name: value.value for name, value in made.metadata.items()}
            products.append(
                {
                    "asset": made.asset_key.to_user_string(),
                    "partition": made.partition,
                    "name": facts.get("name"),
                    "digest": facts.get("digest"),
                    "run_id": facts.get("run"),
                    "reused": bool(facts.get("reused", False)),
                    "version": facts.get("version"),
                }
            )
    failures = [
        {"step": event.step_key or "", **_failure(event.step_failure_data.error)}
        for event in result.all_events
        if event.is_step_failure
    ]
    if not failures:
        # No step began: a resource could not be made, or the run was refused as a whole.
        failures = [
            {"step": "", **_failure(event.job_failure_data.error)}
            for event in result.all_events
            if event.event_type == dg.DagsterEventType.RUN_FAILURE
        ]
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return RunAnswer(run_id, parents.STATES.get(run.status, "FAILED"), products, failures)


def _was_interrupted(result: Any) -> bool:
    return any(
        event.is_step_failure and _failure(event.step_failure_data.error)["type"] in INTERRUPTIONS
        for event in result.all_events
    )


def _end_with_parent() -> None:
    """Have Linux send SIGTERM, on which a run is cancelled in good order, when the command that waits for it dies."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)


def _failure(error: Any) -> dict[str, Any]:
    error = refusals.root_cause(error)
    name = error.cls_name or "Error" if error is not None else "Error"
    known = getattr(errors, name, None)
    code = known.exit_code if isinstance(known, type) and issubclass(known, ReproError) else _code_of(name)
    message = error.message.strip() if error is not None else "no message"
    return {"type": name, "message": message.removeprefix(f"repro_assets.errors.{name}: "), "exit_code": code}


def _code_of(name: str) -> int:
    if name == "ValidationError":
        return InvalidValue.exit_code
    return MachineError.exit_code if name in ("OperationalError", "OSError", "MemoryError") else 1


def _said(step: str, error: ReproError) -> dict[str, Any]:
    return {"step": step, "type": type(error).__name__, "message": str(error), "exit_code": error.exit_code}


def _config_message(error: dg.DagsterInvalidConfigError) -> str:
    return "; ".join(" ".join(item.message.split()) for item in error.errors)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
