"""Assets on our recipes, plain assets, and partitioned ones."""

from typing import Any

import dagster as dg
import pandas as pd

from repro_assets.artifacts.handle import Artifact
from repro_assets.orchestration.code import asset_version
from repro_assets.orchestration.config import AssetConfig, TrainingConfig
from repro_assets.orchestration.io_manager import ArtifactIOManager
from repro_assets.orchestration.resource import Repro
from small import recipes

Made = dg.MaterializeResult[Any]


class SmallConfig(recipes.Settings, AssetConfig):
    """Config of every asset here."""


def _chain(prefix: str, partitions: dg.PartitionsDefinition[Any] | None) -> list[dg.AssetsDefinition]:
    def ins(*names: str) -> dict[str, dg.AssetIn]:
        return {name: dg.AssetIn(key=[prefix, name]) for name in names}

    shared: dict[str, Any] = {"key_prefix": prefix, "partitions_def": partitions}

    @dg.asset(code_version=asset_version(recipes.numbers), **shared)
    def up(context: dg.AssetExecutionContext, repro: Repro, config: SmallConfig) -> Made:
        return repro.execute(context, recipes.numbers, config, {})

    @dg.asset(code_version=asset_version(recipes.doubled), ins=ins("up"), **shared)
    def mid(context: dg.AssetExecutionContext, repro: Repro, config: SmallConfig, up: Artifact) -> Made:
        return repro.execute(context, recipes.doubled, config, {"source": up})

    @dg.asset(code_version=asset_version(recipes.joined), ins=ins("up", "mid"), **shared)
    def down(context: dg.AssetExecutionContext, repro: Repro, config: SmallConfig, up: Artifact, mid: Artifact) -> Made:
        return repro.execute(context, recipes.joined, config, {"source": up, "twice": mid})

    return [up, mid, down]


@dg.asset(code_version="1")
def frame() -> pd.DataFrame:
    """A plain asset that knows nothing of handles."""
    return pd.DataFrame({"x": [1.0, 2.0], "name": ["a", "b"]})


@dg.asset(code_version="1")
def total(frame: pd.DataFrame) -> dict[str, float]:
    """Another, which reads the value."""
    return {"total": float(frame["x"].sum())}


@dg.asset(code_version="1")
def failing(frame: pd.DataFrame) -> dict[str, float]:
    """A plain asset that fails."""
    raise RuntimeError("plain assets fail too")


@dg.asset(code_version=asset_version(recipes.broken))
def noise(context: dg.AssetExecutionContext, repro: Repro, config: SmallConfig) -> Made:
    """An asset whose recipe breaks its promise."""
    return repro.execute(context, recipes.broken, config, {})


@dg.asset(code_version=asset_version(recipes.slow))
def slow(context: dg.AssetExecutionContext, repro: Repro, config: SmallConfig) -> Made:
    """An asset that takes long."""
    return repro.execute(context, recipes.slow, config, {})


class TrainedConfig(recipes.Steps, TrainingConfig):
    """Config of the asset that can be resumed."""


@dg.asset(code_version=asset_version(recipes.trained), ins={"up": dg.AssetIn(key=["plain", "up"])})
def trained(context: dg.AssetExecutionContext, repro: Repro, config: TrainedConfig, up: Artifact) -> Made:
    """An asset that is trained in steps."""
    return repro.execute(context, recipes.trained, config, {"source": up})


dynamic = dg.DynamicPartitionsDefinition(name="days")


@dg.asset(partitions_def=dynamic, code_version=asset_version(recipes.numbers))
def daily(context: dg.AssetExecutionContext, repro: Repro, config: SmallConfig) -> Made:
    """An asset with dynamic partitions."""
    return repro.execute(context, recipes.numbers, config, {})


assets = [
    *_chain("plain", None),
    *_chain("parts", dg.StaticPartitionsDefinition(["a", "b", "c"])),
    frame,
    total,
    failing,
    noise,
    slow,
    trained,
    daily,
]

defs = dg.Definitions(
    assets=assets,
    jobs=[dg.define_asset_job("chain", selection=["plain/up", "plain/mid", "plain/down"])],
    resources={"repro": Repro(), "io_manager": ArtifactIOManager()},
)
