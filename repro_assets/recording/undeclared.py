"""What runs read that is on no record, from their start to their end.

Laws: it is one record of each process that read something, at the run's end, or where a child leaves; names go past
the secret scanner, and of each kind the first `NAMED` are recorded, the others counted. The run's end has one warning,
with the first names, also of forked children that have left by then, and what to do. A process that a run started knows
what that declared by the variable `INPUTS`.

Of a command's own run nothing is recorded, because this process is not the one that computes. Limit: what was read
before the run began, unless it begins late, and by a process that was killed.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.capture.audit_events import close_window, open_window, open_windows
from repro_assets.capture.project import project_root
from repro_assets.capture.secrets import redact_text
from repro_assets.capture.source_tree import SourceCapture
from repro_assets.capture.undeclared import FILE, Noted, Window
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import RunStarted, UndeclaredInputs
from repro_assets.recording.handed_up import HandedUp
from repro_assets.store.home import Home, store_of

INPUTS = "REPRO_RUN_INPUTS"
"""Variable that tells a child process which files and folders are inputs on record, as a JSON list."""
NAMED = 100
SHOWN = 3
_REMEDY = "declare a file with use_path or --input, or commit it; give a value from elsewhere to use_value"
_LOADED = time.time_ns()
"""What this process made before a script's run began is made again by a replay, which executes the whole process."""
_CLOCK_STEP = 20_000_000
"""Nanoseconds by which the times of files may be behind the clock: they move with the kernel's timer."""


class _Windows:
    """The windows of the runs that this process has begun, or is attached to."""

    def __init__(self) -> None:
        self._open: dict[str, Window] = {}
        self._told: dict[str, list[UndeclaredInputs]] = {}
        self._expected = False
        self._early: Window | None = None
        self._lock = threading.RLock()
        self._handed_up = HandedUp()
        os.register_at_fork(before=self._before_fork, after_in_child=self._after_fork)

    def expect(self, expected: bool = True) -> None:
        """Note from now on what a run reads that begins when its work is done, as a plain asset's does; or no more."""
        with self._lock:
            self._expected = expected
            self._begin_early()

    def watch(
        self,
        started: RunStarted,
        source: SourceCapture | None = None,
        *,
        late: bool = False,
        recorded_in: Home | None = None,
    ) -> None:
        """Note from now on what a run reads; of one that begins `late`, since the last one ended.

        Parameters
        ----------
        started : RunStarted
            Its start.
        source : SourceCapture, optional
            What its stored source tree holds; left out where none was stored, and by a replay, whose tree was laid out.
        late : bool
            Whether its work has begun already.
        recorded_in : Home, optional
            Where its source tree is on record, in a process that is attached to it.
        """
        if started.run_kind in ("command", "parent"):
            return
        root, sources = _root(started, source), None
        if source is not None:
            sources = frozenset(file.absolute for file in source.files)
        elif recorded_in is not None and started.source is not None and started.replay_of is None:
            tree = repository.by_digest(recorded_in, Digest.parse(started.source), name="source tree")
            sources = frozenset(os.path.join(root, entry.name) for entry in tree.manifest.entries)  # noqa: PTH118
        with self._lock:
            if started.run_id in self._open:
                # The process that began it is attached to it, or a fork of that one.
                return
            window = self._early if late else None
            if window is not None:
                window.sources, self._early = sources, None
            else:
                since = time.time_ns() if started.run_kind == "asset" else _LOADED
                window = Window(root, since - _CLOCK_STEP, sources, declared())
                open_window(window)
            self._open[started.run_id] = window

    def noted(self, run_id: str, warnings: list[str] | None = None) -> list[UndeclaredInputs]:
        """Stop noting; return the records of what a run read in this process, the same ones if asked again.

        Parameters
        ----------
        run_id : str
            The run.
        warnings : list of str, optional
            Gets what is to be said of it, once.
        """
        with self._lock:
            window = self._open.pop(run_id, None)
            if window is None:
                return self._told.get(run_id, [])
            close_window(window)
            items = _described(window.noted())
            self._handed_up.say(run_id, [{name: item[name] for name in ("kind", "name")} for item in items])
            of_children = [item for item in self._handed_up.heard(run_id) if item not in items]
            said = [sentence([*items, *of_children])] if items or of_children else []
            if window.failed is not None:
                said.append(f"undeclared inputs may be missing in the record: {redact_text(window.failed)}")
            if warnings is not None:
                warnings += said
            self._told[run_id] = [UndeclaredInputs(run_id, items)] if items else []
            return self._told[run_id]

    def forget(self, run_id: str) -> None:
        """Forget a run that has ended."""
        with self._lock:
            self._told.pop(run_id, None)
            window = self._open.pop(run_id, None)
            if window is not None:
                close_window(window)
            self._begin_early()

    def _begin_early(self) -> None:
        if self._early is not None:
            close_window(self._early)
        self._early = None
        if self._expected:
            self._early = Window(project_root(), time.time_ns() - _CLOCK_STEP, frozenset())
            open_window(self._early)

    def _before_fork(self) -> None:
        if self._open:
            self._handed_up.give_slot()

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        self._told = {}
        if self._open:
            self._handed_up.become_child()
        else:
            self._handed_up = HandedUp()


