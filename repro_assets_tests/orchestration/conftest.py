from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from executing import START, Executing

from repro_assets.catalog import queries
from repro_assets.determinism.mode import Mode
from repro_assets.orchestration.request import CHILD
from repro_assets.store.home import VARIABLE, Home, make_store

SMALL = Path(__file__).parent / "small_project"


@dataclass
class Project:
    """A copy of the small project and a store of its own."""

    root: Path
    home: Home
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        """Variables of an executing process."""
        return {
            **os.environ,
            **Mode().environment(),
            VARIABLE: str(self.home.root),
            "DAGSTER_HOME": str(self.home.dagster),
            "PYTHONPATH": os.pathsep.join([str(self.root), *filter(None, [os.environ.get("PYTHONPATH")])]),
            **self.variables,
            **more,
        }

    def request(self, name: str = "request", **asked: Any) -> Path:
        """Write a request file."""
        path = self.root.parent / f"{name}.json"
        path.write_text(json.dumps({"module": "small.definitions", "format": 1, **asked}))
        return path

    def start(self, request: Path, **variables: str) -> Executing | subprocess.Popen[bytes]:
        """Start the executing process in a session of its own."""
        answer = request.with_suffix(".answer")
        answer.unlink(missing_ok=True)
        environment = self.environment(**variables)
        if START.items() <= environment.items():
            log = request.with_suffix(".log")
            log.unlink(missing_ok=True)
            return Executing(CHILD, [str(request), str(answer)], self.root, environment, log)
        return subprocess.Popen(
            [sys.executable, "-m", CHILD, str(request), str(answer)],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, variables: dict[str, str] | None = None, **asked: Any) -> dict[str, Any]:
        """Execute a request and return the answer."""
        request = self.request(**asked)
        process = self.start(request, **(variables or {}))
        log, _ = process.communicate(timeout=500)
        answer = request.with_suffix(".answer")
        assert answer.is_file(), log.decode()[-4000:]
        found: dict[str, Any] = json.loads(answer.read_text())
        return found

    def script(self, code: str, **variables: str) -> str:
        """Execute Python code in the project and return what it printed."""
        environment = self.environment(**variables)
        if START.items() <= environment.items():
            folder = Path(tempfile.mkdtemp(prefix="script-", dir=self.root.parent))
            (folder / "scripted.py").write_text(code)
            environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], str(folder)])
            out, err = folder / "out", folder / "err"
            code_of_exit = Executing("scripted", [], self.root, environment, out, err).wait(300)
            assert code_of_exit == 0, err.read_text()[-4000:]
            return out.read_text()
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    def digests(self, answer: dict[str, Any]) -> dict[str, str]:
        """Digest of each product, by asset."""
        assert answer["state"] == "COMPLETED", answer
        return {product["asset"]: product["digest"] for product in answer["products"]}

    def rows(self, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
        """Ask the catalog."""
        return queries.rows(self.home, sql, parameters)


@pytest.fixture
def make_project(tmp_path: Path) -> Iterator[Callable[[str], Project]]:
    def make(name: str) -> Project:
        root = tmp_path / name / "project"
        shutil.copytree(SMALL, root, ignore=shutil.ignore_patterns("__pycache__"))
        return Project(root, make_store(tmp_path / name / "home"))

    yield make


@pytest.fixture
def project(make_project: Callable[[str], Project]) -> Project:
    return make_project("one")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose store the tests of one module share."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copytree(SMALL, folder / "project", ignore=shutil.ignore_patterns("__pycache__"))
    return Project(folder / "project", make_store(folder / "home"))


@pytest.fixture(autouse=True)
def _all_begun(begun: None) -> None:
    """Nothing here is about how an interpreter starts, but for those with variables of their own."""
