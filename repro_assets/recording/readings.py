"""The points that a run is given, and what it remembers of the readings of the machine while it executes.

Laws: a summary takes constant memory, however many values it has taken; a point has a number and, if any, a whole step.
"""

from __future__ import annotations

import math
import operator
import time
from dataclasses import dataclass
from typing import Any

from repro_assets.errors import InvalidValue


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


def point_of(name: str, value: float, step: int | None) -> list[Any]:
    """Return a point of a metric as a row: name, step, value, now.

    Raises
    ------
    InvalidValue
        If `value` is no number or `step` is no integer.
    """
    try:
        place = None if step is None else operator.index(step)
        return [str(name), place, float(value), time.time()]
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValue(f"metric {name!r} at step {step!r} cannot be {value!r}: {error}") from error
