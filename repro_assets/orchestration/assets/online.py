"""Online adaptation: shifted data, the models that adapt to it, their experience buffers, and how good they are.

All of it is in a group of its own, which the default job leaves out. Shift A has the plain names, shift B the suffix
``_b``; a variant differs from the whole recipe in the defaults of its config alone.
"""

from collections.abc import Iterator
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from repro_assets.artifacts.handle import Artifact
from repro_assets.orchestration.code import asset_version
from repro_assets.orchestration.config import AssetConfig, TrainingConfig
from repro_assets.orchestration.naming import COLLECTION, DISPLAY
from repro_assets.orchestration.resource import Repro
from repro_assets.training.evaluation import EvaluationConfig, evaluate
from repro_assets.training.stream import SHIFTS, StreamConfig, shift_splits
from repro_assets.training.ttrl import TtrlConfig, train_ttrl

GROUP = "online"
OWNERS = ["team:ml"]


class StreamAsset(StreamConfig, AssetConfig):
    """Config of the shifted data."""


class TtrlAsset(TtrlConfig, TrainingConfig):
    """Config of the whole recipe."""


class SimpleVoteAsset(TtrlAsset):
    """Config of the variant whose label is what most answers say."""

    vote: Literal["simple", "balanced"] = Field(default="simple", description="how answers become a label")
    neighbours: int = Field(default=0, ge=0, le=1000, description="experiences that vote along")


class BalancedVoteAsset(TtrlAsset):
    """Config of the variant without neighbours."""

    neighbours: int = Field(default=0, ge=0, le=1000, description="experiences that vote along")


class OnlineAsset(TtrlAsset):
    """Config of the variant that meets the stream once."""

    transductive: bool = Field(default=False, description="first pass over the whole stream before the first update")


class OnlineEvaluationAsset(EvaluationConfig, AssetConfig):
    """Config of an evaluation, without what needs reference traces: there are none of shifted images."""


VARIANTS: dict[str, tuple[type[TtrlAsset], str]] = {
    "": (TtrlAsset, "views, neighbours and a balanced vote, after a first pass over the stream"),
    "_simple": (SimpleVoteAsset, "what most answers say is the label"),
    "_balanced": (BalancedVoteAsset, "a balanced vote without neighbours"),
    "_online": (OnlineAsset, "the whole recipe on a stream that is met once"),
}

# Each is that of many assets, and deriving one takes some hundredths of a second.
_SHIFTING, _ADAPTING = asset_version(shift_splits), asset_version(train_ttrl)
_EVALUATING = asset_version(evaluate)


def _data(name: str, text: str) -> dg.AssetOut:
    return dg.AssetOut(
        key=["data", name],
        group_name=GROUP,
        kinds={"numpy"},
        owners=OWNERS,
        tags={"stage": "online"},
        code_version=_SHIFTING,
        metadata={COLLECTION: f"dataset-{name}", DISPLAY: f"dataset-{name}-v{{version}}"},
        description=text,
    )


@dg.multi_asset(
    outs={
        "stream_labels": _data("stream_labels", "Labels of the stream, kept aside; nothing that learns reads them."),
        **{
            f"{split}_{shift}": _data(f"{split}_{shift}", f"{text}, under shift {shift.upper()}.")
            for shift in SHIFTS
            for split, text in (
                ("stream", "Images without labels, in the order of arrival"),
                ("validation", "Labelled images for choosing settings"),
                ("test", "Labelled images for the final figures only"),
            )
        },
    },
    ins={name: dg.AssetIn(key=["data", name]) for name in ("digits", "stream", "validation", "test")},
)
def shifted(
    context: dg.AssetExecutionContext,
    repro: Repro,
    config: StreamAsset,
    digits: Artifact,
    stream: Artifact,
    validation: Artifact,
    test: Artifact,
) -> Iterator[dg.MaterializeResult[Any]]:
    """The stream and the labelled splits as they look after each shift."""
    inputs = {"digits": digits, "stream": stream, "validation": validation, "test": test}
    yield from repro.execute_all(context, shift_splits, config, inputs)


def _adapted(variant: str, shift: str) -> dg.AssetsDefinition:
    config_class, text = VARIANTS[variant]
    suffix = variant if shift == SHIFTS[0] else f"{variant}_{shift}"
    shared: dict[str, Any] = {
        "group_name": GROUP,
        "owners": OWNERS,
        "tags": {"stage": "ttrl"},
        "code_version": _ADAPTING,
    }

    @dg.multi_asset(
        name=f"ttrl{suffix}",
        outs={
            "model": dg.AssetOut(
                key=["models", f"ttrl{suffix}"],
                kinds={"torch"},
                metadata={COLLECTION: f"model-ttrl{suffix}", DISPLAY: "model-{run}"},
                description=f"The policy adapted online to shift {shift.upper()}: {text}.",
                **shared,
            ),
            "experience": dg.AssetOut(
                key=["buffers", f"experience{suffix}"],
                kinds={"numpy"},
                metadata={COLLECTION: f"experience_buffer{suffix}", DISPLAY: "experience_buffer-{run}"},
                description=f"What models/ttrl{suffix} has seen, how sure it was, and what became of it.",
                **shared,
            ),
        },
        ins={
            "rft": dg.AssetIn(key=["models", "rft"]),
            "stream": dg.AssetIn(key=["data", f"stream_{shift}"]),
            "stream_labels": dg.AssetIn(key=["data", "stream_labels"]),
        },
    )
    def adapted(
        context: dg.AssetExecutionContext,
        repro: Repro,
        config: config_class,  # type: ignore[valid-type]
        rft: Artifact,
        stream: Artifact,
        stream_labels: Artifact,
    ) -> Iterator[dg.MaterializeResult[Any]]:
        inputs = {"model": rft, "stream": stream, "stream_labels": stream_labels}
        yield from repro.execute_all(context, train_ttrl, config, inputs)

    return adapted


def _evaluation(model: str, split: str, text: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"{model}_on_{split}",
        key_prefix="evaluations",
        group_name=GROUP,
        kinds={"json"},
        owners=OWNERS,
        tags={"stage": "evaluation"},
        code_version=_EVALUATING,
        metadata={COLLECTION: f"eval-{model}-on-{split}", DISPLAY: "eval-{model}-on-{dataset}"},
        description=text,
        ins={"model": dg.AssetIn(key=["models", model]), "dataset": dg.AssetIn(key=["data", split])},
    )
    def evaluation(
        context: dg.AssetExecutionContext,
        repro: Repro,
        config: OnlineEvaluationAsset,
        model: Artifact,
        dataset: Artifact,
    ) -> dg.MaterializeResult[Any]:
        return repro.execute(context, evaluate, config, {"model": model, "dataset": dataset})

    return evaluation


adapted_models = [_adapted(variant, shift) for shift in SHIFTS for variant in VARIANTS]


def _evaluations() -> Iterator[dg.AssetsDefinition]:
    for shift in SHIFTS:
        test = f"test_{shift}"
        yield _evaluation("rft", test, f"The model before adaptation on the test split under shift {shift.upper()}.")
        for variant in VARIANTS:
            model = f"ttrl{variant}" if shift == SHIFTS[0] else f"ttrl{variant}_{shift}"
            yield _evaluation(model, test, f"The adapted model {model} on the test split under its shift.")
            yield _evaluation(model, "test", f"What the adapted model {model} still makes of the clean test split.")


online_evaluations = list(_evaluations())
