"""Answers on stdout: one JSON document, or tables for people.

Laws: values are those of `repro_assets.wording`; digests are strings. On a pipe a table is as wide as its content and
nothing is cut; what looks like markup is shown as it is.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from repro_assets.wording import plain, words

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.tree import Tree

_PIPE_WIDTH = 4000
LONGEST_FACT = 400


def print_json(document: Any, file: TextIO | None = None) -> None:
    """Write one JSON document to stdout, or to a file."""
    file = file or sys.stdout
    file.write(json.dumps(plain(document), allow_nan=False, indent=2 if file.isatty() else None) + "\n")


def cell(value: Any) -> str:
    """Return a value as a table shows it: its words, without the characters that would steer a terminal."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in words(value)
    )


def short(digest: Any) -> str | None:
    """Return the beginning of a digest, enough to name it."""
    return None if digest is None else str(digest).removeprefix("sha256:")[:12]


def seconds(value: float | None) -> float | None:
    """Return a duration to a tenth of a second."""
    return None if value is None else round(value, 1)


def cut(value: Any) -> Any:
    """Return the beginning of a value whose text is long, and where the whole is; any other value as it is."""
    text = cell(value)
    return value if len(text) <= LONGEST_FACT else f"{text[:LONGEST_FACT]}… (whole with --json)"


def print_table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] | None = None,
    title: str = "",
    file: TextIO | None = None,
) -> None:
    """Write rows as a table.

    Parameters
    ----------
    rows : sequence of mappings
        The rows.
    columns : sequence of str, optional
        Which columns, in which order; those that are empty in every row are left out. The first row's if not given.
    title : str
        A line above.
    file : text file, optional
        Where to; stdout if left out.
    """
    from rich.table import Table
    from rich.text import Text

    names = list(columns) if columns is not None else list(rows[0]) if rows else []
    names = [name for name in names if not rows or columns is None or any(row.get(name) is not None for row in rows)]
    table = Table(title=title or None, title_justify="left", box=_box(), show_edge=False, pad_edge=False)
    for name in names:
        numbers = any(isinstance(row.get(name), (int, float)) and not isinstance(row.get(name), bool) for row in rows)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(row.get(name))) for name in names))
    if names:
        _show(table, file)


def print_facts(facts: Mapping[str, Any], title: str = "") -> None:
    """Write names and values, one a line; what is None or empty is left out."""
    from rich.table import Table
    from rich.text import Text

    if title:
        # A table would break its title to its own width.
        print_line(title)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value is not None and value not in ("", [], {}):
            table.add_row(Text(name), Text(cell(value)))
    _show(table)


def print_line(text: str) -> None:
    """Write a line of text as it is."""
    sys.stdout.write(cell(text) + "\n")


def print_tree(tree: Tree) -> None:
    """Write a rich tree."""
    _show(tree)


def _box() -> Any:
    from rich import box

    return box.SIMPLE_HEAD


def _show(item: RenderableType, file: TextIO | None = None) -> None:
    from rich.console import Console

    # Resolved at each call: whoever captures stdout replaces it.
    file = file or sys.stdout
    if file.isatty():
        Console(file=file, highlight=False, emoji=False).print(item)
        return
    whole = io.StringIO()
    Console(file=whole, width=_PIPE_WIDTH, highlight=False, emoji=False).print(item)
    file.write("\n".join(line.rstrip() for line in whole.getvalue().splitlines()) + "\n")
