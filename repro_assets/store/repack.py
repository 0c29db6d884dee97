"""Storing again what is there, smaller: older tensors as differences from newer ones, many packs as few.

Laws: nothing but the stored form changes; a new form is on the disk and has been turned back and compared before the
old one goes; one process at a time does this (`exclusive`); a kill at any moment leaves every object readable.

The older object becomes the difference, so the newest one, which is read most, stays whole, and removing the oldest
ones never touches what others need. A chain has at most `delta.LONGEST` links, so reading the oldest object of a chain
takes as long as applying so many differences. An object is stored as a difference only where that saves at least two
per cent of what it takes.
"""

from __future__ import annotations

import concurrent.futures
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import xxhash

from repro_assets.errors import IntegrityError, from_os_error
from repro_assets.identity.digest import Digest
from repro_assets.store import delta, durable, exclusive
from repro_assets.store.home import Home
from repro_assets.store.layout import HEADER_SIZE, Form, read_header, trailer
from repro_assets.store.objects import LocalObjects
from repro_assets.store.pack_index import Entry
from repro_assets.store.pack_scanning import gaps, scan
from repro_assets.store.pack_writing import PACK_BYTES, PackWriter
from repro_assets.store.places import mismatch
from repro_assets.store.planes import WORTH

SMALLEST = 4096
"""Objects of fewer bytes stay as they are."""
_SMALL_PACK = PACK_BYTES // 2


class Pair(NamedTuple):
    """Two objects of the same size that are likely to be alike: the older one, the newer one, bytes of a number."""

    older: Digest
    newer: Digest
    itemsize: int


@dataclass(slots=True)
class Repacked:
    """What a repack did.

    Parameters
    ----------
    differences : int
        Objects that are stored as differences now and were not before.
    bytes_before, bytes_after : int
        Bytes of the stored forms of these objects.
    packs_before, packs_after : int
        Packs of the store.
    damaged : list of Digest
        Objects whose bytes do not match, or that need one whose bytes do not; they were left alone or set aside.
    """

    differences: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    packs_before: int = 0
    packs_after: int = 0
    damaged: list[Digest] = field(default_factory=list)


def repack(objects: LocalObjects, pairs: Iterable[Pair], *, progress: Callable[[int], None] | None = None) -> Repacked:
    """Store objects as differences, and merge packs.

    Parameters
    ----------
    objects : LocalObjects
        The store.
    pairs : iterable of Pair
        Who may become a difference from whom, the newest first. The store does not know what belongs together.
    progress : callable, optional
        Told the number of pairs looked at so far.

    Raises
    ------
    MachineError
        If another process collects or repacks, or something cannot be written.
    """
    with exclusive.alone(objects.home):
        try:
            return _Repack(objects).run(pairs, progress)
        except OSError as error:
            raise from_os_error(error, objects.home.packs) from error


