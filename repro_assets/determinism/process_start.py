"""What this process was started with.

Law: a variable that was changed after the start does not count; on Linux the kernel keeps those of the start. Elsewhere
there is no such record, and the present value has to stand for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

# Said by Dagster about itself when it serves; nobody who starts a process here can do anything about it.
KNOWN_WARNINGS = ("ignore:Function `dev_command` is superseded:FutureWarning",)


@lru_cache(maxsize=1)
def variables_at_start() -> dict[str, str]:
    """Environment variables as they were when this process was started; of a forked child, its parent's."""
    kept = Path("/proc/self/environ")
    if not kept.exists():
        return dict(os.environ)
    pairs = (entry.partition("=") for entry in os.fsdecode(kept.read_bytes()).split("\0"))
    return {name: value for name, separator, value in pairs if separator}


def warning_filters(variables: Mapping[str, str]) -> str:
    """Return the PYTHONWARNINGS of a process that is started: `KNOWN_WARNINGS`, then those of `variables`.

    Python gives the later filter precedence, so a person's own wins.
    """
    return ",".join(filter(None, [*KNOWN_WARNINGS, variables.get("PYTHONWARNINGS", "")]))


def hash_seed_in_effect() -> str | None:
    """Return the PYTHONHASHSEED that pins this process's string hashes; None where they are random."""
    if not sys.flags.hash_randomization:
        return "0"
    if sys.flags.ignore_environment:
        return None  # python -E or -I: the variable was not read
    value = variables_at_start().get("PYTHONHASHSEED")
    return value if value not in (None, "", "random") else None
