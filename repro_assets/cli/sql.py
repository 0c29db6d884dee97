"""``repro sql``."""

from __future__ import annotations

import csv
import enum
import io
import sys
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from repro_assets.cli.options import AsJson
from repro_assets.errors import InvalidValue


class Format(enum.StrEnum):
    """How an answer is written."""

    table = "table"
    json = "json"
    csv = "csv"
    parquet = "parquet"


def sql(
    query: Annotated[str, typer.Argument(help="One statement that reads, such as: SELECT * FROM runs")],
    format: Annotated[Format, typer.Option(help="How the rows are written.")] = Format.table,
    output: Annotated[Path | None, typer.Option(help="A file for the rows; stdout if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the catalog in SQL; it is brought up to date first, and only read."""
    from repro_assets.catalog import queries
    from repro_assets.cli.answering import settled
    from repro_assets.store import outside

    if as_json and format is not Format.table and format is not Format.json:
        raise InvalidValue(f"--json and --format {format.value} exclude each other", "give one")
    chosen = Format.json if as_json else format
    if chosen is Format.parquet and output is None and sys.stdout.isatty():
        raise InvalidValue("Parquet is not for a terminal", "give --output FILE, or send it into a pipe")
    table = queries.query(settled(), query)
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice and chosen is not Format.csv:
        raise InvalidValue(f"two columns are called {twice[0]!r}", "name one of them with AS")
    if output is None:
        _write(table, chosen, sys.stdout)
        return
    content = io.BytesIO()
    with io.TextIOWrapper(content, encoding="utf-8", newline="") as file:
        _write(table, chosen, file)
        file.flush()
        outside.write(output, content.getvalue())


def _write(table: Any, format: Format, file: TextIO) -> None:
    from repro_assets.cli.rendering import cell, print_json, print_table
    from repro_assets.wording import plain

    if format is Format.parquet:
        import pyarrow.parquet

        pyarrow.parquet.write_table(table, file.buffer)
    elif format is Format.csv:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.column_names)
        columns = [column.to_pylist() for column in table.columns]
        for row in zip(*columns, strict=True):
            writer.writerow([cell(item) if isinstance(item, (dict, list)) else plain(item) for item in row])
    elif format is Format.json:
        print_json(table.to_pylist(), file)
    else:
        print_table(table.to_pylist(), None if table.num_rows else table.column_names, file=file)
