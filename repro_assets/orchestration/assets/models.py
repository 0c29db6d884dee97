"""Models: supervised, then reinforcement fine-tuning of the reading policy."""

from typing import Any

import dagster as dg

from repro_assets.artifacts.handle import Artifact
from repro_assets.orchestration.code import asset_version
from repro_assets.orchestration.config import TrainingConfig
from repro_assets.orchestration.naming import COLLECTION, DISPLAY
from repro_assets.orchestration.resource import Repro
from repro_assets.training.rft import RftConfig, train_rft
from repro_assets.training.sft import SftConfig, train_sft

GROUP = "training"
OWNERS = ["team:ml"]


class SftAsset(SftConfig, TrainingConfig):
    """Config of the asset ``models/sft``."""


class RftAsset(RftConfig, TrainingConfig):
    """Config of the asset ``models/rft``."""


@dg.asset(
    key_prefix="models",
    group_name=GROUP,
    kinds={"torch"},
    owners=OWNERS,
    tags={"stage": "sft"},
    code_version=asset_version(train_sft),
    metadata={COLLECTION: "model-sft", DISPLAY: "model-{run}"},
    ins={name: dg.AssetIn(key=["data", name]) for name in ("cota_sft", "sft_images", "validation")},
)
def sft(
    context: dg.AssetExecutionContext,
    repro: Repro,
    config: SftAsset,
    cota_sft: Artifact,
    sft_images: Artifact,
    validation: Artifact,
) -> dg.MaterializeResult[Any]:
    """The policy after supervised fine-tuning on the kept traces."""
    inputs = {"traces": cota_sft, "images": sft_images, "validation": validation}
    return repro.execute(context, train_sft, config, inputs)


@dg.asset(
    key_prefix="models",
    group_name=GROUP,
    kinds={"torch"},
    owners=OWNERS,
    tags={"stage": "rft"},
    code_version=asset_version(train_rft),
    metadata={COLLECTION: "model-rft", DISPLAY: "model-{run}"},
    ins={
        "sft": dg.AssetIn(key=["models", "sft"]),
        "cota_rft": dg.AssetIn(key=["data", "cota_rft"]),
        "validation": dg.AssetIn(key=["data", "validation"]),
    },
)
def rft(
    context: dg.AssetExecutionContext,
    repro: Repro,
    config: RftAsset,
    sft: Artifact,
    cota_rft: Artifact,
    validation: Artifact,
) -> dg.MaterializeResult[Any]:
    """The policy after reinforcement fine-tuning (GRPO) from the supervised one."""
    inputs = {"model": sft, "images": cota_rft, "validation": validation}
    return repro.execute(context, train_rft, config, inputs)
