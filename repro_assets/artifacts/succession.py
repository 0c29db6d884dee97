"""Which stored tensors came after which: what a repack may store as differences.

Laws: one tensor follows another if both have the same name, dtype and shape in two artifacts that follow each other:
versions of one collection in the order of their numbers, or checkpoints of one type of one run in the order of their
steps. What the newest artifact of each such row holds is nobody's difference, because it is read most. Artifacts whose
bytes have been collected leave no gap: those around them follow each other.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator

from repro_assets.artifacts.kinds import DECODERS, tensors
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.journal.artifact_records import VersionClaimed
from repro_assets.journal.merged import read_journal
from repro_assets.journal.run_records import CheckpointSaved
from repro_assets.journal.segments import Damage
from repro_assets.store.home import Home
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects
from repro_assets.store.repack import SMALLEST, Pair, Repacked, repack

_Row = list[tuple[int, float, Digest]]


def repack_store(home: Home, *, older_than: float = 0.0, progress: Callable[[int], None] | None = None) -> Repacked:
    """Store older tensors as differences from newer ones, and merge packs.

    Parameters
    ----------
    home : Home
        The store.
    older_than : float
        Seconds; what was recorded later than so long ago stays as it is.
    progress : callable, optional
        Told the number of tensors that have been compared so far.

    Raises
    ------
    CorruptObject
        If a manifest does not match its digest.
    MachineError
        If another process collects or repacks, or something cannot be written.
    """
    objects = open_objects(home, DECODERS)
    return repack(objects, pairs(home, objects, older_than=older_than), progress=progress)


def pairs(home: Home, objects: LocalObjects, *, older_than: float = 0.0) -> Iterator[Pair]:
    """Yield each stored part of a tensor with the one that took its place, the newest first.

    Parameters
    ----------
    home : Home
        The store whose journal is read.
    objects : LocalObjects
        Its objects.
    older_than : float
        Seconds; artifacts that were recorded later than so long ago are nobody's older one.

    Raises
    ------
    CorruptObject
        If a manifest does not match its digest.
    """
    before = time.time() - older_than
    rows = [_manifests(row, objects) for row in _rows(home)]
    newest = {digest for row in rows if row for digest in row[-1][1].objects()}
    seen: set[Digest] = set()
    for row in rows:
        for (recorded, older), (_, newer) in reversed(list(itertools.pairwise(row))):
            if recorded > before:
                continue
            after = {entry.name: entry for entry in newer.entries}
            for entry in older.entries:
                if entry.name in after:
                    for pair in _of_entry(entry, after[entry.name]):
                        if pair.older not in newest and pair.older not in seen:
                            seen.add(pair.older)
                            yield pair


def _of_entry(older: Entry, newer: Entry) -> Iterator[Pair]:
    if older.facts != newer.facts or older.size < SMALLEST:
        return
    numbers = math.prod(older.facts["shape"])
    itemsize = older.size // numbers // (2 if older.facts["dtype"].startswith("complex") else 1)
    if itemsize not in (2, 4, 8):
        return
    for part, follower in zip(older.objects, newer.objects, strict=True):
        if part != follower:
            yield Pair(part, follower, itemsize)


def _rows(home: Home) -> list[_Row]:
    versions: dict[str, _Row] = {}
    checkpoints: dict[tuple[str, str], _Row] = {}
    for item in read_journal(home):
        if isinstance(item, Damage):
            # A line that does not read names no artifact; fsck reports it.
            continue
        match item.payload:
            case VersionClaimed(artifact_kind=tensors.NAME) as claimed:
                row = versions.setdefault(claimed.collection, [])
                row.append((claimed.version, item.time, Digest.parse(claimed.digest)))
            case CheckpointSaved() as saved:
                row = checkpoints.setdefault((saved.run_id, saved.checkpoint_type), [])
                row.append((saved.step, item.time, Digest.parse(saved.digest)))
    return [sorted(row, key=lambda item: item[:2]) for row in (*versions.values(), *checkpoints.values())]


def _manifests(row: _Row, objects: LocalObjects) -> list[tuple[float, Manifest]]:
    found: list[tuple[float, Manifest]] = []
    last: Digest | None = None
    for _, recorded, digest in row:
        if digest != last and objects.has(digest):
            manifest = Manifest.decode(objects.read(digest))
            if manifest.kind == tensors.NAME:
                found.append((recorded, manifest))
                last = digest
    return found
