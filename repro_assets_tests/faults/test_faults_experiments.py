"""Sixteen experiments at once in processes, threads and forks, some of them killed, while others read the catalog."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from experiment_families import LEAVES, MEMBERS, RAISES, SPAWNED, figure
from waiting import alive, until

from repro_assets.catalog import queries
from repro_assets.store.home import Home, make_store

PROGRAM = Path(__file__).with_name("experiment_families.py")
ROOT = Path(__file__).parents[2]
FAMILIES = [f"family-{number}" for number in range(3)]
NAMES = [family + member for family in FAMILIES for member in MEMBERS] + [SPAWNED]
ENDS = ("COMPLETED", "FAILED", "INTERRUPTED")


class Said:
    """What an experiment has said of itself so far."""

    def __init__(self, folder: Path, name: str) -> None:
        path = folder / f"{name}.said"
        lines = path.read_text().splitlines() if path.exists() else []
        self.run_id, self.pid = (lines[0].split()[1], int(lines[0].split()[2])) if lines else (None, 0)
        self.ending, self.ended = "ending" in lines, "ended" in lines
        self.durable = max((int(line) for line in lines if line.isdigit()), default=-1)


def pids(folder: Path) -> set[int]:
    """Return the processes of all that have begun."""
    return {said.pid for name in NAMES if (said := Said(folder, name)).pid}


class Reader(threading.Thread):
    """Reads the catalog as a command does and as a foreign client does, until it is told to stop."""

    def __init__(self, home: Home) -> None:
        super().__init__()
        self.home = home
        self.stopped = threading.Event()
        self.error: BaseException | None = None
        self.looks = 0
        self.seen: dict[str, tuple[str, int]] = {}

    def run(self) -> None:
        try:
            while not self.stopped.wait(0.02):
                self.look()
        except BaseException as error:  # noqa: BLE001 (the test raises it)
            self.error = error

    def begin(self) -> None:
        """Read from now on."""
        self.start()
        until(lambda: self.looks > 0 or self.error is not None)

    def end(self) -> None:
        """Look for the last time, and raise what went wrong."""
        self.stopped.set()
        self.join()
        if self.error is not None:
            raise self.error
        self.look()

    def look(self) -> None:
        sql = "SELECT run_id, state, (SELECT count(*) FROM metrics m WHERE m.run_id = r.run_id) AS n FROM runs r"
        rows = [tuple(row.values()) for row in queries.rows(self.home, sql)]
        with duckdb.connect(self.home.catalog, read_only=True) as connection:
            foreign = connection.execute(sql).fetchall()
        assert len(foreign) >= len(rows)
        for run_id, state, count in rows:
            before, least = self.seen.get(run_id, ("RUNNING", 0))
            assert count >= least, f"{run_id} had {least} points and has {count}"
            assert before in ("RUNNING", state), f"{run_id} was {before} and is {state}"
            self.seen[run_id] = (state, count)
        self.looks += 1


@contextlib.contextmanager
def families(folder: Path, steps: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start them all; in the end none is left."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("REPRO_")}
    variables |= {"REPRO_HOME": str(folder / "data"), "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen([sys.executable, str(PROGRAM), str(folder), name, str(steps)], env=variables)
        for name in FAMILIES
    ]
    try:
        yield started
    finally:
        for process in started:
            process.wait(120)
        until(lambda: not any(alive(pid) for pid in pids(folder)))


def check(home: Home, folder: Path, steps: int, killed: set[int]) -> dict[str, str]:
    """Compare the catalog with what every experiment said, and return the states by name."""
    rows = queries.rows(home, "SELECT run_id, name, state, parent_run_id, error_message FROM runs")
    found = {row["name"]: row for row in rows}
    assert len(found) == len(rows) and set(found) <= set(NAMES)
    points: dict[str, list[tuple[int, float]]] = {}
    for row in queries.rows(home, "SELECT run_id, step, value FROM metrics ORDER BY step"):
        points.setdefault(row["run_id"], []).append((row["step"], row["value"]))
    for name in NAMES:
        said, row = Said(folder, name), found.get(name)
        if row is None:
            assert said.run_id is None, f"{name} had begun"
            continue
        check_one(name, said, row, points.get(row["run_id"], []), steps, killed)
        parent = None if name in FAMILIES else found["-".join(name.split("-")[:2])]["run_id"]
        assert row["parent_run_id"] == parent
    return {name: row["state"] for name, row in found.items()}


def check_one(
    name: str, said: Said, row: dict[str, Any], points: list[tuple[int, float]], steps: int, killed: set[int]
) -> None:
    assert said.run_id in (None, row["run_id"])
    expected = [(step, figure(name, step)) for step in range(len(points))]
    assert points == expected, name
    assert len(points) > said.durable
    if said.ended:
        assert (row["state"], len(points)) == ("COMPLETED", steps), name
    elif name == RAISES and row["state"] == "FAILED":
        assert (row["error_message"], len(points)) == (name, steps)
    elif said.ending:
        assert row["state"] in ("COMPLETED", "INTERRUPTED"), name
    else:
        assert row["state"] == "INTERRUPTED", name
        assert said.run_id is None or said.pid in killed or name in (LEAVES, RAISES), f"{name} was not killed"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_store(tmp_path / "data")


def test_each_of_sixteen_has_its_state_its_metrics_and_its_parent(home: Home, tmp_path: Path) -> None:
    reader = Reader(home)
    killed = set()
    victims = {"family-0-fork-0": signal.SIGKILL, "family-1": signal.SIGKILL, "family-2-fork-1": signal.SIGTERM}
    reader.begin()
    with families(tmp_path, 60):
        for name, number in victims.items():
            until(lambda name=name: Said(tmp_path, name).durable >= 3)
            killed.add(Said(tmp_path, name).pid)
            os.kill(Said(tmp_path, name).pid, number)
    reader.end()
    states = check(home, tmp_path, 60, killed)
    # The threads go with their process; what it had forked goes on.
    others = {"family-1-thread-0": "INTERRUPTED", "family-1-thread-1": "INTERRUPTED", LEAVES: "INTERRUPTED"}
    expected = {**dict.fromkeys(NAMES, "COMPLETED"), **dict.fromkeys(victims, "INTERRUPTED"), **others}
    assert states == {**expected, RAISES: "FAILED"}


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(25))
def test_at_random_instants_nothing_that_was_said_is_lost(home: Home, tmp_path: Path, seed: int) -> None:
    drawn = random.Random(seed)
    reader = Reader(home)
    killed: set[int] = set()
    reader.begin()
    with families(tmp_path, 60) as started:
        until(lambda: Said(tmp_path, FAMILIES[0]).pid > 0)
        for _ in range(5):
            time.sleep(drawn.uniform(0, 0.5))
            victims = sorted(pid for pid in {process.pid for process in started} | pids(tmp_path) if alive(pid))
            if not victims:
                break
            pid = drawn.choice(victims)
            killed.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, drawn.choice((signal.SIGKILL, signal.SIGTERM)))
    reader.end()
    states = check(home, tmp_path, 60, killed)
    assert all(state in ENDS for state in states.values())
    assert killed
