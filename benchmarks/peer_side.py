"""What is measured of other trackers, by the interpreter of each: ``peer_side.py TRACKER DOES FOLDER [N]...``.

Laws: nothing leaves the machine; a tracker is used as its own pages show it, with its settings as they come; what was
measured is one line of JSON on stdout, seconds throughout.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import struct
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

OFFLINE = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
}
QUESTIONS = 20


class Mlflow:
    """MLflow's client with a store in SQLite."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "mlflow.db"
        self.client: Any = import_module("mlflow").tracking.MlflowClient(tracking_uri=f"sqlite:///{self.file}")
        found = self.client.get_experiment_by_name("measured")
        self.experiment = found.experiment_id if found else self.client.create_experiment("measured")

    def begin(self) -> None:
        self.run = self.client.create_run(self.experiment).info.run_id

    def log(self, step: int) -> None:
        self.client.log_metric(self.run, "loss", 0.5, step=step)

    def end(self) -> None:
        self.client.set_terminated(self.run)

    @staticmethod
    def count(folder: Path) -> int:
        return _count_rows(folder / "mlflow.db", "SELECT count(*) FROM metrics")


class Wandb:
    """W&B offline."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wandb: Any = import_module("wandb")

    def begin(self) -> None:
        self.run = self.wandb.init(project="measured", dir=self.folder)

    def log(self, step: int) -> None:
        self.run.log({"loss": 0.5}, step=step)

    def end(self) -> None:
        self.run.finish()

    @staticmethod
    def count(folder: Path) -> int:
        records: Any = import_module("wandb.proto.wandb_internal_pb2")
        found = 0
        for file in folder.rglob("*.wandb"):
            for data in _leveldb_records(file.read_bytes()[7:]):
                record = records.Record()
                record.ParseFromString(data)
                found += record.WhichOneof("record_type") == "history"
        return found


def _leveldb_records(data: bytes) -> Iterator[bytes]:
    """Yield the records of a log as LevelDB writes it: blocks of 32 KiB, of which the first lacks the file's header."""
    place, kept = 0, b""
    while place + 7 <= len(data):
        room = 32768 - (place + 7) % 32768
        if room < 7:
            place += room
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        part = data[place + 7 : place + 7 + length]
        place += 7 + length
        if len(part) < length or not kind:
            return
        kept = kept + part if kind in (3, 4) else part
        if kind in (1, 4):
            yield kept


