"""Running another program to its end, or to a time limit.

Laws: it has a session of its own, and whatever ends this call ends all that it started; its output goes to a file and
never blocks it; it is asked nothing.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro_assets.determinism.fresh_process import end_session
from repro_assets.errors import MachineError, from_os_error

_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and what it wrote to stdout and stderr."""

    code: int
    output: str

    @property
    def last_line(self) -> str:
        """The last line that says something."""
        return next((line.strip() for line in reversed(self.output.splitlines()) if line.strip()), "")


def run_program(
    command: Sequence[str],
    seconds: float,
    environment: Mapping[str, str],
    *,
    what: str,
    folder: Path | None = None,
    told: Callable[[str], None] | None = None,
) -> Ended:
    """Run `command` and return how it ended.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    seconds : float
        The time limit.
    environment : mapping
        All of its variables.
    what : str
        What a person calls it.
    folder : path, optional
        Its working folder.
    told : callable, optional
        Given each line of output soon after it was written.

    Raises
    ------
    MachineError
        If it cannot be started, or takes longer; it has ended then.
    """
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                list(command),
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise MachineError(f"{what} cannot be started: {from_os_error(error, command[0]).message}") from error
        limit = time.monotonic() + seconds
        seen = 0
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_SECONDS)
                whole = os.pread(log.fileno(), os.fstat(log.fileno()).st_size, 0)
                if told is not None:
                    for line in whole[seen : whole.rfind(b"\n") + 1].splitlines():
                        told(line.decode("utf-8", "replace"))
                    seen = max(seen, whole.rfind(b"\n") + 1)
                if process.returncode is not None:
                    return Ended(process.returncode, whole.decode("utf-8", "replace"))
                if time.monotonic() > limit:
                    raise MachineError(f"{what} took more than {seconds:g} s and was ended", "give it more time")
        finally:
            end_session(process)
