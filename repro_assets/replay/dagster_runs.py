"""Executing again what Dagster executed: the child of the laid-out tree, with a plan.

The child is that of the tree where the project is this one, so an old tree runs its own.
"""

from __future__ import annotations

import dataclasses
import subprocess
import uuid
from pathlib import Path
from typing import IO

from repro_assets.artifacts import repository
from repro_assets.determinism.fresh_process import run_words
from repro_assets.identity.digest import Digest
from repro_assets.replay.environments import Surroundings, check_imports
from repro_assets.replay.execution import Executed, ReplayFailed, too_long
from repro_assets.replay.plan import Result, make_plan
from repro_assets.replay.records import Recorded, runs_of
from repro_assets.replay.stopping import stop_variables
from repro_assets.replay.variables import variables_of
from repro_assets.store.home import Home

CHILD = "repro_assets.orchestration.replay_child"


def execute(
    home: Home, runs: list[Recorded], work: Path, found: Surroundings, timeout: float | None, log: IO[bytes] | None
) -> Executed:
    """Execute runs that share one source tree, job and settings again.

    Parameters
    ----------
    home : Home
        The store.
    runs : list of Recorded
        The runs, one for each step.
    work : Path
        An empty folder.
    found : Surroundings
        What they are executed in.
    timeout : float, optional
        Seconds after which it is ended; no limit if left out.
    log : file, optional
        Where the process's output goes; this process's stderr if left out.

    Raises
    ------
    InvalidValue
        If they do not share these.
    ReplayFailed
        If the process ended without an answer.
    """
    parent = str(uuid.uuid4())
    tree, plan, answer = work / "tree", work / "plan.json", work / "result.json"
    make_plan(runs, home=home.root, tree=tree, parent=parent).write(plan)
    repository.by_digest(home, Digest.parse(str(runs[0].source)), name="source tree").lay_out(tree)
    variables = {**variables_of(home, tree, runs[0]), **found.variables, **stop_variables(home, runs)}
    if found.variables:
        check_imports(found, CHILD, variables, tree)
    try:
        code = run_words([found.python, "-m", CHILD, str(plan), str(answer)], tree, variables, timeout, log)
    except subprocess.TimeoutExpired as error:
        raise too_long(timeout) from error
    if not answer.is_file():
        raise ReplayFailed(f"the replay's process ended with code {code} and no result", "see its output above")
    result = _with_checkpoints(home, runs, Result.read(answer))
    return Executed(result, parent, tree=tree, run_ids=[each.run_id for each in result.replays])


def _with_checkpoints(home: Home, runs: list[Recorded], result: Result) -> Result:
    """Add what is compared of a run beside its outputs, which are all that a child tells."""
    wanted = {run.run_id: run.products.keys() for run in runs}
    lacking = [each.run_id for each in result.replays if wanted[each.original] - each.products.keys()]
    made = {run_id: run.products for run_id, run in runs_of(home, lacking).items()} if lacking else {}
    replays = []
    for each in result.replays:
        more = {slot: digest for slot, (_, digest) in made.get(each.run_id, {}).items()}
        replays.append(dataclasses.replace(each, products={**more, **each.products}))
    return dataclasses.replace(result, replays=replays)
