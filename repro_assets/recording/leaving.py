"""What a process adds to runs that are another process's to end, when it leaves.

Laws: a child that was forked while runs were open, and a process that is attached to one, add what they alone imported
and read, in a segment of their own.

Limit: a child that was not forked (multiprocessing's ``spawn``, a subprocess) and is not attached is not seen, nor is
one that leaves by ``os._exit`` or a signal.
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path

from repro_assets.journal.segments import journal_at
from repro_assets.recording import undeclared, used


class _OpenRuns:
    """The runs that this process, or the one that it was forked from, has begun and not ended, or is attached to."""

    def __init__(self) -> None:
        self._journals: dict[str, Path] = {}
        self._attached: set[str] = set()
        self._at_fork: frozenset[str] | None = None
        self._hooked = False
        os.register_at_fork(before=self._before_fork, after_in_child=self._after_fork)
        atexit.register(self._tell)

    def watch(self, run_id: str, journal: Path, *, attached: bool = False) -> None:
        self._journals[run_id] = journal
        if attached:
            self._attached.add(run_id)

    def detach(self, run_id: str) -> None:
        if run_id in self._attached:
            self.forget(run_id)

    def forget(self, run_id: str) -> None:
        self._journals.pop(run_id, None)
        self._attached.discard(run_id)
        undeclared.forget(run_id)

    def _before_fork(self) -> None:
        # A worker of multiprocessing leaves past atexit, and drops at its start what was registered before it.
        util = sys.modules.get("multiprocessing.util")
        if self._journals and util is not None and not self._hooked:
            util.register_after_fork(self, _OpenRuns._in_worker)
            self._hooked = True

    def _after_fork(self) -> None:
        self._at_fork = frozenset(sys.modules) if self._journals else None

    def _in_worker(self) -> None:
        sys.modules["multiprocessing.util"].Finalize(None, self._tell, exitpriority=0)

    def _tell(self) -> None:
        own = None if self._at_fork is None else set(sys.modules) - self._at_fork
        self._at_fork = None
        for run_id, journal in list(self._journals.items()):
            if own is not None or run_id in self._attached:
                records = [*used.packages_added(run_id, own or set()), *undeclared.noted(run_id)]
                journal_at(journal).append(*records)
                self.forget(run_id)


_open_runs = _OpenRuns()
watch = _open_runs.watch
detach = _open_runs.detach
forget = _open_runs.forget
