"""Confidence intervals by bootstrap over the items of an evaluation.

Laws: an item is drawn whole, with all its columns, so the figures of one resample belong together; the draws come from
the generator that is given and from nothing else, and do not depend on the columns; a figure that the sample does not
define is None, never a number; of resamples that do not define it, its interval is that of the others.

A figure is a function of the sums of columns over the items: a mean is a sum over the sum of a column of ones, a share
the quotient of two sums, precision and recall quotients of counts. So the sums of all resamples are one matrix product,
and the difference of two evaluations of the same items is a figure of the columns of both side by side, thus paired.

Intervals are bias-corrected and accelerated (BCa): B. Efron, "Better Bootstrap Confidence Intervals", Journal of the
American Statistical Association 82 (1987); acceleration by the jackknife and 2,000 resamples as in T. DiCiccio and
B. Efron, "Bootstrap Confidence Intervals", Statistical Science 11 (1996); resamples equal to the sample count half.
Limit: where all items agree an interval has no width, which says nothing of items that were not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from repro_assets.errors import InvalidValue

Array = np.ndarray
Figures = Callable[[Array], Array]
"""Sums of columns [m, columns] to figures [m, figures]; NaN where one is undefined."""

RESAMPLES = 2000
CONFIDENCE = 0.95
_CELLS = 1 << 22
_NORMAL = NormalDist()


class Interval(NamedTuple):
    """A figure of the whole sample and the ends of its interval; all None where the sample does not define it."""

    value: float | None
    low: float | None
    high: float | None


def intervals(
    columns: Array,
    figures: Figures,
    generator: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> list[Interval]:
    """Estimate figures of a sample with their confidence intervals.

    Parameters
    ----------
    columns : ndarray
        float64 [items, columns], finite.
    figures : callable
        From sums of the columns over some items to figures of these items.
    generator : numpy.random.Generator
        Draws the resamples.
    resamples : int
        How many are drawn.
    confidence : float
        Share of such intervals that is to cover the truth, between 0 and 1.

    Returns
    -------
    list of Interval
        One for each figure.

    Raises
    ------
    InvalidValue
        If there is no item, a value is not finite, or a setting is out of range.
    """
    if columns.ndim != 2 or len(columns) == 0:
        raise InvalidValue(f"a bootstrap needs items, not an array of the shape {columns.shape}")
    if not np.isfinite(columns).all():
        raise InvalidValue("a bootstrap needs values that are finite", "leave out the items that have none")
    if resamples < 1 or not 0 < confidence < 1:
        raise InvalidValue(
            f"a bootstrap of {resamples} resamples at a confidence of {confidence} is none",
            "give 1 resample or more and a confidence between 0 and 1",
        )
    total = columns.sum(axis=0)
    sample = figures(total[None])[0]
    drawn = np.concatenate([figures(counts @ columns) for counts in _counts(len(columns), resamples, generator)])
    without_one = figures(total - columns)
    return [
        _interval(float(value), drawn[:, place], without_one[:, place], confidence)
        for place, value in enumerate(sample)
    ]


def _counts(items: int, resamples: int, generator: np.random.Generator) -> Iterator[Array]:
    """Yield how often each item is drawn, float64 [some resamples, items], until there are enough resamples."""
    at_once = max(1, _CELLS // items)
    for done in range(0, resamples, at_once):
        rows = min(at_once, resamples - done)
        places = generator.integers(0, items, (rows, items)) + items * np.arange(rows)[:, None]
        yield np.bincount(places.ravel(), minlength=rows * items).reshape(rows, items).astype(np.float64)


def _interval(value: float, drawn: Array, without_one: Array, confidence: float) -> Interval:
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(drawn) == 0:
        return Interval(None, None, None)
    below = (np.count_nonzero(drawn < value) + 0.5 * np.count_nonzero(drawn == value)) / len(drawn)
    # Where every resample lies on one side the bias cannot be measured, only bounded.
    least = 0.5 / len(drawn)
    bias = _NORMAL.inv_cdf(min(max(below, least), 1 - least))
    acceleration = _acceleration(without_one[np.isfinite(without_one)])
    tail = _NORMAL.inv_cdf((1 + confidence) / 2)
    ends = []
    for quantile in (-tail, tail):
        moved = bias + quantile
        ends.append(_NORMAL.cdf(bias + moved / (1 - acceleration * moved)))
    low, high = np.quantile(drawn, ends)
    return Interval(value, float(low), float(high))


def _acceleration(without_one: Array) -> float:
    """A sixth of the skewness of the jackknife; 0 where leaving any one item out changes nothing."""
    if len(without_one) == 0:
        return 0.0
    gaps = without_one.mean() - without_one
    spread = float((gaps**2).sum()) ** 1.5
    return float((gaps**3).sum()) / (6 * spread) if spread > 0 else 0.0
