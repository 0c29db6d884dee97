from __future__ import annotations

from pathlib import Path

import pytest
from folders import write
from source_trees import git


@pytest.fixture
def own_git_configuration(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git knows one user and nothing of this machine."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text("[user]\n name = A\n email = a@b.c\n[init]\n defaultBranch = main\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def repository(tmp_path: Path, own_git_configuration: None) -> Path:
    """A repository with one commit."""
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q")
    write(root, {"a.py": "x = 1\n", "pkg/b.py": "y = 2\n", ".gitignore": "*.log\n"})
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "First\n\nbody")
    return root
