"""The card of a model."""

from __future__ import annotations

import math
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.cards import provenance
from repro_assets.cards.evaluated import Evaluated, earlier_versions, evaluations_of, figures, section
from repro_assets.cards.markdown import NOTHING, bytes_, code, number, page, shown, table, text
from repro_assets.cards.provenance import card_file
from repro_assets.cards.recipe import recorded_recipe
from repro_assets.cards.records import Records
from repro_assets.cards.subject import Subject, kind_of
from repro_assets.errors import UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.metric_direction import lower_is_better

_HIGHER = ("accuracy", "reward", "precision", "recall", "f1", "iou")
_KNOWN_METRICS = {
    "accuracy_greedy": "accuracy",
    "precision_macro": "precision",
    "recall_macro": "recall",
    "f1_macro": "f1",
}
"""Figures of ours that are what the Hugging Face Hub calls so."""
_CURVES = """
    SELECT name, count(*) AS points,
        first(value ORDER BY step) AS first, min(step) AS first_step, last(value ORDER BY step) AS last,
        max(step) AS last_step, min(value) FILTER (WHERE NOT isnan(value)) AS smallest,
        arg_min(step, value) FILTER (WHERE NOT isnan(value)) AS step_of_smallest,
        max(value) FILTER (WHERE NOT isnan(value)) AS greatest,
        arg_max(step, value) FILTER (WHERE NOT isnan(value)) AS step_of_greatest
    FROM curves WHERE run_id = $run AND step IS NOT NULL GROUP BY name HAVING count(*) > 1 ORDER BY name
"""


def model_card(records: Records, subject: Subject) -> str:
    """Return the card of a model as Markdown with YAML front matter.

    Parameters
    ----------
    records : Records
        Of the store.
    subject : Subject
        A model.
    """
    recipe = recorded_recipe(records.home, subject.run)
    made = evaluations_of(records, subject.record["digest"], trials=bool((subject.run or {}).get("trial")))
    sections = [
        ("", text(recipe.summary) if recipe.summary else f"What it is: {NOTHING}."),
        ("## Model details", provenance.details(subject, recipe)),
        ("### Parameters", _parameters(subject)),
        ("## How to get started", provenance.start(subject)),
        ("### What it holds", provenance.holds(recipe)),
        ("## Uses, limits and method", provenance.said(recipe)),
        ("## Training data", _data(records, subject)),
        ("## Training procedure", "### Hyperparameters"),
        ("", provenance.config(subject)),
        ("### Seeds", provenance.seeds(subject)),
        ("### Mode and settings", provenance.settings(subject)),
        ("### Environment", provenance.environment(subject)),
        ("### Training curves", _curves(records, subject)),
        ("### Cost", provenance.cost(subject)),
        ("## Evaluation", section(made)),
        ("### Earlier versions", earlier_versions(records, subject, made)),
        ("## Reproducibility", provenance.replays(subject)),
        ("### Checks", provenance.checks(subject)),
        ("### How to reproduce", provenance.reproduce(subject)),
        ("## Lineage", provenance.lineage(records, subject)),
    ]
    return page(_head(subject, made), text(subject.name), sections)


def _head(subject: Subject, made: list[Evaluated]) -> dict[str, Any]:
    run = subject.run or {}
    head: dict[str, Any] = {}
    # What is installed says nothing; tensors are NumPy's as well.
    if "torch" in (run.get("used_packages") or {}) and subject.record.get("kind") == "tensors":
        head["library_name"] = "pytorch"
    head |= provenance.licensed(subject)
    tags = [str(run["recipe"]).rpartition(":")[2]] if run.get("recipe") else []
    head["tags"] = ["repro-assets", *tags]
    results, metrics = [], []
    for item in made:
        rows = []
        for name, (value, _, _) in figures(item).items():
            if value is None or not math.isfinite(value):
                continue
            kind = _KNOWN_METRICS.get(name, name)
            rows.append({"type": kind, "name": name, "value": value})
            metrics.append(kind)
        if rows:
            dataset = {"type": item.dataset.rpartition(":v")[0] or item.dataset, "name": item.dataset}
            dataset["revision"] = item.dataset_digest
            results.append({"task": {"type": item.task}, "dataset": dataset, "metrics": rows})
    if metrics:
        head["metrics"] = list(dict.fromkeys(metrics))
        head["model-index"] = [{"name": subject.name, "results": results}]
    return head


def _parameters(subject: Subject) -> str:
    if subject.record.get("kind") != "tensors":
        return NOTHING
    counts: dict[str, list[int]] = {}
    for entry in subject.record["entries"]:
        shape = entry["facts"].get("shape")
        if shape is not None:
            kept = counts.setdefault(str(entry["facts"].get("dtype")), [0, 0])
            kept[0] += 1
            kept[1] += math.prod(shape)
    rows = [(code(dtype), str(count), f"{numbers:,}") for dtype, (count, numbers) in sorted(counts.items())]
    return table(("type", "tensors", "numbers"), rows)


def _data(records: Records, subject: Subject) -> str:
    inputs = (subject.run or {}).get("inputs") or []
    known = records.sizes([row["digest"] for row in inputs])
    rows = []
    for row in inputs:
        digest = row["digest"]
        name = records.named(digest)
        size = known.get(digest, {}).get("size")
        rows.append(
            (
                code(row["slot"]),
                code(name),
                code(digest),
                bytes_(size),
                shown(row["made_by"]),
                _link(records, digest, name),
            )
        )
    if not rows:
        return NOTHING
    shown_rows = table(("read as", "version", "digest", "size", "made by run", "card"), rows)
    return f"{shown_rows}\n\n`repro export NAME --to FOLDER --format card` writes the cards that this one links to."


def _link(records: Records, digest: str, name: str) -> str:
    try:
        kind = kind_of(records, repository.by_digest(records.home, Digest.parse(digest)))
    except UnknownName:
        return "the bytes are gone"
    words = {"model": "model card", "dataset": "data card"}
    return f"[{words[kind]}]({card_file(name)})" if kind is not None else ""


def _curves(records: Records, subject: Subject) -> str:
    if subject.run is None:
        return NOTHING
    rows = []
    for row in records.rows(_CURVES, {"run": subject.run["run_id"]}):
        name = str(row["name"])
        best = ""
        if lower_is_better(name):
            best = _at(row["smallest"], row["step_of_smallest"])
        elif any(word in name.rpartition("/")[2].split("_") for word in _HIGHER):
            best = _at(row["greatest"], row["step_of_greatest"])
        first, last = _at(row["first"], row["first_step"]), _at(row["last"], row["last_step"])
        rows.append((code(name), first, last, best, str(row["points"])))
    made = table(("figure", "first", "last", "best", "points"), rows)
    return f"{made}\n\nBest is given where the name says which way is better." if rows else NOTHING


def _at(value: float | None, step: int | None) -> str:
    return f"{number(value)} (step {step})" if value is not None else NOTHING
