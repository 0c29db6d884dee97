"""Processes that are started to compute something again, and how they are ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from repro_assets.errors import MachineError

GRACE_SECONDS = 10.0


def run_module(
    module: str,
    arguments: Sequence[Path],
    folder: Path,
    variables: Mapping[str, str],
    timeout: float | None,
    log: IO[bytes] | None,
) -> int:
    """Execute a module in a new interpreter and return its exit code; further arguments as `run_words`."""
    return run_words([sys.executable, "-m", module, *map(str, arguments)], folder, variables, timeout, log)


def run_words(
    words: Sequence[str],
    folder: Path,
    variables: Mapping[str, str],
    timeout: float | None,
    log: IO[bytes] | None,
) -> int:
    """Execute a program in a session of its own and return its exit code; what it says goes to `log`, else to stderr.

    Raises
    ------
    subprocess.TimeoutExpired
        If it took more than `timeout` seconds; it was ended then, with all that it started.
    MachineError
        If it cannot be started.
    """
    output = log or sys.stderr.fileno()
    process = _started(words, folder, variables, output)
    try:
        return process.wait(timeout)
    finally:
        end_session(process)


def _started(
    words: Sequence[str], folder: Path, variables: Mapping[str, str], output: IO[bytes] | int
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(words),
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    except OSError as error:
        raise MachineError(f"{words[0]} cannot be started: {error.strerror or error}") from error


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
