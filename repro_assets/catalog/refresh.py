"""A refresh in a process of its own, so that the end of a run does not wait for it.

Laws: starting one returns at once and never fails the caller's work; however many are started, they take turns, and
all but the first find nothing to do. ``python -m repro_assets.catalog.refresh HOME`` is that process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from repro_assets.catalog.projection import refresh
from repro_assets.errors import ReproError
from repro_assets.store.home import Home, open_store

_started: list[subprocess.Popen[bytes]] = []


def refresh_detached(home: Home) -> int:
    """Start a refresh in a new session, with nothing attached to this process, and return its process id.

    What goes wrong in it shows at the next refresh in the foreground, which meets the same thing.

    Raises
    ------
    OSError
        If no process can be started.
    """
    # Those that have ended are reaped here; the last ones end with this process.
    _started[:] = [process for process in _started if process.poll() is None]
    process = subprocess.Popen(
        [sys.executable, "-m", "repro_assets.catalog.refresh", str(home.root)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _started.append(process)
    return process.pid


def main(arguments: list[str]) -> int:
    """Refresh the catalog of the store that is named; return the exit code."""
    if len(arguments) != 1:
        print("usage: python -m repro_assets.catalog.refresh HOME", file=sys.stderr)
        return 2
    try:
        done = refresh(open_store(Path(arguments[0])))
    except ReproError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{done.records} records read, {'published' if done.changed else 'nothing to publish'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
