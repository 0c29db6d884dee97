"""Traces in files of a person's own: JSONL, CSV and Parquet, the same rows whichever it is.

Laws: reading checks the form of every row and names the line of the first that has none (of Parquet the row), and what
`repro_assets.training.filtering` says about content is its own; writing then reading gives the same rows; equal tables
give equal bytes. In CSV the lists ``actions`` and ``thoughts`` are JSON.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from repro_assets.artifacts.kinds.table import from_parquet
from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.wording import type_in_words

if TYPE_CHECKING:
    import pandas

FORMATS = ("jsonl", "csv", "parquet")
COLUMNS = ("image_id", "trace_id", "label", "actions", "thoughts")
LISTS = ("actions", "thoughts")
_WHOLE = re.compile(r"-?[0-9]{1,18}")


class Read(NamedTuple):
    """The rows of a file, where each begins (``line 3``), and the columns of the file that are no trace's."""

    table: pandas.DataFrame
    places: list[str]
    left_out: list[str]


def format_of(path: Path) -> str:
    """Return the format of a file by its ending.

    Raises
    ------
    InvalidValue
        If it is none of `FORMATS`.
    """
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise InvalidValue(f"{path} is no file of traces by its name", f"let it end in .{', .'.join(FORMATS)}")
    return ending


def read_traces_file(data: bytes, format: str) -> Read:
    """Read a file of traces.

    Parameters
    ----------
    data : bytes
        The file.
    format : str
        One of `FORMATS`.

    Returns
    -------
    Read
        The columns `COLUMNS`, as Python's own integers, lists and texts.

    Raises
    ------
    InvalidInput
        If the file is not of that format, a row has no such column, or one has a value that reads as none of its kind.
    InvalidValue
        If there is no such format.
    """
    import pandas

    if format not in _READERS:
        raise InvalidValue(f"there is no format {format!r} of traces", f"one of {', '.join(FORMATS)}")
    rows: list[tuple[Any, ...]] = []
    places: list[str] = []
    left_out: dict[str, None] = {}
    for place, row in _READERS[format](data):
        missing = [name for name in COLUMNS if name not in row]
        if missing:
            raise _wrong(place, f"it has no {' and no '.join(missing)}")
        rows.append(tuple(row[name] for name in COLUMNS))
        places.append(place)
        left_out.update(dict.fromkeys(name for name in row if name not in COLUMNS))
    if not rows:
        raise InvalidInput("the file of traces holds none", "give one with a trace in it")
    # As objects, so that one row's odd value changes no other's type.
    table = pandas.DataFrame(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)), dtype=object)
    return Read(table, places, list(left_out))


def write_traces_file(table: pandas.DataFrame, format: str) -> bytes:
    """Return the content of a file of traces.

    Parameters
    ----------
    table : pandas.DataFrame
        Traces, with any further columns of numbers or text.
    format : str
        One of `FORMATS`.

    Raises
    ------
    InvalidValue
        If there is no such format.
    """
    if format == "parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        return buffer.getvalue()
    if format not in FORMATS:
        raise InvalidValue(f"there is no format {format!r} of traces", f"one of {', '.join(FORMATS)}")
    names = [str(name) for name in table.columns]
    columns = [
        [list(value) for value in table[name]] if name in LISTS else table[name].tolist() for name in table.columns
    ]
    rows = [[_plain(value) for value in row] for row in zip(*columns, strict=True)]
    if format == "jsonl":
        lines = [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in rows]
        return "".join(f"{line}\n" for line in lines).encode()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([json.dumps(value) if isinstance(value, list) else value for value in row] for row in rows)
    return text.getvalue().encode()


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value


def _jsonl(data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(_text(data).split("\n"), start=1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise _wrong(place, f"it is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise _wrong(place, f"it is {type_in_words(row)}, not an object")
        yield place, row


def _csv(data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(_text(data), newline=""), strict=True)
    header: list[str] | None = None
    begins = 1
    try:
        for fields in reader:
            place, begins = f"line {begins}", reader.line_num + 1
            if header is None:
                header = fields
                twice = sorted({name for name in header if header.count(name) > 1})
                if twice:
                    raise _wrong(place, f"the column {twice[0]} is there twice")
            elif fields:
                if len(fields) != len(header):
                    raise _wrong(place, f"it has {len(fields)} fields, the header {len(header)}")
                row = dict(zip(header, fields, strict=True))
                yield place, {name: _from_csv(place, name, text) for name, text in row.items()}
    except csv.Error as error:
        raise _wrong(f"line {reader.line_num}", f"it is not CSV: {error}") from error


def _from_csv(place: str, name: str, text: str) -> Any:
    if name in LISTS:
        try:
            return json.loads(text)
        except ValueError as error:
            raise _wrong(place, f"{name} is {text[:40]!r}, not a JSON list") from error
    if name in COLUMNS:
        if not _WHOLE.fullmatch(text):
            raise _wrong(place, f"{name} is {text[:40]!r}, not a whole number")
        return int(text)
    return text


def _parquet(data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow

    try:
        rows = from_parquet(data).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise InvalidInput(f"the file of traces is not Parquet: {' '.join(str(error).split())}", "mend it") from error
    for number, row in enumerate(rows, start=1):
        yield f"row {number}", row


_READERS: dict[str, Callable[[bytes], Iterator[tuple[str, dict[str, Any]]]]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "parquet": _parquet,
}


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _wrong(f"line {line}", f"it is not UTF-8 text: {error.reason}") from error


def _wrong(place: str, what: str) -> InvalidInput:
    return InvalidInput(f"{place}: {what}", "correct or remove this trace")
