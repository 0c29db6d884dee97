"""What runs read that is on no record, before a replay of them, and as a possible cause where it diverged.

Laws: what is said before a replay is what the record says, and whether a file is still as it was at its place; what is
said after it is what both executions read. A cause is possible, never shown: the verdict does not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import UNDECLARED
from repro_assets.catalog.queries import Rows
from repro_assets.replay.records import Recorded
from repro_assets.store.home import Home

ORIGINAL, REPLAY = "original", "replay"
UNCHANGED, CHANGED, GONE = "unchanged", "changed", "gone"
SHOWN = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def of_originals(home: Home, runs: Iterable[Recorded]) -> Rows:
    """Return what runs read that is on no record, and how it is now.

    Parameters
    ----------
    home : Home
        The store.
    runs : iterable of Recorded
        The runs.

    Returns
    -------
    list of dict
        ``execution`` (``original``), ``run_id``, ``kind``, ``name`` (None for all of a kind that have none on record),
        ``size``, ``mtime``, ``count``, and ``now``: whether a file is ``unchanged`` at its place, ``changed`` or
        ``gone``; None where that is not known, and of what is no file.
    """
    return _read(home, ORIGINAL, {run.run_id: _place(run) for run in runs})


def of_replays(home: Home, run_ids: Iterable[str]) -> Rows:
    """Return the same of runs by their ids, of which nothing is said about now: the places of a replay are gone."""
    return [{**row, "now": None} for row in _read(home, REPLAY, dict.fromkeys(run_ids))]


def _read(home: Home, execution: str, places: Mapping[str, Path | None]) -> Rows:
    rows = queries.rows(
        home,
        f"SELECT * FROM ({UNDECLARED}) WHERE list_contains($runs, run_id) ORDER BY run_id, kind, name, mtime",
        {"runs": list(places)},
    )
    return [{"execution": execution, **row, "now": _now(row, places[row["run_id"]])} for row in rows]


def lines(rows: Rows) -> list[str]:
    """Say what a run has read that is on no record, and how it is now; a line for each, and at most `SHOWN`."""
    named = {(row["kind"], row["name"]): row["now"] for row in rows if row["name"] is not None}
    said = [f"undeclared input: {kind} {name}{_STATES.get(now, '')}" for (kind, name), now in named.items()]
    more = len(said) - SHOWN
    return [*said[:SHOWN], *([f"and {more} more undeclared inputs: see --json"] if more > 0 else [])]


def possible_causes(
    one: Rows, other: Rows, called: tuple[str, str] = ("the original", "the replay")
) -> list[dict[str, str]]:
    """Return what may be why two executions diverged: ``kind``, ``name`` and ``why`` of each, changed files first.

    Parameters
    ----------
    one, other : list of dict
        What each of them read that is on no record.
    called : pair of str
        What they are called.
    """
    found: dict[tuple[str, str], dict[str, set[Any]]] = {}
    for name, rows in zip(called, (one, other), strict=True):
        for row in rows:
            if row["name"] is not None:
                sides = found.setdefault((row["kind"], row["name"]), {})
                sides.setdefault(name, set()).add((row["size"], row["mtime"]))
    causes = [{"kind": kind, "name": name, "why": _why(kind, sides)} for (kind, name), sides in found.items()]
    return sorted(causes, key=lambda cause: cause["why"] != CHANGED_FILE)


_STATES = {UNCHANGED: ", unchanged at its place", CHANGED: ", changed since", GONE: ", gone from its place"}
SAME_FILE = "both read it, and it had the same size and time"
CHANGED_FILE = "both read it, and it had another size or time"


def _why(kind: str, sides: Mapping[str, set[Any]]) -> str:
    if len(sides) == 1:
        return f"only {next(iter(sides))} read it"
    if kind != "file":
        return "both read it, and no record says whether it gave the same"
    one, other = sides.values()
    return SAME_FILE if one == other else CHANGED_FILE


def _place(run: Recorded) -> Path | None:
    known = run.plan.get("project_root") or run.plan.get("working_folder")
    return Path(str(known)) if known else None


def _now(row: Mapping[str, Any], root: Path | None) -> str | None:
    """Return how a file is at its place; None for what is no file, or whose place is not known."""
    name = row["name"]
    # A credential in a name is "<its kind>" on record, and a byte that is not UTF-8 is spelt: the place is lost.
    if row["kind"] != "file" or name is None or "<" in name or "\\udc" in name:
        return None
    if root is None and not Path(name).is_absolute():
        return None
    try:
        facts = Path(root or "/", name).stat()
    except (OSError, ValueError):
        return GONE
    changed = _EPOCH + timedelta(microseconds=facts.st_mtime_ns // 1000)
    same = row["size"] == facts.st_size and row["mtime"] == changed.replace(tzinfo=None)
    return UNCHANGED if same else CHANGED
