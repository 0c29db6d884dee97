"""What a model reached: its evaluations on record, and how earlier versions compare on the same data.

Laws: of several evaluations on the same data the newest counts; a difference between two models is measured item by
item where both evaluations kept their items, and is not guessed from two intervals where they did not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.cards.markdown import NOTHING, code, number, shown, table, text
from repro_assets.cards.records import Records
from repro_assets.cards.subject import Subject
from repro_assets.errors import IntegrityError, InvalidInput, UnknownName
from repro_assets.identity.digest import Digest

MOST_VERSIONS = 3
_SETTINGS = ("n", "look_cost", "samples_per_image")
_CLASS_COLUMNS = ("digit", "class", "support", "answered", "precision", "recall", "f1")
_OF_MODEL = """
    SELECT e.run_id, e.name, e.dataset, e.digest, e.metrics, e.time, r.seed
    FROM evaluations e JOIN runs r USING (run_id)
    WHERE e.model = $model AND r.state = 'COMPLETED' AND r.replay_of IS NULL AND (NOT r.trial OR $trials)
    QUALIFY row_number() OVER (PARTITION BY e.dataset ORDER BY e.time DESC, e.run_id) = 1
    ORDER BY e.time, e.run_id
"""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation of a model; `value` is None where its bytes are gone.

    Parameters
    ----------
    dataset : str
        Version of the data set.
    metrics : dict
        Figures with their ends, as the run logged them.
    task : str
        What was asked of the model, in the words of the Hugging Face Hub.
    """

    name: str
    run_id: str
    dataset: str
    dataset_digest: str
    digest: str
    metrics: dict[str, Any]
    value: dict[str, Any] | None
    task: str


def evaluations_of(records: Records, model: str, *, trials: bool = False) -> list[Evaluated]:
    """Return the newest evaluation of a model on each data set, earliest first.

    Parameters
    ----------
    records : Records
        Of the store.
    model : str
        Digest of the model.
    trials : bool
        Also those that trials made.
    """
    found = []
    for row in records.rows(_OF_MODEL, {"model": model, "trials": trials}):
        metrics = {name: _figure(value) for name, value in json.loads(row["metrics"]).items()}
        found.append(
            Evaluated(
                row["name"],
                row["run_id"],
                records.named(row["dataset"]),
                row["dataset"],
                row["digest"],
                metrics,
                _value(records, row["digest"]),
                _task(records, row["dataset"]),
            )
        )
    return found


def figures(item: Evaluated) -> dict[str, tuple[float | None, float | None, float | None]]:
    """Return the figures of an evaluation with the ends of their intervals, where they have one."""
    return {
        name: (value, item.metrics.get(f"{name}/low"), item.metrics.get(f"{name}/high"))
        for name, value in sorted(item.metrics.items())
        if not name.endswith(("/low", "/high")) and name not in _SETTINGS
    }


def section(made: list[Evaluated]) -> str:
    """Return all evaluations as Markdown."""
    return "\n\n".join(part for item in made for part in _one(item)) or NOTHING


def earlier_versions(records: Records, subject: Subject, made: list[Evaluated]) -> str:
    """Return how the newest earlier versions of the collection compare on the same data."""
    if subject.collection is None or not made:
        return NOTHING
    earlier = records.rows(
        "SELECT version, digest FROM versions ANTI JOIN deleted_versions USING (collection, version) "
        "WHERE collection = $collection AND version < $version AND NOT trial AND digest <> $digest "
        f"ORDER BY version DESC LIMIT {MOST_VERSIONS}",
        {"collection": subject.collection, "version": subject.version, "digest": subject.record["digest"]},
    )
    if not earlier:
        return "There is none."
    rows: list[tuple[str, ...]] = []
    reasons = []
    for row in earlier:
        other = {item.dataset_digest: item for item in evaluations_of(records, row["digest"])}
        shared = [(item, other[item.dataset_digest]) for item in made if item.dataset_digest in other]
        name = f"{subject.collection}:v{row['version']}"
        if not shared:
            reasons.append(f"{code(name)} was not evaluated on the same data.")
        for ours, theirs in shared:
            rows += _compared(name, ours, theirs)
    header = ("version", "data", "figure", "this", "that", "difference", "95 % interval, paired")
    return "\n\n".join(filter(None, [table(header, rows) if rows else "", *reasons]))


def _compared(version: str, ours: Evaluated, theirs: Evaluated) -> Iterator[tuple[str, ...]]:
    from repro_assets.training.comparison import compare_evaluations

    found: dict[str, Any] = {}
    if ours.value is not None and theirs.value is not None:
        try:
            found = compare_evaluations(ours.value, theirs.value)["figures"]
        except InvalidInput:
            # Evaluations of another kind keep no items; their figures stand side by side.
            found = {}
    for name, (value, _, _) in figures(ours).items():
        if name not in theirs.metrics:
            continue
        paired = found.get(name) or {}
        ends = [paired.get(end) for end in ("low", "high")]
        shown_ends = f"{number(ends[0])} to {number(ends[1])}" if None not in ends else "not measured"
        difference = number(paired["difference"]) if paired.get("difference") is not None else "not measured"
        yield (
            code(version), code(ours.dataset), code(name), number(value), number(theirs.metrics[name]), difference,
            shown_ends,
        )  # fmt: skip


def _one(item: Evaluated) -> Iterator[str]:
    yield f"### On {code(item.dataset)}"
    bootstrap = (item.value or {}).get("bootstrap") or {}
    confidence = f"{100 * bootstrap['confidence']:g} % interval" if "confidence" in bootstrap else "interval"
    rows = [
        (code(name), number(value), f"{number(low)} to {number(high)}" if None not in (low, high) else NOTHING)
        for name, (value, low, high) in figures(item).items()
    ]
    yield table(("figure", "value", confidence), rows)
    asked = [f"{code(name)} {number(item.metrics[name])}" for name in _SETTINGS if item.metrics.get(name) is not None]
    yield f"Evaluation {code(item.name)}, run {code(item.run_id)}, data {code(item.dataset_digest)}" + (
        f"; {', '.join(asked)}." if asked else "."
    )
    classes = (item.value or {}).get("classes")
    if isinstance(classes, list) and classes and all(isinstance(row, dict) for row in classes):
        names = {name for row in classes for name in row}
        header = [*(name for name in _CLASS_COLUMNS if name in names), *sorted(names - set(_CLASS_COLUMNS))]
        yield "By class:"
        yield table([text(name) for name in header], [[shown(row.get(name)) for name in header] for row in classes])
    if item.value is None:
        yield "The bytes of this evaluation are gone; what its record says is above."


def _figure(value: Any) -> Any:
    """Return a figure as the number that it is: the catalog's JSON has NaN and infinities as texts."""
    return float(value) if isinstance(value, str) else value


def _value(records: Records, digest: str) -> dict[str, Any] | None:
    try:
        value = repository.by_digest(records.home, Digest.parse(digest)).load()
    except (UnknownName, IntegrityError):
        return None
    return value if isinstance(value, dict) else None


def _task(records: Records, dataset: str) -> str:
    """Return the Hub's word for labelled images, and ``other`` for anything else: no record says more."""
    names = records.rows("SELECT name FROM manifest_entries WHERE digest = ?", [dataset])
    return "image-classification" if {"images", "labels"} <= {row["name"] for row in names} else "other"
