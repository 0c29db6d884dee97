"""Morphogenesis, partitioned by problem: a synthetic data set, the network that grows to learn it, its evaluation."""

from typing import Any

import dagster as dg

from repro_assets.artifacts.handle import Artifact
from repro_assets.errors import InvalidValue
from repro_assets.orchestration.code import asset_version
from repro_assets.orchestration.config import AssetConfig, TrainingConfig
from repro_assets.orchestration.naming import COLLECTION, DISPLAY
from repro_assets.orchestration.offered import reproducible_asset
from repro_assets.orchestration.resource import Repro
from repro_assets.training.growth_evaluation import GrowthEvaluationConfig, evaluate_growth
from repro_assets.training.morphogenesis import MorphogenesisConfig, train_morphogenesis
from repro_assets.training.synthetic import PROBLEMS, SyntheticConfig, generate_synthetic

GROUP = "growth"
OWNERS = ["team:ml"]
PARTITIONS = dg.StaticPartitionsDefinition(list(PROBLEMS))


class SyntheticAsset(SyntheticConfig, AssetConfig):
    """Config of the asset ``data/synthetic``."""


class MorphogenesisAsset(MorphogenesisConfig, TrainingConfig):
    """Config of the asset ``models/morphogenesis``."""


class GrowthEvaluationAsset(GrowthEvaluationConfig, AssetConfig):
    """Config of the asset ``evaluations/morphogenesis``."""


@dg.asset(
    key_prefix="data",
    group_name=GROUP,
    kinds={"numpy"},
    owners=OWNERS,
    tags={"stage": "data"},
    partitions_def=PARTITIONS,
    code_version=asset_version(generate_synthetic),
    metadata={COLLECTION: "dataset-synthetic-{partition}", DISPLAY: "dataset-synthetic-{partition}-v{version}"},
)
def synthetic(context: dg.AssetExecutionContext, repro: Repro, config: SyntheticAsset) -> dg.MaterializeResult[Any]:
    """Points of a synthetic problem, divided into train, validation and test."""
    problem = context.partition_key
    if config.problem not in ("", problem):
        raise InvalidValue(f"the problem is {config.problem} and the partition {problem}", "leave the problem out")
    return repro.execute(context, generate_synthetic, config.model_copy(update={"problem": problem}), {})


@dg.asset(
    key_prefix="models",
    group_name=GROUP,
    kinds={"torch"},
    owners=OWNERS,
    tags={"stage": "training"},
    partitions_def=PARTITIONS,
    code_version=asset_version(train_morphogenesis),
    metadata={COLLECTION: "model-morphogenesis-{partition}", DISPLAY: "model-{run}"},
    ins={"synthetic": dg.AssetIn(key=["data", "synthetic"])},
)
def morphogenesis(
    context: dg.AssetExecutionContext, repro: Repro, config: MorphogenesisAsset, synthetic: Artifact
) -> dg.MaterializeResult[Any]:
    """A network that is too small and grows where training comes to a plateau, or one of its controls."""
    return repro.execute(context, train_morphogenesis, config, {"dataset": synthetic})


morphogenesis_on_synthetic: dg.AssetsDefinition = reproducible_asset(
    evaluate_growth,
    name="morphogenesis_on_synthetic",
    key_prefix="evaluations",
    group_name=GROUP,
    kinds={"json"},
    owners=OWNERS,
    tags={"stage": "evaluation"},
    partitions_def=PARTITIONS,
    collection="eval-morphogenesis-on-{partition}",
    display="eval-{model}-on-{dataset}",
    description="Accuracy of the growing network on each split of its problem.",
    config=GrowthEvaluationAsset,
    ins={"model": dg.AssetIn(key=["models", "morphogenesis"]), "dataset": dg.AssetIn(key=["data", "synthetic"])},
)


assets: list[dg.AssetsDefinition] = [synthetic, morphogenesis, morphogenesis_on_synthetic]
