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

from repro_assets.errors import IntegrityError, InvalidInput, UnknownName
from repro_assets.journal.segments import journal_at
from repro_assets.recording import tracing
from repro_assets.recording.tracers import tracers
from repro_assets.replay import compare, dagster_runs, tracked_runs, undeclared
from repro_assets.replay.deviation import Tolerance
from repro_assets.replay.environments import CURRENT, RECREATE, Surroundings, found_later, surroundings
from repro_assets.replay.execution import Executed
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
            causes = [
                *_environment_causes(home, compared, executed, found),
                *undeclared.possible_causes(read, again_read, _calls(home, executed, begun)),
                *_hash_seed_causes(compared),
            ]
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


def _environment_causes(
    home: Home, compared: list[Recorded], executed: Executed, found: Surroundings
) -> list[dict[str, str]]:
    """Return what differs between the environments on record and was not said before the execution."""
    originals = {run.run_id: run for run in compared}
    causes: dict[tuple[str, str], dict[str, str]] = {}
    for item in executed.result.replays:
        if item.original not in originals:
            continue
        try:
            differences = found_later(home, originals[item.original], item.environment, found.differences)
        except (UnknownName, IntegrityError) as error:
            executed.notes.append(
                f"the environments of {item.original} and its replay were not compared: {error.message}"
            )
            continue
        for each in differences:
            sides = {"the original": each["original"], "the replay": each["current"]}
            why = " and ".join(f"{side} has {value}" for side, value in sides.items() if value is not None)
            causes[each["part"], each["name"]] = {"kind": each["part"], "name": each["name"], "why": why}
    return list(causes.values())


def _hash_seed_causes(compared: list[Recorded]) -> list[dict[str, str]]:
    """Say that the order of sets of texts, which two processes do not share, was left to chance."""
    if all(run.settings.get("PYTHONHASHSEED", "0") is not None for run in compared):
        return []
    why = "it was not set, so the order of a set of texts is another in each process"
    return [{"kind": "setting", "name": "PYTHONHASHSEED", "why": why}]


def _calls(home: Home, executed: Executed, begun: list[Recorded]) -> list[str]:
    """Return the lines that read a clock or entropy in the source of the runs with which an execution began."""
    if executed.tree is None:
        return []
    try:
        lists = [undeclared.unrepeatable_lines(home, executed.tree, run) for run in begun]
    except InvalidInput as error:
        executed.notes.append(f"the source was not searched for clocks: {error.message}")
        return []
    return list(dict.fromkeys(line for each in lists for line in each))
