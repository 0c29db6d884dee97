"""Executing runs again from their records, in a fresh process.

The source tree is laid out of the store into an empty folder; the process begins there with that tree first on its
path; the recorded settings are set before it starts; afterwards the products are compared and the verdict is recorded.
Nothing of the working copy takes part.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from repro_assets.journal.segments import journal_at
from repro_assets.recording import tracing
from repro_assets.recording.tracers import tracers
from repro_assets.replay import compare, dagster_runs, tracked_runs, undeclared
from repro_assets.replay.causes import possible_causes
from repro_assets.replay.deviation import Tolerance
from repro_assets.replay.environments import CURRENT, RECREATE, Surroundings, surroundings
from repro_assets.replay.execution import ReplayFailed as ReplayFailed
from repro_assets.replay.installing import Progress
from repro_assets.replay.needs import check_asked
from repro_assets.replay.records import Asked, Recorded, asked_for
from repro_assets.replay.report import Report as Report
from repro_assets.replay.report import joined, verdict_on
from repro_assets.replay.upstream import with_upstream
from repro_assets.store.home import Home


def replay(
    home: Home,
    run_id: str,
    *,
    tolerance: Tolerance | None = None,
    upstream: bool = False,
    timeout: float | None = None,
    log: IO[bytes] | None = None,
    environment: str = CURRENT,
    environment_folder: Path | None = None,
    told: Callable[[str], object] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Execute a run, or every run that a parent groups, again and record the verdict.

    Parameters
    ----------
    home : Home
        The store.
    run_id : str
        The run.
    tolerance : Tolerance, optional
        Within which other bits are `equivalent`; none are if left out.
    upstream : bool
        First replay every run that its inputs came from.
    timeout : float, optional
        Seconds after which the process is ended; no limit if left out.
    log : file, optional
        Where the process's output goes; this process's stderr if left out.
    environment : str
        ``current``, or ``recreate`` to build the recorded one first.
    environment_folder : Path, optional
        Where it is built; in the store's cache if left out.
    told : callable, optional
        Given what is to be said: what differs, before anything is executed, and what was done otherwise, after it.
    progress : callable, optional
        Given how many packages have been looked at while an environment is built, and how many there are.

    Raises
    ------
    InvalidValue, MissingVariable, MissingObject
        If the run cannot be replayed; nothing has been started then.
    ReplayFailed
        If the process ended without an answer, or took too long.
    MachineError
        If an environment cannot be built.
    """
    chain = with_upstream(home, run_id) if upstream else [asked_for(home, run_id)]
    for asked in chain:
        check_asked(home, asked, os.environ, environment=environment == RECREATE)
    began = time.monotonic()
    tracers.start(home)
    parts: list[Report] = []
    with tracing.span(f"replay {run_id}", home=home):
        for asked in chain:
            compared = [run for run in asked.runs if run.products]
            found = surroundings(home, asked.entry or compared[0], environment, environment_folder, progress)
            if told is not None:
                for line in filter(None, [found.sentence(), *found.notes]):
                    told(line)
            left = timeout if timeout is None or not parts else max(timeout - (time.monotonic() - began), 0.001)
            parts.append(_replayed(home, asked, compared, found, tolerance, left, log, told))
    return joined(run_id, parts, time.monotonic() - began, environment)


def _replayed(
    home: Home,
    asked: Asked,
    compared: list[Recorded],
    found: Surroundings,
    tolerance: Tolerance | None,
    timeout: float | None,
    log: IO[bytes] | None,
    told: Callable[[str], object] | None,
) -> Report:
    """Execute what one process executes, and record the verdicts."""
    began = time.monotonic()
    read = undeclared.of_originals(home, asked.family or compared)
    if told is not None:
        for line in undeclared.lines(read):
            told(line)
    with tempfile.TemporaryDirectory(prefix="repro-replay-") as folder:
        if asked.entry is None:
            executed = dagster_runs.execute(home, compared, Path(folder), found, timeout, log)
        else:
            executed = tracked_runs.execute(home, asked, Path(folder), found, timeout, log)
        seconds = time.monotonic() - began
        records = [verdict_on(home, run, executed.result, seconds, tolerance) for run in compared]
        journal_at(home.journal).append(*records)
        again_read = undeclared.of_replays(home, executed.run_ids)
        causes = []
        if any(record.verdict == compare.DIVERGED for record in records):
            begun = [asked.entry] if asked.entry is not None else compared
            causes = possible_causes(home, compared, begun, executed, found, (read, again_read))
    if told is not None:
        for note in executed.notes:
            told(f"note: {note}")
    again = {item.original: item.run_id for item in executed.result.replays}
    grouped = executed.parent is not None and (len(compared) > 1 or compared[0].run_id != asked.run_id)
    return Report(
        verdict=compare.worst([record.verdict for record in records]),
        original_run=asked.run_id,
        replay_run=executed.parent if grouped else again.get(asked.runs[0].run_id),
        records=records,
        seconds=seconds,
        environment_differences=found.differences,
        notes=[*found.notes, *executed.notes],
        undeclared=[*read, *again_read],
        possible_causes=causes,
    )
