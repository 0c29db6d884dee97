"""Executing a run again under a probe, and reading what it saw.

Laws: the run is executed as a replay executes it, with the orders in a file beside the plan; it is a run of its own,
ended after the last step that is wanted, and no verdict is recorded, because nothing whole was made. A line that was
cut off when the process died is left out.
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from repro_assets.artifacts import repository
from repro_assets.determinism.probe import Orders
from repro_assets.errors import CheckFailed
from repro_assets.identity.digest import Digest
from repro_assets.replay import launch
from repro_assets.replay.plan import Recorded, Result, check_replayable, make_plan
from repro_assets.replay.records import recorded_runs
from repro_assets.store.home import Home


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


def executable(home: Home, run_id: str) -> Recorded:
    """Return the record of the one run that is to be executed again.

    Raises
    ------
    InvalidValue, MissingVariable
        If it cannot be, with the reason.
    """
    runs = recorded_runs(home, run_id)
    check_replayable(runs, os.environ)
    return runs[0]


def look(
    home: Home, run: Recorded, work: Path, orders: Orders, *, timeout: float | None, log: IO[bytes] | None
) -> Seen:
    """Execute a run again and return what was seen.

    Parameters
    ----------
    home : Home
        The store.
    run : Recorded
        The run.
    work : Path
        An empty folder, which has to stay as long as the values are read.
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
        If it ended before it came to a step that is wanted, or nothing watches its training.
    """
    folder, tree = work / "seen", work / "tree"
    folder.mkdir(parents=True)
    repository.by_digest(home, Digest.parse(str(run.source)), name="source tree").lay_out(tree)
    make_plan([run], home=home.root, tree=tree, parent=str(uuid.uuid4())).write(work / "plan.json")
    variables = replace(orders, folder=str(folder)).written(work / "orders.json")
    failed: launch.ReplayFailed | None = None
    try:
        launch._execute(work, tree, {**launch._environment(home, tree, run), **variables}, timeout, log)
    except launch.ReplayFailed as error:
        # It ends without a result where it has seen enough.
        failed = error
    seen = read(folder)
    if not seen.fingerprints or (failed is not None and "more than" in failed.message):
        if failed is not None and seen.fingerprints:
            raise failed
        answer = work / "result.json"
        raised = Result.read(answer).error if answer.is_file() else None
        said = f": {raised['type']}: {raised['message']}" if raised else ""
        raise CheckFailed(
            f"executing run {run.run_id} again showed no step of a training{said}",
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
