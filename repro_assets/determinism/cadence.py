"""Which steps of a training are fingerprinted.

Laws: the interval is a power of two, and a step is due that it divides, so two runs share the steps of the coarser of
their intervals; it grows until fingerprints take at most `SHARE` of the time, and with the steps made, so that a long
training has `DENSITY` to twice as many for each doubling of its length; the last step is always due.
"""

from __future__ import annotations

from collections import deque

SHARE = 0.005
"""A quarter of what is promised (2 %): the first and the last fingerprint and the caches' losses come on top of it."""
DENSITY = 16


def power_of_two(least: float) -> int:
    """Return the smallest power of two that is not under `least`."""
    power = 1
    while power < least:
        power *= 2
    return power


class Cadence:
    """The interval, from what fingerprints and steps have taken so far.

    Parameters
    ----------
    every : int
        A fixed interval; 0 for one that adapts.
    share : float
        Of the time that steps take.
    """

    def __init__(self, every: int = 0, share: float = SHARE) -> None:
        self._every = every
        self._share = share
        self._interval = 1
        self._costs: deque[float] = deque(maxlen=3)

    def is_due(self, step: int) -> bool:
        """Tell whether the state after `step` is fingerprinted; that of the last one is, whatever this says."""
        if self._every:
            return step % self._every == 0
        sparse = 1 << max(0, (step // DENSITY).bit_length() - 1)
        return step % max(sparse, self._interval) == 0

    def cost(self, seconds: float) -> None:
        """Take in what one fingerprint took."""
        self._costs.append(seconds)

    def adapt(self, work: float) -> None:
        """Take in what a step takes without fingerprints, in seconds."""
        if not self._costs or work <= 0:
            return
        wanted = power_of_two(min(self._costs) / (self._share * work))
        # The first fingerprint of a process takes longer than all others.
        self._interval = min(wanted, DENSITY) if len(self._costs) == 1 else wanted
