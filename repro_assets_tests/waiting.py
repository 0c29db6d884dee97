"""Waiting in tests for what another process or thread does, with a limit at which the test fails."""

import time
from collections.abc import Callable
from pathlib import Path


def until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    """Return as soon as something holds; fail where it does not within a time."""
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit, f"waited {seconds:g} s in vain"
        time.sleep(0.01)


def alive(process: int) -> bool:
    """Tell whether a process executes still; one that has ended and that nobody has looked at does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
