"""Which bytes of the journal are still to be read, and reading them in bounded pieces.

Laws: two files with one first line are one segment (the line holds process, host and time), so a copy counts once and
the longest copy is read; a segment that became shorter, or whose read part no longer ends where a line ends, cannot be
continued and asks for a rebuild; what is merged is read like what is not, and a merge that does not read is named; a
record that is there twice counts once, also where an import brought it in a part of its segment; times do not go back
within a segment, whatever the clock did; a torn last line waits, and is named as torn once its writer is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import xxhash

from repro_assets.artifacts.merged_points import points_of
from repro_assets.catalog.loading import Batch
from repro_assets.catalog.points import columns_of, table_of
from repro_assets.catalog.rows import Row, Unfit, microseconds, rows_of, text_of
from repro_assets.errors import CorruptObject, CorruptRecord, MissingObject
from repro_assets.journal.merged import Form, Item, MetricLine, form_of, read_form
from repro_assets.journal.metrics import Metrics
from repro_assets.journal.parts import family_of, is_part
from repro_assets.journal.records import Record
from repro_assets.journal.segments import Damage
from repro_assets.store.home import Home

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
    last_seq: int = -1

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
            "last_seq": self.last_seq,
        }


@dataclass(slots=True)
class Piece:
    """What one transaction adds: rows, damages, and the segments as they stand behind it."""

    batch: Batch = field(default_factory=Batch)
    damages: list[Row] = field(default_factory=list)
    segments: dict[str, Segment] = field(default_factory=dict)
    records: int = 0


def group(home: Home, found: dict[str, Form], known: dict[str, Segment]) -> dict[str, Segment]:
    """Return every segment that has a first line, the copies included.

    Raises
    ------
    Unusable
        If a segment that was read is gone.
    """
    owners = {segment.header: segment.name for segment in known.values() if segment.copy_of is None}
    segments = dict(known)
    fresh: list[Segment] = []
    for name in sorted(found.keys() - known.keys()):
        header = header_of(home, found[name])
        if header is not None:
            fresh.append(Segment(name, header))
    # A name that the journal itself gives comes before one that a person gave to a copy.
    for segment in sorted(fresh, key=lambda item: (not _OWN_NAME.fullmatch(item.name), item.name)):
        owner = owners.setdefault(segment.header, segment.name)
        segment.copy_of = None if owner == segment.name else owner
        segments[segment.name] = segment
    for segment in known.values():
        if segment.name not in found:
            raise Unusable(f"segment {segment.name} is gone")
    return segments


def header_of(home: Home, form: Form) -> str | None:
    """Return what tells a segment from every other: the XXH3-128 of its first line, None where it has none."""
    if form.part is not None:
        return form.part.header
    try:
        with (home.journal / form.name).open("rb") as file:
            line = file.readline()
    except FileNotFoundError:
        # It was merged since.
        again = form_of(home, form.name)
        return None if again is None or again.part is None else again.part.header
    return xxhash.xxh3_128_hexdigest(line) if line.endswith(b"\n") else None


def files_of(segments: dict[str, Segment]) -> dict[str, list[str]]:
    """Return the files of each segment, its own first."""
    files: dict[str, list[str]] = {name: [name] for name, segment in segments.items() if segment.copy_of is None}
    for name, segment in segments.items():
        if segment.copy_of is not None:
            files[segment.copy_of].append(name)
    return files


def longest_of(found: dict[str, Form], segments: dict[str, Segment]) -> dict[str, Form]:
    """Return the form of each segment that is read: that of its longest copy."""
    return {owner: found[max(names, key=lambda name: found[name].size)] for owner, names in files_of(segments).items()}


def pieces(home: Home, found: dict[str, Form], segments: dict[str, Segment]) -> Iterator[Piece]:
    """Yield what has not been read yet, in pieces that fit in memory.

    Raises
    ------
    Unusable
        If a segment cannot be continued.
    """
    piece, read = Piece(), 0
    longest = longest_of(found, segments)
    seen = _seen_in_families(longest, segments)
    # Merge by merge, because one is read whole; parts behind the segments that they are of.
    for owner, form in sorted(
        longest.items(), key=lambda item: (is_part(item[0]), item[1].merge.id if item[1].merge else "")
    ):
        segment = segments[owner]
        known = seen.get(family_of(owner))
        if form.size == segment.read_to:
            continue
        if form.size < segment.read_to or not _is_line_end(home, form, segment.read_to):
            raise Unusable(f"segment {owner} was cut or written over before byte {segment.read_to}")
        for item, behind in _items(home, form, segment):
            size = behind - segment.read_to
            if known is not None and isinstance(item, Record | MetricLine) and item.seq in known:
                segment.records += 1
                piece.records += 1
            elif isinstance(item, Record):
                _take(piece, segment, item)
            elif isinstance(item, MetricLine):
                _take_line(piece, segment, item, home)
            elif isinstance(item, Damage):
                piece.damages.append(_line_damage(owner, segment.read_to, item.reason))
            else:
                piece.damages.append(item)
            if known is not None and isinstance(item, Record | MetricLine):
                known.add(item.seq)
            segment.read_to = behind
            piece.segments[owner] = segment
            read += size
            if piece.batch.rows >= ROWS_AT_ONCE or read >= BYTES_AT_ONCE:
                yield piece
                piece, read = Piece(), 0
    if piece.segments:
        yield piece


def _seen_in_families(longest: dict[str, Form], segments: dict[str, Segment]) -> dict[str, set[int]]:
    """Return a set for the records of each segment that there are parts of.

    Raises
    ------
    Unusable
        If one of its files has something new, and another was read before: what of it counts is not known any more.
    """
    families: dict[str, list[str]] = {family_of(owner): [] for owner in longest if is_part(owner)}
    for owner in longest if families else ():
        if family_of(owner) in families:
            families[family_of(owner)].append(owner)
    for owners in families.values():
        new = [owner for owner in owners if longest[owner].size != segments[owner].read_to]
        if new and any(segments[owner].read_to for owner in owners):
            raise Unusable(f"{new[0]} has records of a segment of which others were read already")
    return {family: set() for family in families}


def _items(home: Home, form: Form, segment: Segment) -> Iterator[tuple[Item | Row, int]]:
    """Yield what a segment holds; where a merge does not read, the row that says so, and nothing behind it."""
    try:
        yield from read_form(home, form, segment.read_to)
    except CorruptRecord as error:
        raise Unusable(str(error)) from error
    except (CorruptObject, MissingObject) as error:
        if form.merge is None:
            raise
        damage = _line_damage(segment.name, segment.read_to, str(error))
        yield damage | {"kind": "object", "subject": str(form.merge.manifest)}, form.size


def _take(piece: Piece, segment: Segment, item: Record) -> None:
    record = item if item.segment == segment.name else replace(item, segment=segment.name)
    try:
        _refuse_repeated(segment, record.seq)
        time = max(microseconds(record.time), segment.last_time or 0)
        payload = record.payload
        points = (table_of(payload), columns_of(payload)) if isinstance(payload, Metrics) else None
        rows = [] if points is not None else list(rows_of(record, time))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        # A record's members are checked here and nowhere before, so any of these means impossible values.
        piece.damages.append(_record_damage(segment, record.id, f"{record.payload.kind}: {error}"))
        return
    segment.last_time, segment.last_seq = time, record.seq
    segment.records += 1
    piece.records += 1
    piece.batch.add(rows)
    if points is not None:
        piece.batch.add_points(*points)


def _take_line(piece: Piece, segment: Segment, line: MetricLine, home: Home) -> None:
    # What was merged had been found to be in order, but for what only its place tells.
    try:
        _refuse_repeated(segment, line.seq)
    except Unfit as error:
        piece.damages.append(_record_damage(segment, f"{segment.name}:{line.seq}", f"metrics: {error}"))
        return
    points = points_of(home, line)
    table = "system_metrics" if points["system"][0].as_py() else "metrics"
    segment.last_time, segment.last_seq = max(microseconds(line.time), segment.last_time or 0), line.seq
    segment.records += 1
    piece.records += 1
    piece.batch.add_points(table, points.drop_columns(["system", "record"]).rename_columns({"run": "run_id"}))


def _refuse_repeated(segment: Segment, seq: int) -> None:
    if seq <= segment.last_seq:
        raise Unfit(f"its number does not come after {segment.last_seq}: it is there twice, or out of its place")


def _record_damage(segment: Segment, record_id: str, reason: str) -> Row:
    return {
        "kind": "record",
        "segment": segment.name,
        "byte_offset": segment.read_to,
        "subject": record_id,
        "reason": text_of(reason),
    }


def _line_damage(segment: str, offset: int, reason: str) -> Row:
    return {
        "kind": "line",
        "segment": segment,
        "byte_offset": offset,
        "subject": None,
        "reason": text_of(" ".join(reason.split())),
    }


def _is_line_end(home: Home, form: Form, offset: int) -> bool:
    # Of a merge only what was found to be whole is read from such a place, and reading tells.
    if offset == 0 or form.merge is not None:
        return True
    try:
        with (home.journal / form.name).open("rb") as file:
            file.seek(offset - 1)
            return file.read(1) == b"\n"
    except FileNotFoundError:
        # It was merged since.
        return True
