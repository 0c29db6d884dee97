"""Jobs: the default graph, each stage of it, and what stands beside it: growth, promotion, adaptation, retrieval."""

from __future__ import annotations

from typing import Any

import dagster as dg

from repro_assets.orchestration.exporting import export_job
from repro_assets.orchestration.reproduction import nightly_replays, replay_job, sample_job
from repro_assets.orchestration.request import DEFAULT_JOB

_STAGES = {
    "prepare_data": ("data", "The digits, their splits and the traces."),
    "train_models": ("training", "The supervised and the reinforcement fine-tuned model."),
    "evaluate_models": ("evaluation", "Every evaluation of the models, and the baselines."),
}

jobs: list[Any] = [
    dg.define_asset_job(
        DEFAULT_JOB,
        selection=dg.AssetSelection.groups(*(group for group, _ in _STAGES.values())),
        description="Data, both models and all evaluations of the reference experiment.",
    ),
    dg.define_asset_job(
        "growth",
        selection=dg.AssetSelection.groups("growth"),
        description="One synthetic problem, the growing network that learns it, and its evaluation.",
    ),
    dg.define_asset_job(
        "promote",
        selection=dg.AssetSelection.groups("production"),
        description="The model that is in production, if every check of the candidate passes.",
    ),
    *(
        dg.define_asset_job(name, selection=dg.AssetSelection.groups(group), description=text)
        for name, (group, text) in _STAGES.items()
    ),
    dg.define_asset_job(
        "online",
        # With all that is upstream: a study over seeds adapts the model of its own seed, which is there and is reused.
        selection=(dg.AssetSelection.groups("online") | dg.AssetSelection.assets("evaluations/rft_on_test")).upstream(),
        description="Online adaptation to both shifts, in all variants, and its evaluations.",
    ),
    dg.define_asset_job(
        "index",
        selection=dg.AssetSelection.groups("retrieval"),
        description="An index of the documents in a folder, and how early it finds what answers questions.",
    ),
    replay_job,
    sample_job,
    export_job,
]
schedules = [nightly_replays]
