"""Parts of segments: some records of a segment that lies in another store, as an import brings them.

Laws: a record of a part keeps the id that it has in its segment, so what names it still does, and however often it is
there it counts once; the lines of a part are those of the segment, in their order and byte for byte, but for the first
one, which names the process and the part, so that no other file begins like it; a part is never changed, and nobody
writes to it. A part of ``<segment>.jsonl`` is called ``<segment>.<32 hex>.jsonl``, by the SHA-256 of its lines.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

from repro_assets.journal.lines import write_line
from repro_assets.journal.records import PART, Process

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*-\d{1,10}-(?P<family>[0-9a-f]{32})\.jsonl")
_FAMILY = re.compile(r".+-\d+-(?P<family>[0-9a-f]{32})(?:\.[0-9a-f]{32})?\.jsonl")
_LONGEST = 200


def is_part(name: str) -> bool:
    """Tell whether a file of the journal is a part of a segment."""
    return PART.fullmatch(name) is not None


def is_segment_name(name: str) -> bool:
    """Tell whether the journal itself names a segment so; such a name is no path."""
    return len(name) <= _LONGEST and _SEGMENT.fullmatch(name) is not None


@lru_cache(maxsize=65_536)
def family_of(name: str) -> str:
    """Return what a segment and all of its parts have in common, whatever host they name."""
    match = _FAMILY.fullmatch(name)
    return match["family"] if match else name


def make_part(segment: str, process: Process, time: float, lines: Sequence[bytes]) -> tuple[str, bytes]:
    """Return name and content of the part that holds some lines of a segment.

    Parameters
    ----------
    segment : str
        The segment's name.
    process, time : Process and float
        What the segment's first record says, and when.
    lines : sequence of bytes
        The other lines, in order.
    """
    body = b"".join(lines)
    mark = hashlib.sha256(body).hexdigest()[:32]
    head = write_line(process, seq=0, time=time, part=mark)
    return f"{segment.removesuffix('.jsonl')}.{mark}.jsonl", head + body
