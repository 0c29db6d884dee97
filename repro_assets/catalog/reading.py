"""Which bytes of the journal are still to be read, and reading them in bounded pieces.

Laws: two files with one first line are one segment (the line holds process, host and time), so a copy counts once and
the longest copy is read; a segment that became shorter, or whose read part no longer ends where a line ends, cannot be
continued and asks for a rebuild; times do not go back within a segment, whatever the clock did; a torn last line waits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import xxhash

from repro_assets.catalog.loading import Batch
from repro_assets.catalog.points import columns_of, table_of
from repro_assets.catalog.rows import Row, microseconds, rows_of, text_of
from repro_assets.journal.metrics import Metrics
from repro_assets.journal.records import Record
from repro_assets.journal.segments import Damage, read_segment

ROWS_AT_ONCE = 200_000
BYTES_AT_ONCE = 16 << 20
_OWN_NAME = re.compile(r".+-\d+-[0-9a-f]{32}\.jsonl")


class Unusable(Exception):
    """The work file cannot be continued; the text says why."""


@dataclass(slots=True)
class Segment:
    """One segment and how far it was read; `last_time` is in microseconds since 1970."""

    name: str
    header: str
    copy_of: str | None = None
    read_to: int = 0
    records: int = 0
    last_time: int | None = None
    process: str | None = None

    def row(self) -> Row:
        """Return its row in the table of segments."""
        return {
            "segment": self.name,
            "header": self.header,
            "copy_of": self.copy_of,
            "read_to": self.read_to,
            "records": self.records,
            "last_time": self.last_time,
            "process": self.process,
        }


@dataclass(slots=True)
class Piece:
    """What one transaction adds: rows, damages, and the segments as they stand behind it."""

    batch: Batch = field(default_factory=Batch)
    damages: list[Row] = field(default_factory=list)
    segments: dict[str, Segment] = field(default_factory=dict)
    records: int = 0


def group(folder: Path, sizes: dict[str, int], known: dict[str, Segment]) -> dict[str, Segment]:
    """Return every segment that has a first line, the copies included.

    Raises
    ------
    Unusable
        If a segment that was read is gone.
    """
    owners = {segment.header: segment.name for segment in known.values() if segment.copy_of is None}
    found = dict(known)
    fresh: list[Segment] = []
    for name in sorted(sizes.keys() - known.keys()):
        with (folder / name).open("rb") as file:
            line = file.readline()
        if line.endswith(b"\n"):
            fresh.append(Segment(name, xxhash.xxh3_128_hexdigest(line)))
    # A name that the journal itself gives comes before one that a person gave to a copy.
    for segment in sorted(fresh, key=lambda item: (not _OWN_NAME.fullmatch(item.name), item.name)):
        owner = owners.setdefault(segment.header, segment.name)
        segment.copy_of = None if owner == segment.name else owner
        found[segment.name] = segment
    for segment in known.values():
        if segment.name not in sizes:
            raise Unusable(f"segment {segment.name} is gone")
    return found


def files_of(segments: dict[str, Segment]) -> dict[str, list[str]]:
    """Return the files of each segment, its own first."""
    files: dict[str, list[str]] = {name: [name] for name, segment in segments.items() if segment.copy_of is None}
    for name, segment in segments.items():
        if segment.copy_of is not None:
            files[segment.copy_of].append(name)
    return files


def pieces(folder: Path, sizes: dict[str, int], segments: dict[str, Segment]) -> Iterator[Piece]:
    """Yield what has not been read yet, in pieces that fit in memory.

    Raises
    ------
    Unusable
        If a segment cannot be continued.
    """
    piece, read = Piece(), 0
    for owner, names in files_of(segments).items():
        segment = segments[owner]
        longest = max(names, key=lambda name: sizes[name])
        if sizes[longest] == segment.read_to:
            continue
        if sizes[longest] < segment.read_to or not _is_line_end(folder / longest, segment.read_to):
            raise Unusable(f"segment {owner} was cut or written over before byte {segment.read_to}")
        for item, behind in read_segment(folder / longest, segment.read_to):
            size = behind - segment.read_to
            if isinstance(item, Damage):
                piece.damages.append(_line_damage(owner, segment.read_to, item.reason))
            else:
                _take(piece, segment, item)
            segment.read_to = behind
            piece.segments[owner] = segment
            read += size
            if piece.batch.rows >= ROWS_AT_ONCE or read >= BYTES_AT_ONCE:
                yield piece
                piece, read = Piece(), 0
    if piece.segments:
        yield piece


def _take(piece: Piece, segment: Segment, item: Record) -> None:
    record = item if item.segment == segment.name else replace(item, segment=segment.name)
    try:
        time = max(microseconds(record.time), segment.last_time or 0)
        payload = record.payload
        points = columns_of(payload) if isinstance(payload, Metrics) else None
        rows = [] if points is not None else list(rows_of(record, time))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        # A record's members are checked here and nowhere before, so any of these means impossible values.
        piece.damages.append(
            {
                "kind": "record",
                "segment": segment.name,
                "byte_offset": segment.read_to,
                "subject": record.id,
                "reason": text_of(f"{record.payload.kind}: {error}"),
            }
        )
        return
    segment.last_time = time
    segment.records += 1
    piece.records += 1
    piece.batch.add(rows)
    if isinstance(payload, Metrics) and points is not None:
        piece.batch.add_points(table_of(payload), points)


def _line_damage(segment: str, offset: int, reason: str) -> Row:
    return {
        "kind": "line",
        "segment": segment,
        "byte_offset": offset,
        "subject": None,
        "reason": text_of(" ".join(reason.split())),
    }


def _is_line_end(path: Path, offset: int) -> bool:
    if offset == 0:
        return True
    with path.open("rb") as file:
        file.seek(offset - 1)
        return file.read(1) == b"\n"
