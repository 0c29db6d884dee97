"""Kills writers, the projection, the publication and the merging of a journal at random instants.

``python journal_kills.py kill FOLDER KILLS SEED`` kills each of them so often, in turn, in one store, and prints what
became of it; ``python journal_kills.py poll FOLDER SECONDS`` lets 8 processes log while others project and merge, and a
client opens the catalog again and again. Laws: the process that kills opens no database and has no threads, so a child
is a fork and begins at once; what DuckDB is asked is asked in such a child too. A check that fails ends the run with
its traceback.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet  # noqa: F401 - once, and not in every child

from repro_assets.artifacts.soundness import check_store
from repro_assets.catalog import publication
from repro_assets.catalog.merging import merge
from repro_assets.catalog.projection import rebuild, refresh
from repro_assets.journal.merged import list_merges
from repro_assets.journal.run_records import RunStarted
from repro_assets.journal.segments import list_segments
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home, make_store

KINDS = ("log", "project", "publish", "merge")


def fork(work: Callable[[], Any]) -> int:
    """Start a child that does some work, and return its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - a child never goes on in its parent's code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def in_child(work: Callable[[], Any]) -> None:
    """Do some work in a child, and fail where it fails."""
    _, status = os.waitpid(fork(work), 0)
    assert status == 0, f"a child ended with {status}"


class Campaign:
    """One store, and what was acknowledged of it.

    Parameters
    ----------
    home : Home
        The store.
    seed : int
        Decides the instants.
    """

    def __init__(self, home: Home, seed: int) -> None:
        self.home = home
        self.random = random.Random(seed)
        self.acknowledged: dict[str, int] = {}
        self.kills = dict.fromkeys(KINDS, 0)
        self.too_late = dict.fromkeys(KINDS, 0)
        self.runs = 0

    def round(self) -> None:
        """Kill one of each."""
        self.log(kill=True)
        self.kill("project", lambda: refresh(self.home))
        self.log(kill=False)
        in_child(lambda: refresh(self.home))
        self.kill("publish", self._publish)
        self.kill("merge", lambda: merge(self.home))
        in_child(self._open)

    def log(self, *, kill: bool) -> None:
        """Let a child log and say over a pipe what it has flushed; kill it, or let it end its run."""
        self.runs += 1
        run_id = f"{self.runs:016x}"
        ours, its = os.pipe()

        def work() -> None:
            run = begin(self.home, RunStarted(run_id, "script", "killed"))
            for step in range(1_000_000 if kill else 200):
                run.log_metric("loss", step / 7, step)
                if step % 20 == 19:
                    run.flush()
                    os.write(its, b"%d\n" % step)
            run.end()

        child = fork(work)
        os.close(its)
        with os.fdopen(ours, "rb") as told:
            if kill:
                time.sleep(self.random.uniform(0.0, 0.06))
                os.kill(child, signal.SIGKILL)
                self.kills["log"] += 1
            lines = [line for line in told.read().split(b"\n")[:-1] if line]
        os.waitpid(child, 0)
        self.acknowledged[run_id] = int(lines[-1]) + 1 if lines else 0

    def kill(self, kind: str, work: Callable[[], Any]) -> None:
        """Do some work in a child and kill it at a random instant, most often before it has done."""
        child = fork(work)
        time.sleep(self.random.uniform(0.0, self.span(kind)))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or status == 0, f"{kind} ended with {status}"
        self.kills[kind] += 1
        late = not os.WIFSIGNALED(status)
        self.too_late[kind] += late
        # How long it takes depends on what else the machine does, and most kills are to find it at work.
        self._spans[kind] *= 0.7 if late else 1.1

    def span(self, kind: str) -> float:
        """Return within how many seconds this work is to be killed: at first, how long it takes."""
        if kind not in self._spans:
            self.log(kill=False)
            started = time.perf_counter()
            in_child(
                {"project": lambda: refresh(self.home), "merge": lambda: merge(self.home)}.get(kind, self._publish)
            )
            self._spans[kind] = time.perf_counter() - started
        return self._spans[kind]

    _spans: dict[str, float] = {}  # noqa: RUF012 - of this machine, so for all

    def finish(self) -> None:
        """Assert that all that was acknowledged is there, once, in the catalog as it is and as it is made anew."""
        before = self.home.catalog
        in_child(lambda: refresh(self.home))
        assert before.is_file()
        in_child(self._count)
        in_child(lambda: merge(self.home))
        in_child(lambda: rebuild(self.home))
        in_child(self._count)
        found = check_store(self.home)
        assert found.ok, found.document()
        assert list_segments(self.home.journal) == []
        assert len(list_merges(self.home.journal)) == 1

    def _publish(self) -> None:
        with publication.exclusively(self.home):
            for _ in range(3):
                publication.publish(self.home)

    def _open(self) -> None:
        with duckdb.connect(str(self.home.catalog), read_only=True) as connection:
            for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                if table in ("metrics", "runs", "metrics_last"):
                    connection.execute(f"SELECT bit_xor(hash(t)) FROM {table} t").fetchall()

    def _count(self) -> None:
        with duckdb.connect(str(self.home.catalog), read_only=True) as connection:
            rows = connection.execute(
                "SELECT run_id, count(*), count(DISTINCT step), max(step) + 1, bool_and(value = step / 7) "
                "FROM metrics GROUP BY run_id"
            ).fetchall()
            last = connection.execute("SELECT run_id, points FROM metrics_last").fetchall()
        counted = {run: count for run, count, *_ in rows}
        for run, count, steps, greatest, right in rows:
            assert count == steps == greatest, f"{run} has {count} points of {steps} steps up to {greatest}"
            assert right, f"{run} has a point with another value"
        for run, acknowledged in self.acknowledged.items():
            assert counted.get(run, 0) >= acknowledged, (
                f"{run}: {acknowledged} acknowledged, {counted.get(run, 0)} there"
            )
        assert dict(last) == counted


