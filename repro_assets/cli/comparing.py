"""Comparisons and groups of runs, for people and for other programs.

Laws: what differs is never cut; what a run's code or names hold cannot move the cursor of a terminal.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from repro_assets.cli.rendering import cell, print_json, print_line, print_table, short
from repro_assets.wording import plain, words

if TYPE_CHECKING:
    from repro_assets.inspection.comparison import RunComparison, RunDifference

_SHOWN = ("n", "mean", "sd", "low", "high", "smallest", "greatest", "not_finite", "configs")


def print_comparison(found: RunComparison) -> None:
    """Write what differs between runs, part by part, and the code as unified diffs."""
    names = _columns(found)
    heads = [{"": name, **run} for name, run in zip(names, found.runs, strict=True)]
    print_table(heads, ("", "run_id", "name", "asset", "state", "seed", "started_at"))
    parts = dict.fromkeys(each.part for each in found.differences)
    for part in parts:
        rows = [_row(each, names) for each in found.differences if each.part == part]
        print_table(rows, list(dict.fromkeys(name for row in rows for name in row)), title=f"\n{part}")
    for each in found.code:
        name = names[next(n for n, run in enumerate(found.runs) if run["run_id"] == each.run_id)]
        rows = [{"file": file.path, "change": file.change, "+": file.added, "-": file.removed} for file in each.files]
        print_table(rows, ("file", "change", "+", "-"), title=f"\ncode, {names[0]} to {name}")
        sys.stdout.write("\n")
        for file in each.files:
            for line in file.diff.removesuffix("\n").split("\n"):
                print_line(line.expandtabs())
    if found.not_compared:
        rows = [{"what": what, "reason": reason} for what, reason in found.not_compared.items()]
        print_table(rows, title="\nnot compared")
    if found.equal:
        print_line("nothing differs")


def print_groups(rows: Sequence[dict[str, Any]], keys: Sequence[str], format: str) -> None:
    """Write groups of runs as ``table``, ``csv``, ``latex`` or ``json``."""
    if format == "json":
        print_json(rows)
    elif format == "latex":
        from repro_assets.inspection.group_table import latex_table

        sys.stdout.write(latex_table(rows, keys))
    elif format == "csv":
        names = [*keys, "metric", *_SHOWN, "seeds"]
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            written = {**row, "seeds": " ".join(map(str, row["seeds"] or ()))}
            values = [written[name] for name in names]
            writer.writerow([words(value) if isinstance(value, list) else plain(value) for value in values])
    else:
        shown = [{**row, "not_finite": row["not_finite"] or None, "configs": _mixed(row)} for row in rows]
        print_table(shown, [*keys, "metric", *_SHOWN])


def _mixed(row: dict[str, Any]) -> int | None:
    return row["configs"] if row["configs"] > 1 else None


def _columns(found: RunComparison) -> list[str]:
    """Return a letter for each run, or its number where letters do not do."""
    count = len(found.runs)
    return [chr(ord("A") + number) for number in range(count)] if count <= 26 else [f"#{n + 1}" for n in range(count)]


def _row(each: RunDifference, names: list[str]) -> dict[str, Any]:
    return {"name": each.name, **dict(_cells(each, names))}


def _cells(each: RunDifference, names: list[str]) -> Iterator[tuple[str, Any]]:
    for number, name in enumerate(names):
        value = each.values[number]
        yield name, short(value) if isinstance(value, str) and value.startswith("sha256:") else cell(value)
        if number and each.deltas is not None:
            delta = each.deltas[number]
            yield f"{name}-{names[0]}", None if delta is None else f"{delta:+.6g}"
        if number and each.how is not None:
            yield f"{names[0]} to {name}", each.how[number]
