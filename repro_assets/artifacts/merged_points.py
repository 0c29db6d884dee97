"""The metric points of merged segments: Parquet on the disk, lines of the journal to whoever needs their bytes.

Laws: what a line of metrics says is in the rows of the points exactly where the line can be made from them again, byte
for byte; every other line stays as it is (`repro_assets.journal.merged`).
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO

from repro_assets.artifacts.kinds.table import parquet_file
from repro_assets.journal.lines import write_line
from repro_assets.journal.merged import Form, Merge, MetricLine, frames, objects_of
from repro_assets.journal.metrics import Metrics
from repro_assets.journal.records import Record
from repro_assets.store.home import Home

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow.parquet

ROWS_AT_ONCE = 65_536


class PointsWriter:
    """Writes the points of lines of metrics to a Parquet file, in memory that does not grow with their number.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet

        self.rows = 0
        self._schema = _schema()
        self._writer = pyarrow.parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._waiting: list[pyarrow.Table] = []
        self._held = 0

    def add(self, rows: pyarrow.Table) -> None:
        """Take the rows of a line that `rows_of` made."""
        self._waiting.append(rows)
        self._held += rows.num_rows
        self.rows += rows.num_rows
        if self._held >= ROWS_AT_ONCE:
            self._write()

    def close(self) -> None:
        """Finish the file."""
        self._write()
        self._writer.close()

    def _write(self) -> None:
        import pyarrow

        if self._waiting:
            self._writer.write_table(pyarrow.concat_tables(self._waiting), row_group_size=ROWS_AT_ONCE)
        self._waiting, self._held = [], 0


def rows_of(record: Record, points: pyarrow.Table, line: bytes) -> pyarrow.Table | None:
    """Return the rows that stand for a line of metrics, None where they could not be made into the line again.

    Parameters
    ----------
    record : Record
        What the line says.
    points : pyarrow.Table
        Its points: run_id, name, step, value and time.
    line : bytes
        The line as it is.
    """
    import pyarrow

    if record.follows or not points.num_rows or not isinstance(record.payload, Metrics):
        return None
    named = {
        "run": points["run_id"],
        **{name: points[name] for name in ("name", "step", "value", "time")},
        "system": pyarrow.repeat(pyarrow.scalar(bool(record.payload.system)), points.num_rows),
        "record": pyarrow.repeat(pyarrow.scalar(record.id), points.num_rows),
    }
    rows = pyarrow.table(named).cast(_schema())
    return rows if write_line(metrics_of(rows), seq=record.seq, time=record.time) == line else None


def points_of(home: Home, line: MetricLine) -> pyarrow.Table:
    """Return the points of a line of metrics with the columns run, name, step, value, time, system and record.

    Raises
    ------
    CorruptObject, MissingObject
        If the object that holds them does not read.
    """
    import pyarrow

    file, starts = _opened(home, line.merge)
    first, last = line.row, line.row + line.points
    found = [
        _group(home, line.merge, number).slice(max(first - start, 0), min(last, end) - max(first, start))
        for number, (start, end) in enumerate(starts)
        if start < last and first < end
    ]
    return pyarrow.concat_tables(found) if found else file.schema_arrow.empty_table()


def metrics_of(points: pyarrow.Table) -> Metrics:
    """Return the payload of the record whose points these are, of which there is one at least."""
    import pyarrow

    return Metrics.of_columns(
        points["run"][0].as_py(),
        points["name"].to_pylist(),
        points["step"].to_pylist(),
        points["value"].to_pylist(),
        points["time"].cast(pyarrow.int64()).to_pylist(),
        system=points["system"][0].as_py(),
    )


def open_segment(home: Home, form: Form) -> BinaryIO:
    """Open the bytes of a segment in any form; one in a merge is held in memory.

    Raises
    ------
    FileNotFoundError
        If the segment's file is gone.
    CorruptObject, MissingObject
        If an object of a merge does not read.
    """
    if form.merge is None or form.part is None:
        return (home.journal / form.name).open("rb")
    return io.BytesIO(
        b"".join(
            write_line(metrics_of(points_of(home, held)), seq=held.seq, time=held.time)
            if isinstance(held, MetricLine)
            else held
            for _, _, held in frames(home, form.merge, form.part)
        )
    )


@lru_cache(maxsize=2)
def _opened(home: Home, merge: Merge) -> tuple[pyarrow.parquet.ParquetFile, list[tuple[int, int]]]:
    file = parquet_file(objects_of(home, merge)[1])
    starts, begin = [], 0
    for number in range(file.num_row_groups):
        end = begin + file.metadata.row_group(number).num_rows
        starts.append((begin, end))
        begin = end
    return file, starts


@lru_cache(maxsize=2)
def _group(home: Home, merge: Merge, number: int) -> pyarrow.Table:
    return _opened(home, merge)[0].read_row_group(number)


def _schema() -> pyarrow.Schema:
    import pyarrow

    return pyarrow.schema(
        {
            "run": pyarrow.string(),
            "name": pyarrow.string(),
            "step": pyarrow.int64(),
            "value": pyarrow.float64(),
            "time": pyarrow.timestamp("us"),
            "system": pyarrow.bool_(),
            "record": pyarrow.string(),
        }
    )
