"""Pseudo-labels without labels: the answers of several episodes, and of what is alike, as one vote.

Laws: a vote is a distribution over the answers; of equal shares the smaller answer wins; nothing here knows a label.

Balancing divides by how often each answer is voted for on the whole: it assumes that every answer is equally frequent
in the stream, and pushes a stream in which that is not so towards it.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

Array = np.ndarray


def shares(answers: Tensor, group_size: int, classes: int) -> Array:
    """Share of each answer within each group: int64 [groups * group_size] to float64 [groups, classes]."""
    grouped = answers.reshape(-1, group_size).numpy()
    counted: Array = (grouped[:, :, None] == np.arange(classes)).mean(axis=1)
    return counted


def of_neighbours(votes: Array, distances: Array, sharpness: float) -> Array:
    """Mean of the neighbours' votes, weighed by softmax of sharpness * (1 - distance).

    Parameters
    ----------
    votes : ndarray
        [n, k, classes].
    distances : ndarray
        [n, k], cosine; infinite where there is no neighbour, whose vote then counts for nothing.
    sharpness : float
        0 for a plain mean.

    Returns
    -------
    ndarray
        float64 [n, classes]; zeros where there is no neighbour at all.
    """
    there = np.isfinite(distances)
    likeness = np.where(there, sharpness * (1.0 - np.where(there, distances, 0.0)), -np.inf)
    highest = likeness.max(axis=1, keepdims=True, initial=-1e300)
    weights = np.exp(likeness - highest)
    total = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    mixed: Array = (weights[:, :, None] * votes).sum(axis=1)
    return mixed


def mixed(own: Array, neighbours: Array, own_share: float) -> Array:
    """`own_share` of the own vote and the rest of the neighbours'; the own one alone where these are zeros."""
    alone = neighbours.sum(axis=1, keepdims=True) == 0
    joined: Array = np.where(alone, own, own_share * own + (1 - own_share) * neighbours)
    return joined


def balanced(votes: Array, seen: Array, prior: float) -> Array:
    """Votes multiplied by (1 / classes) / (mean vote), made distributions again.

    Parameters
    ----------
    votes : ndarray
        [n, classes].
    seen : ndarray
        [m, classes], the votes whose mean counts; m may be 0.
    prior : float
        Votes of equal shares that are added to `seen`, so that an answer which was hardly ever voted for is not blown
        up while little has been seen.
    """
    classes = votes.shape[1]
    if not len(seen) and not prior:
        return votes
    mean = (seen.sum(axis=0, dtype=np.float64) + prior / classes) / (len(seen) + prior)
    # An answer that nobody ever voted for has no vote to be weighed, either.
    weighed = votes * np.divide(1 / classes, mean, out=np.zeros_like(mean), where=mean > 0)
    total = weighed.sum(axis=1, keepdims=True)
    made: Array = np.divide(weighed, total, out=votes.astype(np.float64, copy=True), where=total > 0)
    return made
