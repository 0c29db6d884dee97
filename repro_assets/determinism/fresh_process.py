"""Processes that are started to compute something again, and how they are ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

GRACE_SECONDS = 10.0


def end_session(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session of its own, and all that it started; one that has ended is left alone."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
