"""What a person said of a thing in the parameters or the config of the run that made it.

Law: a word is taken from a parameter or a setting of exactly that name, and from nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def said(run: Mapping[str, Any] | None, *names: str) -> str | None:
    """Return the text that a run has under the first of these names; a parameter comes before a setting.

    Parameters
    ----------
    run : mapping or None
        What `show_run` returns.
    *names : str
        Names of parameters and settings.
    """
    for values in ((run or {}).get("params") or {}, (run or {}).get("config") or {}):
        for name in names:
            if isinstance(values.get(name), str) and values[name].strip():
                return str(values[name])
    return None
