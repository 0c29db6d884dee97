"""The tests for GPUs are collected, and skipped with a reason, where nothing is installed but what they may need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED = {"pytest", "torch", "numpy", "xxhash", "psutil", "pynvml"}
# Beside what those six bring with them.
ABSENT = (
    "dagster", "pandas", "pyarrow", "duckdb", "pydantic", "threadpoolctl", "hypothesis", "rfc8785", "zstandard",
    "typer", "rich", "git", "grimp", "sklearn", "scipy", "matplotlib", "pathspec", "pytest_timeout", "xdist",
    "obstore", "boto3",
)  # fmt: skip


def test_they_need_nothing_else(tmp_path: Path) -> None:
    assert not ALLOWED & set(ABSENT)
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r}))\n"
        "import pytest, torch; torch.cuda.is_available = lambda: False\n"
        "words = '-c /dev/null --rootdir=. -p no:cacheprovider -rs repro_assets_tests/gpu'\n"
        "sys.exit(pytest.main(words.split()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
    assert "there is no CUDA device" in done.stdout and "passed" not in done.stdout.splitlines()[-1]
