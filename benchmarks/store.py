"""Putting files into the store and getting them back, beside the same with DVC, as whole processes.

Laws: both work on the same files of the same disk, one after the other within each repetition, each in a store that is
new; what is not the tool's work (making its repository, removing the files before a checkout) is not timed. The file
cache of the system is warm for both: neither the files nor the stores are larger than memory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measuring import Comparison, Section, as_installed
from benchmarks.peers import program

REPETITIONS = 5
LARGE = 1 << 30
FILES, FILE_BYTES = 10_000, 10 << 10
# A stamp younger than this is not trusted by a cache of either tool.
REST_SECONDS = 2.5
MIB = 1 << 20


@dataclass
class _Measured:
    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    our_processor: list[float] = field(default_factory=list)
    peer_processor: list[float] = field(default_factory=list)


def measure() -> Section:
    """Measure the store and DVC side by side."""
    dvc = str(program("dvc"))
    repro = str(Path(sys.executable).with_name("repro"))
    found: dict[str, _Measured] = {}
    hashing = []
    with tempfile.TemporaryDirectory(prefix="repro-bench-", dir=os.environ.get("REPRO_BENCH_DIR")) as folder:
        root = Path(folder)
        sources = {"1 GiB in one file": _large(root / "large"), "10,000 files of 10 KiB": _many(root / "many")}
        time.sleep(REST_SECONDS)
        for number in range(REPETITIONS):
            hashing.append(_hash(root / "large"))
            for what, source in sources.items():
                _once(what, source, root / f"{number}", repro, dvc, found)
    limits = {
        "1 GiB in one file, put": max(
            0.7, 1.2 * statistics.median(hashing) / statistics.median(found["1 GiB in one file, put"].peer)
        ),
        "10,000 files of 10 KiB, put": 0.3,
        "10,000 files of 10 KiB, put again": 0.25,
        "1 GiB in one file, get": 0.6,
        "10,000 files of 10 KiB, get": 0.6,
    }
    return Section(
        title="Files in the store",
        about=(
            "`repro artifacts put` and `get` beside `dvc add` and `dvc checkout` of the same random files, whole "
            "processes, each time in a new store; the two take turns. *Again* is the same put of unchanged files. "
            f"SHA-256 of the 1 GiB alone, on one core: {statistics.median(hashing):.2f} s; a put of it may take "
            "the larger of 0.7 of `dvc add` and 1.2 of that."
        ),
        repetitions=REPETITIONS,
        comparisons=[
            Comparison(
                what,
                tuple(m.ours),
                "DVC 3.67.1",
                tuple(m.peer),
                limits.get(what),
                max(m.memory) / MIB,
                statistics.median(m.our_processor) / statistics.median(m.peer_processor),
            )
            for what, m in found.items()
        ],
    )


def _once(what: str, source: Path, folder: Path, repro: str, dvc: str, found: dict[str, _Measured]) -> None:
    folder.mkdir()
    home, work = folder / "home", folder / "work"
    work.mkdir()
    subprocess.run(["git", "init", "-q", work], check=True)
    subprocess.run([dvc, "init", "-q"], cwd=work, check=True)
    subprocess.run([dvc, "config", "core.analytics", "false"], cwd=work, check=True)
    subprocess.run([repro, "init", str(home)], check=True, capture_output=True, env=as_installed())
    theirs = work / "data"
    if source.is_dir():
        shutil.copytree(source, theirs)
    else:
        shutil.copyfile(source, theirs)
    time.sleep(REST_SECONDS)
    environment = {**as_installed(), "REPRO_HOME": str(home)}
    target = folder / "target"
    steps = (
        ("put", [repro, "artifacts", "put", str(source), "--name", "data"], [dvc, "add", "-q", "data"]),
        ("put again", [repro, "artifacts", "put", str(source), "--name", "data"], [dvc, "add", "-q", "data"]),
        ("get", [repro, "artifacts", "get", "data", "--to", str(target)], [dvc, "checkout", "-q", "data.dvc"]),
    )
    for step, mine, other in steps:
        if step == "get":
            shutil.rmtree(theirs) if theirs.is_dir() else theirs.unlink()
        measured = found.setdefault(f"{what}, {step}", _Measured())
        seconds, processor, memory = _process(mine, folder, environment)
        measured.ours.append(seconds)
        measured.our_processor.append(processor)
        measured.memory.append(memory)
        seconds, processor, _ = _process(other, work, as_installed())
        measured.peer.append(seconds)
        measured.peer_processor.append(processor)
    shutil.rmtree(folder)


def _process(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float, int]:
    """Return wall-clock and processor seconds and peak memory in bytes of a whole process."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _large(path: Path) -> Path:
    with path.open("wb") as file:
        for _ in range(LARGE // MIB):
            file.write(os.urandom(MIB))
    return path


def _many(folder: Path) -> Path:
    for number in range(FILES):
        path = folder / f"{number // 100:03d}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(FILE_BYTES))
    return folder


def _hash(path: Path) -> float:
    started = time.perf_counter()
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    return time.perf_counter() - started
