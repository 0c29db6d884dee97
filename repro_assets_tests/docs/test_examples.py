"""The examples run as they are, and what is on record of each is what it was given, said and made."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from repro_assets.artifacts import repository
from repro_assets.catalog import queries
from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home, make_store

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"


@dataclass
class Example:
    """A project with the examples, in which they are executed."""

    home: Home
    folder: Path
    said: str = ""

    def execute(self, *words: str) -> dict[str, Any]:
        """Execute one and return its run, with what it read and made by slot."""
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        self.said = done.stdout
        (run,) = queries.rows(self.home, "SELECT run_id, name, state, seed, config, source, warnings FROM runs")
        run["config"] = json.loads(run["config"])
        for what in ("inputs", "outputs"):
            rows = queries.rows(self.home, f"SELECT slot, digest FROM run_{what} ORDER BY time")
            run[what] = {row["slot"]: Digest.parse(row["digest"]) for row in rows}
        assert (run["state"], run["warnings"]) == ("COMPLETED", [])
        assert self.source(run)[words[0]] == (EXAMPLES / words[0]).read_bytes()
        return run

    def source(self, run: dict[str, Any]) -> dict[str, bytes]:
        """Return the source tree that is on record."""
        tree: dict[str, bytes] = repository.by_digest(self.home, Digest.parse(run["source"])).load()
        return tree

    def load(self, digest: Digest) -> Any:
        """Return what is stored under a digest."""
        return repository.by_digest(self.home, digest).load()

    def points(self) -> dict[tuple[str, int | None], float]:
        """Return every point on record."""
        rows = queries.rows(self.home, "SELECT name, step, value FROM metrics")
        assert len({(row["name"], row["step"]) for row in rows}) == len(rows)
        return {(row["name"], row["step"]): row["value"] for row in rows}

    def told(self, count: str) -> dict[tuple[str, int | None], float]:
        """Return the figures of the lines ``<count> N name value name value ...`` that the script printed."""
        found = {}
        for line in self.said.splitlines():
            words = line.split()
            if words[:1] == [count]:
                found.update({(words[at], int(words[1])): float(words[at + 1]) for at in range(2, len(words), 2)})
        return found


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    for name in ("REPRO_RUN", "REPRO_RUN_HOME", "REPRO_PINS", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "theirs"
    shutil.copytree(EXAMPLES, folder)
    (folder / "pyproject.toml").write_text("[project]\nname = 'theirs'\nversion = '1'\n")
    return Example(make_store(folder / "data"), folder)


def test_a_plain_loop(example: Example) -> None:
    drawn = random.Random(1)
    lines = [f"{x},{y},{int(y > x * x)}\n" for x, y in ((drawn.uniform(-1, 1), drawn.random()) for _ in range(48))]
    (example.folder / "points.csv").write_text("x,y,label\n" + "".join(lines))
    run = example.execute("plain_torch.py", "points.csv", "--epochs", "3", "--seed", "4")
    assert (run["name"], run["seed"]) == ("plain-torch", 4)
    assert run["config"] == {"data": "points.csv", "epochs": 3, "lr": 0.05, "seed": 4}
    assert len(example.points()) == 6 and example.points() == example.told("epoch")
    assert {slot: example.load(digest) for slot, digest in run["inputs"].items()} == {
        "points.csv": (example.folder / "points.csv").read_bytes()
    }
    assert list(run["outputs"]) == ["model-points"]
    assert example.load(run["outputs"]["model-points"])["0.weight"].shape == (16, 2)


def test_a_hydra_app(example: Example) -> None:
    run = example.execute("hydra_app.py", "optimizer=adam", "optimizer.lr=0.5", "+note=tried", "steps=3")
    assert (run["name"], run["seed"]) == ("hydra-app", 0)
    optimizer = {"name": "Adam", "lr": 0.5}
    assert run["config"] == {"optimizer": optimizer, "seed": 0, "points": 64, "steps": 3, "note": "tried"}
    assert len(example.points()) == 3 and example.points() == example.told("step")
    # Hydra wrote its own before the run began.
    assert list(example.folder.glob("outputs/*/*/.hydra/config.yaml"))
    source = example.source(run)
    assert "conf/optimizer/adam.yaml" in source
    assert not [path for path in source if path.startswith(("outputs", "data"))]
    assert (run["inputs"], list(run["outputs"])) == ({}, ["model-line"])


def test_a_trainer_of_transformers(example: Example) -> None:
    run = example.execute("transformers_callback.py")
    assert (run["name"], run["seed"], run["config"]["max_steps"]) == ("transformers", 0, 6)
    points = example.points()
    # It prints four digits.
    said = [float(loss) for loss in re.findall(r"\{'loss': '([\d.]+)'", example.said)]
    assert len(said) == 6
    assert [points["loss", step] for step in range(1, 7)] == pytest.approx(said, abs=5e-4)
    assert ("grad_norm", 6) in points and ("train_loss", 6) in points
    rows = queries.rows(
        example.home, "SELECT version, digest FROM versions WHERE collection = 'gpt2-checkpoint' ORDER BY version"
    )
    saved = [example.load(Digest.parse(row["digest"])) for row in rows]
    assert [row["version"] for row in rows] == [1, 2]
    assert [json.loads(files["trainer_state.json"])["global_step"] for files in saved] == [3, 6]
    weights = (example.folder / "outputs" / "checkpoint-6" / "model.safetensors").read_bytes()
    assert saved[1]["model.safetensors"] == weights
    assert set(run["outputs"]) == {"gpt2-checkpoint", "model-gpt2"}


def test_a_trainer_of_lightning(example: Example) -> None:
    run = example.execute("lightning_callback.py")
    assert (run["name"], run["config"]) == ("lightning", {"lr": 0.05})
    assert len(example.points()) == 8 and example.points() == example.told("step")
    assert sorted(example.load(run["outputs"]["model-line"])) == ["line.bias", "line.weight"]


def test_a_script_of_scikit_learn(example: Example) -> None:
    run = example.execute("scikit_learn.py", "3")
    assert (run["name"], run["seed"]) == ("scikit-learn", 0)
    assert run["config"] == {"folds": 3, "strengths": [0.01, 0.1, 1.0], "seed": 0}
    said = {(name, None): float(value) for name, value in (line.split() for line in example.said.splitlines())}
    assert set(said) == {("cross_validation", None), ("test", None)} and example.points() == said
    assert example.load(run["inputs"]["wine"]).shape == (178, 14)
    assert set(run["outputs"]) == {"folds", "result", "wine-classifier"}
    assert example.load(run["outputs"]["wine-classifier"])["coef"].shape == (3, 13)
    assert len(example.load(run["outputs"]["folds"])) == 3
    (param,) = queries.rows(example.home, "SELECT name, value FROM params WHERE name LIKE 'logistic%'")
    assert float(param["value"]) in (0.01, 0.1, 1.0)


def test_the_page_names_every_example() -> None:
    page = (ROOT / "docs" / "tracking.md").read_text()
    assert set(re.findall(r"\(examples/(\w+\.py)\)", page)) == {path.name for path in EXAMPLES.glob("*.py")}
