"""The demonstration finds what it plants, and every format that it writes is accepted."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from repro_assets.interchange.formats import EXPORTS

DEMO = Path(__file__).parents[2] / "docs" / "demo"


def tour(*words: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name != "REPRO_HOME"}
    return subprocess.run(
        [sys.executable, str(DEMO / "demo.py"), *words], env=variables, capture_output=True, text=True, check=False
    )


def test_it_shows_every_format() -> None:
    (table,) = (
        node.value
        for node in ast.parse((DEMO / "readers.py").read_text()).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict)
    )
    assert {ast.literal_eval(key) for key in table.keys if key is not None} == set(EXPORTS)


@pytest.mark.slow
def test_what_is_planted_is_found_and_what_is_exported_accepted(tmp_path: Path) -> None:
    done = tour(str(tmp_path / "tour"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"9 errors planted and found, {len(EXPORTS)} formats written and accepted"
    again = tour(str(tmp_path / "tour"))
    assert (again.returncode, again.stdout) == (2, "")
    assert "is there already" in again.stderr
