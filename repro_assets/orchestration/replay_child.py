"""The process that executes recorded runs again: ``python -m repro_assets.orchestration.replay_child PLAN RESULT``.

It is started in the laid-out source tree, which comes first on its path. It rebuilds the definitions from there with
the recorded inputs pinned, adds the dynamic partitions, resolves the recorded job and executes the recorded selection
against an ephemeral Dagster instance. Its runs are recorded in the store as replays.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from repro_assets.determinism.probe import Enough
from repro_assets.errors import InvalidValue
from repro_assets.orchestration import pins, replayed_runs
from repro_assets.orchestration.io_manager import ArtifactIOManager
from repro_assets.recording import logs
from repro_assets.recording.redaction import describe
from repro_assets.replay.first_party import wrong_code
from repro_assets.replay.plan import Plan, Result
from repro_assets.store.home import open_store


def main(arguments: list[str]) -> int:
    """Execute the plan and write the result."""
    plan = Plan.read(Path(arguments[0]))
    pins.activate(
        pins.Pins(
            inputs={
                original.run_id: {(str(slot), partition): str(digest) for slot, partition, digest in original.inputs}
                for original in plan.originals
            },
            originals={(original.asset, original.partition): original.run_id for original in plan.originals},
            source=plan.source,
            source_facts=plan.source_facts,
            parent=plan.parent,
        )
    )
    error = None
    try:
        logs.configure()
        _execute(plan)
    except Enough as ended:
        logs.get_logger("replay").info(str(ended))
    except Exception as failure:  # noqa: BLE001 - whatever the recorded code raises is the answer
        error = describe(failure)
    if plan.source is None:
        raise InvalidValue("the plan names no source tree")
    loaded = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    wrong = wrong_code(open_store(Path(plan.home)), Path(plan.tree), plan.source, loaded)
    Result(replays=replayed_runs.collected(), wrong_code=wrong, error=error).write(Path(arguments[1]))
    return 0


def _execute(plan: Plan) -> None:
    # The definitions are the recorded code location's: this is the entry point that the plan names.
    module = importlib.import_module(plan.code_location["module"])
    found = getattr(module, plan.code_location["attribute"])
    definitions: dg.Definitions = found() if callable(found) else found
    keys = {dg.AssetKey.from_user_string(key) for key in plan.selection}
    # Checks judge what Dagster materialized; a replay is judged by comparing its products.
    job = _pinned(definitions).resolve_job_def(plan.job).get_subset(asset_selection=keys, asset_check_selection=set())
    with dg.DagsterInstance.ephemeral() as instance:
        for name, key in plan.dynamic_partitions.items():
            instance.add_dynamic_partitions(name, [key])
        job.execute_in_process(
            run_config=plan.run_config,
            instance=instance,
            partition_key=plan.partition,
            tags={key: value for key, value in plan.tags.items() if not key.startswith("dagster/")},
        )


def _pinned(definitions: dg.Definitions) -> dg.Definitions:
    """Return the same definitions with every IO manager replaced by the one that returns pinned inputs."""
    resources: Mapping[str, Any] = definitions.resources or {}
    stores = {
        name: ArtifactIOManager()
        for name, resource in resources.items()
        if isinstance(resource, (dg.IOManagerDefinition, dg.ConfigurableIOManager, dg.ConfigurableIOManagerFactory))
    }
    return dg.Definitions(
        assets=definitions.assets,
        asset_checks=definitions.asset_checks,
        jobs=definitions.jobs,
        resources={**resources, "io_manager": ArtifactIOManager(), **stores},
        executor=definitions.executor,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
