"""A store with something of everything that an export may meet: the runs of two seeds, data of every kind, a failure,
what goes on, what was deleted, and names that mean something to whoever reads the formats."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hostile_names
import numpy as np
import pandas

from repro_assets.artifacts import aliases, repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds.block_list import Segments
from repro_assets.journal.records import Process
from repro_assets.journal.run_records import CheckMade, ReplayMade, RunDeleted, RunNoted, RunStarted, RunTagged
from repro_assets.journal.segments import journal_at
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home, make_store

HOST, ACCOUNT, REMOTE = "sturdy-host", "erika", "git@forge.example:erika/secret-work.git"
ENVIRONMENT: dict[str, Any] = {
    "format": 1,
    "level": "standard",
    "os": {"system": "Linux", "name": "Debian GNU/Linux 12 (bookworm)", "kernel": "6.1.0", "machine": "x86_64"},
    "python": {"version": "3.11.9", "implementation": "CPython", "executable": f"/home/{ACCOUNT}/python"},
    "packages": [
        {"name": "numpy", "version": "2.1.0"},
        {"name": "My_Project", "version": "0.1", "editable": True},
        {"name": "pinned", "version": "1.0+local", "origin": "git+https://forge.example/pinned@c0ffee"},
        {"name": "torch", "version": "2.13.0+cpu"},
    ],
    "shadowed_packages": [],
    "conda_packages": [{"name": "openssl", "version": "3.3.1", "build": "h1", "channel": "conda-forge"}],
    "torch": {"version": "2.13.0+cpu", "git_version": "abc", "cuda": None, "hip": None, "debug": "False"},
    "variables": {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
    "libraries": {"numpy_blas": {"name": "openblas", "version": "0.3.27"}},
    "hardware": {
        "cpu": {"model": "A processor", "flags": ["avx2"], "logical_cores": 4, "physical_cores": 2},
        "memory_bytes": 1 << 35,
        "gpus": [
            {"index": number, "name": "A GPU", "memory_bytes": 1 << 36, "driver": "550.1", "cuda_driver": "12.4"}
            for number in range(2)
        ],
    },
    "host": {"name": HOST, "gpu_uuids": ["GPU-12345678-aaaa"]},
    "unavailable": {"gpus[0].ecc": "Not Supported"},
}  # fmt: skip
RECIPE = '''"""Learns to tell flowers apart. It is small."""


def learn(run, config, data):
    """Learn from the data."""
'''
FILES = {"a.txt": b"one\n", "folder/b c.bin": bytes(range(256)), "folder/d.json": b"{}\n", "e#?%20.txt": b"\xff\n"}


@dataclass
class World:
    """The store, the ids of its runs, and its artifacts by their names."""

    home: Home
    data: str = "da" * 8
    trains: tuple[str, str] = ("a1" * 8, "a2" * 8)
    evaluation: str = "ee" * 8
    failed: str = "fa" * 8
    hostile: str = "cc" * 8
    replay: str = "bb" * 8
    deleted: str = "de" * 8
    running: str = "ab" * 8
    made: dict[str, Artifact] = field(default_factory=dict)

    def copied(self, folder: Path) -> World:
        """Return the same world in another folder, for a test that changes it."""
        shutil.copytree(self.home.root, folder)
        home = make_store(folder)
        return World(home, made={name: repository.by_digest(home, item.digest) for name, item in self.made.items()})


def frame() -> pandas.DataFrame:
    """A table with a column of every sort that people have."""
    rows = 40
    return pandas.DataFrame(
        {
            "id": np.arange(rows, dtype="int64"),
            "petal width (cm)": np.linspace(0, 1, rows, dtype="float32"),
            "length": [math.nan, math.inf, -math.inf, 1.5] * (rows // 4),
            "kind": ["setosa", 'a "quoted", one', "", None] * (rows // 4),
            "opened": [True, False] * (rows // 2),
            "seen": pandas.date_range("2026-01-01", periods=rows, freq="h"),
            "votes": [[1, 2], [], [3], [4, 5, 6]] * (rows // 4),
            "index": np.arange(rows, dtype="uint8"),
        }
    )


def fill(folder: Path) -> World:
    """Make the store."""
    home = make_store(folder)
    world = World(home)
    (folder / "code" / "small").mkdir(parents=True)
    (folder / "code" / "small" / "learning.py").write_text(RECIPE)
    for path, data in FILES.items():
        (folder / "files" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "files" / path).write_bytes(data)
    source = str(repository.put(home, folder / "code").digest)
    environment = str(repository.put(home, ENVIRONMENT, name="environment").digest)
    facts: dict[str, Any] = {
        "environment": environment, "source": source, "capture_level": "standard", "recipe": "small.learning:learn",
        "host_facts": {"name": HOST, "torch": {"threads": 1}}, "device": "cpu",
        "source_facts": {"commit": "c0ffee" * 6 + "c0ff", "branch": "main", "remote": REMOTE, "dirty": True},
        "plan": {"form": "command", "command": ["python", "learn.py"], "project_root": f"/home/{ACCOUNT}/work"},
    }  # fmt: skip
    _data(world, folder, facts)
    for number, run_id in enumerate(world.trains):
        _train(world, run_id, number, facts)
    _evaluate(world)
    _others(world, facts)
    shutil.rmtree(folder / "code")
    shutil.rmtree(folder / "files")
    journal_at(home.journal).close()
    return world


def _data(world: World, folder: Path, facts: dict[str, Any]) -> None:
    started = RunStarted(world.data, "asset", "prepare", asset="data", config={"license": "CC-BY-4.0"}, **facts)
    run = begin(world.home, started)
    run.log_params({"citation": "@misc{flowers}", "url": "https://flowers.example/"})
    numbers = np.arange(12)
    part = {"images": np.arange(12 * 4, dtype="float32").reshape(12, 2, 2), "labels": numbers % 3, "image_ids": numbers}
    values = {
        "dataset-flowers": frame(),
        "dataset-images": part,
        "dataset-split": {"train": part, "test": {name: array[:3] + 1 for name, array in part.items()}},
        "dataset-uneven": {"x": np.arange(3), "y": np.arange(4), "note": "not a column"},
        "dataset-files": folder / "files",
        "dataset-experience": Segments.of_records({"state": np.arange(8.0).reshape(4, 2), "reward": np.arange(4)}, 7),
        "raw-flowers.csv": b"a,b\n1,2\n",
        "dataset-settings": {"classes": ["setosa", "other"], "scale": math.nan},
    }
    for name, value in values.items():
        world.made[name] = run.log_output(name, value, name=f"{name}-{run.run_id}", collection=name)
    run.end()


def _train(world: World, run_id: str, seed: int, facts: dict[str, Any]) -> None:
    config = {"lr": 0.1, "nested": {"layers": 2}, "task": "classification", "architecture": "two layers"}
    run = begin(
        world.home,
        RunStarted(run_id, "asset", f"train-seed{seed}", asset="models/flowers", seed=seed, config=config,
                   tags=["study=s1"], experiment="flowers", mode={"deterministic": True}, **facts),
    )  # fmt: skip
    run.use("data", world.made["dataset-flowers"])
    if seed:
        run.use("start", world.made["model-0"])
    run.log_params({"approach": "supervised", "tag": "1e3", "date": "2026-01-01", "odd": math.nan})
    for step, value in enumerate((2.0, math.nan, math.inf, -math.inf, 0.5 + seed)):
        run.log_metric("train/loss", value, step)
    run.log_metric("accuracy", 0.75)
    run.checkpoint("step", 4, {"w": np.arange(3.0)}, step=4)
    model = {"w": np.arange(6.0, dtype="float32").reshape(2, 3) + seed, "b": np.zeros(2)}
    world.made[f"model-{seed}"] = run.log_output(
        "model", model, name=f"model-{run_id}", collection="model-flowers", asset="models/flowers"
    )
    run.log_output("notes", {"said": "nothing"}, name=f"{run_id}/notes")
    run.end()


def _evaluate(world: World) -> None:
    model, data = world.made["model-0"], world.made["dataset-images"]
    run = begin(world.home, RunStarted(world.evaluation, "asset", "evaluate", asset="evaluations/flowers"))
    run.use("model", model)
    run.use("dataset", data)
    figures = {"accuracy_greedy": 0.75, "accuracy_greedy/low": 0.5, "accuracy_greedy/high": 1.0, "loss": math.nan}
    value = {
        **figures,
        "bootstrap": {"confidence": 0.95},
        "classes": [{"class": "setosa", "support": 4, "precision": 0.5, "recall": 1.0}],
    }
    shown = f"eval-{model}-on-{data}"
    result = run.log_output("result", value, name=shown, collection="eval-flowers")
    run.log_evaluation(shown, model, data, result, figures)
    run.end()


def _others(world: World, facts: dict[str, Any]) -> None:
    home, (first, second) = world.home, world.trains
    failed = begin(home, RunStarted(world.failed, "script", "fails", seed=3))
    failed.end("FAILED", ValueError("the loss became NaN"))
    # Half a character is refused wherever it is recorded.
    names = [name for name in hostile_names.NAMES if "\ud800" not in name]
    readable = [name for name in names if name.strip()]
    hostile = begin(
        home,
        RunStarted(world.hostile, "script", readable[0], experiment=readable[1], tags=readable, seed=(1 << 63) - 1,
                   config={name: name for name in names}),
    )  # fmt: skip
    hostile.log_params({name: [name, 1, None] for name in names})
    for name in readable:
        hostile.log_metric(name, 1.0, 0)
    world.made["hostile"] = hostile.log_output(
        readable[3],
        pandas.DataFrame({name: [1, 2] for name in readable}),
        name=readable[4],
        collection="dataset-hostile",
    )
    hostile.end()
    deleted = begin(home, RunStarted(world.deleted, "asset", "was deleted"))
    world.made["deleted"] = deleted.log_output(
        "model", {"w": np.arange(5.0)}, name="model-deleted", collection="model-deleted"
    )
    deleted.end()
    products = [{"name": "model", "verdict": "identical", "original": str(world.made["model-0"].digest)}]
    journal_at(home.journal).append(
        Process(HOST, f"id-of-{HOST}", "boot", 7, ["python"], ACCOUNT),
        ReplayMade(first, world.replay, "identical", products=products),
        RunTagged(second, ["kept"], ["study=s1"]),
        RunNoted(second, f"looks right on {HOST}, in /home/{ACCOUNT}/work"),
        CheckMade("good_enough", True, first, "models/flowers"),
        RunDeleted(world.deleted),
    )
    aliases.move(home, repository.version_of(world.made["model-1"]), "production")


def start(world: World) -> None:
    """Begin the run that goes on, with a model and a data set that it has made already."""
    run = begin(world.home, RunStarted(world.running, "asset", "goes on"))
    run.log_output("model", {"w": np.arange(7.0)}, name=f"model-{world.running}")
    run.log_output("data", pandas.DataFrame({"x": [7]}), name=f"dataset-{world.running}")
    run.flush()
