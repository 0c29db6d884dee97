"""Packs: many small objects in one file, so that ten thousand of them cost one fsync.

Laws: a pack is written once, shows under its name only when it is whole and on the disk, and never changes; each entry
describes itself (`layout`), so the index beside the pack can always be made again from it and needs no fsync; an index
that does not match its seal, or is not of this pack, is made again; an entry that was found damaged is set aside by
its place, and the rest of its pack goes on.

``packs/<id>.pack`` is the magic ``reproPK1``, then the entries, beside it ``packs/<id>.idx`` (`pack_index`).
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from io import BufferedReader, FileIO
from pathlib import Path
from typing import NamedTuple

import xxhash

from repro_assets.errors import CorruptObject, MachineError
from repro_assets.identity.digest import Digest
from repro_assets.store import delta, durable
from repro_assets.store.home import Home
from repro_assets.store.layout import HEADER_SIZE, RESTORE, Form, read_header
from repro_assets.store.pack_index import Entry, PackIndex, encode_index, index_of, is_sound_index
from repro_assets.store.pack_scanning import gaps, scan

_NAME = re.compile(r"[0-9a-f]{32}")
_ASIDE = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{32})-(\d+)")
_TO_DICTIONARY = 1 << 16
# Longer than the step of any file system's clock: a folder that changed this lately may change again unseen.
_RACY_NS = 2_000_000_000


class Stretch(NamedTuple):
    """A part of a pack that is no entry: where it starts and ends, and what its index says was there."""

    start: int
    end: int
    digests: list[Digest]


class Packs:
    """The packs in a folder of a store, for reading.

    Parameters
    ----------
    home : Home
        The store.
    folder : Path, optional
        Its packs, if left out; the other one is its trash.
    """

    def __init__(self, home: Home, folder: Path | None = None) -> None:
        self.home = home
        self.folder = folder or home.packs
        self._lock = threading.Lock()
        self._small: dict[bytes, Entry] = {}
        self._large: dict[str, PackIndex] = {}
        self._known: frozenset[str] = frozenset()
        self._aside: frozenset[tuple[str, int]] = frozenset()
        self._seen: tuple[int, int] | None = None
        self._certain = False

    def path(self, pack: str) -> str:
        """Where a pack is."""
        return f"{self.folder}/{pack}.pack"

    def find(self, digest: Digest) -> Entry | None:
        """Return where an object is; None if no pack has it."""
        key = bytes.fromhex(digest.hex)
        found = self._look_up(key)
        if found is None and self.refresh():
            found = self._look_up(key)
        return found

    def find_all(self, digests: Iterable[Digest]) -> dict[Digest, Entry]:
        """Return where those objects are that some pack has; new packs are looked for once."""
        asked = list(digests)
        found = self._look_up_all(asked)
        if any(digest not in found for digest in asked) and self.refresh():
            found = self._look_up_all(asked)
        return found

    def holds(self, digest: Digest) -> bool:
        """Tell whether a pack that is there now has an object."""
        entry = self.find(digest)
        if entry is not None and not os.path.exists(self.path(entry.pack)):  # noqa: PTH110
            self.refresh()
            entry = self.find(digest)
        return entry is not None

    def lacking(self, keys: set[bytes]) -> set[bytes]:
        """Return those of these hashes, 32 bytes each, that no pack has; new packs are looked for once."""
        self.refresh()
        if self._aside:
            return {key for key in keys if self._look_up(key) is None}
        left = keys - self._small.keys()
        for index in list(self._large.values()):
            if len(left) * 16 < len(index):
                left = {key for key in left if index.find(key) is None}
            else:
                left.difference_update(digest for digest, _, _ in index.records())
        return left

    def names(self) -> list[str]:
        """Return the packs that are there."""
        self.refresh()
        return sorted(self._known)

    def entries(self) -> Iterator[tuple[Digest, Entry]]:
        """Yield every object of every pack, damaged ones that were set aside left out."""
        for pack in self.names():
            for digest, offset, stored in self._of_pack(pack):
                if (pack, offset) not in self._aside:
                    yield Digest(digest.hex()), Entry(pack, offset, stored)

    def refresh(self) -> bool:
        """Look for packs that came or went; False if nothing can have changed since the last look."""
        with self._lock:
            now = time.time_ns()
            seen = (_modified(self.folder), _modified(self.home.quarantine))
            if self._certain and seen == self._seen:
                return False
            names = frozenset(
                name[:-5] for name in _listed(self.folder) if name.endswith(".pack") and _NAME.fullmatch(name[:-5])
            )
            if self._known - names:
                # Another pack may hold what the one that went held, so all are taken in again.
                small, large = self._taken_in(sorted(names), {}, {})
            else:
                small, large = self._taken_in(sorted(names - self._known), self._small, self._large)
            self._small, self._large = small, large
            self._known = names
            matches = (_ASIDE.fullmatch(name) for name in _listed(self.home.quarantine))
            self._aside = frozenset((match[2], int(match[3])) for match in matches if match)
            self._certain = all(stamp < now - _RACY_NS for stamp in seen)
            self._seen = seen
            return True

    def entries_of(self, pack: str) -> Iterator[tuple[Digest, Entry]]:
        """Yield every object of one pack, damaged ones that were set aside left out."""
        for digest, offset, stored in self._of_pack(pack):
            if (pack, offset) not in self._aside:
                yield Digest(digest.hex()), Entry(pack, offset, stored)

    def check_index(self, pack: str) -> str | None:
        """Hold an index against its pack, make it again where it is not right, and say what was wrong."""
        try:
            size = os.stat(self.path(pack)).st_size  # noqa: PTH116
            reason = self._wrong_index(pack, size)
            if reason is not None:
                with self._lock:
                    self._index_made_again(pack)
                    # What was taken in from it is forgotten.
                    self._small, self._large, self._known, self._certain = {}, {}, frozenset(), False
        except FileNotFoundError:
            # A collection took the pack away, at whatever moment.
            return None
        return reason

    def _wrong_index(self, pack: str, size: int) -> str | None:
        try:
            data = (self.folder / f"{pack}.idx").read_bytes()
        except FileNotFoundError:
            return "it was gone"
        if not is_sound_index(data, pack, size):
            return "it does not match its checksum, its pack's name or its pack's size"
        listed = {(place, digest, stored) for digest, place, stored in PackIndex(data).records()}
        entries = scan(Path(self.path(pack)))
        if all((offset, bytes.fromhex(digest.hex), form.stored_size) in listed for digest, offset, form in entries):
            return None
        return "it does not list every entry"

    def damage(self, pack: str) -> list[Stretch]:
        """Return the damaged stretches of a pack, those left out of which every entry was set aside.

        Raises
        ------
        FileNotFoundError
            If it is gone.
        """
        path = Path(self.path(pack))
        found = []
        stretches = gaps(path)
        listed = sorted((offset, digest) for digest, offset, _ in self._of_pack(pack)) if stretches else []
        for start, end in stretches:
            inside = [(offset, digest) for offset, digest in listed if start <= offset < end]
            if not inside or any((pack, offset) not in self._aside for offset, _ in inside):
                found.append(Stretch(start, end, [Digest(digest.hex()) for _, digest in inside]))
        return found

    def open(self, digest: Digest, entry: Entry) -> tuple[int, Form] | None:
        """Open the pack and read the header of an entry; None if the pack is gone.

        The stored bytes begin at ``entry.offset + HEADER_SIZE``. They are not looked at.

        Raises
        ------
        CorruptObject
            If the header is not what was written, or another object's, or the pack ends before the entry does.
        """
        try:
            descriptor = os.open(self.path(entry.pack), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            whole = os.fstat(descriptor).st_size >= entry.offset + HEADER_SIZE + entry.stored_size
            found = read_header(os.pread(descriptor, HEADER_SIZE, entry.offset))
            if not whole or found is None or found[0] != digest or found[1].stored_size != entry.stored_size:
                raise CorruptObject(
                    f"the entry of {digest} in the pack {entry.pack} is damaged or cut short",
                    RESTORE,
                )
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, found[1]

    def sound(self, pack: str, places: list[tuple[Digest, Entry]], codec: str | None = None) -> dict[Digest, Form]:
        """Return those of a pack's entries whose header and stored bytes are what was written, with their form.

        Parameters
        ----------
        pack : str
            The pack; empty where it is gone.
        places : list
            The entries that are looked at, in the order of their places.
        codec : str, optional
            The codec that they must have.
        """
        return {digest: form for digest, form, _ in self.stored(pack, places) if codec is None or codec == form.codec}

    def stored(self, pack: str, places: list[tuple[Digest, Entry]]) -> Iterator[tuple[Digest, Form, bytes]]:
        """Yield those of a pack's entries that are what was written: the object, its form and its stored bytes.

        Parameters
        ----------
        pack : str
            The pack; nothing is yielded where it is gone.
        places : list
            The entries, in the order of their places.
        """
        with contextlib.suppress(FileNotFoundError), open(self.path(pack), "rb", buffering=0) as file:  # noqa: PTH123
            for digest, entry in places:
                whole = os.pread(file.fileno(), HEADER_SIZE + entry.stored_size, entry.offset)
                head = read_header(whole[:HEADER_SIZE])
                if head is None or head[0] != digest or head[1].stored_size != entry.stored_size:
                    continue
                data = whole[HEADER_SIZE:]
                if xxhash.xxh3_128_digest(data) == head[1].check:
                    yield digest, head[1], data

    def check_whole(self, pack: str, places: list[tuple[Digest, Entry]], share: float) -> bytes | None:
        """Return the XXH3-128 of every byte of a pack in which these entries are what was written.

        None where one is not, or is stored as a difference from another object, or where they are less than `share` of
        the pack, or it is gone.
        """
        seen = xxhash.xxh3_128()
        place = 0
        with contextlib.suppress(FileNotFoundError), BufferedReader(FileIO(self.path(pack)), 1 << 20) as file:
            size = os.fstat(file.fileno()).st_size
            if sum(HEADER_SIZE + entry.stored_size for _, entry in places) < share * size:
                return None
            for digest, entry in sorted(places, key=lambda item: item[1].offset):
                _hash_of_next(file, entry.offset - place, seen)
                head = file.read(HEADER_SIZE)
                stored = file.read(entry.stored_size)
                found = read_header(head)
                if found is None or found[0] != digest or found[1].check != xxhash.xxh3_128_digest(stored):
                    return None
                if delta.is_difference(found[1].codec):
                    return None
                seen.update(head)
                seen.update(stored)
                place = entry.offset + HEADER_SIZE + entry.stored_size
            _hash_of_next(file, size - place, seen)
            return seen.digest()
        return None

    def is_whole(self, pack: str, check: bytes) -> bool:
        """Tell whether a pack is there, every byte of it has this XXH3-128, and no entry of it was set aside."""
        if any(name == pack for name, _ in self._aside):
            return False
        seen = xxhash.xxh3_128()
        try:
            with open(self.path(pack), "rb", buffering=0) as file:  # noqa: PTH123
                _hash_of_next(file, os.fstat(file.fileno()).st_size, seen)
        except FileNotFoundError:
            return False
        return seen.digest() == check

    def set_aside(self, digest: Digest, entry: Entry) -> None:
        """Take one entry out of use; a copy of its bytes goes to quarantine."""
        with open(self.path(entry.pack), "rb") as file:  # noqa: PTH123
            file.seek(entry.offset)
            data = file.read(HEADER_SIZE + entry.stored_size)
        name = f"{digest.hex}.{entry.pack}-{entry.offset}"
        durable.write_file(self.home.quarantine / name, [data], self.home.temporary)
        with self._lock:
            self._aside |= {(entry.pack, entry.offset)}

    def _look_up_all(self, digests: list[Digest]) -> dict[Digest, Entry]:
        if not self._small and not self._large:
            return {}
        found = ((digest, self._look_up(bytes.fromhex(digest.hex))) for digest in digests)
        return {digest: entry for digest, entry in found if entry is not None}

    def _look_up(self, key: bytes) -> Entry | None:
        found = self._small.get(key)
        if found is not None and (found.pack, found.offset) not in self._aside:
            return found
        for pack, index in list(self._large.items()):
            place = index.find(key)
            if place is not None and (pack, place[0]) not in self._aside:
                return Entry(pack, *place)
        if found is not None:
            # The one in the dictionary is damaged; another small pack may have it whole.
            for pack in self._known - self._large.keys():
                for digest, offset, stored in self._of_pack(pack):
                    if digest == key and (pack, offset) not in self._aside:
                        return Entry(pack, offset, stored)
        return None

    def _taken_in(
        self, packs: list[str], small: dict[bytes, Entry], large: dict[str, PackIndex]
    ) -> tuple[dict[bytes, Entry], dict[str, PackIndex]]:
        for pack in packs:
            index = self._index(pack)
            if len(index) > _TO_DICTIONARY:
                large[pack] = index
                continue
            for digest, offset, stored in index.records():
                small[digest] = Entry(pack, offset, stored)
        return small, large

    def _of_pack(self, pack: str) -> Iterator[tuple[bytes, int, int]]:
        index = self._large.get(pack) or self._index(pack)
        yield from index.records()

    def _index(self, pack: str) -> PackIndex:
        path = self.folder / f"{pack}.idx"
        try:
            size = os.stat(self.path(pack)).st_size  # noqa: PTH116
            with contextlib.suppress(FileNotFoundError):
                data = path.read_bytes()
                if is_sound_index(data, pack, size):
                    return PackIndex(data)
            return self._index_made_again(pack)
        except FileNotFoundError:
            # A collection took the pack away, at whatever moment.
            return PackIndex(encode_index(pack, [], 0))

    def _index_made_again(self, pack: str) -> PackIndex:
        path = self.folder / f"{pack}.idx"
        data = index_of(pack, Path(self.path(pack)))
        # It is made again wherever it is missing, so a full or read-only disk costs time and nothing else.
        with contextlib.suppress(MachineError):
            durable.replace_file(path, [data], self.home.temporary)
        return PackIndex(data)


_shared: dict[Path, Packs] = {}


def packs_of(home: Home) -> Packs:
    """Return this process's view of the packs of a store."""
    return _shared.setdefault(home.root, Packs(home))


def _hash_of_next(file: BufferedReader[FileIO] | FileIO, size: int, seen: xxhash.xxh3_128) -> None:
    """Take the next `size` bytes of a file into a hash, or as many as there are."""
    block = memoryview(bytearray(min(size, durable.BLOCK)))
    while size and (length := file.readinto(block[:size])):
        seen.update(block[:length])
        size -= length


def _listed(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []


def _modified(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
