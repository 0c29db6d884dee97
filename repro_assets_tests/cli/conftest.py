from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from repro_assets.artifacts import repository
from repro_assets.cli.app import main
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin
from repro_assets.recording.run import Run
from repro_assets.store.home import Home, make_store

ROOT = Path(__file__).parents[2]
REPRO = (sys.executable, "-m", "repro_assets.cli.app")


@dataclass
class Said:
    """What a command line answered."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def repro(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Executes a command line in this process."""

    def execute(*words: object) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Said(code, *capsys.readouterr())

    return execute


def recorded_run(home: Home, run_id: str, seed: int, loss: float, *, state: str = "COMPLETED") -> Run:
    """A run that reads what is put as `given` and writes a version of `model-small`."""
    run = begin(
        home, RunStarted(run_id, "asset", f"small-seed{seed}", asset="models/small", seed=seed, config={"k": 1})
    )
    run.use("given", repository.put(home, {"numbers": [1, 2, 3]}, name="given"))
    run.log_metric("loss", 1.0, 0)
    run.log_metric("loss", loss, 1)
    if state == "COMPLETED":
        run.log_output("result", {"weights": [seed]}, name=f"model-{run_id}", collection="model-small")
        run.end()
    else:
        run.end(state, ValueError("the loss became NaN"))
    return run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A store with two completed runs and a failed one."""
    home = make_store(tmp_path / "store")
    monkeypatch.setenv("REPRO_HOME", str(home.root))
    recorded_run(home, "aaaaaaaa11111111", 1, 0.25)
    recorded_run(home, "bbbbbbbb22222222", 2, 0.125)
    recorded_run(home, "cccccccc33333333", 3, float("nan"), state="FAILED")
    return home


HELD = """
import time
from pathlib import Path

import dagster as dg
from pydantic import Field

from repro_assets.definitions import assets, defs as ours
from repro_assets.orchestration.config import AssetConfig
from repro_assets.orchestration.io_manager import ArtifactIOManager
from repro_assets.orchestration.naming import COLLECTION, DISPLAY
from repro_assets.orchestration.resource import Repro


class HeldConfig(AssetConfig):
    seconds: float = Field(default=60.0, ge=0.0, le=600.0)


def hold(run, config):
    Path("begun").touch()
    time.sleep(config.seconds)
    return {"held": config.seconds}


@dg.asset(code_version="1", metadata={COLLECTION: "held", DISPLAY: "held-{run}"})
def held(context: dg.AssetExecutionContext, repro: Repro, config: HeldConfig):
    return repro.execute(context, hold, config, {})


defs = dg.Definitions(assets=[*assets, held], resources={"repro": Repro(), "io_manager": ArtifactIOManager()})
"""


class Project:
    """A copy of the project with one more asset, in a folder of its own, driven through processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "repro_assets", root / "repro_assets", ignore=skipped)
        shutil.copytree(ROOT / "data" / "raw", root / "data" / "raw")
        (root / "held.py").write_text(HELD)
        (root / "pyproject.toml").write_text('[tool.dagster]\nmodule_name = "held"\n')
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("REPRO_HOME", "DAGSTER_HOME")},
            "PYTHONPATH": str(root),
        }

    def start(self, *words: object, home: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*REPRO, *map(str, words)],
            cwd=self.root,
            env={**self.environment, **({"REPRO_HOME": str(home)} if home else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def repro(self, *words: object, home: Path | None = None) -> Said:
        process = self.start(*words, home=home)
        out, err = process.communicate(timeout=240)
        return Said(process.returncode, out, err)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def inside(
    project: Project, repro: Callable[..., Said], begun: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Said]:
    """Executes a command line in the project, in this process."""
    monkeypatch.chdir(project.root)

    def execute(*words: object, home: Path | None = None) -> Said:
        if home is None:
            monkeypatch.delenv("REPRO_HOME", raising=False)
        else:
            monkeypatch.setenv("REPRO_HOME", str(home))
        return repro(*words)

    return execute