class Tensorboard:
    """The writer of tensorboardX."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.module: Any = import_module("tensorboardX")

    def begin(self) -> None:
        self.writer = self.module.SummaryWriter(str(self.folder / uuid.uuid4().hex))

    def log(self, step: int) -> None:
        self.writer.add_scalar("loss", 0.5, step)

    def end(self) -> None:
        self.writer.close()

    @staticmethod
    def count(folder: Path) -> int:
        found = 0
        for file in folder.rglob("events.out.*"):
            data, place = file.read_bytes(), 0
            while place + 12 <= len(data):
                (length,) = struct.unpack_from("<Q", data, place)
                place += 12 + length + 4
                found += place <= len(data) and b"loss" in data[place - length - 4 : place - 4]
        return found


class Trackio:
    """trackio with its files on this machine."""

    def __init__(self, folder: Path) -> None:
        os.environ["TRACKIO_DIR"] = str(folder)
        self.trackio: Any = import_module("trackio")

    def begin(self) -> None:
        self.trackio.init(project="measured", name=uuid.uuid4().hex, embed=False)

    def log(self, step: int) -> None:
        self.trackio.log({"loss": 0.5}, step=step)

    def end(self) -> None:
        self.trackio.finish()

    @staticmethod
    def count(folder: Path) -> int:
        return sum(_count_rows(file, "SELECT count(*) FROM metrics") for file in folder.rglob("measured.db"))


TRACKERS: dict[str, Any] = {"mlflow": Mlflow, "wandb": Wandb, "tensorboard": Tensorboard, "trackio": Trackio}


def _count_rows(file: Path, sql: str) -> int:
    with sqlite3.connect(file) as database:
        return int(database.execute(sql).fetchone()[0])


def log(tracker: Any, calls: int) -> dict[str, float]:
    """Log to a run; `each` is the median call, `whole` the share of each in all of them and the end of the run."""
    tracker.begin()
    clock, taken = time.perf_counter, []
    began = clock()
    for step in range(calls):
        before = clock()
        tracker.log(step)
        taken.append(clock() - before)
    tracker.end()
    return {"each": sorted(taken)[calls // 2], "whole": (clock() - began) / calls}


def empty(tracker: Any, times: int) -> list[float]:
    """Begin and end a run, in a process that has done so."""
    found = []
    for _ in range(times + 1):
        began = time.perf_counter()
        tracker.begin()
        tracker.end()
        found.append(time.perf_counter() - began)
    return found[1:]


def die(tracker: Any, calls: int, wait: float) -> None:
    """Log, wait so many seconds, and be killed."""
    tracker.begin()
    for step in range(calls):
        tracker.log(step)
    time.sleep(wait)
    os.kill(os.getpid(), signal.SIGKILL)


def find(tracker: Mlflow, runs: int) -> dict[str, Any]:
    """Ask MLflow for the best 10 of so many runs: the values that it finds, and the times of each question."""
    _fill(tracker, runs)

    def ask() -> list[Any]:
        return list(
            tracker.client.search_runs(
                [tracker.experiment], order_by=["metrics.`validation/accuracy` DESC"], max_results=10
            )
        )

    found = ask()
    return {
        "best": [run.data.metrics["validation/accuracy"] for run in found],
        "taken": [timed(ask) for _ in range(QUESTIONS)],
    }


def _fill(tracker: Mlflow, runs: int) -> None:
    """Make one run with the client, and the others as copies of its rows with values of their own."""
    entities = import_module("mlflow.entities")
    now = int(time.time() * 1000)
    tracker.begin()
    tracker.client.log_batch(
        tracker.run,
        [entities.Metric(name, 0.0, now, 0) for name in ("train/loss", "validation/accuracy", "validation/loss")],
        [entities.Param(f"parameter_{number}", "0") for number in range(5)],
        [entities.RunTag("seed", "0")],
    )
    tracker.end()
    with sqlite3.connect(tracker.file) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
            if "run_uuid" not in columns:
                continue
            rows = database.execute(f'SELECT * FROM "{table}" WHERE run_uuid = ?', [tracker.run]).fetchall()
            made = [
                [_value(table, column, value, number) for column, value in zip(columns, row, strict=True)]
                for number in range(1, runs)
                for row in rows
            ]
            database.executemany(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(columns))})', made)


def _value(table: str, column: str, value: Any, number: int) -> Any:
    if column == "run_uuid":
        return f"{number:032x}"
    if column == "value" and table in ("metrics", "latest_metrics"):
        return accuracy(number)
    return str(number % 7) if column == "value" and table == "params" else value


def accuracy(number: int) -> float:
    """Return the value that the metrics of run `number` end with."""
    return (number * 7919 % 10_007) / 10_007


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that `work` takes, and those that all cores together spend on it."""
    began, spent = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - spent


def main(name: str, does: str, folder: str, *numbers: str) -> None:
    """Do what is asked and print what was measured."""
    os.environ.update(OFFLINE)
    kind = TRACKERS[name]
    if does == "count":
        found: Any = kind.count(Path(folder))
    elif does == "die":
        die(kind(Path(folder)), int(numbers[0]), float(numbers[1]))
    else:
        found = {"log": log, "empty": empty, "find": find}[does](kind(Path(folder)), int(numbers[0]))
    sys.stdout.write(f"\n{json.dumps(found)}\n")
    sys.stdout.flush()
    # What a tracker leaves running in threads is not waited for.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
