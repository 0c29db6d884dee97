"""Merges: many segments whose writers are gone, as two objects of the store.

Laws: a merge holds every byte of its segments, so a record keeps its id, its place and its damage; a merge counts as
soon as its file ``journal/<id>.merged`` shows, which is after its objects are durable, and the segments' own files go
only then. Where a segment is there in several forms, the longest counts, once. A merge that does not read stops whoever
reads the journal, because what it holds would be missing.

The file of a merge is sealed. It names the manifest of the objects, the merges that this one took in (`replaces`), and
of each segment its name, its header (XXH3-128 of its first line), its size, where its last whole line ends, where its
frames begin and how many rows of points come before it. The object `lines` has the frames, one after the other: ``L``,
a length, a newline and so many bytes of the segment as they were; or ``M``, a length, the number of points, the
sequence number, the time and a newline, for a line of metrics of that length. Its points are the next rows of the
object `metrics`, which is Parquet and which nothing here reads (`repro_assets.artifacts.merged_points`).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from repro_assets.errors import CorruptRecord, MissingObject, UnsupportedFormat
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.journal.records import Record
from repro_assets.journal.segments import Damage, list_segments, read_lines, read_segment, whole_length
from repro_assets.store import durable, sealed
from repro_assets.store.home import Home
from repro_assets.store.objects import LocalObjects

FORMAT = 1
SUFFIX = ".merged"
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Part:
    """One segment within a merge.

    `size` is that of the segment's file, `whole` the end of its last whole line; `frames` is where its frames begin in
    the object `lines`, `until` where they end, `row` the number of points before it in the object `metrics`.
    """

    name: str
    header: str
    size: int
    whole: int
    frames: int
    until: int
    row: int
    points: int


@dataclass(frozen=True, eq=False)
class Merge:
    """A merge, as its file says; `manifest` is the digest of the manifest of its two objects."""

    id: str
    manifest: Digest
    parts: tuple[Part, ...]
    replaces: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Name of its file in the folder of the journal."""
        return self.id + SUFFIX

    @cached_property
    def _by_name(self) -> dict[str, Part]:
        return {part.name: part for part in self.parts}

    def part(self, name: str) -> Part | None:
        """Return its part that is the segment of this name."""
        return self._by_name.get(name)


