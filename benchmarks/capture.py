"""What a capture costs: how long a run waits for it before its first line of work."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import REPETITIONS, Figure, Section

FILES = 500
LIMITS = {"basic": 0.015, "standard": 0.05, "complete": 3.0}
TIMES = 21

# Prints the seconds of several captures in a row, and the CPU seconds of each with those of the git that it starts.
_CAPTURES = """
import json, resource, sys, time
from pathlib import Path
from repro_assets.capture.level import Level
from repro_assets.recording.capturing import capture
from repro_assets.store.home import make_store
home, root, level = make_store(Path(sys.argv[1])), Path(sys.argv[2]), Level.parse(sys.argv[3])
def cpu():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
found, digests = [], set()
for _ in range(int(sys.argv[4])):
    began, spent = time.perf_counter(), cpu()
    captured = capture(home, level, root)
    found.append([time.perf_counter() - began, cpu() - spent])
    digests.add((captured.environment.digest, captured.source and captured.source.digest))
assert level is Level.COMPLETE or len(digests) == 1
print(json.dumps(found))
"""


def measure() -> Section:
    """Measure captures of every level."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        root = _repository(Path(folder, "project"))
        time.sleep(2)  # what is known of a file is remembered once it has rested
        for level, limit in LIMITS.items():
            home = Path(folder, "home", level)
            first = _captures(home, root, level, 1)
            again = [_captures(home, root, level, 1)[0] for _ in range(REPETITIONS)]
            warm = _captures(home, root, level, 1 + (TIMES if level != "complete" else REPETITIONS))[1:]
            figures += [
                Figure(f"{level}: the first in a new store", _wall(first)),
                Figure(f"{level}: the first of a new process, the store knows files and packages", _wall(again)),
                Figure(f"{level}: each further one of the process", _wall(warm), limit),
                Figure(f"{level}: CPU time of that, git's with it", tuple(spent for _, spent in warm)),
            ]
    return Section(
        title="Capture",
        about=(
            f"`recording.capturing.capture`, in a repository of {FILES} files, of which one is changed and one "
            f"untracked, in an environment of {_packages()} packages: environment and source are asked, compared with "
            "what is in the store, and found there (nothing new is written). Imports are not counted. The first "
            "capture at the complete level in a store hashes every file of every installed package; later ones look at "
            "their states. Its figure is mostly the measuring of the machine, which takes a process with numpy. Wall "
            f"time holds what other work on the machine takes; CPU time does not. {_gpus()}"
        ),
        figures=figures,
        repetitions=TIMES,
    )


def _repository(root: Path) -> Path:
    drawn = random.Random(0)
    for number in range(FILES - 1):
        file = root / f"package{number % 20}" / f"module{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(f"x{line} = {drawn.random()}" for line in range(100)))
    # Git compares files that are as new as its index byte by byte; in a folder that somebody works in few are.
    time.sleep(2)
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    (root / "package0/module0.py").write_text("changed = 1\n")
    (root / "untracked.py").write_text("new = 1\n")
    return root


def _captures(home: Path, root: Path, level: str, times: int) -> list[tuple[float, float]]:
    done = subprocess.run(
        [sys.executable, "-c", _CAPTURES, str(home), str(root), level, str(times)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    return [(wall, spent) for wall, spent in json.loads(done.stdout)]


def _wall(found: list[tuple[float, float]]) -> tuple[float, ...]:
    return tuple(wall for wall, _ in found)


def _gpus() -> str:
    from repro_assets.capture.hardware import inspect_hardware

    names = [str(gpu["name"]) for gpu in inspect_hardware().totals["gpus"]]
    return f"GPUs: {', '.join(names)}." if names else "No GPU was available, so none was asked."


def _packages() -> int:
    from repro_assets.capture.packages import installed_packages

    return len(installed_packages().installed)
