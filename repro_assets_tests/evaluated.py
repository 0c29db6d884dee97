"""Models on record with evaluations of which the tests say which items are right; nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home
from repro_assets.training import scores
from repro_assets.training.evaluation import per_class

ITEMS = 120


def split(first: int = 0) -> dict[str, Any]:
    """A labelled split of `ITEMS` images whose ids begin at `first`."""
    numbers = np.arange(first, first + ITEMS)
    return {"images": np.zeros((ITEMS, 8, 8)), "labels": numbers % 10, "image_ids": numbers}


def value(right: Sequence[bool], dataset: dict[str, Any], resamples: int = 200) -> dict[str, Any]:
    """What `evaluate` returns for a model that answers these items rightly, and the others with the next digit."""
    labels = dataset["labels"]
    answers = np.where(right, labels, (labels + 1) % 10)
    items: dict[str, list[Any]] = {
        "image_id": dataset["image_ids"].tolist(),
        "label": labels.tolist(),
        "answer": answers.tolist(),
        "looks": [2] * ITEMS,
        "right_sampled": [float(one) for one in right],
        "looks_sampled": [2.0] * ITEMS,
    }
    figures = scores.measure(items, ["classification"], 0.01, np.random.default_rng(0), resamples=resamples)
    return {
        "n": ITEMS,
        **{name: figure.value for name, figure in figures.items()},
        "look_cost": 0.01,
        "samples_per_image": 1,
        "benchmarks": ["classification"],
        "bootstrap": {"confidence": 0.95, "resamples": resamples},
        "intervals": {name: [figure.low, figure.high] for name, figure in figures.items()},
        "items": items,
        **per_class(items["label"], items["answer"]),
    }


def document(home: Home) -> str:
    """Digest of a stored environment."""
    packages = [{"name": "torch", "version": "2.13.0"}]
    return str(repository.put(home, {"packages": packages, "python": {"version": "3.11.9"}}).digest)


def record_model(
    home: Home, run_id: str, weights: list[float], *, name: str = "model-rft", trial: bool = False, **started: Any
) -> Artifact:
    """A run that made a version of a model."""
    facts = {"seed": 1, "capture_level": "basic", "environment": document(home), **started}
    run = begin(home, RunStarted(run_id, "asset", f"rft-{run_id[:6]}", asset="models/rft", trial=trial, **facts))
    made = run.log_output("result", {"weights": weights}, name=f"model-{run_id}", collection=name)
    run.end()
    return made


def record_evaluation(
    home: Home, run_id: str, model: Artifact, dataset: Artifact, right: Sequence[bool], *, trial: bool = False
) -> Artifact:
    """A run that evaluated a model on a split."""
    run = begin(home, RunStarted(run_id, "asset", f"evaluation-{run_id[:6]}", asset="evaluations/any", trial=trial))
    run.use("model", model)
    run.use("dataset", dataset)
    result = value(right, dataset.load())
    shown = f"eval-{model}-on-{dataset}"
    made = run.log_output("result", result, name=shown, collection="eval-rft-on-test")
    figures = {key: figure for key, figure in result.items() if isinstance(figure, float | int)}
    ends = {
        f"{key}/{end}": at
        for key, pair in result["intervals"].items()
        for end, at in zip(("low", "high"), pair, strict=True)
    }
    run.log_evaluation(shown, model, dataset, made, {**figures, **ends})
    run.end()
    return made
