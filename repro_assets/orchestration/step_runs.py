"""Runs of assets that know nothing of this project: a plain ``@asset`` whose values our IO manager stores.

The first input or output that such a step touches begins its run; the last output ends it; what is still open when
Dagster tears the run's resources down ends as Dagster's step events say.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.execution.context.system import StepExecutionContext

from repro_assets.artifacts.handle import Artifact
from repro_assets.capture.level import Level
from repro_assets.journal.run_records import RunStarted
from repro_assets.orchestration import parents, pins, replayed_runs, traces
from repro_assets.orchestration.versions import UpstreamEvent, output_asset
from repro_assets.recording.capturing import Captured
from repro_assets.recording.lifetime import begin
from repro_assets.recording.run import COMPLETED, FAILED, INTERRUPTED, Run, new_run_id
from repro_assets.store.home import Home


@dataclass(frozen=True, slots=True)
class LoadedInput:
    """One asset input of a step, as it was loaded."""

    slot: str
    artifact: Artifact
    asset: str
    partition: str | None
    pinned: bool
    event: UpstreamEvent | None = None

    def record(self, run: Run) -> None:
        """Put it into the record of the step's run."""
        run.use(self.slot, self.artifact, asset=self.asset, partition=self.partition, pinned=self.pinned)


@dataclass(slots=True)
class Seen:
    """What a step has read so far, and its run once it stored something."""

    inputs: list[LoadedInput] = field(default_factory=list)
    run: Run | None = None
    left: set[str] = field(default_factory=set)


class OpenRuns:
    """The steps of this process, by Dagster run and step key."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, str], Seen] = {}
        self._lock = threading.Lock()

    def note_input(
        self,
        context: dg.InputContext,
        artifact: Artifact,
        partition: str | None,
        *,
        pinned: bool,
        event: UpstreamEvent | None = None,
    ) -> None:
        """Remember what a step loaded, for its run's record, and the materialization that it was read from."""
        loaded = LoadedInput(context.name, artifact, context.asset_key.to_user_string(), partition, pinned, event)
        self.note(context.step_context, loaded)

    def note(self, step: StepExecutionContext, loaded: LoadedInput) -> None:
        """Remember an input of a step."""
        with self._lock:
            self._steps.setdefault(_key(step), Seen()).inputs.append(loaded)

    def take_inputs(self, step: StepExecutionContext) -> list[LoadedInput]:
        """Return what a step loaded and forget the step, whose run is somebody else's care."""
        with self._lock:
            seen = self._steps.pop(_key(step), None)
            return seen.inputs if seen is not None else []

    def inputs_of(self, step: StepExecutionContext) -> list[LoadedInput]:
        """Return what a step has loaded so far."""
        with self._lock:
            seen = self._steps.get(_key(step))
            return list(seen.inputs) if seen is not None else []

    def run_of(self, home: Home, step: StepExecutionContext) -> Run:
        """Return the run of a step that stores an output or asks for its run; begin it if this is the first."""
        with self._lock:
            seen = self._steps.setdefault(_key(step), Seen())
            if seen.run is None:
                captured = parents.captured(home, step.run_id, _level(step))
                step.log.info(captured.summary())
                with traces.joined(step.run_id):
                    seen.run = begin(home, _started(step, captured), late=True, captured=captured)
                seen.run.log_readings(captured.readings)
                replayed_runs.note(seen.run)
                seen.left = {out.name for out in step.step.step_outputs if not out.properties.asset_check_key}
                for loaded in seen.inputs:
                    loaded.record(seen.run)
            return seen.run

    def stored(self, context: dg.OutputContext) -> None:
        """Note that an output is stored; the last one ends the run."""
        with self._lock:
            seen = self._steps[_key(context.step_context)]
            seen.left.discard(context.name)
            if seen.run is not None and not seen.left:
                seen.run.end(COMPLETED)
                del self._steps[_key(context.step_context)]

    def close(self, run_id: str, instance: dg.DagsterInstance) -> None:
        """End every run of a Dagster run that is still open, as Dagster's events say."""
        with self._lock:
            open_steps = [(key, seen) for key, seen in self._steps.items() if key[0] == run_id]
            for key, seen in open_steps:
                del self._steps[key]
                if seen.run is not None:
                    state, error = _outcome(instance, *key)
                    seen.run.end(state, error)


open_runs = OpenRuns()


def _key(step: StepExecutionContext) -> tuple[str, str]:
    return step.run_id, step.step.key


def _outcome(instance: dg.DagsterInstance, run_id: str, step_key: str) -> tuple[str, BaseException | None]:
    kinds = {dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE}
    for record in instance.get_records_for_run(run_id, of_type=kinds).records:
        event = record.event_log_entry.dagster_event
        if event is not None and event.step_key == step_key:
            if event.is_step_success:
                return COMPLETED, None
            return FAILED, RuntimeError(event.step_failure_data.error_display_string)
    return INTERRUPTED, None


def _level(step: StepExecutionContext) -> Level:
    """Capture level of the whole run: a plain asset need not require the resource that holds it."""
    configured: Any = step.dagster_run.run_config
    resource = configured.get("resources", {}).get("repro", {})
    return Level.parse(resource.get("config", {}).get("capture_level", Level.STANDARD))


def _started(step: StepExecutionContext, captured: Captured) -> RunStarted:
    active = pins.active()
    asset = output_asset(step)
    key = dg.AssetKey.from_user_string(asset)
    partition = step.partition_key if step.has_partition_key else None
    run_id = new_run_id()
    return RunStarted(
        run_id=run_id,
        run_kind="asset",
        name=f"{key.path[-1]}-{run_id[:6]}",
        parent_run_id=active.parent if active else step.run_id,
        asset=asset,
        partition=partition,
        job=step.dagster_run.job_name,
        trial=parents.is_trial(step.dagster_run),
        replay_of=active.original(asset, partition) if active else None,
        capture_level=captured.level.value,
        config={"op_config": step.op_config} if step.op_config else {},
        code_version=step.job_def.asset_layer.get(key).code_version,
        environment=captured.environment_digest,
        source=active.source if active else (str(captured.source.digest) if captured.source else None),
        source_facts=dict(active.source_facts) if active else captured.source_facts,
        host_facts=captured.host_facts,
        plan=parents.replay_plan(step, asset, partition),
        warnings=list(captured.warnings),
    )
