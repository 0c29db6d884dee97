"""``repro env capture`` and ``check``: one digest, and the reason where something is not known."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repro_assets.artifacts import repository
from repro_assets.capture.environment import capture_environment
from repro_assets.capture.level import Level
from repro_assets.orchestration import diagnosis
from repro_assets.recording.environments import captured_into
from repro_assets.store.home import make_store

Repro = Callable[..., Any]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").touch()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_digest_is_the_same_in_files_in_python_and_in_a_store(project: Path) -> None:
    made = captured_into(project / "out", Level.BASIC)
    captured = capture_environment("basic")
    stored = repository.put(make_store(project / "store"), captured.document)
    assert made.digest == captured.digest == stored.digest


@pytest.mark.parametrize("broken", ["no git", "damaged", "no repository"])
def test_why_there_is_no_commit_is_said(project: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    if broken == "no git":
        monkeypatch.setenv("PATH", str(project))
    elif broken == "damaged":
        (project / ".git/HEAD").write_text("broken\n")
    else:
        (project / ".git").rename(project / "gone")
    made = captured_into(project / "out", Level.BASIC)
    reason = json.loads((project / "out/system_info.json").read_text())["git"]["unavailable"]
    expected = {
        "no git": ("git cannot be started", "NO COMMIT: git cannot be started"),
        "damaged": ("not a git repository", "NO COMMIT: git "),
        "no repository": ("no repository here", "no git repository ·"),
    }[broken]
    assert expected[0] in reason and expected[1] in made.summary
    if broken == "damaged":
        found = diagnosis._git()
        assert "no commit is recorded: fatal:" in found.detail and "fsck" in found.remedy


def test_a_check_of_nothing_is_refused(repro: Repro) -> None:
    said = repro("env", "check")
    assert (said.code, said.out) == (2, "") and "no requirement is given" in said.err
