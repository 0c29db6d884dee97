"""Runs of an asset graph under parent runs, of scripts, of a command and of a notebook, with their source tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import exported
import numpy as np
import pandas

from repro_assets.artifacts import repository
from repro_assets.artifacts.kinds.tree import TreeFile
from repro_assets.journal.run_records import (
    ConsoleKept,
    PackagesUsed,
    ParentState,
    ReplayMade,
    RunImported,
    RunNoted,
    RunStarted,
)
from repro_assets.journal.segments import journal_at
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home, make_store

SOURCES = {
    "small/definitions.py": "defs = None\n",
    "small/learning.py": exported.RECIPE,
    "small/__main__.py": "",
    "train.py": "print('trains')\n",
    "tools/run.sh": "echo runs\n",
    "notebook/cells.ipynb": '{"cells": []}\n',
    "LICENSE": "free\n",
}
PARENTS = ("10000000-0000-4000-8000-000000000001", "10000000-0000-4000-8000-000000000002")
DAGSTER = {**exported.ENVIRONMENT, "packages": [{"name": "dagster", "version": "1.13.27"}]}
LOCATION = {"code_location": {"module": "small.definitions", "attribute": "defs"}, "asset": "any"}
SCRIPT = {"form": "script", "script": "train.py", "interpreter_argv": ["python", "train.py", "--lr", "0.1"]}


@dataclass
class Graphed:
    """The store, and the ids of its runs."""

    home: Home
    source: str
    prepare: str = "d1" * 8
    trains: tuple[str, str] = ("e1" * 8, "e2" * 8)
    evaluate: str = "f1" * 8
    script: str = "51" * 8
    nested: str = "52" * 8
    command: str = "53" * 8
    notebook: str = "54" * 8
    program: str = "55" * 8
    interrupted: str = "56" * 8
    imported: str = "57" * 8
    bare: str = "58" * 8


def fill(folder: Path) -> Graphed:
    """Make the store."""
    home = make_store(folder / "store")
    code = folder / "code"
    for path, text in SOURCES.items():
        (code / path).parent.mkdir(parents=True, exist_ok=True)
        (code / path).write_text(text)
    files = [TreeFile(path, code / path) for path in SOURCES]
    source = repository.put(home, [*files, TreeFile("a link", code, link_target="train.py")], "tree")
    world = Graphed(home, str(source.digest))
    facts: dict[str, Any] = {
        "source": str(source.digest),
        "source_facts": {"commit": "c0ffee" * 6, "branch": "main", "remote": exported.REMOTE, "dirty": False},
        "environment": str(repository.put(home, DAGSTER, name="environment").digest),
        "host_facts": {"name": exported.HOST},
    }
    _graph(world, facts)
    _programs(world, facts)
    journal_at(home.journal).close()
    return world


def _graph(world: Graphed, facts: dict[str, Any]) -> None:
    """Two Dagster runs: the first prepares and trains, the second trains again and evaluates."""
    home, journal = world.home, journal_at(world.home.journal)
    first, second = PARENTS
    asset = {**facts, "plan": {**LOCATION, "argv": ["dagster"]}, "recipe": "small.learning:learn", "code_version": "v1"}
    for parent in PARENTS:
        journal.append(RunStarted(parent, "parent", f"__ASSET_JOB-{parent[:8]}", job="__ASSET_JOB", plan=LOCATION))
    frame = pandas.DataFrame({"x": [1, 2, 3], "y": ["a", None, "c"]})
    prepare = begin(
        home,
        RunStarted(world.prepare, "asset", "prepare", asset="data/small", parent_run_id=first,
                   **{**asset, "recipe": "small.gone:prepare"}),
    )  # fmt: skip
    data = prepare.log_output("result", frame, name="dataset-small-v1", collection="dataset-small", asset="data/small")
    prepare.end()
    models = []
    for number, (run_id, parent) in enumerate(zip(world.trains, PARENTS, strict=True)):
        train = begin(
            home,
            RunStarted(run_id, "asset", f"train-{number}", asset="models/small", parent_run_id=parent, seed=number,
                       config={"lr": 0.1, "layers": [1, None], "deep": {"on": True, "none": None}}, **asset),
        )  # fmt: skip
        train.use("data", data)
        train.log_params({"name": "same", "mixed": number or 0.5})
        for step in range(3):
            train.log_metric("loss", float("nan") if step == 1 else 1.0 / (step + 1), step)
        model = train.log_output(
            "result", {"w": np.arange(3.0) + number}, name=f"model-{run_id}", collection="model-small"
        )
        models.append(model)
        journal.append(PackagesUsed(run_id, {"numpy": "2.1.0"}), ConsoleKept(run_id, "stdout", "a line\n", 7, 0))
        train.end()
    evaluate = begin(
        home,
        RunStarted(world.evaluate, "asset", "evaluate", asset="evaluations/small", parent_run_id=second, **asset),
    )
    evaluate.use("model", models[1])
    evaluate.use("data", data)
    evaluate.log_output("result", {"accuracy": 0.5, "worst": float("-inf")}, name="eval-small", collection="eval-small")
    evaluate.end("FAILED", ValueError(f"too bad, on {exported.HOST} in /home/{exported.ACCOUNT}/work"))
    journal.append(
        ParentState(first, "COMPLETED", "SUCCESS", job="__ASSET_JOB"),
        ParentState(second, "FAILED", "FAILURE", job="__ASSET_JOB"),
        ReplayMade(world.trains[0], "ab" * 8, "identical", products=[{"name": "model", "verdict": "identical"}]),
        RunNoted(world.trains[0], f"seen by {exported.ACCOUNT}'s eyes"),
    )


def _programs(world: Graphed, facts: dict[str, Any]) -> None:
    """What Dagster did not execute."""
    home = world.home
    script = begin(home, RunStarted(world.script, "script", "train", config={"lr": 0.1}, **{**facts, "plan": SCRIPT}))
    nested = begin(
        home, RunStarted(world.nested, "script", "inner", parent_run_id=world.script, **{**facts, "plan": SCRIPT})
    )
    nested.log_output("weights.bin", b"\0\1", name=f"{world.nested}/weights.bin")
    nested.end()
    script.end()
    command = {"form": "command", "command": ["sh", "run.sh"], "working_folder": "tools", "python": "/usr/bin/python"}
    module = {"form": "command", "command": ["python", "-m", "small"], "python": "python", "working_folder": "."}
    for run_id, kind, plan in (
        (world.command, "command", command),
        (world.program, "command", module),
        (world.notebook, "notebook", {"form": "notebook"}),
    ):
        begin(home, RunStarted(run_id, kind, kind, **{**facts, "plan": plan})).end()
    begin(home, RunStarted(world.interrupted, "script", "stopped", **{**facts, "plan": SCRIPT})).end("INTERRUPTED")
    imported = begin(home, RunStarted(world.imported, "imported", "theirs"))
    imported.log_params({"lr": 0.5})
    journal_at(home.journal).append(
        RunImported(world.imported, "mlflow", f"/home/{exported.ACCOUNT}/mlruns", "77", 1.6e9, 1.6e9 + 5)
    )
    imported.end()
    begin(home, RunStarted(world.bare, "script", "bare")).end()