_windows = _Windows()
expect, watch, noted, forget = _windows.expect, _windows.watch, _windows.noted, _windows.forget


def declare(path: str | os.PathLike[str]) -> None:
    """Say that a file, or a folder with all below it, is an input on record, read before this or after."""
    for window in open_windows():
        window.declare(path)


def declare_connections() -> None:
    """Say that what was read from the network until now came into a value that is on record."""
    for window in open_windows():
        window.declare_connections()


def variable(paths: Iterable[str | os.PathLike[str]] = ()) -> dict[str, str]:
    """Return the variable by which a process that is started knows what is declared, and `paths` beside."""
    return {INPUTS: json.dumps(sorted({os.path.realpath(path) for path in paths} | declared()))}


def sentence(items: Sequence[dict[str, Any]]) -> str:
    """Say in one warning what was read and is on no record.

    Parameters
    ----------
    items : sequence of dict
        As `UndeclaredInputs` has them; not empty.
    """
    named = list(dict.fromkeys(f"{item['kind']} {item['name']}" for item in items if item["name"] is not None))
    more = len(named) - SHOWN
    shown = ", ".join(named[:SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"undeclared inputs, which are on no record: {shown}; {_REMEDY}"


def _described(found: Sequence[Noted]) -> list[dict[str, Any]]:
    """Return what is recorded of what was noted: the first names of each kind, and how often others were read."""
    items: list[dict[str, Any]] = []
    named, others = Counter[str](), Counter[str]()
    for each in found:
        if each.kind == FILE and each.place and _is_own(each.place):
            continue
        if not each.name or named[each.kind] >= NAMED:
            others[each.kind] += each.count()
            continue
        named[each.kind] += 1
        item = {"kind": each.kind, "name": redact_text(each.name), "count": each.count()}
        items.append(item if each.size is None else {**item, "size": each.size, "mtime_ns": each.mtime_ns})
    return items + [{"kind": kind, "name": None, "count": count} for kind, count in others.items()]


def _is_own(place: str) -> bool:
    """Whether a file is a store's, or Dagster's."""
    home = os.environ.get("DAGSTER_HOME")
    if home and place.startswith(os.path.realpath(home) + "/"):
        return True
    try:
        return store_of(Path(place)) is not None
    except OSError:
        return False  # Where the process may look no more, it cannot be told.


def _root(started: RunStarted, source: SourceCapture | None) -> Path:
    if source is not None:
        return source.root
    known = started.plan.get("project_root") or started.plan.get("working_folder")
    # As the paths of a captured tree are.
    return (Path(known) if known else project_root()).resolve()


def declared() -> set[str]:
    """Return the files and folders that the runs of this process, and of those that started it, have declared."""
    here = {path for window in open_windows() for path in window.declared}
    return here.union(json.loads(os.environ.get(INPUTS, "[]")))
