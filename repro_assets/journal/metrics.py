"""The record of metric points, which is written more often than all others together.

Laws: points are columns and not rows, so that neither writing nor reading costs a list for each point; they keep the
order in which they were logged; times are whole microseconds. Version 1 had rows of name, step or null, value and
seconds, and is read for ever.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any, ClassVar

from repro_assets.journal.records import Payload


@dataclass(frozen=True, slots=True)
class Metrics(Payload):
    """A batch of metric points: columns of one length, and the names that there are.

    `which` says by its position in `names` how each point is called; `steps` has null for a point without a step;
    `times` are microseconds, of the first point since 1970 and of each other since the point before it. `system` is
    true of readings of the machine.
    """

    kind: ClassVar[str] = "metrics"
    schema: ClassVar[int] = 2
    run_id: str
    names: list[str]
    which: list[int]
    steps: list[int | None]
    values: list[float]
    times: list[int]
    system: bool = False

    @classmethod
    def of(cls, run_id: str, rows: Iterable[Sequence[Any]], system: bool = False) -> Metrics:
        """Make a record of rows of name, step or None, value and seconds since 1970.

        Raises
        ------
        ValueError, TypeError
            If a row has another length, or its last member is no time.
        """
        points = [(name, step, value, round(moment * 1_000_000)) for name, step, value, moment in rows]
        return cls.of_columns(run_id, *(zip(*points, strict=True) if points else ((), (), (), ())), system=system)

    @classmethod
    def of_columns(
        cls,
        run_id: str,
        names: Sequence[str],
        steps: Sequence[int | None],
        values: Sequence[float],
        times: Sequence[int],
        *,
        system: bool = False,
    ) -> Metrics:
        """Make a record of columns of one length; `times` are microseconds since 1970."""
        place = {name: number for number, name in enumerate(dict.fromkeys(names))}
        after = [*times[:1], *map(operator.sub, times[1:], times)]
        return cls(run_id, list(place), [place[name] for name in names], list(steps), list(values), after, system)

    @classmethod
    def upcast(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return what a record of version 1 says as this version says it."""
        rows = data.pop("rows")
        try:
            made = cls.of(data["run_id"], rows, **{name: data[name] for name in data.keys() - {"run_id"}})
        except OverflowError as error:
            raise ValueError(str(error)) from error
        return {field.name: getattr(made, field.name) for field in fields(cls)}

    @property
    def moments(self) -> list[int]:
        """Microseconds since 1970 of each point."""
        return list(accumulate(self.times))

    @property
    def rows(self) -> list[list[Any]]:
        """The points as rows of name, step or None, value and seconds since 1970."""
        return [
            [self.names[number], step, value, moment / 1_000_000]
            for number, step, value, moment in zip(self.which, self.steps, self.values, self.moments, strict=True)
        ]
