"""Levels of difficulty: simple, medium and hard are thirds of the examples, by rank.

Laws: each level has a third of the examples whatever their figures; ties keep the order of the examples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from repro_assets.errors import InvalidInput

LEVELS = ("simple", "medium", "hard")


def ranks(difficulties: Sequence[float]) -> np.ndarray:
    """Share of the examples that are no harder than each, those of equal difficulty in their order.

    Parameters
    ----------
    difficulties : sequence of float
        One for each example, 0 to 1.

    Returns
    -------
    ndarray
        float64 [n], a permutation of 1/n, 2/n, ..., 1.

    Raises
    ------
    InvalidInput
        If there are fewer examples than levels, or one is outside 0 to 1.
    """
    measured = np.asarray(difficulties, dtype=np.float64)
    if measured.ndim != 1 or len(measured) < len(LEVELS):
        raise InvalidInput(
            f"a curriculum over {measured.size} examples has not one of each of {', '.join(LEVELS)}",
            "give more traces or train without a curriculum",
        )
    outside = np.flatnonzero(~((measured >= 0) & (measured <= 1)))
    if len(outside):
        raise InvalidInput(
            f"the difficulty in row {outside[0]} is {measured[outside[0]]}, not 0 to 1", "filter the raw traces again"
        )
    ranked = np.empty(len(measured))
    ranked[np.argsort(measured, kind="stable")] = np.arange(1, len(measured) + 1) / len(measured)
    return ranked


def levels(ranked: np.ndarray) -> np.ndarray:
    """Level of each example, an index into `LEVELS`, int64 [n], from what `ranks` returns."""
    place = np.rint(ranked * len(ranked)).astype(np.int64) - 1
    level: np.ndarray = place * len(LEVELS) // len(ranked)
    return level
