"""Works of the catalog in a process of their own, so that neither the end of a run nor a question waits for them.

Laws: starting one returns at once; what goes wrong in it shows at the next in the foreground, which meets the same
thing. What such a process does is in ``__main__.py``.
"""

from __future__ import annotations

import subprocess
import sys
from enum import StrEnum

from repro_assets.store.home import Home


class Work(StrEnum):
    """What there is to do."""

    REFRESH = "refresh"
    MERGE = "merge"


_started: list[subprocess.Popen[bytes]] = []
"""Those that have ended are reaped by the next start; the last ones end with this process."""


def start(work: Work, home: Home) -> int:
    """Start a work in a new session, with nothing attached to this process, and return its process id.

    Raises
    ------
    OSError
        If no process can be started.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", __package__, work, str(home.root)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _started[:] = [started for started in _started if started.poll() is None] + [process]
    return process.pid
