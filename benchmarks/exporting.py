"""Writing a thousand runs into MLflow, beside MLflow's own client.

Laws: both write the same runs with the same names, times, parameters, tags and points, in the same batches, into
databases whose tables were made before; they take turns. Ours reads the runs from the store, and writes the environment
and the record of each beside; theirs has all of it in memory, as entities of MLflow.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import Comparison, Section, timed
from benchmarks.peers import REQUIREMENTS
from repro_assets.artifacts import repository
from repro_assets.catalog.projection import refresh
from repro_assets.interchange import formats
from repro_assets.journal import run_records
from repro_assets.journal.metrics import Metrics
from repro_assets.journal.records import Payload
from repro_assets.journal.segments import Journal
from repro_assets.mirrors.mlflow_writing import BATCH_OTHERS, Place
from repro_assets.store.home import Home, make_store

RUNS = 1_000
NAMES = ("train/loss", "train/accuracy", "validation/loss", "validation/accuracy")
STEPS = 25
TURNS = 3
LIMIT = 1.1
_ENVIRONMENT = {
    "level": "basic",
    "os": {"system": "Linux"},
    "python": {"version": "3.11.9"},
    "packages": [{"name": f"package-{number}", "version": "1.0"} for number in range(100)],
}


def measure() -> Section:
    """Measure both."""
    # Below the current folder MLflow puts the artifacts of a database's runs.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        root = Path(folder)
        home = make_store(root / "store")
        runs = fill(home, RUNS)
        refresh(home)
        empty = root / "empty.db"
        _client(empty).search_experiments()
        entities = _entities(_exported(home, runs, empty, root / "first"))
        ours, theirs = [], []
        for turn in range(TURNS):
            ours.append(timed(functools.partial(_exported, home, runs, empty, root / f"ours-{turn}")))
            theirs.append(timed(functools.partial(_plain, entities, empty, root / f"theirs-{turn}")))
    return Section(
        "Exporting a thousand runs to MLflow",
        f"{RUNS:,} runs, each with 5 parameters and {len(NAMES) * STEPS} points of {len(NAMES)} metrics, "
        f"{RUNS * len(NAMES) * STEPS:,} points in all, into a database of SQLite that has its tables. Theirs is "
        "`MlflowClient.create_run`, `log_batch` and `set_terminated` with entities in memory; ours also reads the runs "
        "from the store and writes environment and record of each as artifacts.",
        comparisons=[
            Comparison("`repro export --format mlflow`", tuple(ours), REQUIREMENTS["mlflow"], tuple(theirs), LIMIT)
        ],
        repetitions=TURNS,
    )


def fill(home: Home, count: int) -> list[str]:
    """Record runs, and return their ids."""
    environment = str(repository.put(home, _ENVIRONMENT).digest)
    journal = Journal(home.journal)
    runs = [f"{number:016x}" for number in range(count)]
    journal.append(*(record for run in runs for record in _records(run, environment)))
    journal.close()
    return runs


def _records(run: str, environment: str) -> Iterator[Payload]:
    now, number = time.time(), int(run, 16)
    yield run_records.RunStarted(
        run, "script", f"run-{number}", seed=number % 5, experiment="digits", environment=environment
    )
    yield run_records.Params(run, {f"parameter_{place}": number % 7 for place in range(5)})
    points = [(name, step, number / (step + 1), now + step) for step in range(STEPS) for name in NAMES]
    yield Metrics.of(run, points)
    yield run_records.RunEnded(run, "COMPLETED")


def _client(database: Path) -> Any:
    return Place(f"sqlite:///{database}", str(database.parent / "artifacts")).client


def _copy(empty: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return Path(shutil.copy(empty, folder / "mlflow.db"))


def _exported(home: Home, runs: list[str], empty: Path, folder: Path) -> Any:
    database = _copy(empty, folder)
    done = formats.export(*runs, to=f"sqlite:///{database}", format="mlflow", home=home)
    if len(done.facts["runs"]) != len(runs):
        raise RuntimeError(f"{len(done.facts['runs'])} runs of {len(runs)} were exported")
    return _client(database)


def _entities(client: Any) -> list[tuple[dict[str, Any], dict[str, list[Any]], int]]:
    """Return what was exported as MLflow's client takes it: the run, its batch, its end."""
    from mlflow.entities import Param, RunTag

    found = []
    (experiment,) = [each for each in client.search_experiments() if each.name == "digits"]
    token = None
    while True:
        page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
        for run in page:
            tags = [RunTag(name, text) for name, text in run.data.tags.items()]
            batch = {
                "metrics": [
                    point for name in run.data.metrics for point in client.get_metric_history(run.info.run_id, name)
                ],
                "params": [Param(name, text) for name, text in run.data.params.items()],
                "tags": tags[:BATCH_OTHERS],
            }
            about = {"run_name": run.info.run_name, "start_time": run.info.start_time}
            found.append((about, batch, run.info.end_time))
        token = page.token
        if not token:
            return found


def _plain(entities: list[tuple[dict[str, Any], dict[str, list[Any]], int]], empty: Path, folder: Path) -> None:
    client = _client(_copy(empty, folder))
    experiment = client.create_experiment("digits")
    for about, batch, ended in entities:
        run = client.create_run(experiment, **about)
        client.log_batch(run.info.run_id, **batch)
        client.set_terminated(run.info.run_id, "FINISHED", end_time=ended)