def campaign(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill each so often, and return what was done."""
    done = Campaign(make_store(folder / "store"), seed)
    in_child(lambda: refresh(done.home))
    for _ in range(kills):
        done.round()
    done.finish()
    return {
        "kills": done.kills,
        "after the work had ended": done.too_late,
        "runs": done.runs,
        "points acknowledged": sum(done.acknowledged.values()),
    }


def poll(folder: Path, seconds: float) -> dict[str, Any]:
    """Let 8 processes log while the catalog is projected and merged, and a client opens it; return what was done."""
    done = Campaign(make_store(folder / "store"), 0)
    in_child(lambda: refresh(done.home))
    until = time.monotonic() + seconds
    ours, its = os.pipe()

    def log(number: int) -> None:
        while time.monotonic() < until:
            run = begin(done.home, RunStarted(f"{number}{time.monotonic_ns():015x}", "script", "one of eight"))
            for step in range(100):
                run.log_metric("loss", step / 7, step)
            run.end()
            os.write(its, f"{run.run_id}\n".encode())

    def look() -> None:
        seen = looks = 0
        # However busy the machine is, it looks more than once.
        while time.monotonic() < until or looks < 3:
            with duckdb.connect(str(done.home.catalog), read_only=True) as connection:
                ((count,),) = connection.execute("SELECT count(*) FROM metrics").fetchall()
                ((part,),) = connection.execute("SELECT count(*) FROM runs WHERE state = 'COMPLETED'").fetchall()
            assert count >= seen, "a published file was older than the one before"
            assert count >= 100 * part, "a run that has ended has not all of its points"
            seen, looks = count, looks + 1

    def work(what: Callable[[Home], Any]) -> None:
        while time.monotonic() < until:
            what(done.home)

    children = [fork(lambda number=number: log(number)) for number in range(8)]  # type: ignore[misc]
    children += [fork(look), fork(lambda: work(refresh)), fork(lambda: work(merge))]
    os.close(its)
    with os.fdopen(ours, "rb") as told:
        ended = told.read().decode().split()
    states = [os.waitpid(child, 0)[1] for child in children]
    assert not any(states), f"the processes ended with {states}"
    done.acknowledged = dict.fromkeys(ended, 100)
    done.finish()
    return {"runs": len(ended), "points acknowledged": 100 * len(ended)}


if __name__ == "__main__":
    if sys.argv[1] == "kill":
        print(json.dumps(campaign(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
    else:
        print(json.dumps(poll(Path(sys.argv[2]), float(sys.argv[3]))))
