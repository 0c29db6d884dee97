from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import span_files

from repro_assets.journal.records import Payload
from repro_assets.journal.run_records import RunStarted
from repro_assets.journal.segments import list_segments, read_segment
from repro_assets.recording import tracing
from repro_assets.recording.lifetime import begin
from repro_assets.recording.run import Run, new_run_id
from repro_assets.recording.tracers import tracers
from repro_assets.store.home import Home, make_store

Recorded = TypeVar("Recorded", bound=Payload)

OPENING = """
import os, signal, sys, threading, time
from pathlib import Path
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin, recorded
from repro_assets.store.home import open_store
home = open_store(Path(sys.argv[1]))
run = begin(home, RunStarted("0" * 16, "script", "one", seed=1))
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_store(tmp_path / "store")


@pytest.fixture
def run(home: Home) -> Run:
    return begin(home, RunStarted(new_run_id(), "script", "one", seed=7))


@pytest.fixture
def records_of(home: Home) -> Callable[..., list[Any]]:
    """Every record of a kind in the whole journal; damage is not allowed."""

    def read(kind: type[Recorded]) -> list[Recorded]:
        items = [item for segment in list_segments(home.journal) for item, _ in read_segment(segment)]
        return [item.payload for item in items if isinstance(item.payload, kind)]  # type: ignore[union-attr]

    return read


@pytest.fixture
def script(home: Home) -> Callable[[str], subprocess.Popen[str]]:
    """Starts a program in a process of its own, after `OPENING`."""

    def start(program: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", OPENING + program, str(home.root)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No trace goes on here that whoever started the tests began."""
    for name in list(os.environ):
        if name.startswith("OTEL_") or name in tracing.VARIABLES:
            monkeypatch.delenv(name)


@pytest.fixture
def traced(home: Home) -> Iterator[Home]:
    tracers.start(home)
    yield home
    tracers.flush_files()


@pytest.fixture
def process(home: Home) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Executes a program in a process of its own, after `span_files.OPENING`."""

    def execute(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", span_files.OPENING + program, str(home.root)],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    return execute
