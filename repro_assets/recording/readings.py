"""The points that a run is given, and what it remembers of the readings of the machine while it executes.

Laws: a summary takes constant memory, however many values it has taken; a point has a number and, if any, a whole step.
"""

from __future__ import annotations

import contextlib
import math
import operator
import reprlib
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from repro_assets.errors import InvalidValue
from repro_assets.journal.metrics import Metrics

POINTS_AT_ONCE = 4096
_LONGEST = 100


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


Point = tuple[str, int | None, float, int]
"""Name, step, value, and the time in nanoseconds since 1970."""


def point_of(name: str, value: float, step: int | None) -> Point:
    """Return a point of a metric, now.

    Raises
    ------
    InvalidValue
        If `name` is no text that UTF-8 can hold, `value` is no number or `step` is no integer.
    """
    try:
        named = str(name)
        named.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(
            f"a metric cannot be called {name!r}: it is no text of UTF-8", "name it otherwise"
        ) from error
    if not named:
        raise InvalidValue("a metric has no name", "give one, such as 'loss'")
    try:
        place = None if step is None else operator.index(step)
    except TypeError as error:
        raise InvalidValue(
            f"metric {name!r} has the step {reprlib.repr(step)}, which is no whole number", "count its steps: 1, 2, 3"
        ) from error
    try:
        return named, place, float(value), time.time_ns()
    except (TypeError, ValueError, OverflowError) as error:
        given = f"an integer of {value.bit_length()} bits" if isinstance(value, int) else reprlib.repr(value)
        why = str(error) if len(str(error)) < _LONGEST else type(error).__name__
        raise InvalidValue(f"metric {name!r} at step {step!r} cannot be {given}: {why}", "give a number") from error


def records_of(run_id: str, points: Sequence[Point], samples: Sequence[Point]) -> list[Metrics]:
    """Return the records that hold points and readings, none so long that other threads wait for it to be written."""
    made = []
    for given, system in ((points, False), (samples, True)):
        for first in range(0, len(given), POINTS_AT_ONCE):
            names, steps, values, times = zip(*given[first : first + POINTS_AT_ONCE], strict=True)
            micros = [time // 1_000 for time in times]
            made.append(Metrics.of_columns(run_id, names, steps, values, micros, system=system))
    return made


def take(points: deque[Point], into: list[Point]) -> None:
    """Take all points that wait; others may append meanwhile, and a handler of a signal may raise: none is lost."""
    # Not by taking another deque: a caller that has looked up this one is about to append to it. Not in a loop of
    # Python's: between taking a point and keeping it a handler could raise.
    with contextlib.suppress(IndexError):
        into.extend(iter(points.popleft, None))


def remember(points: Sequence[Point], last: dict[str, float], curves: dict[str, list[tuple[int, float]]]) -> None:
    """Keep the last value of each metric, and those that have a step as its curve."""
    for name, step, value, _ in points:
        last[name] = value
        if step is not None:
            curves.setdefault(name, []).append((step, value))


def summarize(samples: Sequence[Point], summaries: dict[str, Summary]) -> None:
    """Add readings to what is remembered of them."""
    for name, _, value, _ in samples:
        summaries.setdefault(name, Summary()).add(value)
