"""Executing runs again from their records, in a fresh process.

The source tree is laid out of the store into an empty folder; the child is started there with that tree first on its
path, so that an old tree runs its own child; the recorded settings are set before the process starts; afterwards the
products are compared and the verdict is recorded. Nothing of the working copy takes part.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from repro_assets.artifacts import repository
from repro_assets.determinism.fresh_process import run_module
from repro_assets.determinism.mode import Mode
from repro_assets.determinism.process_start import warning_filters
from repro_assets.determinism.setting_differences import setting_differences
from repro_assets.determinism.settings import RECORDED_VARIABLES
from repro_assets.errors import ReproError
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import ReplayMade
from repro_assets.journal.segments import journal_at
from repro_assets.recording import tracing
from repro_assets.recording.capturing import source_folders
from repro_assets.recording.tracers import tracers
from repro_assets.replay import compare
from repro_assets.replay.plan import Recorded, Replayed, Result, check_replayable, make_plan
from repro_assets.replay.records import recorded_runs
from repro_assets.store.home import VARIABLE, Home

CHILD = "repro_assets.orchestration.replay_child"


class ReplayFailed(ReproError):
    """The child ended without a result."""


@dataclass(frozen=True, slots=True)
class Report:
    """The answer of a replay.

    Parameters
    ----------
    verdict : str
        The worst of `products`.
    original_run : str
        The run that was asked for; a parent stands for all runs that it groups.
    replay_run : str or None
        The run that did the work again (the replay's parent for a parent).
    records : list of ReplayMade
        What was recorded, one for each original run.
    """

    verdict: str
    original_run: str
    replay_run: str | None
    records: list[ReplayMade]
    seconds: float

    def document(self) -> dict[str, Any]:
        """Return the JSON answer of the command line."""
        differences: list[dict[str, Any]] = []
        for record in self.records:
            differences += [item for item in record.differences if item not in differences]
        return {
            "verdict": self.verdict,
            "reason": next((r.reason for r in self.records if r.verdict == self.verdict and r.reason), None),
            "original_run": self.original_run,
            "replay_run": self.replay_run,
            "products": [product for record in self.records for product in record.products],
            "differences": differences,
            "metrics": [metric for record in self.records for metric in record.metrics],
            "seconds": self.seconds,
        }


def replay(home: Home, run_id: str, *, timeout: float | None = None, log: IO[bytes] | None = None) -> Report:
    """Execute a run, or every run that a parent groups, again and record the verdict.

    Parameters
    ----------
    home : Home
        The store.
    run_id : str
        The run.
    timeout : float, optional
        Seconds after which the child is ended; no limit if left out.
    log : file, optional
        Where the child's output goes; this process's stderr if left out.

    Raises
    ------
    InvalidValue, MissingVariable
        If the run cannot be replayed; nothing has been started then.
    ReplayFailed
        If the child ended without an answer.
    """
    runs = recorded_runs(home, run_id)
    check_replayable(runs, os.environ)
    parent = str(uuid.uuid4())
    began = time.monotonic()
    tracers.start(home)
    with tracing.span(f"replay {run_id}", home=home), tempfile.TemporaryDirectory(prefix="repro-replay-") as folder:
        work = Path(folder)
        tree = work / "tree"
        repository.by_digest(home, Digest.parse(str(runs[0].source)), name="source tree").lay_out(tree)
        make_plan(runs, home=home.root, tree=tree, parent=parent).write(work / "plan.json")
        _execute(work, tree, _environment(home, tree, runs[0]), timeout, log)
        result = Result.read(work / "result.json")
    seconds = time.monotonic() - began
    records = [_verdict(run, result, seconds) for run in runs]
    journal_at(home.journal).append(*records)
    grouped = len(runs) > 1 or runs[0].run_id != run_id
    return Report(
        verdict=compare.worst([record.verdict for record in records]),
        original_run=run_id,
        replay_run=parent if grouped else records[0].replay_run,
        records=records,
        seconds=seconds,
    )


def _environment(home: Home, tree: Path, run: Recorded) -> dict[str, str]:
    """Return the child's variables: the recorded ones that decide bits, and none of that kind which was not set."""
    mode = Mode(**run.mode) if run.mode else Mode()
    wanted: dict[str, str | None] = dict(mode.environment())
    if run.settings:
        wanted = {
            **wanted,
            **dict.fromkeys(RECORDED_VARIABLES),
            **run.settings["variables"],
            "PYTHONHASHSEED": run.settings["PYTHONHASHSEED"],
            "CUBLAS_WORKSPACE_CONFIG": run.settings["cublas"]["workspace"],
        }
    found = {
        **os.environ,
        **tracing.process_environment(),
        VARIABLE: str(home.root),
        "PYTHONPATH": os.pathsep.join(map(str, source_folders(tree))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": warning_filters(os.environ),
    }
    for name, value in wanted.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = value
    return found


def _execute(work: Path, tree: Path, environment: dict[str, str], timeout: float | None, log: IO[bytes] | None) -> None:
    try:
        code = run_module(CHILD, [work / "plan.json", work / "result.json"], tree, environment, timeout, log)
    except subprocess.TimeoutExpired as error:
        raise ReplayFailed(
            f"the replay took more than {timeout:g} s and was ended", "give a longer --timeout"
        ) from error
    if not (work / "result.json").is_file():
        raise ReplayFailed(f"the replay's process ended with code {code} and no result", "see its output above")


def _verdict(run: Recorded, result: Result, seconds: float) -> ReplayMade:
    again = next((item for item in result.replays if item.original == run.run_id), None)
    differences = setting_differences(run.settings, again.settings) if again is not None else []
    comparable = not (differences or result.wrong_code or run.edited_sources)
    made = again.products if again is not None else {}
    products = compare.compare_products(run.products, made, comparable=comparable)
    verdict = compare.worst([product.verdict for product in products])
    if result.wrong_code or run.edited_sources:
        verdict = compare.NOT_COMPARABLE
    return ReplayMade(
        original_run=run.run_id,
        replay_run=again.run_id if again is not None else None,
        verdict=verdict,
        reason=_reason(run, verdict, again, result, differences),
        products=[dataclasses.asdict(product) for product in products],
        differences=differences,
        metrics=compare.metric_pairs(run.metrics, again.metrics if again is not None else {}),
        seconds=seconds,
    )


def _reason(
    run: Recorded, verdict: str, again: Replayed | None, result: Result, differences: list[dict[str, Any]]
) -> str | None:
    if result.wrong_code:
        return f"wrong code: {', '.join(result.wrong_code)}"
    if run.edited_sources:
        return f"wrong code: edited while the original ran: {', '.join(run.edited_sources)}"
    if again is None or again.state != "COMPLETED":
        said = f": {result.error['type']}: {result.error['message']}" if result.error else ""
        return f"the replay did not complete{said}"
    if verdict == compare.NOT_COMPARABLE:
        return "settings differ: " + ", ".join(item["setting"] for item in differences)
    return None
