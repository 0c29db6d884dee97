"""Kills at random instants, and many at once: nothing that was acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import journal_kills
import pytest


def run_apart(*arguments: object) -> dict[str, Any]:
    """Run the campaign in a process without threads; an assertion that fails there fails here."""
    done = subprocess.run(
        [sys.executable, journal_kills.__file__, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    done = run_apart("kill", tmp_path, 1, 1)
    assert done["kills"] == {"log": 1, "project": 1, "publish": 1, "merge": 1}


@pytest.mark.soak
def test_two_hundred_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    done = run_apart("kill", tmp_path, 50, 2)
    assert done["kills"] == {"log": 50, "project": 50, "publish": 50, "merge": 50}
    assert all(late < 25 for late in done["after the work had ended"].values()), "most kills came too late"


def test_eight_processes_log_while_a_client_polls_and_the_journal_is_merged(tmp_path: Path) -> None:
    done = run_apart("poll", tmp_path, 1.5)
    assert done["runs"] >= 8
