"""What tracking adds to a script: at its start and end, at each step, and at each logged number.

Laws: the script is the same file with and without the decorator, each time in a process of its own, and the two take
turns; it times itself, so that what Python needs to start is in neither figure; imports are a figure of their own.
Steps are compared within one process, calls with and without the decorator taking turns, because two processes of one
program differ by more than tracking takes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import REPETITIONS, Figure, Section
from repro_assets.store.home import make_store

STEPS = 300
ROUNDS, STEPS_A_ROUND = 8, 60
CALLS = 200_000
_SCRIPT = """
import json, sys, time
import numpy
begin = time.perf_counter()
tracked = sys.argv[1] == "tracked"
if tracked:
    from repro_assets import Experiment, reproducible
imported = time.perf_counter()
weights = numpy.random.default_rng(0).standard_normal((400, 400)) / 20

def middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]

def train(count: int, log=None) -> dict[str, float]:
    state = weights
    steps = []
    for step in range(count):
        started = time.perf_counter()
        state = numpy.tanh(state @ weights)
        loss = float(numpy.square(state).mean())
        if log is not None:
            log("loss", loss, step)
        steps.append(time.perf_counter() - started)
    taken.append(steps)
    return {"loss": loss}

taken = []
plain = called = train
if tracked:
    @reproducible("train")
    def called(count: int) -> dict[str, float]:
        return train(count, Experiment.current().log_metric)

began = time.perf_counter()
called(int(sys.argv[2]))
around = time.perf_counter() - began - sum(taken[0])
share = None
if tracked:
    shares = []
    for _ in range(int(sys.argv[4])):
        del taken[:]
        for how in (plain, called):
            how(int(sys.argv[5]))
        shares.append(middle(taken[1]) / middle(taken[0]) - 1)
    share = middle(shares)
logged = None
if tracked:
    with Experiment("logging", capture_source=False, capture_environment=False, monitor=None) as run:
        started = time.perf_counter()
        for step in range(int(sys.argv[3])):
            run.log_metric("loss", 0.5, step)
        logged = (time.perf_counter() - started) / int(sys.argv[3])
print(json.dumps({"import": imported - begin, "around": around, "step": middle(taken[0]), "share": share,
                  "log": logged}))
"""


def measure() -> Section:
    """Measure the script with and without."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "pyproject.toml").write_text("[project]\nname = 'theirs'\nversion = '1'\n")
        (root / "train.py").write_text(_SCRIPT)
        make_store(root / "data")
        _execute(root, "tracked")
        pairs = [(_execute(root, "plain"), _execute(root, "tracked")) for _ in range(REPETITIONS)]
    plain, tracked = ([pair[side] for pair in pairs] for side in (0, 1))
    share = [100 * answer["share"] for answer in tracked]
    about = (
        f"A function of {STEPS} steps in NumPy, decorated with `reproducible` (standard capture) or not, the median of "
        f"{REPETITIONS} processes each, which take turns. A step with one logged number takes "
        f"{statistics.median(share):+.1f} % longer (limit 1; {min(share):+.1f} to {max(share):+.1f}): the "
        f"median of {ROUNDS} pairs of calls with {STEPS_A_ROUND} steps, again that of {REPETITIONS} processes. "
        f"Numbers are logged {CALLS:,} in a row."
    )
    return Section(
        "Tracking a script",
        about,
        [
            Figure("start and end of the decorated call", _of(tracked, "around"), 0.08),
            Figure("the same call, not decorated", _of(plain, "around")),
            Figure("a step, not tracked", _of(plain, "step")),
            Figure("`Experiment.log_metric`, a call", _of(tracked, "log"), 3e-6),
            Figure("import of `Experiment` and `reproducible`", _of(tracked, "import")),
        ],
    )


def _of(answers: list[dict[str, float]], name: str) -> tuple[float, ...]:
    return tuple(answer[name] for answer in answers)


def _execute(root: Path, how: str) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    said = subprocess.run(
        [sys.executable, "train.py", how, *map(str, (STEPS, CALLS, ROUNDS, STEPS_A_ROUND))],
        cwd=root,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    answer: dict[str, float] = json.loads(said.stdout)
    return answer
