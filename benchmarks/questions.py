"""What asking about many runs costs: the best, the list, groups over seeds, within a process that is open.

A question is a call of this project's Python: it looks whether the catalog is up to date, opens it, and answers.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.measuring import Figure, Section, repeated, timed
from repro_assets.catalog import queries
from repro_assets.catalog.projection import refresh
from repro_assets.journal import run_records
from repro_assets.journal.records import Payload
from repro_assets.journal.segments import Journal
from repro_assets.store.home import Home, make_store

AT_ONCE = 1_000
STEPS = 5


def measure() -> Section:
    """Measure questions to stores with 1,000 and with 100,000 runs."""
    figures: list[Figure] = []
    for count in (1_000, 100_000):
        with tempfile.TemporaryDirectory() as folder:
            home = make_store(Path(folder) / "store")
            fill(home, count)
            figures.append(Figure(f"{count:,} runs: the catalog from nothing", (timed(lambda: refresh(home)),)))  # noqa: B023
            figures += questions(home, f"{count:,} runs")
    about = (
        f"Each run has 3 metrics of {STEPS} points, 4 hyperparameters and a seed. A question is one call in a process "
        "that has asked before."
    )
    return Section("Questions about runs", about, figures)


def questions(home: Home, what: str) -> list[Figure]:
    """Measure the questions to one store."""
    from repro_assets.catalog.groups import group_runs

    asked = {
        "best 10 by a metric": (lambda: queries.best_runs(home, "validation/accuracy"), 0.06),
        "list of the newest 50": (lambda: queries.list_runs(home), None),
        "list by a metric and a parameter": (
            lambda: queries.list_runs(home, "metrics['train/loss'] < 0.5 AND (config ->> 'width') = '64'"),
            1.0,
        ),
        "groups by learning rate and width, two metrics": (
            lambda: group_runs(home, ["learning_rate", "width"], ["validation/accuracy", "train/loss"]),
            1.0,
        ),
        "the name last~1": (lambda: queries.resolve_run(home, "last~1"), None),
    }
    figures = []
    for name, (ask, limit) in asked.items():
        ask()
        figures.append(repeated(f"{what}: {name}", lambda: timed(ask), limit))  # noqa: B023
    return figures


def fill(home: Home, count: int) -> None:
    """Record `count` runs, five seeds of each config, in one segment."""
    journal = Journal(home.journal)
    now = time.time()
    for first in range(0, count, AT_ONCE):
        records: list[Payload] = []
        for number in range(first, min(first + AT_ONCE, count)):
            records += _records(number, now + number)
        journal.append(*records)
    journal.close()


def _records(number: int, now: float) -> list[Payload]:
    run, trial = f"{number:08x}-run", number // 5
    config = {"learning_rate": 10.0 ** -(1 + trial % 4), "width": 32 << trial % 3, "steps": STEPS, "trial": trial}
    rows = [
        [name, step, (number * 7919 % 10_007) / 10_007 / (step + 1), now]
        for name in ("train/loss", "validation/accuracy", "validation/loss")
        for step in range(STEPS)
    ]
    return [
        run_records.RunStarted(
            run, "asset", f"sft-{number}", asset="models/sft", seed=number % 5, config=config, tags=["sweep"]
        ),
        run_records.Metrics.of(run, rows),
        run_records.RunEnded(run, "COMPLETED"),
    ]
