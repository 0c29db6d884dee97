"""The IO manager: values in and out of the store, by digest.

Laws: an input annotated `Artifact` arrives as a handle, any other as its value; which materialization an input means is
decided by `versions.upstream_event`, unless the asset's config pins it or a replay does; what was loaded is what the
run's inputs and Dagster's tags say; an output that is a handle passes through; the data version is the digest.
"""

from __future__ import annotations

from typing import Any

import dagster as dg
from dagster._core.execution.context.compute import current_execution_context
from dagster._core.execution.plan.outputs import StepOutputHandle

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.catalog.naming import resolve_artifact
from repro_assets.errors import CorruptObject, MissingObject, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.orchestration import changes, metadata, naming, pins, versions
from repro_assets.orchestration.step_runs import open_runs
from repro_assets.orchestration.versions import UpstreamEvent
from repro_assets.recording import enclosing, recipes, undeclared
from repro_assets.recording.run import Run
from repro_assets.store.home import Home, find_store


class ArtifactIOManager(dg.ConfigurableIOManager):
    """Stores what assets return and loads what they ask for."""

    @property
    def home(self) -> Home:
        """The store."""
        return find_store(make=True)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Note what plain assets read, whose runs begin when their work is done."""
        del context
        undeclared.expect()

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """End what a failed plain asset left open, also where the resource ``repro`` is not there."""
        undeclared.expect(False)
        if context.run is not None and context.instance is not None:
            open_runs.close(context.run.run_id, context.instance)

    def load_input(self, context: dg.InputContext) -> Any:
        """Return the handle or the value of an input; by partition key where it has several.

        Raises
        ------
        UnknownName
            If the upstream was never materialized, or a pinned artifact does not exist.
        """
        partitions: list[str | None] = [None]
        if context.has_asset_partitions:
            partitions = list(context.asset_partition_keys)
        sources = {partition: self._source(context, partition) for partition in partitions}
        events = {partition: source for partition, source in sources.items() if isinstance(source, UpstreamEvent)}
        if events:
            versions.set_input_version(context, events)
        found = {partition: self._artifact(source) for partition, source in sources.items()}
        for partition, artifact in found.items():
            open_runs.note_input(
                context, artifact, partition, pinned=_pinned(context) is not None, event=events.get(partition)
            )
        wants_handle = context.dagster_type.typing_type is Artifact
        loaded = {key: artifact if wants_handle else artifact.load() for key, artifact in found.items()}
        return loaded[partitions[0]] if len(partitions) == 1 else loaded

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Store a value, or pass a handle through, and describe it."""
        if isinstance(obj, Artifact):
            artifact = obj
        else:
            run = open_runs.run_of(self.home, context.step_context)
            definition = context.step_context.job_def.asset_layer.get(context.asset_key).assets_def
            partition = context.partition_key if context.has_partition_key else None
            names = naming.names_of(definition, context.asset_key, partition)
            artifact = run.log_output(
                context.name,
                obj,
                name=names.display(run.run_id, {}),
                collection=None if pins.active() else names.collection,
                asset=context.asset_key.to_user_string(),
                partition=partition,
            )
            parents = metadata.of_parents(open_runs.inputs_of(context.step_context), {})
            environment = run.started.environment
            change = changes.environment_change(
                self.home,
                context.step_context.instance,
                context.asset_key,
                partition,
                run.run_id,
                environment,
            )
            made = {"name": artifact.name, "run": run.run_id, versions.TRIAL: run.started.trial}
            described = {**metadata.of_model(obj), **metadata.of_report(self.home)}
            context.add_output_metadata({**made, **parents, changes.ENVIRONMENT: environment, **change, **described})
            open_runs.stored(context)
        versions.set_output_version(context, artifact.digest)
        context.add_output_metadata(metadata.of_artifact(artifact))

    def _source(self, context: dg.InputContext, partition: str | None) -> UpstreamEvent | Artifact:
        active = pins.active()
        if active is not None:
            step = context.step_context
            own = step.partition_key if step.has_partition_key else None
            digest = active.input(versions.output_asset(step), own, context.name, partition)
            return repository.by_digest(self.home, Digest.parse(digest), name=context.name)
        pinned = _pinned(context)
        if pinned is None:
            return versions.upstream_event(context, partition)
        artifact = resolve_artifact(self.home, pinned)
        return versions.pinned_event(context, partition, artifact)

    def _artifact(self, source: UpstreamEvent | Artifact) -> Artifact:
        if isinstance(source, Artifact):
            return source
        try:
            return repository.by_digest(self.home, source.digest, name=source.name, run_id=source.made_by)
        except (UnknownName, MissingObject, CorruptObject) as error:
            # It was stored once: Dagster's event says so.
            remedy = f"make it again with: repro replay {source.made_by}" if source.made_by else "materialize it again"
            kind = CorruptObject if isinstance(error, CorruptObject) else MissingObject
            raise kind(f"{source.name or source.digest} cannot be read: {error.message}", remedy) from error


def _run_here() -> Run | None:
    """Return the run of the plain asset whose body is executing here, if this IO manager stores what it makes."""
    context = current_execution_context.get()
    # What a recipe calls has the recipe's run, of which this IO manager knows nothing.
    if not isinstance(context, dg.AssetExecutionContext) or recipes.called() is not None:
        return None
    step = context.get_step_execution_context()
    stores = {step.get_io_manager(StepOutputHandle(step.step.key, out.name)) for out in step.step.step_outputs}
    ours = next((store for store in stores if isinstance(store, ArtifactIOManager)), None)
    return None if ours is None else open_runs.run_of(ours.home, step)


enclosing.register(_run_here)


def _pinned(context: dg.InputContext) -> str | None:
    config = context.step_context.op_config
    inputs = config.get("inputs") if isinstance(config, dict) else None
    wanted = {context.name, context.asset_key.to_user_string(), context.asset_key.path[-1]}
    return next((artifact for name, artifact in (inputs or {}).items() if name in wanted), None)
