"""DVC itself, as a process, in a repository of a test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMITTER = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false")
CLEAN = "Data and pipelines are up to date."


def dvc(folder: Path, *words: str, fails: bool = False, **variables: str) -> str:
    """Execute DVC and return what it said; it sends nothing anywhere and keeps its own files beside the folder."""
    told = {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder.parent / "dvc-site"), "CI": "1", **variables}
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=folder,
        env={**os.environ, "PATH": tools, "HOME": str(folder.parent), **told},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return (done.stdout + done.stderr).strip()


def git(folder: Path, *words: str, time: int | None = None) -> str:
    """Execute git and return what it said; `time` is that of a commit."""
    at = {} if time is None else {"GIT_AUTHOR_DATE": f"{time} +0000", "GIT_COMMITTER_DATE": f"{time} +0000"}
    done = subprocess.run(
        ["git", *COMMITTER, *words], cwd=folder, env={**os.environ, **at}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
