"""Merging the journal: many segments whose writers are gone become two objects of the store.

Laws: only what no process can add to is merged; every byte stays (`repro_assets.journal.merged`); the new objects are
durable before the merge counts, and what it replaces goes only after that, so a kill at any instant loses nothing, and
what it leaves twice counts once and goes with the next merge. A file that changed since it was read stays. Segments of
another host stay as they are: whether their writers are gone is not known. Neither a run nor a question waits for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

from repro_assets.artifacts.merged_points import PointsWriter, open_segment, rows_of
from repro_assets.catalog import detached
from repro_assets.catalog.points import columns_of
from repro_assets.catalog.rows import Unfit, microseconds
from repro_assets.errors import InvalidInput, MachineError, ReproError, SourceChanged, from_os_error
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.journal.lines import read_line
from repro_assets.journal.merged import Form, Merge, Part, alone, forms, list_merges, write_merge
from repro_assets.journal.metrics import Metrics
from repro_assets.journal.segments import Liveness, list_segments, liveness
from repro_assets.store import durable, sealed
from repro_assets.store.home import MERGED_FORMAT, Home, require_format
from repro_assets.store.objects import LocalObjects

MANY = 256
"""So many segments that no merge holds are many."""
BYTES_AT_ONCE = 64 << 20
"""A merge takes so many bytes of segments, or one segment; one that holds less than half of it is taken in by the
next."""
_METRICS = b'"kind":"metrics"'


@dataclass(slots=True)
class Merged:
    """What a merge did, or would do.

    Parameters
    ----------
    dry_run : bool
        True if nothing was touched.
    segments : int
        Segments that were merged for the first time, or again with more in them.
    points : int
        Metric points that are Parquet now.
    bytes_before, bytes_after : int
        Bytes of the segments' own files, and of the merges that were taken in, and what the new merges take.
    merges : list of str
        The files of the new merges.
    taken_in : list of str
        The files of the merges that are parts of them.
    left : int
        Segments that stay files: their writers live, or nobody knows.
    """

    dry_run: bool
    segments: int = 0
    points: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    merges: list[str] = field(default_factory=list)
    taken_in: list[str] = field(default_factory=list)
    left: int = 0

    def document(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def merge(home: Home, *, dry_run: bool = False, wait: bool = True) -> Merged:
    """Merge all segments whose writers are gone, and take small merges in; the catalog goes on meanwhile.

    Parameters
    ----------
    home : Home
        The store.
    dry_run : bool
        Only tell.
    wait : bool
        Wait for another merge.

    Raises
    ------
    ReusedElsewhere
        If another process is merging, and `wait` is not set.
    CorruptRecord, CorruptObject, MissingObject
        If an earlier merge does not read; nothing is touched then.
    MachineError
        If the store cannot be written.
    """
    try:
        with durable.locked(home.cache / "merge.lock", wait=wait):
            return _merge(home, dry_run)
    except OSError as error:
        raise from_os_error(error, home.journal) from error


def _merge(home: Home, dry_run: bool) -> Merged:
    done = Merged(dry_run)
    if not dry_run:
        _clear(home)
    found = forms(home)
    files = [form for form in found.values() if form.merge is None]
    gone = [form for form in files if _is_gone(home, form)]
    done.left = len(files) - len(gone)
    done.segments = len(gone)
    small = [one for one in list_merges(home.journal) if _weight(one) < BYTES_AT_ONCE // 2]
    if not gone and len(small) < 2:
        return done
    going = {one.id for one in small}
    waiting = [form for form in found.values() if form.merge is not None and form.merge.id in going] + gone
    done.taken_in = [one.file for one in small]
    done.bytes_before = sum(form.size for form in gone) + sum(_taken(home, one) for one in small)
    if dry_run:
        return done
    require_format(home, MERGED_FORMAT)
    groups = list(_groups(waiting))
    made = []
    for number, group in enumerate(groups):
        # Of a merge that is spread over several new ones the file goes when the last of these counts.
        replaced = tuple(one.id for one in small) if number == len(groups) - 1 else ()
        made.append(_write(home, group, replaced, done))
    done.merges = [one.file for one in made]
    _clear(home)
    _keep_left(home)
    return done


def merge_when_many(home: Home, count: int) -> int | None:
    """Start merging in a process of its own where there are many segments; return its id, None where none is needed.

    Parameters
    ----------
    home : Home
        The store.
    count : int
        How many segments are files.
    """
    if count < MANY or count < _read_left(home) + MANY:
        return None
    return detached.start(detached.Work.MERGE, home)


def _is_gone(home: Home, form: Form) -> bool:
    # One that has no whole first line is damaged, and stays where fsck finds it.
    try:
        with (home.journal / form.name).open("rb") as file:
            return file.readline().endswith(b"\n") and liveness(home.journal / form.name) is Liveness.GONE
    except FileNotFoundError:
        return False


def _weight(one: Merge) -> int:
    return sum(part.size for part in one.parts)


def _taken(home: Home, one: Merge) -> int:
    objects = LocalObjects(home)
    return sum(
        objects.placement(digest).stored_size for digest in Manifest.decode(objects.read(one.manifest)).objects()
    )


def _groups(waiting: list[Form]) -> Iterator[list[Form]]:
    group: list[Form] = []
    for form in waiting:
        if group and sum(one.size for one in group) + form.size > BYTES_AT_ONCE:
            yield group
            group = []
        group.append(form)
    if group:
        yield group


def _write(home: Home, group: list[Form], replaces: tuple[str, ...], done: Merged) -> Merge:
    name = uuid.uuid4().hex
    durable.ensure_folder(home.temporary)
    lines_file, points_file = (home.temporary / f"merge-{name}.{what}" for what in ("lines", "parquet"))
    try:
        parts = []
        points = PointsWriter(points_file)
        with lines_file.open("wb") as lines:
            for form in group:
                before, row = lines.tell(), points.rows
                with open_segment(home, form) as segment:
                    header, size, whole = _take(segment, form.name, lines, points)
                parts.append(Part(form.name, header, size, whole, before, lines.tell(), row, points.rows - row))
        points.close()
        manifest = _put(home, lines_file, points_file)
        made = Merge(name, manifest.digest, tuple(parts), replaces)
        write_merge(home, made)
    finally:
        for path in (lines_file, points_file):
            path.unlink(missing_ok=True)
    done.points += points.rows
    done.bytes_after += _taken(home, made)
    return made


def _put(home: Home, lines: Path, points: Path) -> Manifest:
    try:
        with LocalObjects(home).batch() as batch:
            entries = []
            for what, path in (("lines", lines), ("metrics", points)):
                digest, size = batch.put_file(path)
                entries.append(Entry(what, size, (digest,)))
            manifest = Manifest("journal", tuple(entries))
            batch.put(manifest.encode())
    except (InvalidInput, SourceChanged) as error:
        # The file is our own, so what fails is the machine.
        raise MachineError(error.message, error.remedy) from error
    return manifest


def _take(segment: BinaryIO, name: str, lines: BinaryIO, points: PointsWriter) -> tuple[str, int, int]:
    """Write the frames of a segment; return its header, its size, and where its last whole line ends."""
    header, size, whole, waiting = "", 0, 0, 0
    held: list[bytes] = []

    def let_go() -> None:
        if held:
            lines.write(b"L %d\n" % sum(map(len, held)))
            lines.writelines(held)
            held.clear()

    for line in segment:
        header = header or xxhash.xxh3_128_hexdigest(line)
        size += len(line)
        whole = size if line.endswith(b"\n") else whole
        frame = _metric_frame(line, name, points) if _METRICS in line else None
        if frame is None:
            held.append(line)
            waiting += len(line)
            if waiting > durable.BLOCK:
                let_go()
                waiting = 0
        else:
            let_go()
            lines.write(frame)
    let_go()
    return header, size, whole


def _metric_frame(line: bytes, segment: str, points: PointsWriter) -> bytes | None:
    try:
        record = read_line(line, segment)
        if not isinstance(record.payload, Metrics) or type(record.time) is not float or type(record.seq) is not int:
            return None
        microseconds(record.time)
        rows = rows_of(record, columns_of(record.payload), line)
    except (ReproError, Unfit):
        return None
    if rows is None:
        return None
    points.add(rows)
    return b"M %d %d %d %r\n" % (len(line), rows.num_rows, record.seq, record.time)


def _clear(home: Home) -> None:
    """Remove the files whose bytes a merge holds, and the merges that another one took in."""
    there = list_merges(home.journal)
    every = sorted((part for one in there for part in one.parts), key=lambda part: part.size)
    parts = {part.name: part for part in every}
    counting = {one.file for one in there}
    with alone(home):
        for path in list_segments(home.journal):
            part = parts.get(path.name)
            # It may have grown by a pull since it was read; then it is the longer form, and counts.
            if part is not None and path.stat().st_size <= part.size and _has_header(path, part):
                path.unlink()
        for path in home.journal.glob("*.merged"):
            if path.name not in counting and _is_replaced(path, there):
                path.unlink()
        durable.sync_folder(home.journal)
    for path in home.temporary.glob("merge-*"):
        # Of a merge that was killed: this process holds the lock.
        path.unlink(missing_ok=True)


def _has_header(path: Path, part: Part) -> bool:
    with path.open("rb") as file:
        return xxhash.xxh3_128_hexdigest(file.readline()) == part.header


def _is_replaced(path: Path, there: list[Merge]) -> bool:
    return any(path.name.removesuffix(".merged") in one.replaces for one in there)


def _left_file(home: Home) -> Path:
    return home.cache / "catalog" / "unmerged.json"


def _keep_left(home: Home) -> None:
    sealed.keep(_left_file(home), {"left": len(list_segments(home.journal))})


def _read_left(home: Home) -> int:
    try:
        return int(sealed.unseal(_left_file(home).read_bytes())["left"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        # It can be deleted at any time.
        return 0
