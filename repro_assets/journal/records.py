"""What every record of the journal is, and the one that names its process.

Laws: the id of a record is ``<segment>:<seq>``, also where it lies in a part of the segment (`parts`); a kind is known
by its name, which is never given to another one, and what it holds by its schema; digests stand in string form. What
records of artifacts and of runs say is in `artifact_records`, `run_records` and `metrics`, all kinds are in `payloads`,
and `lines` has how a record is written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

PART = re.compile(r"(?P<segment>.+-\d+-[0-9a-f]{32})\.[0-9a-f]{32}\.jsonl")
"""How the file of a part of a segment is called (`repro_assets.journal.parts`)."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What a record of one kind says; subclasses name their kind, and their schema where it is not the first."""

    kind: ClassVar[str]
    schema: ClassVar[int] = 1

    @classmethod
    def upcast(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return the members of a record of the schema before this one as this one has them.

        Raises
        ------
        ValueError, KeyError, TypeError
            If they are not what that schema had.
        """
        raise ValueError(f"the kind {cls.kind} has no schema before {cls.schema}: {sorted(data)}")


@dataclass(frozen=True, slots=True)
class Process(Payload):
    """First record of every segment: which process writes it.

    `host_id` tells two hosts of one name apart, `boot_id` one start of a host from the next. `account` is the
    person's on that host, None where it has no name, as in records that were written without it.
    """

    kind: ClassVar[str] = "process"
    host: str
    host_id: str
    boot_id: str
    pid: int
    argv: list[str]
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a segment, read; `segment` is the file that it lies in, which may be a part."""

    segment: str
    seq: int
    time: float
    follows: tuple[str, ...]
    payload: Payload

    @property
    def id(self) -> str:
        """``<segment>:<seq>``, unique for ever."""
        return f"{segment_of(self.segment)}:{self.seq}"


@lru_cache(maxsize=65_536)
def segment_of(name: str) -> str:
    """Return the segment of which a file of the journal is a part; any other file is its own."""
    match = PART.fullmatch(name)
    return f"{match['segment']}.jsonl" if match else name
