"""Production: the model that others should use, an asset of its own behind checks that block.

One step proposes a candidate, checks it, and only then promotes it, so that no selection goes around the checks. A
failed check leaves the candidate materialized, and production and its alias as they were.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from repro_assets.artifacts.handle import Artifact
from repro_assets.errors import InvalidValue
from repro_assets.orchestration import parents, pins, promotion
from repro_assets.orchestration.code import asset_version
from repro_assets.orchestration.promotion import Bounds
from repro_assets.orchestration.resource import Repro

GROUP = "production"
OWNERS = ["team:ml"]
CANDIDATE = dg.AssetKey(["models", "candidate"])
PRODUCTION = dg.AssetKey(["models", "production"])
MODEL = dg.AssetKey(["models", "rft"])
EVALUATION = dg.AssetKey(["evaluations", "rft_on_test"])


class PromotionAsset(dg.Config):
    """What is asked of a model before it may be in production."""

    inputs: dict[str, str] = Field(
        default_factory=dict, description="Pin what is promoted: model and evaluation to artifacts (NAME:v3, sha256:…)"
    )
    dataset: str = Field(default="dataset-test", description="Collection of the data that it must be evaluated on")
    least: dict[str, float] = Field(
        default={"accuracy_greedy": 0.8}, description="Figures of the evaluation and the least that is enough"
    )
    most: dict[str, float] = Field(default={}, description="Figures and the most that is allowed")
    tolerance: dict[str, float] = Field(
        default={"accuracy_greedy": 0.05},
        description="Figures and how much worse than the model in production the whole interval may reach",
    )


_JUDGING = asset_version(promotion.judge)


def _out(key: dg.AssetKey, text: str) -> dg.AssetOut:
    return dg.AssetOut(
        key=key,
        is_required=False,
        group_name=GROUP,
        kinds={"torch"},
        owners=OWNERS,
        tags={"stage": "production"},
        code_version=_JUDGING,
        description=text,
    )


@dg.multi_asset(
    name="promotion",
    outs={
        "candidate": _out(
            CANDIDATE, "The model that is proposed for production, and its evaluation on the test split."
        ),
        "production": _out(PRODUCTION, "The model in production: the candidate, once every check of it has passed."),
    },
    ins={"model": dg.AssetIn(key=MODEL), "evaluation": dg.AssetIn(key=EVALUATION)},
    internal_asset_deps={"candidate": {MODEL, EVALUATION}, "production": {CANDIDATE}},
    check_specs=[
        dg.AssetCheckSpec(name, asset=CANDIDATE, blocking=True, description=text)
        for name, text in promotion.CHECK_NAMES.items()
    ],
)
def production(
    context: dg.AssetExecutionContext, repro: Repro, config: PromotionAsset, model: Artifact, evaluation: Artifact
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Propose the model, check it, and let the alias ``production`` name it if every check has passed."""
    if pins.active() is not None:
        raise InvalidValue("a replay promotes nothing", "run: repro run --job promote")
    if parents.is_trial(context.run):
        raise InvalidValue("a trial promotes nothing", "run it without --trial: repro run --job promote")
    candidate = promotion.propose(repro.home, model, evaluation)
    verdicts = promotion.judge(
        repro.home,
        candidate,
        Bounds(config.dataset, config.least, config.most, config.tolerance),
        context.run.run_id,
    )
    yield dg.MaterializeResult(asset_key=CANDIDATE, value=candidate.model, metadata=candidate.describe())
    for verdict in verdicts:
        yield dg.AssetCheckResult(
            asset_key=CANDIDATE, check_name=verdict.name, passed=verdict.passed, metadata=verdict.metadata()
        )
    promotion.refuse(candidate, verdicts)
    promotion.promote(repro.home, candidate)
    yield dg.MaterializeResult(asset_key=PRODUCTION, value=candidate.model, metadata=candidate.describe())
