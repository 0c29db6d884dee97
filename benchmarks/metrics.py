"""What logging costs the caller, what a run costs that logs nothing, and when a million points can be asked for."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measuring import REPETITIONS, Figure, Section, repeated, timed
from repro_assets.capture.level import Level
from repro_assets.catalog import queries
from repro_assets.catalog.merging import merge
from repro_assets.catalog.projection import rebuild, refresh
from repro_assets.journal.metrics import Metrics
from repro_assets.journal.records import Payload
from repro_assets.journal.run_records import RunEnded, RunStarted
from repro_assets.journal.segments import Journal
from repro_assets.recording.capturing import capture
from repro_assets.recording.lifetime import begin
from repro_assets.recording.run import Run, new_run_id
from repro_assets.store.home import Home, make_store

CALLS = 100_000
MILLION = 1_000_000
AT_ONCE = 4096
SHAPES = {"1,000 runs of 1,000 points": (1_000, 1_000), "one run of 1,000,000 points": (1, MILLION)}


def measure() -> Section:
    """Measure logging, empty runs, and the way of a million points into the catalog."""
    with tempfile.TemporaryDirectory() as folder:
        home = make_store(Path(folder) / "store")
        figures = [*logging(home), *empty_runs(home)]
    for what, (runs, points) in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            home = make_store(Path(folder) / "store")
            fill(home, runs, points)
            figures += projection(home, what)
    about = (
        f'Each repetition of the first line is the median of {CALLS:,} calls of `run.log_metric("loss", 0.5, step)`; '
        "the second one is all of them with a flush. An empty run is begun and ended, in a process that has done so. "
        "Points of the million are a loss of one name, in one journal file for each run but in the last case; the peak "
        "of memory is that of a process that only projects."
    )
    return Section("Logging and a million points", about, figures)


def logging(home: Home) -> list[Figure]:
    """Measure `log_metric`."""
    each, all_of_them = [], []
    for _ in range(REPETITIONS):
        run = begin(home, RunStarted(new_run_id(), "script", "logging"))
        seconds, whole = _calls(run)
        each.append(seconds)
        all_of_them.append(whole / CALLS)
        run.end()
    return [
        Figure("log_metric, the median call", tuple(each), 3e-6),
        Figure("log_metric and its share of the flush", tuple(all_of_them)),
    ]


def _calls(run: Run) -> tuple[float, float]:
    clock, log = time.perf_counter, run.log_metric
    taken = []
    began = clock()
    for step in range(CALLS):
        before = clock()
        log("loss", 0.5, step)
        taken.append(clock() - before)
    run.flush()
    whole = clock() - began
    taken.sort()
    return taken[CALLS // 2], whole


def empty_runs(home: Home) -> list[Figure]:
    """Measure runs that do nothing, with and without a capture."""

    def empty() -> None:
        begin(home, RunStarted(new_run_id(), "script", "empty")).end()

    def captured() -> None:
        found = capture(home, Level.STANDARD)
        source = None if found.source is None else str(found.source.digest)
        started = RunStarted(new_run_id(), "script", "empty", environment=str(found.environment.digest), source=source)
        begin(home, started).end()

    empty()
    captured()
    return [
        repeated("an empty run, nothing captured", lambda: timed(empty), 0.01),
        repeated("an empty run, captured at the standard level", lambda: timed(captured), 0.08),
    ]


def fill(home: Home, runs: int, points: int) -> None:
    """Record runs with points of one metric, each run in a journal file of its own."""
    now = round(time.time() * 1e6)
    for number in range(runs):
        journal = Journal(home.journal)
        journal.append(*_records(f"{number:08x}-run", number, points, now))
        journal.close()


def _records(run: str, number: int, points: int, now: int) -> Iterator[Payload]:
    yield RunStarted(run, "asset", f"sft-{number}", asset="models/sft", job=f"job-{number % 7}", seed=number)
    for first in range(0, points, AT_ONCE):
        steps = range(first, min(first + AT_ONCE, points))
        values = [1.0 / (1.0 + step + number / 1000) for step in steps]
        yield Metrics.of_columns(run, ["train/loss"] * len(steps), steps, values, [now + 1_000 * s for s in steps])
    yield RunEnded(run, "COMPLETED")


def projection(home: Home, what: str) -> list[Figure]:
    """Measure the catalog of a store with a million points: from nothing, a run more, questions, merging."""
    memory = peak_of_a_refresh(home)
    figures = [Figure(f"{what}: the catalog from nothing (peak {memory:.0f} MiB)", (timed(lambda: rebuild(home)),), 15)]

    def one_more() -> float:
        journal = Journal(home.journal)
        journal.append(*_records(new_run_id(), 1, 100, round(time.time() * 1e6)))
        journal.close()
        return timed(lambda: refresh(home))

    figures.append(repeated(f"{what}: a new run is visible", one_more, 1.0))
    by_job = "SELECT job, m.name, count(*), avg(value) FROM metrics m JOIN runs USING (run_id) GROUP BY ALL"
    figures.append(_question(home, f"{what}: grouped by job and metric", by_job, 0.2))
    if what.startswith("1,000"):
        curve = "SELECT step, value FROM metrics WHERE run_id = '00000007-run' AND name = 'train/loss' ORDER BY step"
        figures.append(_question(home, f"{what}: the curve of one run", curve, 0.01))
    figures.append(Figure(f"{what}: merged", (timed(lambda: merge(home)),)))
    figures.append(Figure(f"{what}: the catalog from the merge", (timed(lambda: rebuild(home)),), 15))
    return figures


def _question(home: Home, what: str, sql: str, limit: float) -> Figure:
    """Measure a question to a catalog that is open, as Arrow."""
    with queries.connect(home) as connection:
        ask: Callable[[], object] = lambda: connection.execute(sql).to_arrow_table()  # noqa: E731
        ask()
        return repeated(what, lambda: timed(ask), limit)


def peak_of_a_refresh(home: Home) -> float:
    """Return the greatest memory, MiB, of a process that makes the catalog of a store."""
    code = (
        "import sys, resource; from pathlib import Path; from repro_assets.store.home import Home; "
        "from repro_assets.catalog.projection import rebuild; rebuild(Home(Path(sys.argv[1]))); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(home.root)], capture_output=True, text=True, check=True)
    return float(done.stdout) / 1024
