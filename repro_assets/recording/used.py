"""Which distributions a run imported.

Laws: what counts is what the run's process had imported when the run ended, whoever asked for it: any of it can have
decided bits. A forked child adds what it alone imported (`repro_assets.recording.leaving`). Nothing is imported, and no
program is started, to find out.

Of a command nothing is recorded, because this process is not the one that computes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from repro_assets.journal.run_records import PackagesUsed, RunStarted


def packages_used(started: RunStarted, cache: Path | None = None) -> list[PackagesUsed]:
    """Return the record of what this process has imported until now; for `cache` see `used_distributions`.

    Of a command there is none: what it imports it imports in a process of its own.
    """
    if started.run_kind == "command":
        return []
    return [PackagesUsed(started.run_id, _distributions(set(sys.modules), cache))]


def packages_added(run_id: str, modules: set[str]) -> list[PackagesUsed]:
    """Return the record of what a child imported beyond what its parent had; none where that is nothing."""
    packages = _distributions(modules) if modules else {}
    return [PackagesUsed(run_id, packages)] if packages else []


def _distributions(modules: set[str], cache: Path | None = None) -> dict[str, str]:
    from repro_assets.capture.packages import used_distributions

    return used_distributions(modules, cache)
