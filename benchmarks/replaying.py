"""What a replay takes beside what it executes again: whole processes, from their start to their end.

Laws: each replay is of the run whose time stands above it, and counts only if it is identical; a script makes so many
steps that its process takes about as long as it should.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figure, Section, as_installed, timed
from repro_assets.store.home import make_store

PROJECT = Path(__file__).parents[1]
REPETITIONS = 3
SECONDS = (2.0, 20.0)
ALLOWED = 10.0
"""Seconds that a replay may take beyond its run."""
SFT_STEPS = 50
_TRIED = 400
# The command of this working tree, wherever the installed one leads.
_REPRO = "from repro_assets.cli.app import main; raise SystemExit(main())"
_SCRIPT = """
import sys
import time
import torch
from repro_assets import Experiment

name, steps = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
with Experiment(name, seed=1) as run:
    model = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.Tanh(), torch.nn.Linear(256, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    began = time.perf_counter()
    for step in range(steps):
        rows = torch.randn(256, 64)
        loss = (model(rows).squeeze(1) - rows.sum(1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log_metric("loss", float(loss.detach()), step)
    took = time.perf_counter() - began
    run.log_artifact(model.state_dict(), "model")
print(took)
"""


def measure() -> Section:
    """Measure runs and their replays."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        root, home = Path(folder, "theirs"), Path(folder, "home")
        root.mkdir()
        (root / "pyproject.toml").write_text("[project]\nname = 'theirs'\nversion = '1'\n")
        (root / "train.py").write_text(_SCRIPT)
        make_store(home)
        whole, steps = _script(root, home, "tried", _TRIED)
        for seconds in SECONDS:
            count = max(1, round((seconds - (whole - steps)) / (steps / _TRIED)))
            figures += _of_script(root, home, seconds, count)
        figures += _of_asset(Path(folder, "assets"))
    return Section(
        "Replay",
        f"A run and its replay from the record, each a whole process, {REPETITIONS} times in turn; each replay was "
        "identical. The scripts train a small model in PyTorch, in an experiment with standard capture, and keep it. "
        f"The asset is `models/sft` with {SFT_STEPS} steps, made by `repro run` of data that is there already. The "
        f"limit of a replay is the median of its run and {ALLOWED:g} s.",
        figures,
        repetitions=REPETITIONS,
    )


def _of_script(root: Path, home: Path, seconds: float, steps: int) -> tuple[Figure, Figure]:
    runs, replays = [], []
    for number in range(REPETITIONS):
        name = f"of-{seconds:g}-{number}"
        runs.append(_script(root, home, name, steps)[0])
        replays.append(_replayed(root, home, name))
    return _figures(f"a script of about {seconds:g} s", runs, replays)


def _of_asset(home: Path) -> tuple[Figure, Figure]:
    make_store(home)
    short = ["--set", f"sft.steps={SFT_STEPS}", "--json"]
    _repro(PROJECT, home, "train", "--mode", "sft", *short)
    runs, replays = [], []
    for _ in range(REPETITIONS):
        answer: dict[str, Any] = {}
        words = ["run", "--select", "models/sft", "--force", *short]
        runs.append(timed(lambda: answer.update(_repro(PROJECT, home, *words))))  # noqa: B023
        replays.append(_replayed(PROJECT, home, answer["products"][0]["run_id"]))
    return _figures("a small asset", runs, replays)


def _figures(what: str, runs: list[float], replays: list[float]) -> tuple[Figure, Figure]:
    limit = round(statistics.median(runs) + ALLOWED, 3)
    return Figure(what, tuple(runs)), Figure(f"{what}: its replay", tuple(replays), limit)


def _script(root: Path, home: Path, name: str, steps: int) -> tuple[float, float]:
    """Return the seconds of the whole process, and of its steps."""
    said: list[str] = []
    whole = timed(lambda: said.append(_process(root, home, ["train.py", name, str(steps)])))
    return whole, float(said[0])


def _replayed(root: Path, home: Path, run: str) -> float:
    answer: dict[str, Any] = {}
    seconds = timed(lambda: answer.update(_repro(root, home, "replay", run, "--json")))
    if answer["verdict"] != "identical":
        raise SystemExit(f"the replay of {run} is {answer['verdict']}: {answer['reason']}")
    return seconds


def _repro(root: Path, home: Path, *words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(_process(root, home, ["-c", _REPRO, *words]))
    return answer


def _process(root: Path, home: Path, words: list[str]) -> str:
    environment = {**as_installed(), "REPRO_HOME": str(home), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, *words], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} ended with code {done.returncode}{os.linesep}{done.stderr[-2000:]}")
    return done.stdout
