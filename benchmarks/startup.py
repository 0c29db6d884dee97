"""What a person waits for before anything of theirs runs: imports, the command, and the record of a run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import REPETITIONS, Figure, Section, as_installed, repeated, timed

PROJECT = Path(__file__).parents[1]
FILE_BYTES = 10 * 1024

# Prints the seconds of two runs in a row, each from its capture to its end record.
_RUNS = """
import json, sys, time
from pathlib import Path
from repro_assets.capture.level import Level
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.capturing import capture
from repro_assets.recording.lifetime import begin, recorded
from repro_assets.recording.run import new_run_id
from repro_assets.store.home import make_store
home, seconds = make_store(Path(sys.argv[1])), []
for number in range(2):
    started = time.perf_counter()
    captured = capture(home, Level.STANDARD, Path(sys.argv[2]))
    record = RunStarted(
        run_id=new_run_id(), run_kind="script", name=f"run-{number}", seed=0,
        environment=str(captured.environment.digest), source=str(captured.source.digest),
        source_facts=captured.source_facts,
        host_facts=captured.host_facts,
    )
    with recorded(begin(home, record)):
        pass
    seconds.append(time.perf_counter() - started)
print(json.dumps(seconds))
"""


def measure() -> Section:
    """Measure start-up."""
    python, repro = sys.executable, str(Path(sys.executable).with_name("repro"))
    first, warm = _runs(python)
    return Section(
        title="Start-up",
        about=(
            "Each line but the two of runs is a whole process, from its start to its end. A run is captured at the "
            "standard level (this project's source tree, environment, hardware), begun and ended within one process: "
            "first in a new store, then once more."
        ),
        figures=[
            repeated("`python -c pass`", lambda: _process([python, "-c", "pass"])),
            repeated("`python -c 'import repro_assets'`", lambda: _process([python, "-c", "import repro_assets"]), 0.3),
            repeated("`repro --help`", lambda: _process([repro, "--help"]), 0.5),
            _put(repro),
            first,
            warm,
        ],
    )


def _process(command: list[str], **variables: str) -> float:
    def work() -> None:
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            cwd=PROJECT,
            env={**as_installed(), **variables},
            stdin=subprocess.DEVNULL,
        )

    return timed(work)


def _put(repro: str) -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        file, home = Path(folder, "file.bin"), str(Path(folder, "home"))
        seconds = []
        for number in range(REPETITIONS):
            file.write_bytes(number.to_bytes(1) * FILE_BYTES)
            command = [repro, "artifacts", "put", str(file), "--name", "measured"]
            seconds.append(_process(command, REPRO_HOME=home))
    return Figure("`repro artifacts put` of a new file of 10 KiB", tuple(seconds))


def _runs(python: str) -> tuple[Figure, Figure]:
    pairs = []
    for _ in range(REPETITIONS):
        with tempfile.TemporaryDirectory() as folder:
            command = [python, "-c", _RUNS, str(Path(folder, "home")), str(PROJECT)]
            done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=PROJECT)
        pairs.append(json.loads(done.stdout))
    first, warm = zip(*pairs, strict=True)
    return Figure("a run, capture to end: the first of a process and store", first), Figure("the next one", warm)
