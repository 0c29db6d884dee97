"""The teacher: a Gaussian naive-Bayes reader of regions, whose looks and answers become traces.

Laws: it is fitted on the images it is given and on nothing else; its belief after some looks depends on the coarse
view and the set of regions seen, not on their order.

Per class and pixel a mean and a variance, likewise for the coarse view; independent given the class. Pixels of one
image are not independent, so each log-likelihood is tempered by `temper` before it is added to the log-posterior;
variances get a floor because many pixels are constant within a class.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from repro_assets.errors import InvalidInput
from repro_assets.training import task

Array = np.ndarray

REGION_VARIANCE_FLOOR = 0.03
COARSE_VARIANCE_FLOOR = 0.01
TEMPER = 0.5


class Teacher(NamedTuple):
    """Fitted means and variances, ink in 0 to 1.

    Attributes
    ----------
    region_mean, region_variance : ndarray
        float64 [10, 16, 4].
    coarse_mean, coarse_variance : ndarray
        float64 [10, 4].
    """

    region_mean: Array
    region_variance: Array
    coarse_mean: Array
    coarse_variance: Array

    def coarse_belief(self, coarse: Array) -> Array:
        """Tempered log-likelihood of the coarse view under each digit: [n, 4] to [n, 10]."""
        return TEMPER * _log_density(coarse[:, None, :], self.coarse_mean, self.coarse_variance)

    def region_evidence(self, regions: Array) -> Array:
        """Tempered log-likelihood of every region under each digit: [n, 16, 4] to [n, 16, 10]."""
        mean, variance = self.region_mean.transpose(1, 0, 2), self.region_variance.transpose(1, 0, 2)
        return TEMPER * _log_density(regions[:, :, None, :], mean, variance)

    def separation(self) -> Array:
        """Fisher separation of two digits by a region, [10, 10, 16].

        Sum over the pixels of (difference of means)^2 / (sum of variances).
        """
        mean, variance = self.region_mean, self.region_variance
        between = (mean[:, None] - mean[None]) ** 2 / (variance[:, None] + variance[None])
        total: Array = between.sum(axis=-1)
        return total


def _log_density(seen: Array, mean: Array, variance: Array) -> Array:
    total: Array = -0.5 * ((seen - mean) ** 2 / variance + np.log(variance)).sum(axis=-1)
    return total


def fit_teacher(images: Array, labels: Array) -> Teacher:
    """Fit the teacher.

    Parameters
    ----------
    images : ndarray
        [n, 8, 8], ink 0 to 16.
    labels : ndarray
        [n], 0 to 9.

    Raises
    ------
    InvalidInput
        If a digit has no image.
    """
    present = np.unique(labels)
    if len(present) != task.DIGITS:
        raise InvalidInput(
            f"the teacher has images of {len(present)} digits only: {present.tolist()}",
            "make the sft split larger",
        )
    scaled = task.scale(images)
    coarse = task.coarse_view(scaled).numpy().astype(np.float64)
    regions = task.region_pixels(scaled).numpy().astype(np.float64)
    members = [labels == digit for digit in range(task.DIGITS)]
    return Teacher(
        region_mean=np.stack([regions[chosen].mean(axis=0) for chosen in members]),
        region_variance=np.stack([regions[chosen].var(axis=0) for chosen in members]) + REGION_VARIANCE_FLOOR,
        coarse_mean=np.stack([coarse[chosen].mean(axis=0) for chosen in members]),
        coarse_variance=np.stack([coarse[chosen].var(axis=0) for chosen in members]) + COARSE_VARIANCE_FLOOR,
    )
