"""What a run recorded, and the processes that record."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

from repro_assets.journal import records, run_records

Records = Callable[[type[records.Payload]], list[Any]]
Script = Callable[[str], "subprocess.Popen[str]"]


def rows(records_of: Records) -> list[list[Any]]:
    """Every metric point, without its time."""
    return [row[:3] for batch in records_of(run_records.Metrics) for row in batch.rows if not batch.system]


def finished(process: subprocess.Popen[str], code: int = 0) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    return out
