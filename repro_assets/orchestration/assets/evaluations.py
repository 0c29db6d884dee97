"""Evaluations: what each model reaches on each labelled split, what simple readers reach, and any model on any data."""

from typing import Any

import dagster as dg
from pydantic import Field

from repro_assets.artifacts.handle import Artifact
from repro_assets.orchestration.code import asset_version
from repro_assets.orchestration.config import AssetConfig
from repro_assets.orchestration.naming import COLLECTION, DISPLAY
from repro_assets.orchestration.offered import reproducible_asset
from repro_assets.orchestration.resource import Repro
from repro_assets.training.evaluation import BaselinesConfig, EvaluationConfig, evaluate
from repro_assets.training.evaluation import baselines as measure_baselines
from repro_assets.training.scores import BENCHMARKS

GROUP = "evaluation"
ON_DEMAND = "on_demand"
OWNERS = ["team:ml"]
MODELS = ("sft", "rft")
SPLITS = ("validation", "test")


class EvaluationAsset(EvaluationConfig, AssetConfig):
    """Config of an evaluation in the graph, which has every benchmark."""

    benchmarks: list[str] = Field(default=list(BENCHMARKS), description=f"what is measured: {', '.join(BENCHMARKS)}")


class AnyEvaluationAsset(EvaluationConfig, AssetConfig):
    """Config of the asset ``evaluations/any``."""


class BaselinesAsset(BaselinesConfig, AssetConfig):
    """Config of the asset ``evaluations/baselines``."""


def _evaluation(model_name: str, split: str) -> dg.AssetsDefinition:
    asset: dg.AssetsDefinition = reproducible_asset(
        evaluate,
        name=f"{model_name}_on_{split}",
        key_prefix="evaluations",
        group_name=GROUP,
        kinds={"json"},
        owners=OWNERS,
        tags={"stage": "evaluation"},
        collection=f"eval-{model_name}-on-{split}",
        display="eval-{model}-on-{dataset}",
        description=f"The {model_name} model on the {split} split: accuracy greedy and sampled, looks, reward.",
        config=EvaluationAsset,
        ins={
            "model": dg.AssetIn(key=["models", model_name]),
            "dataset": dg.AssetIn(key=["data", split]),
            "references": dg.AssetIn(key=["data", "references"]),
        },
    )
    return asset


evaluations = [_evaluation(model, split) for model in MODELS for split in SPLITS]


@dg.asset(
    name="any",
    key_prefix="evaluations",
    group_name=ON_DEMAND,
    kinds={"json"},
    owners=OWNERS,
    tags={"stage": "evaluation"},
    code_version=asset_version(evaluate),
    metadata={COLLECTION: "eval-{model}-on-{dataset}", DISPLAY: "eval-{model}-on-{dataset}"},
)
def any_evaluation(
    context: dg.AssetExecutionContext, repro: Repro, config: AnyEvaluationAsset
) -> dg.MaterializeResult[Any]:
    """Any model on any labelled data: ``inputs`` name both, and reference traces where a benchmark needs them."""
    return repro.execute(context, evaluate, config, config.named("model", "dataset", optional="references"))


@dg.asset(
    key_prefix="evaluations",
    group_name=GROUP,
    kinds={"json", "scikitlearn"},
    owners=OWNERS,
    tags={"stage": "evaluation"},
    code_version=asset_version(measure_baselines),
    metadata={COLLECTION: "eval-baselines-on-test", DISPLAY: "eval-baselines-on-test-v{version}"},
    ins={name: dg.AssetIn(key=["data", name]) for name in ("sft_images", "test")},
)
def baselines(
    context: dg.AssetExecutionContext, repro: Repro, config: BaselinesAsset, sft_images: Artifact, test: Artifact
) -> dg.MaterializeResult[Any]:
    """Readers to compare with: majority, an untrained policy, logistic regressions."""
    return repro.execute(context, measure_baselines, config, {"sft_split": sft_images, "test": test})
