"""Which distributions a run imported.

Laws: what counts is what the run's process had imported when the run ended, whoever asked for it: any of it can have
decided bits. A forked child adds what it alone imported, in a segment of its own, when it leaves. Nothing is imported,
and no program is started, to find out.

Of a command nothing is recorded, because this process is not the one that computes.

Limit: a child that was not forked (multiprocessing's ``spawn``, a subprocess) is not seen, nor is one that leaves by
``os._exit`` or a signal.
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path

from repro_assets.journal.run_records import PackagesUsed, RunStarted
from repro_assets.journal.segments import journal_at


class _OpenRuns:
    """The runs that this process, or the one that it was forked from, has begun and not ended."""

    def __init__(self) -> None:
        self._journals: dict[str, Path] = {}
        self._at_fork: frozenset[str] | None = None
        self._hooked = False
        os.register_at_fork(before=self._before_fork, after_in_child=self._after_fork)
        atexit.register(self._tell)

    def watch(self, run_id: str, journal: Path) -> None:
        self._journals[run_id] = journal

    def forget(self, run_id: str) -> None:
        self._journals.pop(run_id, None)

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
        if self._at_fork is None:
            return
        own, self._at_fork = set(sys.modules) - self._at_fork, None
        packages = _distributions(own) if own else {}
        if packages:
            for run_id, journal in self._journals.items():
                journal_at(journal).append(PackagesUsed(run_id, packages))


_open_runs = _OpenRuns()
watch = _open_runs.watch
forget = _open_runs.forget


def packages_used(started: RunStarted, cache: Path | None = None) -> list[PackagesUsed]:
    """Return the record of what this process has imported until now; for `cache` see `used_distributions`.

    Of a command there is none: what it imports it imports in a process of its own.
    """
    if started.run_kind == "command":
        return []
    return [PackagesUsed(started.run_id, _distributions(set(sys.modules), cache))]


def _distributions(modules: set[str], cache: Path | None = None) -> dict[str, str]:
    from repro_assets.capture.packages import used_distributions

    return used_distributions(modules, cache)
