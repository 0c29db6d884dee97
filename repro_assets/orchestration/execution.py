"""The life of one asset's step: reuse or run, store, describe.

Laws: each step is its own run under Dagster's run; its start is recorded with everything that is known before its first
line; identical work is reused and makes no run; a failure before the recipe begins is a FAILED run too; in a process of
its own a step checks that the run it belongs to still lives before it stores anything.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterExecutionInterruptedError

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.capture.code_version import CodeVersion, code_version
from repro_assets.capture.level import Level
from repro_assets.capture.project import project_root
from repro_assets.catalog.naming import known_artifact
from repro_assets.determinism.mode import LateSetting, Mode, applied, refuse
from repro_assets.determinism.settings import settings_record
from repro_assets.errors import ExecutorGone, InvalidInput, InvalidValue
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import RunStarted, WorkReused
from repro_assets.journal.segments import journal_at
from repro_assets.orchestration import (
    changes,
    metadata,
    mirrored_runs,
    naming,
    parents,
    pins,
    replayed_runs,
    resuming,
    traces,
    versions,
)
from repro_assets.orchestration.bodies import Body
from repro_assets.orchestration.code import code_cache
from repro_assets.orchestration.config import AssetConfig, Named, hyperparameters
from repro_assets.orchestration.resuming import Beginning
from repro_assets.orchestration.step_runs import open_runs
from repro_assets.recording import progress, ranks, raw_inputs, recipes, reuse, tracing
from repro_assets.recording.capturing import Captured
from repro_assets.recording.lifetime import begin, recorded
from repro_assets.recording.monitoring import monitored
from repro_assets.recording.run import FAILED, Run, new_run_id
from repro_assets.store.home import Home
from repro_assets.training.capture_config import CaptureConfig


@dataclass(frozen=True, slots=True)
class StepPlan:
    """The run-wide settings, as one step sees them."""

    home: Home
    seed: int
    mode: Mode
    level: Level
    force: bool
    strict: bool
    monitor: float | None
    experiment: str | None
    tags: list[str]
    mirrors: list[str]


class Execution:
    """One step of one asset."""

    def __init__(
        self, context: dg.AssetExecutionContext, plan: StepPlan, recipe: Callable[..., Any], config: AssetConfig
    ) -> None:
        self.context = context
        self.plan = plan
        self.recipe = recipe
        self.config = config
        self.step = context.get_step_execution_context()
        self.keys = dict(context.assets_def.keys_by_output_name)
        self.slots = set(context.assets_def.node_keys_by_output_name)
        self.asset = versions.output_asset(self.step)
        self.partition = context.partition_key if context.has_partition_key else None
        self.names = {slot: naming.names_of(context.assets_def, key, self.partition) for slot, key in self.keys.items()}
        self.code = code_version(recipe.__module__, cache=code_cache(plan.home))
        self.pins = pins.active()
        self.trial = parents.is_trial(context.run)
        self.captures = config if isinstance(config, CaptureConfig) else CaptureConfig()
        self.raw: list[str] = []
        self.folders: dict[str, Path] = {}
        self.named: list[str] = []

    def results(self, inputs: Mapping[str, Artifact | Path | Named]) -> list[dg.MaterializeResult[Any]]:
        """Reuse or execute, and describe each product."""
        dagster_run = self.context.run.run_id
        parent = dagster_run if self.pins is None else self.pins.parent
        with traces.of_asset(self.plan.home, dagster_run, parent, self.asset, self.partition):
            return self._results(inputs)

    def _results(self, inputs: Mapping[str, Artifact | Path | Named]) -> list[dg.MaterializeResult[Any]]:
        with applied(self.plan.mode) as late:
            settings = {**settings_record(), **ranks.settings_of(self.config), **recipes.settings_of(self.recipe)}
            try:
                if self.plan.strict and late:
                    refuse(late)
                handles = {slot: self._handle(slot, value) for slot, value in inputs.items()}
                work = self._work(handles, settings)
                beginning = resuming.beginning(self.plan.home, self.config, work, self.asset, self.partition, self.pins)
                earlier = None if self.plan.force or self.pins else reuse.find(self.plan.home, beginning.key)
                if earlier is None:
                    beginning = beginning.looked_for()
            except BaseException as error:
                self._begin(settings, late).end(FAILED, error)
                raise
            if earlier is not None:
                return self._reused(earlier, handles)
            run = self._begin(settings, late, handles, beginning)
            told = mirrored_runs.told(run, self.plan.mirrors, self.config)
            with recorded(run, (DagsterExecutionInterruptedError,)), told:
                return self._executed(run, beginning, handles)

    def _executed(
        self, run: Run, beginning: Beginning, handles: Mapping[str, Artifact]
    ) -> list[dg.MaterializeResult[Any]]:
        inputs = open_runs.take_inputs(self.step)
        for loaded in inputs:
            loaded.record(run)
        manifests = self._manifests(handles)
        for slot, artifact in {**{slot: handles[slot] for slot in self.raw}, **manifests}.items():
            run.use(slot, artifact)
        beginning.record(run)
        for slot in self.named:
            run.use(slot, handles[slot], pinned=True)
        run.log_params(hyperparameters(self.config))
        self.context.log.info(f"run {run.run_id}: {naming.recipe_name(self.recipe)}, seed {self.plan.seed}")
        given = {**handles, **beginning.arguments}
        several = ranks.processes_of(self.config) > 1
        steps = hyperparameters(self.config).get("steps")
        with monitored(run, None if several else self.plan.monitor), progress.reported(run, self.asset, steps):
            made = self._made_by_ranks(run, given) if several else self._made(run, given)
            _check_root(self.context)
            self._captured().note_edited(run)
            values = self._by_slot(made)
            products = self._store_all(run, values, handles)
        run.flush()
        if run.spans_dropped:
            self.context.log.warning(f"{run.spans_dropped} spans of the trace were lost; nothing else was")
        if not self.pins:
            facts = {**metadata.facts(run), **metadata.of_manifests(manifests)}
            reuse.remember(self.plan.home, beginning.key, run.run_id, products, facts)
        return [
            self._result(
                slot,
                product,
                {
                    **metadata.of_run(run, product, handles),
                    **metadata.of_parents(inputs, handles),
                    **metadata.of_manifests(manifests),
                    **metadata.of_model(values[slot]),
                    **self._change(run, slot),
                },
            )
            for slot, product in products.items()
        ]

    def _made(self, run: Run, given: Mapping[str, Artifact]) -> Any:
        with recipes.scope(self.recipe, run):
            with tracing.span("load inputs"):
                arguments = recipes.arguments_of(self.recipe, given)
            with tracing.span(naming.recipe_name(self.recipe)):
                return self.recipe(run, self.config, **arguments)

    def _made_by_ranks(self, run: Run, given: Mapping[str, Artifact]) -> Any:
        with tracing.span(naming.recipe_name(self.recipe)):
            return ranks.execute(
                run,
                self.recipe,
                self.config,
                {slot: str(artifact.digest) for slot, artifact in given.items()},
                values=hyperparameters(self.config),
                inputs_home=self.plan.home,
                mode=self.plan.mode,
                what=self.asset,
                monitor=self.plan.monitor,
            )

    def _change(self, run: Run, slot: str) -> dict[str, str]:
        key, environment = self.keys[slot], run.started.environment
        return changes.environment_change(
            self.plan.home, self.context.instance, key, self.partition, run.run_id, environment
        )

    def _by_slot(self, made: Any) -> Mapping[str, Any]:
        if len(self.slots) == 1:
            return dict.fromkeys(self.keys, made)
        if not isinstance(made, Mapping) or not set(self.keys) <= set(made) <= self.slots:
            raise InvalidValue(
                f"{naming.recipe_name(self.recipe)} returned {type(made).__name__} where a mapping with the members "
                f"{', '.join(sorted(self.keys))} is needed"
            )
        return made

    def _store_all(self, run: Run, values: Mapping[str, Any], handles: Mapping[str, Artifact]) -> dict[str, Artifact]:
        with tracing.span("store products"):
            return {slot: self._store(run, slot, values[slot], handles) for slot in self.keys}

    def _store(self, run: Run, slot: str, value: Any, handles: Mapping[str, Artifact]) -> Artifact:
        names = self.names[slot]
        display = names.display(run.run_id, handles, hyperparameters(self.config))
        product = run.log_output(
            slot,
            recipes.stored(self.plan.home, value, self.keys[slot].to_user_string()),
            name=display,
            collection=None if self.pins else names.versions(handles, hyperparameters(self.config)),
            asset=self.keys[slot].to_user_string(),
            partition=self.partition,
        )
        if {"model", "dataset"} <= set(handles):
            run.flush()
            run.log_evaluation(product.name or display, handles["model"], handles["dataset"], product, run.last_metrics)
        return product

    def _reused(self, earlier: reuse.Earlier, handles: Mapping[str, Artifact]) -> list[dg.MaterializeResult[Any]]:
        found = []
        parents = metadata.of_parents(open_runs.take_inputs(self.step), handles)
        for slot, product in earlier.outputs.items():
            collection = self.names[slot].versions(handles, hyperparameters(self.config))
            claimed = repository.claim(product, collection, run_id=earlier.run_id, trial=self.trial)
            claimed = dataclasses.replace(claimed, run_id=earlier.run_id)
            facts = {**metadata.of_reuse(earlier, claimed, trial=self.trial), **parents}
            found.append(self._result(slot, claimed, facts))
        journal_at(self.plan.home.journal).append(
            WorkReused(self.context.run.run_id, earlier.run_id, self.asset, self.partition)
        )
        self.context.log.info(f"{self.asset}: the same work was done by run {earlier.run_id}; reused")
        return found

    def _result(self, slot: str, product: Artifact, facts: dict[str, Any]) -> dg.MaterializeResult[Any]:
        key = self.keys[slot] if len(self.slots) > 1 else None
        facts = {**facts, **metadata.of_report(self.plan.home)}
        return dg.MaterializeResult(asset_key=key, value=product, metadata=facts)

    def _begin(
        self,
        settings: dict[str, Any],
        late: Sequence[LateSetting],
        handles: Mapping[str, Artifact] | None = None,
        beginning: Beginning | None = None,
    ) -> Run:
        with tracing.span("capture"):
            captured = self._captured()
        self.context.log.info(f"{captured.summary()} · seed {self.plan.seed}")
        warnings = [*captured.warnings, *map(str, late)]
        if not self.captures.capture_manifest:
            warnings.append("there is no manifest of the source files: capture_manifest is off")
        arguments = dict(handles or {})
        if beginning is not None:
            for line in beginning.lines():
                self.context.log.info(line)
            warnings += beginning.warnings(captured.document)
            arguments |= beginning.arguments
        for warning in warnings:
            self.context.log.warning(warning)
        run_id = new_run_id()
        run = begin(
            self.plan.home,
            RunStarted(
                run_id=run_id,
                run_kind="asset",
                name=f"{self.step.op.name.split('__')[-1]}-seed{self.plan.seed}-{run_id[:6]}",
                parent_run_id=self.context.run.run_id if self.pins is None else self.pins.parent,
                recipe=naming.recipe_name(self.recipe),
                asset=self.asset,
                partition=self.partition,
                job=self.context.run.job_name,
                experiment=self.plan.experiment,
                tags=self.plan.tags,
                trial=self.trial,
                replay_of=self.pins.original(self.asset, self.partition) if self.pins else None,
                seed=self.plan.seed,
                mode=dataclasses.asdict(self.plan.mode),
                settings=settings,
                capture_level=self.plan.level.value,
                config=hyperparameters(self.config),
                code_version=self.code.value,
                reuse_key=str(beginning.key) if beginning else None,
                device=settings.get("device"),
                environment=captured.environment_digest,
                source=self.pins.source if self.pins else _digest_of(captured.source),
                source_facts=dict(self.pins.source_facts) if self.pins else captured.source_facts,
                host_facts=captured.host_facts,
                plan={
                    **parents.replay_plan(self.step, self.asset, self.partition),
                    "arguments": {slot: str(artifact.digest) for slot, artifact in arguments.items()},
                },
                warnings=warnings,
            ),
            captured=captured,
        )
        replayed_runs.note(run)
        run.log_readings(captured.readings)
        return run

    def _captured(self) -> Captured:
        return parents.captured(
            self.plan.home,
            self.context.run.run_id,
            self.plan.level,
            with_environment=self.captures.capture_environment,
        )

    def _handle(self, slot: str, value: Artifact | Path | Named) -> Artifact:
        if isinstance(value, Artifact):
            return value
        (self.named if isinstance(value, Named) else self.raw).append(slot)
        if self.pins is not None:
            pinned = Digest.parse(self.pins.input(self.asset, self.partition, slot, None))
            name = value.artifact if isinstance(value, Named) else str(value)
            return repository.by_digest(self.plan.home, pinned, name=name)
        if isinstance(value, Named):
            if not value.artifact:
                raise InvalidValue(f"{self.asset} has no {slot}", f"name an artifact: inputs: {{{slot}: NAME}}")
            return known_artifact(self.plan.home, value.artifact)
        root = project_root()
        if not (root / value).exists():
            raise InvalidInput(f"the raw file {value} is missing", self._remedy(value))
        if (root / value).is_dir():
            self.folders[slot] = value
        return raw_inputs.store_raw(self.plan.home, root, value)

    def _manifests(self, handles: Mapping[str, Artifact]) -> dict[str, Artifact]:
        """Return the manifest of each raw folder, by the slot in which the run names it."""
        if not self.captures.capture_manifest:
            return {}
        if self.pins is not None:
            recorded = {slot: self.pins.find(self.asset, self.partition, _manifest_slot(slot)) for slot in self.raw}
            return {
                _manifest_slot(slot): repository.by_digest(self.plan.home, Digest.parse(digest))
                for slot, digest in recorded.items()
                if digest is not None
            }
        root = project_root()
        return {
            _manifest_slot(slot): raw_inputs.store_manifest(self.plan.home, root, folder, handles[slot])
            for slot, folder in self.folders.items()
        }

    def _remedy(self, missing: Path) -> str:
        """Return what helps against a raw file that is missing: only the file that the recipe brings is in git."""
        for name, field in type(self.config).model_fields.items():
            if getattr(self.config, name) == str(missing) != field.default:
                return f"set {name} of {self.asset} to a file that is there"
        return f"restore it: git checkout -- {missing}"

    def _work(self, handles: Mapping[str, Artifact], settings: dict[str, Any]) -> dict[str, Any]:
        """Return everything that decides the bits of the outputs, where the recipe begins from the beginning."""
        return {
            "recipe": naming.recipe_name(self.recipe),
            "code": _identity_of(self.code),
            "config": hyperparameters(self.config),
            "seed": self.plan.seed,
            "mode": dataclasses.asdict(self.plan.mode),
            "settings": settings,
            "partition": self.partition,
            "inputs": {slot: str(artifact.digest) for slot, artifact in handles.items()},
            **({"outputs": sorted(self.keys)} if self.keys.keys() < self.slots else {}),
            **(self.recipe.identity(self.asset) if isinstance(self.recipe, Body) else {}),
        }


def _manifest_slot(slot: str) -> str:
    return f"{slot}_manifest"


def _identity_of(code: CodeVersion) -> dict[str, Any]:
    return {"version": code.value, "distributions": code.distributions}


def _digest_of(artifact: Artifact | None) -> str | None:
    return str(artifact.digest) if artifact is not None else None


def _check_root(context: dg.AssetExecutionContext) -> None:
    """Refuse to store for a run whose root process is gone: its successor may be at work already.

    Raises
    ------
    ExecutorGone
        If this step runs in a process of its own and the process that started it has ended.
    """
    root = multiprocessing.parent_process()
    if root is not None and not root.is_alive():
        raise ExecutorGone(f"the process of run {context.run.run_id} is gone", "start the run again")
