"""How good a model is on a labelled split, and what much simpler readers of the digits reach.

Laws: a figure is computed from the model and the split alone and says whether the actions were greedy or sampled;
sampled figures use a derived seed (``evaluation/sampled``), so they too are the same every time; nothing is fitted on
the split that is evaluated; baselines are fitted on the SFT split only.

Precision, recall and F1 are of the greedy answers, per digit and as unweighted means (macro) over the digits that occur
among the labels. Precision is 0 for a digit that was never answered, F1 is 0 where precision and recall both are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from repro_assets.errors import CheckFailed
from repro_assets.recording.tracing import span
from repro_assets.training import policy, rollout, task
from repro_assets.training.policy import Architecture, Policy

if TYPE_CHECKING:
    from repro_assets.recording.run import Run


class EvaluationConfig(BaseModel):
    """Settings of an evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples_per_image: int = Field(default=16, ge=1, le=1024, description="sampled episodes on each image")
    look_cost: float = Field(default=0.01, ge=0, le=1, description="price of a look in the reward (lambda)")


class BaselinesConfig(BaseModel):
    """Settings of the baselines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples_per_image: int = Field(default=16, ge=1, le=1024, description="sampled episodes of the untrained policy")
    inverse_penalty: float = Field(default=1.0, gt=0, description="C of the logistic regressions: inverse L2 penalty")
    most_iterations: int = Field(
        default=2000, ge=1, le=100_000, description="iterations within which they must converge"
    )


def evaluate(
    run: Run, config: EvaluationConfig, model: Mapping[str, Any], dataset: Mapping[str, Any]
) -> dict[str, Any]:
    """Evaluate a model on a labelled split.

    Parameters
    ----------
    run : Run
        Gives the seed; takes every single-number figure as a metric of the same name.
    config : EvaluationConfig
        Settings.
    model : mapping
        A model that sft or rft made.
    dataset : mapping
        ``images`` [n, 8, 8], ink 0 to 16, and ``labels`` [n].

    Returns
    -------
    dict
        JSON value: ``n``; ``accuracy_greedy``, ``accuracy_sampled``; ``precision_macro``, ``recall_macro``,
        ``f1_macro`` (greedy); ``looks_greedy``, ``looks_sampled`` (means); ``reward_greedy``, ``reward_sampled``
        (means, at ``look_cost``); ``samples_per_image``; ``classes``: one dict per digit with ``digit``, ``support``,
        ``answered``, ``precision``, ``recall``, ``f1``; ``confusion``: 10 x 10 counts, row the label, column the
        greedy answer.

    Raises
    ------
    InvalidInput
        If the model or the split is malformed, or the split has no labels.
    """
    reader = policy.from_value(model)
    images, labels = task.labelled("evaluation", dataset)
    with span("play greedily"):
        greedy = rollout.play(reader, images)
    confusion = confusion_matrix(labels, greedy.answers)
    result: dict[str, Any] = {
        "n": len(labels),
        **_figures("greedy", greedy, labels, config.look_cost),
        **_sampled(run, reader, images, labels, config.samples_per_image, config.look_cost),
        **per_class(confusion),
        "look_cost": config.look_cost,
        "samples_per_image": config.samples_per_image,
        "confusion": confusion,
    }
    run.log_metrics({name: value for name, value in result.items() if isinstance(value, int | float)})
    return result


def _sampled(
    run: Run, reader: Policy, images: Tensor, labels: Tensor, samples: int, look_cost: float
) -> dict[str, float]:
    with span("play sampled", samples=samples):
        episodes = rollout.play(reader, images.repeat_interleave(samples, dim=0), run.seeds.torch("evaluation/sampled"))
    return _figures("sampled", episodes, labels.repeat_interleave(samples), look_cost)


def _figures(how: str, episodes: rollout.Episodes, labels: Tensor, look_cost: float) -> dict[str, float]:
    # In double precision from counts, so that 0.01 is 0.01 and not its float32 neighbour.
    accuracy = float((episodes.answers == labels).double().mean())
    looks = float(episodes.looks.double().mean())
    return {
        f"accuracy_{how}": accuracy,
        f"looks_{how}": looks,
        f"reward_{how}": accuracy - look_cost * looks,
    }


def confusion_matrix(labels: Tensor, answers: Tensor) -> list[list[int]]:
    """Counts [10][10]: row the label, column the answer."""
    places = labels * task.DIGITS + answers
    counts = torch.bincount(places, minlength=task.DIGITS**2).reshape(task.DIGITS, task.DIGITS)
    rows: list[list[int]] = counts.tolist()
    return rows


def per_class(confusion: list[list[int]]) -> dict[str, Any]:
    """``classes`` and the three macro means, as `evaluate` returns them."""
    classes = []
    for digit, row in enumerate(confusion):
        right, support, answered = row[digit], sum(row), sum(other[digit] for other in confusion)
        precision = right / answered if answered else 0.0
        recall = right / support if support else 0.0
        classes.append(
            {
                "digit": digit,
                "support": support,
                "answered": answered,
                "precision": precision,
                "recall": recall,
                "f1": 2 * precision * recall / (precision + recall) if right else 0.0,
            }
        )
    present = [entry for entry in classes if entry["support"]]
    means = {
        f"{name}_macro": sum(entry[name] for entry in present) / len(present) for name in ("precision", "recall", "f1")
    }
    return {"classes": classes, **means}


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
    sampled = _sampled(run, untrained, seen, truth, config.samples_per_image, 0.0)
    result: dict[str, Any] = {
        "n": len(truth),
        "fitted_on": len(labels),
        "majority": float((truth == commonest).double().mean()),
        "untrained_greedy": float((greedy.answers == truth).double().mean()),
        "untrained_sampled": sampled["accuracy_sampled"],
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
