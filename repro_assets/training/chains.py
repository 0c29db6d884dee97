"""How near the looks and answers of episodes come to reference traces.

Laws: every measure is of one episode and one reference and of nothing else; the order of the items is kept; nothing is
measured against a missing reference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from repro_assets.errors import InvalidInput
from repro_assets.training import task

Array = np.ndarray


def chain_columns(actions: Array, references: Sequence[Sequence[int]]) -> dict[str, list[float]]:
    """Compare episodes with references, item by item.

    Parameters
    ----------
    actions : ndarray
        int64 [n, 9]: looks, then the answer; -1 after the end.
    references : sequence of sequences of int
        The actions of each item's reference: looks, then an answer.

    Returns
    -------
    dict
        ``looks_matched``: looks of the episode that the reference makes too, each look of the reference counted once;
        ``region_iou``: pixels that both looked at over pixels that either did, 1 where neither looked; all regions
        have four pixels and none overlap, so this is a quotient of regions; ``edit_distance``: least number of actions
        to put in, take out or replace (V. Levenshtein, 1966), over the number of actions of the longer of the two.

    Raises
    ------
    InvalidInput
        If there is not one reference for each episode.
    """
    if len(actions) != len(references):
        raise InvalidInput(f"there are {len(actions)} episodes and {len(references)} references", "give one for each")
    theirs = np.full((len(references), task.MAX_LOOKS + 1), -2, dtype=np.int64)
    for place, reference in enumerate(references):
        theirs[place, : len(reference)] = reference
    seen, wanted = _looks(actions), _looks(theirs)
    both = (np.minimum(seen, 1) * np.minimum(wanted, 1)).sum(axis=1)
    either = np.maximum(np.minimum(seen, 1), np.minimum(wanted, 1)).sum(axis=1)
    return {
        "looks_matched": np.minimum(seen, wanted).sum(axis=1).astype(float).tolist(),
        "region_iou": np.where(either > 0, both / np.maximum(either, 1), 1.0).tolist(),
        "edit_distance": _edit_distance(actions, theirs).tolist(),
    }


def _looks(actions: Array) -> Array:
    """How often each region is looked at, [n, 16]."""
    found: Array = (actions[:, :, None] == np.arange(task.REGIONS)).sum(axis=1)
    return found


def _edit_distance(ours: Array, theirs: Array) -> Array:
    """Normalised edit distance of padded sequences; places after an end hold a negative number."""
    longest = ours.shape[1], theirs.shape[1]
    least = np.zeros((len(ours), longest[0] + 1, longest[1] + 1), dtype=np.int64)
    least[:, :, 0] = np.arange(longest[0] + 1)
    least[:, 0, :] = np.arange(longest[1] + 1)
    for row in range(1, longest[0] + 1):
        for column in range(1, longest[1] + 1):
            replaced = least[:, row - 1, column - 1] + (ours[:, row - 1] != theirs[:, column - 1])
            shortened = np.minimum(least[:, row - 1, column], least[:, row, column - 1]) + 1
            least[:, row, column] = np.minimum(replaced, shortened)
    lengths = (ours >= 0).sum(axis=1), (theirs >= 0).sum(axis=1)
    distance: Array = least[np.arange(len(ours)), lengths[0], lengths[1]] / np.maximum(*lengths)
    return distance