class _Repack:
    def __init__(self, objects: LocalObjects) -> None:
        self.objects = objects
        self.home = objects.home
        self.links = _Links()
        self.loose = set(objects.loose())
        self.packed: dict[Digest, list[tuple[Entry, Form]]] = {}
        self.unfit: set[str] = set()
        self.done = Repacked()
        self._folders: set[Path] = set()
        self._writer = _PackSeries(self.home)

    def run(self, pairs: Iterable[Pair], progress: Callable[[int], None] | None) -> Repacked:
        names = self.objects.packs.names()
        self.done.packs_before = len(names)
        try:
            self._survey(names)
            self._store_differences(self._worthy(pairs), progress)
            self._merge(names)
        finally:
            self._writer.abandon()
        self.objects.packs.refresh()
        self.done.packs_after = len(self.objects.packs.names())
        return self.done

    def _survey(self, names: list[str]) -> None:
        """Learn how everything is stored."""
        listed = {(entry.pack, entry.offset) for _, entry in self.objects.packs.entries()}
        for name in names:
            if gaps(Path(self.objects.packs.path(name))):
                # Something in it cannot be read, and nothing may be lost that someone might still mend.
                self.unfit.add(name)
            for digest, offset, form in scan(Path(self.objects.packs.path(name))):
                if (name, offset) in listed:
                    self.packed.setdefault(digest, []).append((Entry(name, offset, form.stored_size), form))
        for digest in self.loose | self.packed.keys():
            try:
                base = self._base(digest)
            except IntegrityError:
                self.done.damaged.append(digest)
                continue
            if base is not None:
                self.links.add(digest, base)

    def _base(self, digest: Digest) -> Digest | None:
        codecs = [form.codec for _, form in self.packed.get(digest, [])]
        if digest in self.loose:
            codecs.append(self.objects.placement(digest).codec)
        return next(iter(self.objects.needs(digest)), None) if any(map(delta.is_difference, codecs)) else None

    def _worthy(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        damaged = set(self.done.damaged)
        for pair in pairs:
            if damaged & set(pair[:2]) or not all(self._is_in_one_place(digest) for digest in pair[:2]):
                continue
            if pair.itemsize in (2, 4, 8) and self.links.allow(pair.older, pair.newer):
                self.links.add(pair.older, pair.newer)
                yield pair

    def _is_in_one_place(self, digest: Digest) -> bool:
        packs = {entry.pack for entry, _ in self.packed.get(digest, [])}
        return (digest in self.loose) != bool(packs) and not packs & self.unfit

    def _store_differences(self, pairs: Iterator[Pair], progress: Callable[[int], None] | None) -> None:
        looked = 0
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="repro-put") as pool:
            pending: deque[tuple[Pair, concurrent.futures.Future[tuple[Form, bytes] | None]]] = deque()

            def take_one() -> None:
                nonlocal looked
                pair, future = pending.popleft()
                found = future.result()
                looked += 1
                if progress is not None:
                    progress(looked)
                if found is None:
                    self.links.drop(pair.older)
                else:
                    self._keep(pair.older, *found)

            for pair in pairs:
                pending.append((pair, pool.submit(self._difference, pair)))
                if len(pending) > (os.cpu_count() or 1):
                    take_one()
            while pending:
                take_one()
        for folder in self._folders:
            durable.sync_folder(folder)

    def _difference(self, pair: Pair) -> tuple[Form, bytes] | None:
        """Return the older object as a difference; None where that is not worth it, or cannot be."""
        try:
            return self._encoded(pair)
        except IntegrityError:
            self.done.damaged.append(pair.older)
            return None

    def _encoded(self, pair: Pair) -> tuple[Form, bytes] | None:
        older, newer = (self.objects.placement(digest) for digest in pair[:2])
        if older.size != newer.size or older.size < SMALLEST or older.size % pair.itemsize:
            return None
        data = memoryview(self.objects.read(pair.older))
        if Digest.of(data) != pair.older:
            raise mismatch(pair.older)
        memory = memoryview(bytearray(newer.size))
        self.objects.read_into(pair.newer, memory)
        stored = delta.encode(data, memory, pair.newer, pair.itemsize)
        if len(stored) > WORTH * older.stored_size:
            return None
        return Form(delta.DELTA2, older.size, len(stored), xxhash.xxh3_128_digest(stored)), stored

    def _keep(self, digest: Digest, form: Form, stored: bytes) -> None:
        if digest in self.loose:
            path = self.objects.path(digest)
            before = path.stat().st_size
            with durable.temporary_file(self.home.temporary) as (descriptor, partial):
                durable.write_all(descriptor, [stored, trailer(digest, form)])
                durable.sync_descriptor(descriptor)
                partial.rename(path)
            self._folders.add(path.parent)
        else:
            before = min(known.stored_size for _, known in self.packed[digest])
            self._writer.add(digest, form, stored)
        self.done.differences += 1
        self.done.bytes_before += before
        self.done.bytes_after += form.stored_size

    def _merge(self, names: list[str]) -> None:
        """Write the packs that are small, or hold what is stored as a difference now, into new ones."""
        sizes = {name: Path(self.objects.packs.path(name)).stat().st_size for name in names if name not in self.unfit}
        small = {name for name, size in sizes.items() if size < _SMALL_PACK}
        changed = {entry.pack for digest in self._writer.added for entry, _ in self.packed[digest]}
        old = (small if len(small) > 1 else set()) | changed
        for name in sorted(old):
            self._copy(name)
        if old:
            self._writer.publish(old)

    def _copy(self, name: str) -> None:
        """Copy what is not in a new pack yet; set aside what is damaged."""
        here = [
            (entry, digest, form)
            for digest, places in self.packed.items()
            for entry, form in places
            if entry.pack == name and digest not in self._writer.added and not self._is_spare(digest, form)
        ]
        with open(self.objects.packs.path(name), "rb", buffering=0) as file:  # noqa: PTH123
            for entry, digest, form in sorted(here, key=lambda item: item[0].offset):
                data = memoryview(os.pread(file.fileno(), HEADER_SIZE + form.stored_size, entry.offset))
                stored = data[HEADER_SIZE:]
                if read_header(data[:HEADER_SIZE]) != (digest, form) or xxhash.xxh3_128_digest(stored) != form.check:
                    self.objects.packs.set_aside(digest, entry)
                    self.done.damaged.append(digest)
                else:
                    self._writer.add(digest, form, stored)

    def _is_spare(self, digest: Digest, form: Form) -> bool:
        """Tell whether this is a difference, and the object is stored whole as well."""
        return delta.is_difference(form.codec) and (
            digest in self.loose or any(not delta.is_difference(other.codec) for _, other in self.packed[digest])
        )


class _Links:
    """Who is a difference from whom."""

    def __init__(self) -> None:
        self._base: dict[Digest, Digest] = {}
        self._dependants: dict[Digest, set[Digest]] = {}

    def add(self, digest: Digest, base: Digest) -> None:
        self._base[digest] = base
        self._dependants.setdefault(base, set()).add(digest)

    def drop(self, digest: Digest) -> None:
        self._dependants[self._base.pop(digest)].discard(digest)

    def allow(self, digest: Digest, base: Digest) -> bool:
        """Tell whether one more difference closes no circle and makes no chain too long."""
        if digest in self._base or digest == base:
            return False
        above = base
        depth = 1
        while above in self._base:
            above = self._base[above]
            depth += 1
        return above != digest and depth + self._height(digest) <= delta.LONGEST

    def _height(self, digest: Digest) -> int:
        return max((1 + self._height(item) for item in self._dependants.get(digest, ())), default=0)


class _PackSeries:
    """New packs, none of them shown before all are on the disk but for the last step."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.added: set[Digest] = set()
        self._packs: list[PackWriter] = []

    def add(self, digest: Digest, form: Form, stored: bytes | memoryview) -> None:
        if not self._packs or self._packs[-1].size > PACK_BYTES:
            self._packs.append(PackWriter(self.home))
        self._packs[-1].add(digest, form, stored)
        self.added.add(digest)

    def publish(self, old: set[str]) -> None:
        """Show the new packs and remove the old ones."""
        new = [pack.pack for pack in self._packs]
        exclusive.plan(self.home, old, new, complete=False)
        for pack in self._packs:
            pack.close()
        exclusive.plan(self.home, old, new, complete=True)
        exclusive.finish(self.home)

    def abandon(self) -> None:
        for pack in self._packs:
            pack.abandon()
