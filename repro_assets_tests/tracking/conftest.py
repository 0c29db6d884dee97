"""A project with a store of its own, in which scripts are executed as a person would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repro_assets.catalog import queries
from repro_assets.store.home import Home, make_store

ROOT = Path(__file__).parents[2]
Script = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty project, which is the current folder, and its store."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'theirs'\nversion = '1'\n")
    monkeypatch.chdir(tmp_path)
    for name in ("REPRO_HOME", "REPRO_RUN", "REPRO_RUN_HOME", "REPRO_PINS", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return make_store(tmp_path / "data")


@pytest.fixture
def script(project: Home) -> Script:
    """Start a script of the project; what it is given further are its words, or variables."""

    def start(text: str, *words: str, **variables: str) -> subprocess.Popen[str]:
        path = project.root.parent / "theirs.py"
        path.write_text(text)
        return subprocess.Popen(
            [sys.executable, str(path), *words],
            cwd=project.root.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def runs(project: Home) -> Callable[[], list[dict[str, Any]]]:
    """Every run on record, oldest first."""

    def read() -> list[dict[str, Any]]:
        columns = (
            "run_id, name, run_kind, state, error_type, error_message, parent_run_id, seed, config, tags, experiment, "
            "plan, replay_of, source, environment, warnings"
        )
        rows = queries.rows(project, f"SELECT {columns} FROM runs ORDER BY started_at, run_id")
        for row in rows:
            row.update({name: json.loads(row[name]) if row[name] else {} for name in ("config", "plan")})
        return rows

    return read