@dataclass(frozen=True, slots=True)
class MetricLine:
    """A line of metrics in a merge: `points` rows of the object `metrics` from number `row` on."""

    segment: str
    seq: int
    time: float
    merge: Merge
    row: int
    points: int


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a segment that counts: its file, where `merge` is None, else a part of a merge."""

    name: str
    size: int
    merge: Merge | None = None
    part: Part | None = None


Item = Record | Damage | MetricLine


def list_merges(folder: Path) -> list[Merge]:
    """Return the merges of the journal in `folder`, those that another one took in left out.

    Raises
    ------
    CorruptRecord
        If the file of one does not read.
    UnsupportedFormat
        If a newer version of this project wrote it.
    """
    found = []
    for path in sorted(folder.glob("*" + SUFFIX)):
        # One that was taken in by another may go at any moment.
        with contextlib.suppress(FileNotFoundError):
            facts = path.stat()
            found.append(_read(path, (facts.st_ino, facts.st_size, facts.st_mtime_ns)))
    replaced = {name for merge in found for name in merge.replaces}
    return [merge for merge in found if merge.id not in replaced]


@lru_cache(maxsize=4096)
def _read(path: Path, _facts: tuple[int, int, int]) -> Merge:
    try:
        raw = sealed.unseal(path.read_bytes())
        if raw["format"] > FORMAT:
            raise UnsupportedFormat(f"{path} has format {raw['format']}", "use a newer repro-assets")
        parts = tuple(Part(**part) for part in raw["segments"])
        return Merge(path.name.removesuffix(SUFFIX), Digest.parse(raw["manifest"]), parts, tuple(raw["replaces"]))
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptRecord(
            f"{path} is damaged, and with it the records of the segments that it names are missing",
            "put a copy of the file there: each copy of this store has it",
        ) from error


def write_merge(home: Home, merge: Merge) -> None:
    """Make a merge count, durably.

    Raises
    ------
    MachineError
        If it cannot be written.
    """
    members: dict[str, Any] = {"format": FORMAT, "manifest": str(merge.manifest), "replaces": list(merge.replaces)}
    members["segments"] = [asdict(part) for part in merge.parts]
    durable.write_file(home.journal / merge.file, [sealed.seal(members)], home.temporary)


def alone(home: Home) -> contextlib.AbstractContextManager[None]:
    """Be the only process that takes away segments, or puts any there but its own; waits for its turn.

    Raises
    ------
    MachineError
        If the folder of the journal cannot be opened.
    """
    return durable.locked(home.journal, folder=True)


def forms(home: Home) -> dict[str, Form]:
    """Return every segment of the journal in the form that counts: those in merges last, merge by merge.

    Raises
    ------
    CorruptRecord, UnsupportedFormat
        As `list_merges`.
    """
    # Files first: a segment that is merged between the two looks is seen twice, and not never.
    found = {}
    for path in list_segments(home.journal):
        with contextlib.suppress(FileNotFoundError):
            found[path.name] = Form(path.name, path.stat().st_size)
    for merge in list_merges(home.journal):
        for part in merge.parts:
            known = found.get(part.name)
            if known is None or known.size < part.size:
                found.pop(part.name, None)
                found[part.name] = Form(part.name, part.size, merge, part)
    return found


def form_of(home: Home, name: str) -> Form | None:
    """Return the form of one segment that counts, None where there is no such segment.

    Raises
    ------
    CorruptRecord, UnsupportedFormat
        As `list_merges`.
    """
    found = None
    with contextlib.suppress(FileNotFoundError):
        found = Form(name, (home.journal / name).stat().st_size)
    for merge in list_merges(home.journal):
        part = merge.part(name)
        if part is not None and (found is None or found.size < part.size):
            found = Form(name, part.size, merge, part)
    return found


def length_of(home: Home, form: Form) -> int:
    """Return the length of a segment up to the end of its last whole line."""
    return form.part.whole if form.part is not None else whole_length(home.journal / form.name)


def read_form(home: Home, form: Form, offset: int = 0) -> Iterator[tuple[Item, int]]:
    """Yield what `read_segment` yields of a segment in any form, and `MetricLine` for lines of metrics in a merge.

    A segment that changes its form meanwhile is read on in the new one.

    Raises
    ------
    CorruptRecord
        If the segment is gone, or `offset` is not the end of a line.
    CorruptObject, MissingObject
        If an object of a merge does not read.
    """
    for tried in range(_TRIES):
        try:
            for item, end in _read_once(home, form, offset):
                offset = end
                yield item, end
            return
        except (FileNotFoundError, MissingObject):
            if tried == _TRIES - 1:
                raise
            form = _again(home, form)


def read_journal(home: Home) -> Iterator[Record | Damage]:
    """Yield all that the journal says, without the metric points of merged segments.

    Raises
    ------
    CorruptRecord, UnsupportedFormat, CorruptObject, MissingObject
        If a merge does not read.
    """
    for form in forms(home).values():
        for item, _ in read_form(home, form):
            if not isinstance(item, MetricLine):
                yield item


def read_raw(home: Home) -> Iterator[tuple[str, bytes]]:
    """Yield every line, unread, with its segment: for who looks for lines of one kind. Metrics may be left out.

    Raises
    ------
    CorruptRecord, UnsupportedFormat, CorruptObject, MissingObject
        If a merge does not read.
    """
    for form in forms(home).values():
        try:
            yield from _raw(home, form)
        except (FileNotFoundError, MissingObject):
            # Raised before the first line.
            yield from _raw(home, _again(home, form))


def frames(home: Home, merge: Merge, part: Part) -> Iterator[tuple[int, int, bytes | MetricLine]]:
    """Yield the frames of a segment in a merge: where each begins and ends in the segment, and what it holds.

    Raises
    ------
    CorruptObject, MissingObject
        If the object does not read.
    """
    file = io.BytesIO(objects_of(home, merge)[0])
    file.seek(part.frames)
    begin, row = 0, part.row
    while file.tell() < part.until:
        kind, length, *rest = file.readline().split()
        end = begin + int(length)
        if kind == b"L":
            yield begin, end, file.read(int(length))
        else:
            points, seq, time = rest
            yield begin, end, MetricLine(part.name, int(seq), float(time), merge, row, int(points))
            row += int(points)
        begin = end


@lru_cache(maxsize=2)
def objects_of(home: Home, merge: Merge) -> tuple[bytes, bytes]:
    """Return the objects `lines` and `metrics` of a merge.

    Raises
    ------
    CorruptObject, MissingObject
        If one does not read.
    """
    objects = LocalObjects(home)
    lines, metrics = Manifest.decode(objects.read(merge.manifest)).objects()
    return objects.read(lines), objects.read(metrics)


def _again(home: Home, form: Form) -> Form:
    found = form_of(home, form.name)
    if found is None:
        raise CorruptRecord(f"the segment {form.name} of the journal is gone", "see: repro store fsck")
    return found


def _raw(home: Home, form: Form) -> Iterator[tuple[str, bytes]]:
    if form.merge is None or form.part is None:
        with (home.journal / form.name).open("rb") as file:
            for line in file:
                yield form.name, line
        return
    for _, _, held in frames(home, form.merge, form.part):
        if isinstance(held, bytes):
            for line in io.BytesIO(held):
                yield form.name, line


def _read_once(home: Home, form: Form, offset: int) -> Iterator[tuple[Item, int]]:
    if form.merge is None or form.part is None:
        yield from read_segment(home.journal / form.name, offset)
        return
    for begin, end, held in frames(home, form.merge, form.part):
        if end <= offset:
            continue
        if isinstance(held, MetricLine):
            if begin < offset:
                raise CorruptRecord(f"byte {offset} of the segment {form.name} is not the end of a line")
            yield held, end
        else:
            start = max(begin, offset)
            yield from read_lines(io.BytesIO(held[start - begin :]), form.name, start)
