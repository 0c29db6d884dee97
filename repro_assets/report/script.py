"""Values as scripts, which is the only way in which a page that was opened from the disk can load data.

Laws: a file holds one call, ``Report.receive("NAME", VALUE)``; numbers arrive as the bits they are: NaN and infinities
are JavaScript's own, an integer beyond ±(2^53 - 1) is a text, and columns of numbers are their bytes in base64; no text
can end the script or become part of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

_EXACT = (1 << 53) - 1
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def script(name: str, value: Any) -> bytes:
    """Return the file that hands `value` to the page under `name`."""
    return f"Report.receive({_literal(name)},{_literal(plain(value))});\n".encode("ascii")


def file_name(name: str) -> str:
    """Return a name for a file, whatever `name` is: itself where every file system takes it, else a digest of it."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    return "x-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def plain(value: Any) -> Any:
    """Return a value of the catalog as text, numbers, lists and mappings; times are ISO 8601 in UTC."""
    if value is None or isinstance(value, (bool, str, float)):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _EXACT else str(value)
    if isinstance(value, datetime):
        return (value.replace(tzinfo=UTC) if value.tzinfo is None else value).isoformat(timespec="milliseconds")
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


def numbers(column: numpy.ndarray[Any, Any]) -> dict[str, str]:
    """Return a column of numbers as its bytes: in 4 of them each where none changes by that, else in 8.

    Parameters
    ----------
    column : numpy.ndarray
        One dimension, of float64; NaN stands for what is missing.

    Returns
    -------
    dict
        ``type``: ``i4``, ``f4`` or ``f8``, little-endian; ``data``: base64.
    """
    import numpy

    for kind in ("i4", "f4"):
        with numpy.errstate(all="ignore"):
            small = column.astype(f"<{kind}")
        back = small.astype("<f8")
        if back.tobytes() == column.astype("<f8").tobytes():
            return {"type": kind, "data": base64.b64encode(small.tobytes()).decode()}
    return {"type": "f8", "data": base64.b64encode(column.astype("<f8").tobytes()).decode()}


def _literal(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
