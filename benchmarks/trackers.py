"""What logging a number and an empty run cost, beside other trackers, and what of it outlives a kill.

Laws: each tracker runs in a process of its own, with its settings as they come, and nothing leaves the machine; what
outlives a kill is counted in its files by a process that comes later.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import REPETITIONS, Figure, Section
from benchmarks.metrics import empty_runs, logging
from benchmarks.peers import REQUIREMENTS, measured
from repro_assets.catalog import queries
from repro_assets.store.home import Home, make_store

CALLS = {"mlflow": 100, "wandb": 5_000, "tensorboard": 20_000, "trackio": 2_000}
EMPTY = {"mlflow": 20, "wandb": 5, "tensorboard": 20, "trackio": 10}
REPEATED = 3
KILLED_AFTER = {"mlflow": 50, "wandb": 1_000, "tensorboard": 1_000, "trackio": 1_000, "repro_assets": 1_000}
WAITS = (0.0, 1.0)
_CALL = {
    "mlflow": "`MlflowClient.log_metric`, SQLite",
    "wandb": "`run.log`, offline",
    "tensorboard": "`SummaryWriter.add_scalar`",
    "trackio": "`trackio.log`",
}

_DIE = """
import os, signal, sys, time
from pathlib import Path
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin
from repro_assets.recording.run import new_run_id
from repro_assets.store.home import open_store
run = begin(open_store(Path(sys.argv[1])), RunStarted(new_run_id(), "script", "killed"))
for step in range(int(sys.argv[2])):
    run.log_metric("loss", 0.5, step)
time.sleep(float(sys.argv[3]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def measure() -> Section:
    """Measure all trackers."""
    figures, outlived = [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        home = make_store(root / "store")
        figures += [_named(figure) for figure in (*logging(home), *empty_runs(home))]
        kept = [_outlives(make_store(root / f"killed-{wait}"), wait) for wait in WAITS]
        outlived.append(_said("repro_assets", kept))
        for tracker, call in _CALL.items():
            places = [_new(root / f"{tracker}-{number}") for number in range(REPEATED + 1 + len(WAITS))]
            taken = [measured(tracker, "log", place, CALLS[tracker]) for place in places[:REPEATED]]
            name = f"{REQUIREMENTS[tracker]}: {call}"
            figures.append(Figure(f"{name}, the median call", tuple(each["each"] for each in taken)))
            figures.append(Figure(f"{name} and its share of the end", tuple(each["whole"] for each in taken)))
            empty = measured(tracker, "empty", places[REPEATED], EMPTY[tracker])
            figures.append(Figure(f"{REQUIREMENTS[tracker]}: an empty run", tuple(empty)))
            kept = []
            for wait, place in zip(WAITS, places[REPEATED + 1 :], strict=True):
                measured(tracker, "die", place, KILLED_AFTER[tracker], wait)
                kept.append(measured(tracker, "count", place))
            outlived.append(_said(tracker, kept))
    return Section(
        "Logging beside other trackers",
        "One number a call. An empty run is begun and ended in a process that has done so; that of TensorBoard is an "
        "opened and closed file, and none of theirs captures an environment as ours of the standard level does. "
        "How many points are in the files of a process that was killed right after its last call, and of one that was "
        f"killed a second later: {'; '.join(outlived)}. MLflow commits each call; ours waits for the disk twice a "
        f"second. Ours is the median of {REPETITIONS}, logging of theirs of {REPEATED} processes.",
        figures,
    )


def _named(figure: Figure) -> Figure:
    return Figure(f"repro_assets: {figure.what}", figure.seconds, figure.limit)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _said(tracker: str, kept: list[int]) -> str:
    return f"{tracker} {' and '.join(f'{count:,}' for count in kept)} of {KILLED_AFTER[tracker]:,}"


def _outlives(home: Home, wait: float) -> int:
    """Return how many points of a killed process of ours the catalog has."""
    command = [sys.executable, "-c", _DIE, str(home.root), str(KILLED_AFTER["repro_assets"]), str(wait)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != -9:
        raise RuntimeError(f"it was to be killed and ended with {done.returncode}: {done.stderr[-1000:]}")
    return int(queries.rows(home, "SELECT count(*) AS n FROM metrics")[0]["n"])
