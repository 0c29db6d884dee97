"""The samples of the page about tracking are executed as they stand, and leave what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from repro_assets.catalog import queries
from repro_assets.catalog.naming import resolve_artifact
from repro_assets.store.home import find_store

ROOT = Path(__file__).parents[2]


def test_the_samples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "tracking.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'theirs'\nversion = '1'\n")
    (tmp_path / "data.csv").write_text("a\n1\n")
    (tmp_path / "samples.py").write_text("\n\n".join(blocks))
    done = subprocess.run(
        [sys.executable, "samples.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "{'answer': 1, 'prompt': '0 + 1'} 1.0"
    monkeypatch.chdir(tmp_path)
    home = find_store()
    states = queries.rows(home, "SELECT name, state FROM runs ORDER BY name")
    assert {row["name"]: row["state"] for row in states} == dict.fromkeys(
        ("adapt", "evaluate", "fit", "train"), "COMPLETED"
    )
    read = queries.rows(home, "SELECT slot FROM run_inputs JOIN runs USING (run_id) WHERE name = 'evaluate'")
    assert len(read) == 2 and "model-line" in {row["slot"] for row in read}
    (kept,) = queries.rows(home, "SELECT name FROM run_outputs WHERE slot = 'notes.txt'")
    assert resolve_artifact(home, kept["name"]).load() == b"it went well"
