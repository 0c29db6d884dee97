"""How good a model is on a labelled split, and what much simpler readers of the digits reach.

Laws: a figure is computed from the model, the split and the references alone and says whether the actions were greedy
or sampled; sampled figures use a derived seed (``evaluation/sampled``) and their intervals another one
(``evaluation/bootstrap``), so they too are the same every time; nothing is fitted on the split that is evaluated;
baselines are fitted on the SFT split only. What was measured on each item is kept, so that two evaluations can be
compared item by item.

Precision, recall and F1 are of the greedy answers, per digit and as unweighted means (macro) over the digits that occur
among the labels. Precision is 0 for a digit that was never answered, F1 is 0 where precision and recall both are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor

from repro_assets.errors import CheckFailed, InvalidInput, UnknownName
from repro_assets.recording.tracing import span
from repro_assets.training import policy, rollout, scores, task
from repro_assets.training.bootstrap import CONFIDENCE, RESAMPLES
from repro_assets.training.chains import chain_columns
from repro_assets.training.policy import Architecture, Policy
from repro_assets.training.references import actions_for
from repro_assets.wording import type_in_words

if TYPE_CHECKING:
    import pandas

    from repro_assets.recording.run import Run


class EvaluationConfig(BaseModel):
    """Settings of an evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    benchmarks: list[str] = Field(
        default=[scores.DEFAULT], description=f"what is measured beside episodes: {', '.join(scores.BENCHMARKS)}"
    )
    samples_per_image: int = Field(default=16, ge=1, le=1024, description="sampled episodes on each image")
    look_cost: float = Field(default=0.01, ge=0, le=1, description="price of a look in the reward (lambda)")
    resamples: int = Field(default=RESAMPLES, ge=1, le=1_000_000, description="resamples of the bootstrap")

    @field_validator("benchmarks")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        try:
            return list(scores.check_benchmarks(names))
        except UnknownName as error:
            raise ValueError(str(error)) from error


class BaselinesConfig(BaseModel):
    """Settings of the baselines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples_per_image: int = Field(default=16, ge=1, le=1024, description="sampled episodes of the untrained policy")
    inverse_penalty: float = Field(default=1.0, gt=0, description="C of the logistic regressions: inverse L2 penalty")
    most_iterations: int = Field(
        default=2000, ge=1, le=100_000, description="iterations within which they must converge"
    )


def evaluate(
    run: Run,
    config: EvaluationConfig,
    model: Mapping[str, Any],
    dataset: Mapping[str, Any],
    references: pandas.DataFrame | None = None,
) -> dict[str, Any]:
    """Evaluate a model on a labelled split.

    Parameters
    ----------
    run : Run
        Gives the seed; takes every single-number figure as a metric of the same name, and the ends of its interval as
        ``<figure>/low`` and ``<figure>/high``.
    config : EvaluationConfig
        Settings.
    model : mapping
        A policy, as sft, rft or ttrl made it.
    dataset : mapping
        ``images`` [n, 8, 8], ink 0 to 16, ``labels`` [n], and ``image_ids`` [n], by default 0, 1, ....
    references : pandas.DataFrame, optional
        Traces of these images, one or several of each; the benchmark ``answer_and_chain`` needs them.

    Returns
    -------
    dict
        JSON value: ``n``; ``accuracy_greedy``, ``accuracy_sampled``; ``looks_greedy``, ``looks_sampled`` (means);
        ``reward_greedy``, ``reward_sampled`` (means, at ``look_cost``); ``samples_per_image``; ``benchmarks``;
        ``intervals``: figure to its two ends; ``bootstrap``: their ``confidence`` and the ``resamples`` of the images;
        ``items``: column to a list of n values, as in `repro_assets.training.scores`, with ``image_id``.
        Of ``classification``: ``precision_macro``, ``recall_macro``, ``f1_macro``; ``classes``: one dict per digit with
        ``digit``, ``support``, ``answered``, ``precision``, ``recall``, ``f1``; ``confusion``: 10 x 10 counts, row the
        label, column the greedy answer. Of ``answer_and_chain``, greedily: ``tool_accuracy_greedy`` (share of all looks
        that the reference makes too; None where nothing is looked at), ``region_iou_greedy``,
        ``edit_distance_greedy`` (means).

    Raises
    ------
    InvalidInput
        If the model is no policy, the split is malformed or has no labels, or references are needed and missing.
    """
    if not isinstance(model, Mapping):
        raise InvalidInput(f"the model is {_kind(model)}, not a policy", "give a model that sft, rft or ttrl made")
    if not isinstance(dataset, Mapping):
        raise InvalidInput(f"the data is {_kind(dataset)}, not a labelled split", "give one, such as dataset-test")
    reader = policy.from_value(model)
    images, labels = task.labelled("evaluation", dataset)
    ids = _ids(dataset, len(labels))
    with span("play greedily"):
        greedy = rollout.play(reader, images)
    sampled = _sampled(run, reader, images, config.samples_per_image)
    items: dict[str, list[Any]] = {
        "image_id": ids,
        "label": labels.tolist(),
        "answer": greedy.answers.tolist(),
        "looks": greedy.looks.tolist(),
        "right_sampled": (sampled.answers.view(len(labels), -1) == labels[:, None]).double().mean(dim=1).tolist(),
        "looks_sampled": sampled.looks.view(len(labels), -1).double().mean(dim=1).tolist(),
    }
    if scores.REFERENCED & set(config.benchmarks):
        if references is None:
            raise InvalidInput(
                f"the benchmark {min(scores.REFERENCED)} needs reference traces",
                "give them, such as dataset-references",
            )
        items |= chain_columns(greedy.actions.numpy(), actions_for(references, ids, items["label"]))
    with span("bootstrap", resamples=config.resamples):
        generator = run.seeds.numpy("evaluation/bootstrap")
        figures = scores.measure(items, config.benchmarks, config.look_cost, generator, resamples=config.resamples)
    result: dict[str, Any] = {
        "n": len(labels),
        **{name: figure.value for name, figure in figures.items()},
        "look_cost": config.look_cost,
        "samples_per_image": config.samples_per_image,
        "benchmarks": list(config.benchmarks),
        "bootstrap": {"confidence": CONFIDENCE, "resamples": config.resamples},
        "intervals": {name: [figure.low, figure.high] for name, figure in figures.items() if figure.value is not None},
        "items": items,
    }
    if "classification" in config.benchmarks:
        result |= per_class(items["label"], items["answer"])
    run.log_metrics({name: value for name, value in result.items() if isinstance(value, int | float)})
    for name, (low, high) in result["intervals"].items():
        run.log_metrics({f"{name}/low": low, f"{name}/high": high})
    return result


def _kind(value: Any) -> str:
    return type_in_words(value)


def _ids(dataset: Mapping[str, Any], count: int) -> list[int]:
    ids = np.asarray(dataset.get("image_ids", np.arange(count)))
    if ids.shape != (count,) or not np.issubdtype(ids.dtype, np.integer) or len(np.unique(ids)) != count:
        raise InvalidInput(
            f"the evaluation data has no {count} image ids that differ", "give each image one of its own"
        )
    found: list[int] = ids.tolist()
    return found


def _sampled(run: Run, reader: Policy, images: Tensor, samples: int) -> rollout.Episodes:
    """Episodes of each image, one image after the other."""
    with span("play sampled", samples=samples):
        return rollout.play(reader, images.repeat_interleave(samples, dim=0), run.seeds.torch("evaluation/sampled"))


def per_class(labels: list[int], answers: list[int]) -> dict[str, Any]:
    """``classes`` and ``confusion``, as `evaluate` returns them."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    digits = list(range(task.DIGITS))
    confusion = confusion_matrix(labels, answers, labels=digits)
    scored = precision_recall_fscore_support(labels, answers, labels=digits, zero_division=0)
    classes = [
        {
            "digit": digit,
            "support": int(support),
            "answered": int(confusion[:, digit].sum()),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
        }
        for digit, precision, recall, f1, support in zip(digits, *scored, strict=True)
    ]
    return {"classes": classes, "confusion": confusion.tolist()}


