"""The code location: everything that Dagster serves, in one explicit list."""

from __future__ import annotations

import dagster as dg

from repro_assets.orchestration.assets import (
    datasets,
    evaluations,
    growth,
    models,
    online,
    production,
    retrieval,
)
from repro_assets.orchestration.checks import checks_for
from repro_assets.orchestration.executors import in_process_first
from repro_assets.orchestration.io_manager import ArtifactIOManager
from repro_assets.orchestration.jobs import jobs, schedules
from repro_assets.orchestration.resource import Repro
from repro_assets.orchestration.sensors import sensors

assets: list[dg.AssetsDefinition] = [
    datasets.digits,
    datasets.splits,
    datasets.cota_raw,
    datasets.cota_sft,
    datasets.references,
    datasets.filtered,
    models.sft,
    models.rft,
    *evaluations.evaluations,
    evaluations.any_evaluation,
    evaluations.baselines,
    *growth.assets,
    online.shifted,
    *online.adapted_models,
    *online.online_evaluations,
    *retrieval.assets,
    production.production,
]
# The candidate for production is checked in the step that promotes it.
checked = [key for asset in assets for key in sorted(asset.keys) if key != production.CANDIDATE]

defs = dg.Definitions(
    assets=assets,
    asset_checks=[checks_for(checked)],
    jobs=jobs,
    schedules=schedules,
    sensors=sensors,
    resources={"repro": Repro(), "io_manager": ArtifactIOManager()},
    executor=in_process_first,
)
