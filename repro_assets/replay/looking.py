"""Executing a run again under a probe, and reading what it saw.

Laws: the run is executed as a replay executes it, with the orders in a file beside the plan; it is a run of its own,
ended after the last step that is wanted, and no verdict is recorded, because nothing whole was made. A line that was
cut off when the process died is left out.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from repro_assets.catalog import queries
from repro_assets.determinism.probe import Orders
from repro_assets.determinism.process_variables import variables_set
from repro_assets.errors import CheckFailed, InvalidValue
from repro_assets.replay import dagster_runs, tracked_runs
from repro_assets.replay.environments import CURRENT, surroundings
from repro_assets.replay.execution import ReplayFailed, TooLong
from repro_assets.replay.needs import check_asked
from repro_assets.replay.records import Asked, asked_for
from repro_assets.store.home import Home

_TRAININGS = """
WITH RECURSIVE family(id) AS (
    SELECT $run UNION SELECT r.run_id FROM runs r JOIN family f ON r.parent_run_id = f.id
)
SELECT run_id, name, run_kind, coalesce(replay_of, run_id) AS original,
    run_id IN (SELECT run_id FROM fingerprints) AS watched
FROM runs SEMI JOIN family ON id = run_id ORDER BY started_at, run_id
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a probe saw.

    Parameters
    ----------
    folder : Path
        Where its values are.
    fingerprints, ops : list of dict
        The lines of its answer.
    """

    folder: Path
    fingerprints: list[dict[str, Any]] = field(default_factory=list)
    ops: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Trained:
    """A training on record.

    Parameters
    ----------
    run_id : str
        The run that was named: the training's own, or one that it is a part of.
    training : str
        The run that has the fingerprints.
    original : str
        The run that this one executes again, or itself.
    kind : str
        Its kind.
    """

    run_id: str
    training: str
    original: str
    kind: str


def training_of(home: Home, run_id: str) -> Trained:
    """Return the training that a run is, or that it had recorded by the processes and experiments under it.

    Raises
    ------
    InvalidValue
        If it had several recorded.
    """
    rows = queries.rows(home, _TRAININGS, {"run": run_id})
    watched = [row for row in rows if row["watched"]]
    own = [row for row in watched if row["run_id"] == run_id]
    if len(watched) > 1 and not own:
        names = ", ".join(f"{row['run_id']} ({row['name']})" for row in watched)
        raise InvalidValue(f"run {run_id} recorded several trainings: {names}", "name one of them")
    named = next(row for row in rows if row["run_id"] == run_id)
    found = (own or watched or [named])[0]
    return Trained(run_id, found["run_id"], found["original"], found["run_kind"])


def executable(home: Home, trained: Trained) -> Asked:
    """Return what executes a training again: what was named of scripts, commands and notebooks, else its own run.

    Raises
    ------
    InvalidValue, MissingVariable, MissingObject
        If it cannot be, with the reason.
    """
    asked = asked_for(home, trained.training if trained.kind == "asset" else trained.run_id)
    check_asked(home, asked, os.environ, products=False)
    return asked


def look(
    home: Home,
    asked: Asked,
    training: str,
    work: Path,
    orders: Orders,
    *,
    timeout: float | None,
    log: IO[bytes] | None,
) -> Seen:
    """Execute a run again and return what was seen.

    Parameters
    ----------
    home : Home
        The store.
    asked : Asked
        The run.
    training : str
        The recorded run whose training is looked at, among those that the execution makes again.
    work : Path
        A folder that is not there yet, and has to stay as long as the values are read.
    orders : Orders
        What is wanted; their folder is made here.
    timeout : float, optional
        Seconds after which the process is ended.
    log : file, optional
        Where its output goes; this process's stderr if left out.

    Raises
    ------
    ReplayFailed
        If it took too long.
    CheckFailed
        If it failed before it came to a step that is wanted.
    InvalidValue
        If nothing watches its training.
    """
    folder, place = work / "seen", work / "execution"
    folder.mkdir(parents=True)
    place.mkdir()
    # Of an asset there is but one, and its tree may be of before orders could name it.
    wanted = None if asked.entry is None else training
    variables = replace(orders, folder=str(folder), run=wanted).written(work / "orders.json")
    raised: dict[str, str] | None = None
    with variables_set(variables):
        found = surroundings(home, asked.entry or asked.runs[0], CURRENT, None, None)
        try:
            if asked.entry is None:
                executed = dagster_runs.execute(home, asked.runs, place, found, timeout, log)
            else:
                executed = tracked_runs.execute(home, asked, place, found, timeout, log)
            raised = executed.result.error
        except TooLong:
            raise
        except ReplayFailed as error:
            # It ends without a result where it has seen enough.
            raised = {"type": "ReplayFailed", "message": error.message}
    seen = read(folder)
    if not seen.fingerprints:
        said = f": {raised['type']}: {raised['message']}" if raised else ""
        refused = CheckFailed if raised else InvalidValue
        raise refused(
            f"executing run {asked.run_id} again showed no step of a training{said}",
            "its source needs a Loop of this project's, or Experiment.watch",
        )
    return seen


def read(folder: Path) -> Seen:
    """Read the answer of a probe."""
    return Seen(folder, _lines(folder / "fingerprints.jsonl"), _lines(folder / "ops.jsonl"))


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    whole = path.read_text("utf-8")
    return [json.loads(line) for line in whole[: whole.rfind("\n") + 1].splitlines()]
