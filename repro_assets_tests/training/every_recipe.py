"""Every recipe of the project in a few steps, each on what the ones before it made: what is verified."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from repro_assets import training
from repro_assets.training import (
    digits,
    evaluation,
    filter_file,
    filtering,
    growth_evaluation,
    morphogenesis,
    references,
    retrieval,
    retrieval_evaluation,
    rft,
    sft,
    stream,
    synthetic,
    trace_files,
    traces,
    ttrl,
)

RAW = Path(__file__).parents[2] / "data" / "raw"


def recipes() -> set[str]:
    """Names of all functions of the layer that are recipes: ``recipe(run, config, ...)``."""
    found = set()
    for module in pkgutil.iter_modules(training.__path__):
        for name, value in vars(importlib.import_module(f"{training.__name__}.{module.name}")).items():
            parameters = list(inspect.signature(value).parameters) if inspect.isfunction(value) else []
            if parameters[:2] == ["run", "config"] and not name.startswith("_"):
                found.add(value.__name__)
    return found


def every_recipe(run: Any) -> dict[str, Any]:
    """Execute all of them, and return what each made and what the run was given."""
    made: dict[str, Any] = {}

    def do(recipe: Callable[..., Any], config: Any, *inputs: Any) -> Any:
        made[recipe.__name__] = recipe(run, config, *inputs)
        return made[recipe.__name__]

    images = do(digits.digits_from_csv, digits.DigitsConfig(), (RAW / "digits.csv").read_bytes())
    sizes = digits.SplitConfig(sft=80, rft=40, validation=20, test=20, stream=20)
    splits = do(digits.split_digits, sizes, images)
    parts = (splits["stream"], splits["validation"], splits["test"])
    shifted = do(stream.shift_splits, stream.StreamConfig(), images, *parts)
    raw = do(traces.generate_traces, traces.TracesConfig(per_image=2), splits["sft"])
    kept = do(filtering.filter_and_score, filtering.FilterConfig(), raw)
    do(filter_file.filter_file, filter_file.FilterFileConfig(), trace_files.write_traces_file(raw, "jsonl"))
    own = do(references.reference_traces, references.ReferencesConfig(), splits["sft"], *parts[1:])
    few = sft.SftConfig(steps=12, checkpoint_every=6)
    first = do(sft.train_sft, few, kept, splits["sft"], splits["validation"])
    tuning = rft.RftConfig(steps=4, images_per_step=8, checkpoint_every=2)
    second = do(rft.train_rft, tuning, first, splits["rft"], splits["validation"])
    adapting = ttrl.TtrlConfig(steps=3, images_per_step=6, group_size=4, agreement=0.3, checkpoint_every=1)
    do(ttrl.train_ttrl, adapting, second, shifted["stream_a"], shifted["stream_labels"])
    asked = evaluation.EvaluationConfig(samples_per_image=2, resamples=100)
    do(evaluation.evaluate, asked, second, splits["test"], own)
    do(evaluation.baselines, evaluation.BaselinesConfig(samples_per_image=2), splits["sft"], splits["test"])
    points = do(synthetic.generate_synthetic, synthetic.SyntheticConfig(problem="complex_moons", n_samples=200))
    growing = morphogenesis.MorphogenesisConfig(
        steps=60, batch_size=55, patience=3, least_improvement=0.2, blending_epochs=4, checkpoint_every=50
    )
    grown = do(morphogenesis.train_morphogenesis, growing, points)
    do(growth_evaluation.evaluate_growth, growth_evaluation.GrowthEvaluationConfig(), grown, points)
    documents = {path.name: path.read_bytes() for path in (RAW / "documents").iterdir()}
    index = do(retrieval.build_index, retrieval.IndexConfig(dimensions=20), documents)
    questions = retrieval_evaluation.RetrievalEvaluationConfig(resamples=100)
    do(retrieval_evaluation.evaluate_retrieval, questions, index, (RAW / "questions.csv").read_bytes())

    assert made.keys() == recipes(), f"not verified: {recipes() ^ made.keys()}"
    assert {"germination", "activation"} <= {event for _, event in run.events}
    return {**made, "run": [run.curves, run.events, run.checkpoints, run.params]}
