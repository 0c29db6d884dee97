"""A person with a project and a store, whose scripts and commands are executed and replayed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_assets.catalog import queries
from repro_assets.replay.launch import Report, replay
from repro_assets.store.home import Home

ROOT = Path(__file__).parents[2]
QUICK = "capture_environment=False, monitor=None"
"""What an experiment of a test is given, so that it begins at once."""


@dataclass
class Person:
    """Where somebody works."""

    root: Path
    home: Home
    log: Path

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start(self, *words: str, folder: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        """Start Python in the project."""
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=folder or self.root,
            env={**os.environ, "PYTHONPATH": str(ROOT), "REPRO_HOME": str(self.home.root), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def python(self, *words: str, code: int = 0, folder: Path | None = None, **variables: str) -> str:
        """Execute Python in the project and return what it wrote to stdout."""
        process = self.start(*words, folder=folder, **variables)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, err
        return out

    def repro(self, *words: str, code: int = 0, folder: Path | None = None) -> str:
        """Execute a command of the command line."""
        return self.python("-m", "repro_assets.cli.app", *words, code=code, folder=folder)

    def runs(self) -> list[dict[str, Any]]:
        """Every run on record, oldest first."""
        return queries.rows(
            self.home,
            "SELECT run_id, name, run_kind, state, parent_run_id, replay_of, plan, warnings FROM runs "
            "ORDER BY started_at, run_id",
        )

    def last(self, name: str | None = None) -> str:
        """The newest run that is no replay."""
        return next(
            row["run_id"] for row in reversed(self.runs()) if row["replay_of"] is None and name in (None, row["name"])
        )

    def replay(self, run: str, **options: Any) -> Report:
        """Replay a run; what its process says is in the file `log`."""
        with self.log.open("wb") as log:
            return replay(self.home, run, log=log, **options)

    def gone(self) -> None:
        """Take the working copy away."""
        shutil.rmtree(self.root)


def verdicts(report: Report) -> dict[str, str]:
    """Verdict on each product, by slot."""
    return {product["slot"]: product["verdict"] for product in report.document()["products"]}
