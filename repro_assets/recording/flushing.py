"""The thread that puts the buffers of open runs on the disk.

Law: a write that fails keeps its rows, and raises again where the run flushes or ends. A script may leave without
ending its run: what it logged is still written. A forked child has no such thread until it logs to a run itself.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from typing import Protocol

from repro_assets.errors import MachineError
from repro_assets.journal.segments import HEARTBEAT_SECONDS

FLUSH_SECONDS = 0.5


class Flushed(Protocol):
    """What has a buffer to be written."""

    def flush(self, *, patient: bool = False) -> None:
        """Write the buffer; what is dear to write may wait if `patient`."""

    def beat(self) -> None:
        """Renew the heartbeat that other hosts look at."""

    def after_fork(self) -> None:
        """Become the handle of a forked child."""


class Flusher:
    """Writes the buffers of all open runs of this process, in one daemon thread."""

    def __init__(self) -> None:
        self._runs: list[Flushed] = []
        self._thread: threading.Thread | None = None
        self._forked = False
        os.register_at_fork(after_in_child=self._after_fork)
        atexit.register(self._flush_all)

    def watch(self, run: Flushed) -> None:
        """Write the buffer of `run` twice a second from now on."""
        if self._forked:
            # A forked worker of multiprocessing leaves by `os._exit`, past atexit; it was imported then.
            self._forked = False
            util = sys.modules.get("multiprocessing.util")
            if util is not None:
                util.Finalize(None, self._flush_all, exitpriority=0)
        if run not in self._runs:
            self._runs.append(run)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._loop, name="repro-flush", daemon=True)
            self._thread.start()

    def forget(self, run: Flushed) -> None:
        """Write it no more."""
        if run in self._runs:
            self._runs.remove(run)

    def _loop(self) -> None:
        beaten = time.monotonic()
        while True:
            time.sleep(FLUSH_SECONDS)
            beat = time.monotonic() - beaten >= HEARTBEAT_SECONDS
            for run in list(self._runs):
                with contextlib.suppress(Exception):
                    run.flush(patient=True)
                    if beat:
                        run.beat()
            if beat:
                beaten = time.monotonic()

    def _flush_all(self) -> None:
        for run in list(self._runs):
            try:
                run.flush()
            except MachineError as error:
                # Nobody is left to catch it.
                print(f"error: what was logged last is not on record: {error}", file=sys.stderr)

    def _after_fork(self) -> None:
        # The open runs are the parent's until the child logs to one.
        for run in self._runs:
            run.after_fork()
        self._runs, self._thread, self._forked = [], None, True


flusher = Flusher()
