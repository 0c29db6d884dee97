"""Which loaded modules no longer are what lies on the disk.

Law: a first-party module whose file changed after this process started may have run in its old form; it is named, and
the run is not comparable. The start is read when this module is imported, so that a forked child keeps its parent's.
Limit: the start is known to a hundredth of a second; a file written within the one after it counts as unchanged,
because an interpreter takes longer than that to reach its first module.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path

import psutil

from repro_assets.store.sources import Stamp

_TICK_NS = 10_000_000


def _process_start_ns() -> int:
    if platform.system() == "Linux":
        # psutil adds the boot time, which the kernel tells in whole seconds; the boot-time clock is exact.
        fields = Path("/proc/self/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        since_boot = int(fields[19]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        return time.time_ns() - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - since_boot)
    return int(psutil.Process().create_time() * 1e9)


PROCESS_START_NS = _process_start_ns()
"""When this process started, in nanoseconds since the epoch."""


def changed_modules(files: Iterable[tuple[str, Stamp]]) -> dict[str, str]:
    """Loaded modules whose file changed after the process started.

    Parameters
    ----------
    files : iterable of (absolute path, Stamp)
        The first-party files.

    Returns
    -------
    dict
        Module name to the absolute path of its file, in order of the names.
    """
    changed = {path for path, stamp in files if max(stamp.mtime_ns, stamp.ctime_ns) > PROCESS_START_NS + _TICK_NS}
    return {name: path for name, path in loaded_files().items() if path in changed} if changed else {}


def loaded_files(known: Collection[str] = ()) -> dict[str, str]:
    """Return the loaded modules that have a file and are not `known`, and where it really is, in order of the names."""
    # A process has thousands, and to look where a file really is costs some microseconds.
    new = {name: module for name, module in list(sys.modules.items()) if name not in known}
    files = {name: getattr(module, "__file__", None) for name, module in sorted(new.items())}
    return {name: os.path.realpath(file) for name, file in files.items() if isinstance(file, str)}
