from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

import repro_assets
from repro_assets.artifacts import repository
from repro_assets.journal import run_records
from repro_assets.journal.segments import Journal
from repro_assets.store.home import Home, make_store

ENVIRONMENT = {
    "level": "standard",
    "python": {"version": "3.11.9", "implementation": "CPython"},
    "torch": {"version": "2.13.0", "cuda": None},
    "os": {"system": "Linux", "name": "Debian"},
    "packages": [{"name": "numpy", "version": "2.1.0"}, {"name": "repro-assets", "version": "0.1.0", "editable": True}],
    "hardware": {"cpu": {"model": "A processor", "logical_cores": 4}, "memory_bytes": 1 << 35, "gpus": []},
    "variables": {"PYTHONHASHSEED": "0"},
    "unavailable": {"gpus": "no driver"},
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_store(tmp_path / "store")


class Recorder:
    """Writes the records of whole runs into one segment of its own."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.journal = Journal(home.journal)

    def run(
        self, run_id: str, seed: int = 0, *, end: str | None = "COMPLETED", points: int = 20, **started: object
    ) -> str:
        environment = repository.put(self.home, ENVIRONMENT)
        data = repository.put(self.home, {"rows": seed})
        model = repository.put(self.home, {"weights": [seed, run_id]})
        model = repository.claim(model, "model-sft", run_id=run_id)
        facts = {"commit": "c0ffee", "branch": "main", "tags": ["v1"], "remote": None, "dirty": False, "left_out": []}
        append = self.journal.append
        append(
            run_records.RunStarted(
                **{
                    "run_id": run_id,
                    "run_kind": "asset",
                    "name": f"sft-{seed}",
                    "asset": "sft",
                    "seed": seed,
                    "config": {"lr": 0.1, "note": "ü"},
                    "environment": str(environment.digest),
                    "source_facts": facts,
                    **started,
                }
            ),
            run_records.Params(run_id, {"lr": 0.1, "layers": 2}),
            run_records.SeedsUsed(run_id, seed, {"shuffle": seed + 1}),
            run_records.PackagesUsed(run_id, {"numpy": "2.1.0", "torch": "2.13.0"}),
            run_records.RunInput(run_id, "traces", str(data.digest), asset="dataset"),
        )
        now = time.time()
        append(run_records.Metrics.of(run_id, [["loss", step, 1 / (step + 1), now] for step in range(points)]))
        append(
            run_records.RunOutput(
                run_id, "result", str(model.digest), f"model-{run_id}", collection="model-sft", version=model.version
            ),
            run_records.CheckpointSaved(
                run_id, "checkpoint_step_10", "step", "10", str(model.digest), 10, {"loss": 0.5}
            ),
            run_records.EvaluationMade(
                run_id, f"eval-{run_id}", f"model-{run_id}", "test", str(data.digest), {"accuracy": 0.9}
            ),
            run_records.TrainingEvent(run_id, "germination", 10, {"seed": 0, "accuracy": 0.5}),
            run_records.Fingerprints(run_id, 10, {"layer.weight": "ab" * 16}),
            run_records.CheckMade("verifies", True, run_id),
        )
        if end is not None:
            append(run_records.RunEnded(run_id, end))
        return run_id


@pytest.fixture(scope="session")
def new_recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture
def recorder(home: Home) -> Iterator[Recorder]:
    made = Recorder(home)
    yield made
    made.journal.close()


def one_span(name: str, *, kind: str | None = None, run: str | None = None, **more: object) -> dict[str, object]:
    """A span as a trace file has it."""
    attributes = [
        {"key": key, "value": {"stringValue": value}}
        for key, value in (("repro.kind", kind), ("repro.run_id", run))
        if value is not None
    ]
    return {
        "traceId": "a" * 32,
        "spanId": f"{sum(name.encode()):016x}",
        "name": name,
        "kind": 1,
        "startTimeUnixNano": "1790000000250000000",
        "endTimeUnixNano": "1790000001750000000",
        "attributes": attributes,
        "status": {"code": 0},
        **more,
    }


def append_line(home: Home, *spans: dict[str, object], file: str = "host-1-a.jsonl", end: str = "\n") -> None:
    """Append one line with these spans to a trace file."""
    home.traces.mkdir(exist_ok=True)
    rank = {"key": "repro.rank", "value": {"intValue": "1"}}
    request = {"resourceSpans": [{"resource": {"attributes": [rank]}, "scopeSpans": [{"spans": list(spans)}]}]}
    with (home.traces / file).open("a") as written:
        written.write(json.dumps(request) + end)


@pytest.fixture
def span() -> Callable[..., dict[str, object]]:
    return one_span


@pytest.fixture
def traced() -> Callable[..., None]:
    return append_line


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables but the one that says which file this is."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH '{path}' AS published (READ_ONLY); USE published")
        return {
            f"{schema}.{table}": sorted(connection.execute(f"FROM {schema}.{table}").fetchall(), key=repr)
            for schema, table in connection.execute(
                "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'published' "
                "AND table_name <> 'catalog_info' ORDER BY ALL"
            ).fetchall()
        }


@pytest.fixture
def tables() -> Callable[[Path], dict[str, list[tuple[object, ...]]]]:
    return contents


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python processes that know this package; those that still live at the end are killed."""
    started: list[subprocess.Popen[str]] = []

    def start_python(code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(Path(repro_assets.__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_python
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


WRITER = """
import sys, time
from pathlib import Path
from repro_assets.journal import artifact_records, run_records
from repro_assets.journal.segments import Journal
journal = Journal(Path(sys.argv[1]) / "journal")
name = sys.argv[2]
journal.append(run_records.RunStarted(name, "asset", name, parent_run_id="the-parent"))
print("started", flush=True)
step = 0
while True:
    journal.append(run_records.Metrics.of(name, [["loss", step + k, 1.0, time.time()] for k in range(10)]))
    step += 10
    time.sleep(0.002)
"""


@pytest.fixture
def start_writing(home: Home, start: Callable[..., subprocess.Popen[str]]) -> Callable[[str], subprocess.Popen[str]]:
    """Starts a process that writes one run until it is killed."""

    def start_writer(run_id: str) -> subprocess.Popen[str]:
        writer = start(WRITER, home.root, run_id)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "started\n"
        return writer

    return start_writer
