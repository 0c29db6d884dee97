"""Finding the best of a thousand runs beside MLflow's client.

Laws: both have the same thousand runs and find the same ten; both ask in a process that has asked before, this project
the catalog and MLflow its store in SQLite, with no server between.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import repro_assets
from benchmarks.measuring import Comparison, Section
from benchmarks.peer_side import QUESTIONS, accuracy, timed
from benchmarks.peers import REQUIREMENTS, measured
from repro_assets.catalog import queries
from repro_assets.catalog.projection import refresh
from repro_assets.journal import run_records
from repro_assets.journal.metrics import Metrics
from repro_assets.journal.records import Payload
from repro_assets.journal.segments import Journal
from repro_assets.store.home import Home, make_store

RUNS = 1_000
METRIC = "validation/accuracy"
LIMIT = 1 / 20
_SQL = (
    "SELECT run_id, r.name, seed, params, metrics FROM runs_wide r SEMI JOIN (SELECT run_id FROM metrics_last "
    f"WHERE name = '{METRIC}' ORDER BY value DESC LIMIT 10) USING (run_id) ORDER BY metrics['{METRIC}'] DESC"
)


def measure() -> Section:
    """Measure both."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "mlflow").mkdir()
        home = make_store(root / "store")
        fill(home, RUNS)
        refresh(home)
        asked: dict[str, Callable[[], list[Any]]] = {
            "`queries.best_runs`, which `repro runs best` calls": lambda: [
                row["value"] for row in queries.best_runs(home, METRIC, "max")
            ],
            "`repro_assets.query` of `metrics_last` and `runs`": lambda: list(
                repro_assets.query(
                    f"SELECT r.*, value FROM metrics_last m JOIN runs r USING (run_id) WHERE m.name = '{METRIC}' "
                    "ORDER BY value DESC LIMIT 10",
                    home=home,
                )["value"]
            ),
            "the same with all parameters and metrics of each, from `runs_wide`": lambda: [
                metrics[METRIC] for metrics in repro_assets.query(_SQL, home=home)["metrics"]
            ],
            "the macro `best_run`, which finds one": lambda: list(
                repro_assets.query(f"SELECT value FROM best_run('{METRIC}')", home=home)["value"]
            ),
        }
        theirs = measured("mlflow", "find", root / "mlflow", RUNS)
        ours = {}
        for what, ask in asked.items():
            found = ask()
            if found != theirs["best"][: len(found)] or len(found) not in (1, 10):
                raise RuntimeError(f"{what} and MLflow find different runs: {found}, {theirs['best']}")
            ours[what] = [timed(ask) for _ in range(QUESTIONS)]
    return Section(
        "The best of a thousand runs",
        f"{RUNS:,} runs, each with a seed, 5 parameters and 3 metrics; the best 10 by one of these. Theirs is "
        "`MlflowClient.search_runs` with `order_by` and `max_results=10` on SQLite, whose rows are copies of those "
        "that the client wrote for one run. Each question of ours looks first whether the journal has anything new.",
        comparisons=[_compared(what, taken, theirs["taken"]) for what, taken in ours.items()],
        repetitions=QUESTIONS,
    )


def _compared(what: str, ours: list[tuple[float, float]], theirs: list[tuple[float, float]]) -> Comparison:
    wall, spent = zip(*ours, strict=True)
    their_wall, their_spent = zip(*theirs, strict=True)
    return Comparison(
        what,
        wall,
        REQUIREMENTS["mlflow"],
        their_wall,
        LIMIT if "best_runs" in what else None,
        processor=statistics.median(spent) / statistics.median(their_spent),
    )


def fill(home: Home, count: int) -> None:
    """Record `count` runs as `peer_side` fills MLflow with, in one segment."""
    journal = Journal(home.journal)
    journal.append(*(record for number in range(count) for record in _records(number)))
    journal.close()


def _records(number: int) -> Iterator[Payload]:
    run, now = f"{number:08x}-run", time.time()
    value = accuracy(number) if number else 0.0
    yield run_records.RunStarted(run, "script", f"run-{number}", seed=number % 5)
    yield run_records.Params(run, {f"parameter_{place}": number % 7 for place in range(5)})
    yield Metrics.of(run, [[name, 0, value, now] for name in ("train/loss", METRIC, "validation/loss")])
    yield run_records.RunEnded(run, "COMPLETED")
