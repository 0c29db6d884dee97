"""Data sets: the digits, their splits, and the traces that the policy learns from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from repro_assets.artifacts.handle import Artifact
from repro_assets.orchestration.code import asset_version
from repro_assets.orchestration.config import AssetConfig
from repro_assets.orchestration.naming import COLLECTION, DISPLAY
from repro_assets.orchestration.resource import Repro
from repro_assets.training.digits import DigitsConfig, SplitConfig, digits_from_csv, split_digits
from repro_assets.training.filter_file import FilterFileConfig, filter_file
from repro_assets.training.filtering import FilterConfig, filter_and_score
from repro_assets.training.references import ReferencesConfig, reference_traces
from repro_assets.training.traces import TracesConfig, generate_traces

DIGITS_FILE = Path("data/raw/digits.csv")
GROUP = "data"
ON_DEMAND = "on_demand"
OWNERS = ["team:data"]


def _named(name: str) -> dict[str, Any]:
    return {COLLECTION: f"dataset-{name}", DISPLAY: f"dataset-{name}-v{{version}}"}


class DigitsAsset(DigitsConfig, AssetConfig):
    """Config of the asset ``data/digits``."""


class SplitAsset(SplitConfig, AssetConfig):
    """Config of the splits."""


class TracesAsset(TracesConfig, AssetConfig):
    """Config of the asset ``data/cota_raw``."""


class FilterAsset(FilterConfig, AssetConfig):
    """Config of the asset ``data/cota_sft``."""


class FilteredAsset(FilterFileConfig, AssetConfig):
    """Config of the asset ``data/filtered``."""


class ReferencesAsset(ReferencesConfig, AssetConfig):
    """Config of the asset ``data/references``."""


@dg.asset(
    key_prefix="data",
    group_name=GROUP,
    kinds={"csv", "numpy"},
    owners=OWNERS,
    tags={"stage": "data"},
    code_version=asset_version(digits_from_csv, DIGITS_FILE),
    metadata=_named("digits"),
)
def digits(context: dg.AssetExecutionContext, repro: Repro, config: DigitsAsset) -> dg.MaterializeResult[Any]:
    """1,797 handwritten digits of 8 x 8 pixels, read from ``data/raw/digits.csv`` and checked line by line."""
    return repro.execute(context, digits_from_csv, config, {"file": Path(config.path)})


_SPLITTING = asset_version(split_digits)


def _split(name: str, text: str) -> dg.AssetOut:
    return dg.AssetOut(
        key=["data", name],
        group_name=GROUP,
        kinds={"numpy"},
        owners=OWNERS,
        tags={"stage": "data"},
        code_version=_SPLITTING,
        metadata=_named(name),
        description=text,
    )


@dg.multi_asset(
    outs={
        "sft": _split("sft_images", "Labelled images that the traces for supervised fine-tuning are about."),
        "rft": _split("cota_rft", "Labelled images for reinforcement fine-tuning."),
        "validation": _split("validation", "Labelled images for choosing settings; nothing is trained on them."),
        "test": _split("test", "Labelled images for the final figures only."),
        "stream": _split("stream", "Images without labels, held out for online adaptation."),
    },
    ins={"digits": dg.AssetIn(key_prefix="data")},
)
def splits(
    context: dg.AssetExecutionContext, repro: Repro, config: SplitAsset, digits: Artifact
) -> Iterator[dg.MaterializeResult[Any]]:
    """Disjoint, stratified splits of the digits."""
    yield from repro.execute_all(context, split_digits, config, {"digits": digits})


@dg.asset(
    key_prefix="data",
    group_name=GROUP,
    kinds={"table"},
    owners=OWNERS,
    tags={"stage": "data"},
    code_version=asset_version(generate_traces),
    metadata=_named("cota_raw"),
    ins={"sft_images": dg.AssetIn(key_prefix="data")},
)
def cota_raw(
    context: dg.AssetExecutionContext, repro: Repro, config: TracesAsset, sft_images: Artifact
) -> dg.MaterializeResult[Any]:
    """Chain-of-thought-action traces of a teacher, with the faults of raw data."""
    return repro.execute(context, generate_traces, config, {"split": sft_images})


@dg.asset(
    key_prefix="data",
    group_name=GROUP,
    kinds={"table"},
    owners=OWNERS,
    tags={"stage": "data"},
    code_version=asset_version(filter_and_score),
    metadata=_named("cota_sft"),
    ins={"cota_raw": dg.AssetIn(key_prefix="data")},
)
def cota_sft(
    context: dg.AssetExecutionContext, repro: Repro, config: FilterAsset, cota_raw: Artifact
) -> dg.MaterializeResult[Any]:
    """The traces that pass the stated rules, each with its quality score; counts of the dropped by reason."""
    return repro.execute(context, filter_and_score, config, {"traces": cota_raw})


@dg.asset(
    key_prefix="data",
    group_name=GROUP,
    kinds={"table"},
    owners=OWNERS,
    tags={"stage": "data"},
    code_version=asset_version(reference_traces),
    metadata=_named("references"),
    ins={name: dg.AssetIn(key_prefix="data") for name in ("sft_images", "validation", "test")},
)
def references(
    context: dg.AssetExecutionContext,
    repro: Repro,
    config: ReferencesAsset,
    sft_images: Artifact,
    validation: Artifact,
    test: Artifact,
) -> dg.MaterializeResult[Any]:
    """The teacher's own traces of the validation and test images, which evaluations compare looks and answers with."""
    inputs = {"sft_split": sft_images, "validation": validation, "test": test}
    return repro.execute(context, reference_traces, config, inputs)


@dg.asset(
    key_prefix="data",
    group_name=ON_DEMAND,
    kinds={"table"},
    owners=OWNERS,
    tags={"stage": "data"},
    code_version=asset_version(filter_file),
    metadata=_named("{dataset_name}_{dataset_type}"),
)
def filtered(context: dg.AssetExecutionContext, repro: Repro, config: FilteredAsset) -> dg.MaterializeResult[Any]:
    """The traces of any file that pass the stated rules: ``inputs`` name the stored file."""
    return repro.execute(context, filter_file, config, config.named("file"))
