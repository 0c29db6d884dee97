"""From what was measured on each item to the figures of an evaluation.

Laws: a figure is a function of sums over the items, so an evaluation, each resample of it and a comparison of two are
computed by the same lines; a figure that no item defines is None and no 0; a name ends in ``_greedy`` or ``_sampled``
or is one of the macro means, which are of greedy answers.

Items are columns of equal length: ``label``, ``answer`` and ``looks`` (of the greedy episode), ``right_sampled`` (share
of the sampled episodes that answer rightly) and ``looks_sampled`` (their mean), and what a benchmark adds.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from repro_assets.errors import InvalidInput, UnknownName
from repro_assets.training.bootstrap import CONFIDENCE, Figures, Interval, intervals

Array = np.ndarray
Items = Mapping[str, Sequence[Any]]

CLASSES = 10
DEFAULT = "classification"


class Benchmark(NamedTuple):
    """Figures that are measured together.

    Attributes
    ----------
    text : str
        What is measured, for a person.
    figures : tuple of str
        Their names.
    items : tuple of str
        Columns of the items that they are made from.
    columns : callable
        Items to what is summed, float64 [n, c].
    compute : callable
        Sums [m, c] to figures [m, len(figures)], NaN where one is undefined.
    """

    text: str
    figures: tuple[str, ...]
    items: tuple[str, ...]
    columns: Callable[[Items], Array]
    compute: Callable[[Array], Array]


def _column(items: Items, name: str) -> Array:
    return np.asarray(items[name], dtype=np.float64)


def _episode_columns(items: Items) -> Array:
    right = np.asarray(items["answer"]) == np.asarray(items["label"])
    return np.stack(
        [
            np.ones(len(right)),
            right,
            _column(items, "looks"),
            _column(items, "right_sampled"),
            _column(items, "looks_sampled"),
        ],
        axis=1,
    ).astype(np.float64)


def _means(sums: Array) -> Array:
    return _quotient(sums[:, 1:], sums[:, :1])


def _quotient(numerator: Array, denominator: Array) -> Array:
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    found: Array = np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)
    return found


def _confusion_columns(items: Items) -> Array:
    cells = np.asarray(items["label"], dtype=np.int64) * CLASSES + np.asarray(items["answer"], dtype=np.int64)
    found: Array = (cells[:, None] == np.arange(CLASSES**2)).astype(np.float64)
    return found


def _macro(sums: Array) -> Array:
    """Unweighted means of precision, recall and F1 over the classes that occur among the labels."""
    confusion = sums.reshape(-1, CLASSES, CLASSES)
    right = np.diagonal(confusion, axis1=1, axis2=2)
    support, answered = confusion.sum(axis=2), confusion.sum(axis=1)
    each = [
        np.nan_to_num(_quotient(right, answered)),
        np.nan_to_num(_quotient(right, support)),
        # 2 p r / (p + r) with both written as counts, so that it is 0 where none is right.
        np.nan_to_num(_quotient(2 * right, support + answered)),
    ]
    present = support > 0
    return np.concatenate(
        [
            _quotient((values * present).sum(axis=1, keepdims=True), present.sum(axis=1, keepdims=True))
            for values in each
        ],
        axis=1,
    )


def _chain_columns(items: Items) -> Array:
    names = ("looks_matched", "looks", "region_iou", "edit_distance")
    ones = np.ones(len(items["label"]))
    return np.stack([ones, *(_column(items, name) for name in names)], axis=1)


def _chain_figures(sums: Array) -> Array:
    return np.concatenate([_quotient(sums[:, 1:2], sums[:, 2:3]), _quotient(sums[:, 3:5], sums[:, :1])], axis=1)


EPISODES = Benchmark(
    "accuracy and looks of greedy and of sampled episodes",
    ("accuracy_greedy", "looks_greedy", "accuracy_sampled", "looks_sampled"),
    ("label", "answer", "looks", "right_sampled", "looks_sampled"),
    _episode_columns,
    _means,
)
"""What every evaluation has, whichever benchmarks are asked for."""

BENCHMARKS: dict[str, Benchmark] = {
    "classification": Benchmark(
        "precision, recall and F1 of the greedy answers, for each digit and as macro means; the confusion matrix",
        ("precision_macro", "recall_macro", "f1_macro"),
        ("label", "answer"),
        _confusion_columns,
        _macro,
    ),
    "answer_and_chain": Benchmark(
        "looks and answers of greedy episodes against reference traces",
        ("tool_accuracy_greedy", "region_iou_greedy", "edit_distance_greedy"),
        ("label", "looks", "looks_matched", "region_iou", "edit_distance"),
        _chain_columns,
        _chain_figures,
    ),
}
REFERENCED = frozenset({"answer_and_chain"})
"""Benchmarks that need reference traces."""


def check_benchmarks(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of benchmarks, each once, in the order of the registry.

    Raises
    ------
    UnknownName
        If there is no such benchmark; the nearest names are given.
    """
    asked = list(names)
    for name in asked:
        if name not in BENCHMARKS:
            near = difflib.get_close_matches(name, BENCHMARKS, n=2, cutoff=0.4)
            remedy = f"did you mean {' or '.join(near)}?" if near else f"one of {', '.join(BENCHMARKS)}"
            raise UnknownName(f"there is no benchmark named {name!r}", remedy)
    return tuple(name for name in BENCHMARKS if name in asked)


class Scale(NamedTuple):
    """How the figures of some benchmarks are computed: their names, what is summed, and what the sums give."""

    names: tuple[str, ...]
    columns: Callable[[Items], Array]
    compute: Figures


def scale(benchmarks: Sequence[str], look_cost: float) -> Scale:
    """Return how the figures of these benchmarks and of the episodes are computed.

    Parameters
    ----------
    benchmarks : sequence of str
        Names in `BENCHMARKS`.
    look_cost : float
        Price of a look in the reward.
    """
    parts = [EPISODES, *(BENCHMARKS[name] for name in benchmarks)]
    rewards = ("reward_greedy", "reward_sampled")
    names = tuple(name for part in parts for name in part.figures)

    def columns(items: Items) -> Array:
        missing = sorted({name for part in parts for name in part.items} - set(items))
        if missing:
            raise InvalidInput(f"the items have no {', '.join(missing)}", "evaluate with the same benchmarks")
        return np.concatenate([part.columns(items) for part in parts], axis=1)

    def compute(sums: Array) -> Array:
        found, first = [], 0
        for part in parts:
            width = _width(part)
            found.append(part.compute(sums[:, first : first + width]))
            first += width
        accuracy, looks = found[0][:, (0, 2)], found[0][:, (1, 3)]
        return np.concatenate([*found, accuracy - look_cost * looks], axis=1)

    return Scale((*names, *rewards), columns, compute)


def _width(part: Benchmark) -> int:
    return int(part.columns({name: [0] for name in part.items}).shape[1])


def measure(
    items: Items,
    benchmarks: Sequence[str],
    look_cost: float,
    generator: np.random.Generator,
    *,
    resamples: int,
    confidence: float = CONFIDENCE,
) -> dict[str, Interval]:
    """Compute every figure of these items with its confidence interval; the figures by name.

    Raises
    ------
    InvalidInput
        If a column that a benchmark needs is missing.
    InvalidValue
        As `bootstrap.intervals`.
    """
    found = scale(benchmarks, look_cost)
    columns = found.columns(items)
    ends = intervals(columns, found.compute, generator, resamples=resamples, confidence=confidence)
    return dict(zip(found.names, ends, strict=True))
