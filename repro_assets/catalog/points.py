"""Metric points on their way from a record to the catalog, as columns.

Laws: no row is made for a point; a record with one impossible value becomes no row at all, as every other record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repro_assets.catalog.rows import EARLIEST, LATEST, Unfit, boolean_of, integer_of, number_of, text_of
from repro_assets.journal.metrics import Metrics

if TYPE_CHECKING:
    import numpy
    import pyarrow


def table_of(payload: Metrics) -> str:
    """Name the table that takes the points of a record."""
    return "system_metrics" if boolean_of(payload.system) else "metrics"


def columns_of(payload: Metrics) -> pyarrow.Table:
    """Return the points of a record as an Arrow table with the columns run_id, name, step, value and time.

    Raises
    ------
    Unfit
        If a value has an impossible type or size, or the columns have different lengths.
    """
    import numpy
    import pyarrow

    run = text_of(payload.run_id)
    if run is None:
        raise Unfit("run_id is missing")
    count = len(payload.which)
    if not len(payload.steps) == len(payload.values) == len(payload.times) == count:
        raise Unfit("the columns of points have different lengths")
    names = [_name(name) for name in payload.names]
    which, apart = _integers(payload.which), _integers(payload.times)
    if count and not (which.min() >= 0 and which.max() < len(names)):
        raise Unfit("a point has a name that is not there")
    about = numpy.cumsum(apart, dtype=numpy.float64)
    if count and not (about.min() >= EARLIEST * 1e6 and about.max() <= LATEST * 1e6):
        raise Unfit("the time of a point is outside the years 1 to 9999")
    steps: list[int | None] = payload.steps
    if not set(map(type, steps)) <= {int, type(None)}:
        steps = [integer_of(step) for step in steps]
    values: list[float] = payload.values
    if not set(map(type, values)) <= {float}:
        values = [number_of(value) for value in values]
    try:
        places = pyarrow.array(steps, pyarrow.int64())
    except OverflowError as error:
        raise Unfit("a step is not a 64-bit integer") from error
    return pyarrow.table(
        {
            "run_id": pyarrow.repeat(pyarrow.scalar(run, pyarrow.string()), count),
            "name": pyarrow.array(names, pyarrow.string()).take(pyarrow.array(which)),
            "step": places,
            "value": pyarrow.array(values, pyarrow.float64()),
            "time": pyarrow.array(numpy.cumsum(apart)).cast(pyarrow.timestamp("us")),
        }
    )


def _name(name: Any) -> str:
    text = text_of(name)
    if text is None:
        raise Unfit("a metric has no name")
    return text


def _integers(numbers: list[int]) -> numpy.ndarray[Any, Any]:
    import numpy

    if not set(map(type, numbers)) <= {int}:
        raise Unfit("a position or a time of a point is no integer")
    try:
        return numpy.array(numbers, numpy.int64)
    except OverflowError as error:
        raise Unfit("a position or a time of a point is not a 64-bit integer") from error
