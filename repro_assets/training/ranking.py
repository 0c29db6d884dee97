"""Which values are smallest, with a rule for those that are equal.

Law: of equal values the one that stands first comes first, whatever the sorting routine.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def smallest(values: Array, count: int) -> Array:
    """Places of the `count` smallest values, ascending by (value, place).

    Parameters
    ----------
    values : ndarray
        [n] without NaN.
    count : int
        At most n.
    """
    if count <= 0:
        return np.empty(0, np.int64)
    candidates = np.flatnonzero(values <= np.partition(values, count - 1)[count - 1])
    # A stable sort keeps the places of equal values in order.
    chosen: Array = candidates[np.argsort(values[candidates], kind="stable")[:count]]
    return chosen
