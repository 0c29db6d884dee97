"""Whether this process may ask others over a network, as the variable ``REPRO_OFFLINE`` says.

Laws: offline no default remote is asked for a missing object and no exporter of traces is contacted; what is in the
store is all that there is. A command that names a remote is not offline.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

VARIABLE = "REPRO_OFFLINE"


def is_offline() -> bool:
    """Tell whether the variable is set to anything but ``0``, ``false`` and ``no``."""
    return os.environ.get(VARIABLE, "").lower() not in ("", "0", "false", "no")


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Ask nobody in a scope, neither in this process nor in those that it starts."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