def baselines(
    run: Run, config: BaselinesConfig, sft_split: Mapping[str, Any], test: Mapping[str, Any]
) -> dict[str, Any]:
    """Accuracy on `test` of readers to compare a model with.

    Parameters
    ----------
    run : Run
        Gives the seeds (``baselines/untrained``, ``evaluation/sampled``); takes every number as a metric.
    config : BaselinesConfig
        Settings.
    sft_split : mapping
        Labelled split on which everything is fitted.
    test : mapping
        Labelled split on which everything is measured.

    Returns
    -------
    dict
        JSON value: ``n``, ``fitted_on`` (images), and accuracies: ``majority`` (the commonest digit of the SFT split),
        ``untrained_greedy`` and ``untrained_sampled`` (a policy before training), ``logistic_coarse`` (logistic
        regression on the four means that a policy sees before it looks) and ``logistic_whole`` (on all 64 pixels).

    Raises
    ------
    InvalidInput
        If a split is malformed or has no labels.
    CheckFailed
        If a logistic regression has not converged.
    """
    images, labels = task.labelled("sft", sft_split)
    seen, truth = task.labelled("test", test)
    untrained = Policy(Architecture(), run.seeds.torch("baselines/untrained"))
    greedy = rollout.play(untrained, seen)
    # bincount and argmax: the smaller digit where two are equally common.
    commonest = int(torch.bincount(labels, minlength=task.DIGITS).argmax())
    sampled = _sampled(run, untrained, seen, config.samples_per_image)
    repeated = truth.repeat_interleave(config.samples_per_image)
    result: dict[str, Any] = {
        "n": len(truth),
        "fitted_on": len(labels),
        "majority": float((truth == commonest).double().mean()),
        "untrained_greedy": float((greedy.answers == truth).double().mean()),
        "untrained_sampled": float((sampled.answers == repeated).double().mean()),
        "logistic_coarse": _logistic(
            config, "coarse view", task.coarse_view(images), labels, task.coarse_view(seen), truth
        ),
        "logistic_whole": _logistic(config, "whole image", images.flatten(1), labels, seen.flatten(1), truth),
    }
    run.log_metrics({f"baseline/{name}": value for name, value in result.items()})
    return result


def _logistic(
    config: BaselinesConfig, view: str, features: Tensor, labels: Tensor, seen: Tensor, truth: Tensor
) -> float:
    """Test accuracy of a multinomial logistic regression (L-BFGS) on standardized features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=config.inverse_penalty, max_iter=config.most_iterations)
    fitted = make_pipeline(StandardScaler(), regression).fit(features.double().numpy(), labels.numpy())
    if int(regression.n_iter_.max()) >= config.most_iterations:
        raise CheckFailed(
            f"the logistic regression on the {view} has not converged in {config.most_iterations} iterations",
            "raise most_iterations or lower inverse_penalty",
        )
    return float(fitted.score(seen.double().numpy(), truth.numpy()))
