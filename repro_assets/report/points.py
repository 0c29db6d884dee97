"""Metric points and readings of the machine: exact for the page of a run, thinned for figures of many runs.

Laws: exact points are those of the catalog, each one, bit for bit; a curve is thinned by keeping of each stretch its
smallest and its greatest value and one that is not finite, if any, so no peak, no gap and neither end goes; what is
thinned says how many points it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from repro_assets.catalog.parameters import execute
from repro_assets.report.script import numbers

if TYPE_CHECKING:
    import duckdb
    import numpy

    Numbers = numpy.ndarray[tuple[int], numpy.dtype[numpy.float64]]

Source = Literal["curves", "system_metrics"]
BATCH = 200
"""Runs whose points are in memory at a time."""
FEWEST = 40
MOST = 400


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one metric or reading of one run, in the order of their steps; three columns of one length, float64.

    Parameters
    ----------
    run_id, name : str
        The run and the metric or reading.
    step : numpy.ndarray
        Steps; NaN where there is none.
    value : numpy.ndarray
        Values, which may be NaN or infinite.
    time : numpy.ndarray
        Seconds since 1970, UTC.
    total : int
        How many points there were before the curve was thinned.
    """

    run_id: str
    name: str
    step: Numbers
    value: Numbers
    time: Numbers
    total: int

    def document(self) -> dict[str, Any]:
        """Return the curve for a script, its columns as bytes."""
        return {
            "name": self.name,
            "total": self.total,
            "step": numbers(self.step),
            "value": numbers(self.value),
            "time": numbers(self.time),
        }

    def thinned(self, most: int, start: float) -> dict[str, Any]:
        """Return about `most` points for a script, with the run's id; times are milliseconds since `start`, whole."""
        small = thin(self, most)
        return {
            "run": self.run_id,
            "total": self.total,
            "step": numbers(small.step),
            "value": numbers(small.value),
            "since": numbers(((small.time - start) * 1000).round()),
        }


def read_points(connection: duckdb.DuckDBPyConnection, source: Source, run_ids: list[str]) -> Iterator[list[Curve]]:
    """Yield the curves of these runs, those of one run together, in the order of the runs.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        A catalog.
    source : str
        ``curves`` or ``system_metrics``.
    run_ids : list of str
        The runs; those without points are left out.
    """
    import numpy

    order = "step NULLS FIRST, time" if source == "curves" else "time"
    for start in range(0, len(run_ids), BATCH):
        table = execute(
            connection,
            f"SELECT run_id, name, list(coalesce(step, 'nan'::DOUBLE) ORDER BY {order}) AS step, "
            f"list(value ORDER BY {order}) AS value, list(epoch_us(time) / 1e6 ORDER BY {order}) AS time "
            f"FROM {source} WHERE list_contains($runs, run_id) GROUP BY run_id, name "
            "ORDER BY list_position($runs, run_id), name",
            {"runs": run_ids[start : start + BATCH]},
        ).to_arrow_table()
        of_run: list[Curve] = []
        names = table.column("name").to_pylist()
        columns = [table.column(part).combine_chunks() for part in ("step", "value", "time")]
        for row, run_id in enumerate(table.column("run_id").to_pylist()):
            if of_run and of_run[0].run_id != run_id:
                yield of_run
                of_run = []
            step, value, time = (
                column[row].values.to_numpy(zero_copy_only=False).astype(numpy.float64) for column in columns
            )
            of_run.append(Curve(run_id, names[row], step, value, time, len(value)))
        if of_run:
            yield of_run


def points_for(runs: int) -> int:
    """Return how many points a thinned curve has at most where so many runs have one."""
    return max(FEWEST, min(MOST, 60_000 // max(runs, 1)))


def thin(curve: Curve, most: int) -> Curve:
    """Return the curve with about `most` points at most.

    Parameters
    ----------
    curve : Curve
        Exact points.
    most : int
        Points to keep; 4 or more.
    """
    import numpy

    count = len(curve.value)
    if count <= most:
        return curve
    wide = -(-count // max((most - 2) // 2, 1))
    # The last stretch is filled up with what is neither smallest nor greatest nor odd.
    values = numpy.full(-(-count // wide) * wide, numpy.inf)
    values[:count] = curve.value
    stretches = values.reshape(-1, wide)
    finite = numpy.isfinite(stretches)
    begins = numpy.arange(len(stretches)) * wide
    some = finite.any(axis=1)
    least = (begins + numpy.where(finite, stretches, numpy.inf).argmin(axis=1))[some]
    greatest = (begins + numpy.where(finite, stretches, -numpy.inf).argmax(axis=1))[some]
    odd = begins + (~finite).argmax(axis=1)
    odd = odd[~finite.all(axis=1) & ~finite.reshape(-1)[odd]]
    chosen = numpy.unique(numpy.concatenate([[0, count - 1], least, greatest, odd[odd < count]]))
    return Curve(curve.run_id, curve.name, curve.step[chosen], curve.value[chosen], curve.time[chosen], curve.total)
