"""What a run remembers of the readings of the machine while it executes.

Laws: a summary takes constant memory, however many values it has taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Summary:
    """What a run remembers of one reading."""

    count: int = 0
    total: float = 0.0
    greatest: float = -math.inf

    def add(self, value: float) -> None:
        """Take a value."""
        self.count += 1
        self.total += value
        self.greatest = max(self.greatest, value)

    @property
    def mean(self) -> float:
        """Mean of the values so far, of which there is one at least."""
        return self.total / self.count
