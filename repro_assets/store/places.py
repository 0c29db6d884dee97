"""Where objects are: alone, in a pack, or in the trash; and how their stored bytes are looked at.

Laws: what is in place comes before what is in the trash, and a pack before a lone file; an object that is in no place
is looked for again, because a collection may be moving it, and then fetched, if somebody can; one that is found damaged
twice is set aside, so that it can be put again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import xxhash

from repro_assets.errors import CorruptObject, MachineError, MissingObject
from repro_assets.identity.digest import Digest
from repro_assets.store import durable
from repro_assets.store.home import Home
from repro_assets.store.layout import HEADER_SIZE, RESTORE, TRAILER_SIZE, Form, read_trailer
from repro_assets.store.offline import is_offline
from repro_assets.store.packs import Packs, packs_of

_FOLDER = re.compile(r"[0-9a-f]{2}")
_REST = re.compile(r"[0-9a-f]{62}")
_T = TypeVar("_T")
# How often an object that is in no place is looked for again: a collection may move it away and back meanwhile.
_LOOKS = 4


@dataclass(frozen=True, slots=True)
class Place:
    """The open file that holds an object, where its stored bytes start in it, and their form."""

    digest: Digest
    descriptor: int
    start: int
    form: Form
    pack: str | None = None
    trashed: bool = False

    def blocks(self) -> Iterator[bytes]:
        """Yield the stored bytes; fewer than there should be where the file ends early."""
        done = 0
        while done < self.form.stored_size:
            size = min(durable.BLOCK, self.form.stored_size - done)
            block = os.pread(self.descriptor, size, self.start + done)
            if not block:
                return
            done += len(block)
            yield block


class Places:
    """The places of a store in which objects can be.

    Parameters
    ----------
    home : Home
        The store.
    fetch : callable, optional
        Called with the digest of an object that is in no place; True says that it is now.
    """

    def __init__(self, home: Home, fetch: Callable[[Digest], bool] | None = None) -> None:
        self.home = home
        self.packs = packs_of(home)
        self.trashed = Packs(home, home.trash)
        self._loose = os.fspath(home.objects)
        self._trash = os.fspath(home.trash)
        self.fetch = fetch

    def path(self, digest: Digest) -> str:
        """Where the object is, or would be, if it lies alone."""
        return f"{self.folder(digest)}/{digest.hex[2:]}"

    def folder(self, digest: Digest) -> str:
        """Return the folder of `path`."""
        return f"{self._loose}/{digest.hex[:2]}"

    def has(self, digest: Digest) -> bool:
        """Tell whether an object is in place, and not only in the trash."""
        return os.path.isfile(self.path(digest)) or self.packs.holds(digest)  # noqa: PTH113

    def alone(self, digests: Iterable[Digest]) -> set[Digest]:
        """Return the objects that lie in files of their own."""
        asked: dict[str, list[Digest]] = {}
        for digest in digests:
            asked.setdefault(self.folder(digest), []).append(digest)
        # A folder that is not there answers for all that would be in it.
        there = (digest for folder, named in asked.items() if os.path.isdir(folder) for digest in named)  # noqa: PTH112
        return {digest for digest in there if os.path.isfile(self.path(digest))}  # noqa: PTH113

    def has_trashed(self, digest: Digest) -> bool:
        """Tell whether an object is in the trash."""
        return (self.home.trash / digest.hex).is_file() or self.trashed.holds(digest)

    def loose(self) -> Iterator[Digest]:
        """Yield the digest of every object that lies alone."""
        if not self.home.objects.is_dir():
            return
        for folder in sorted(self.home.objects.iterdir()):
            if _FOLDER.fullmatch(folder.name):
                for name in sorted(path.name for path in folder.iterdir()):
                    if _REST.fullmatch(name):
                        yield Digest(folder.name + name)

    def twice(self, look: Callable[[Place], _T], digest: Digest) -> _T:
        """Look at an object, and once more if it is damaged; then set it aside.

        Raises
        ------
        MissingObject, CorruptObject
            If it is in no place, or damaged.
        """
        for attempt in (1, 2):
            try:
                with self.located(digest) as place:
                    return look(place)
            except CorruptObject:
                if attempt == 2:
                    self.set_aside(digest)
                    raise
        raise AssertionError("unreachable")

    @contextlib.contextmanager
    def located(self, digest: Digest) -> Iterator[Place]:
        """Hold the open file of an object.

        Raises
        ------
        MissingObject
            If it is in no place and cannot be fetched.
        CorruptObject
            If what describes it does not read.
        MachineError
            If it cannot be opened.
        """
        place = self._locate(digest)
        for _ in range(_LOOKS):
            if place is not None:
                break
            # It may have gone from one place to another between the looks.
            self.packs.refresh()
            self.trashed.refresh()
            place = self._locate(digest)
        if place is None and self.fetch is not None and self.fetch(digest):
            self.packs.refresh()
            place = self._locate(digest)
        if place is None:
            raise missing(digest)
        try:
            yield place
        finally:
            os.close(place.descriptor)

    def _locate(self, digest: Digest) -> Place | None:
        try:
            return self._look(digest)
        except OSError as error:
            raise MachineError(
                f"cannot read {digest}: {error.strerror or error}", "check its disk, owner and mode"
            ) from error

    def _look(self, digest: Digest) -> Place | None:
        for packs, path, trashed in (
            (self.packs, self.path(digest), False),
            (self.trashed, f"{self._trash}/{digest.hex}", True),
        ):
            entry = packs.find(digest)
            opened = packs.open(digest, entry) if entry is not None else None
            if entry is not None and opened is None and packs.refresh():
                # Its pack has gone since; another one may hold it.
                entry = packs.find(digest)
                opened = packs.open(digest, entry) if entry is not None else None
            if opened is not None and entry is not None:
                return Place(digest, opened[0], entry.offset + HEADER_SIZE, opened[1], entry.pack, trashed)
            loose = open_loose(path, digest)
            if loose is not None:
                return Place(digest, loose[0], 0, loose[1], None, trashed)
        return None

    def set_aside(self, digest: Digest) -> None:
        """Move a damaged object to quarantine."""
        durable.ensure_folder(self.home.quarantine)
        # Another reader may have set it aside first.
        with contextlib.suppress(FileNotFoundError):
            # In the order of `_locate`: what is set aside is what a reader gets.
            target = self.home.quarantine / f"{digest.hex}.{uuid.uuid4().hex}"
            for packs, path in ((self.packs, Path(self.path(digest))), (self.trashed, self.home.trash / digest.hex)):
                entry = packs.find(digest)
                if entry is not None and os.path.exists(packs.path(entry.pack)):  # noqa: PTH110
                    packs.set_aside(digest, entry)
                    return
                if path.is_file():
                    path.rename(target)
                    return


def missing(digest: Digest) -> MissingObject:
    """Say that an object is not there."""
    remedy = "pull them or replay the run"
    if is_offline():
        remedy = f"no remote was asked, because this is offline: {remedy}"
    return MissingObject(f"no bytes are stored under {digest}", remedy)


def mismatch(digest: Digest) -> CorruptObject:
    """Say that stored bytes are not those that were written."""
    return CorruptObject(f"the bytes stored under {digest} do not match", RESTORE)


def open_loose(path: str, digest: Digest) -> tuple[int, Form] | None:
    """Open an object that lies alone and read its form; None if it does not lie there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        size = os.fstat(descriptor).st_size
        data = os.pread(descriptor, TRAILER_SIZE, max(0, size - TRAILER_SIZE))
        return descriptor, read_trailer(data, digest, size)
    except BaseException:
        os.close(descriptor)
        raise


def load(place: Place) -> tuple[Form, bytes]:
    """Return an object's form and its verified stored bytes."""
    # One call of Linux reads at most 2 GiB.
    whole = os.pread(place.descriptor, place.form.stored_size, place.start)
    stored = whole if len(whole) == place.form.stored_size else b"".join(place.blocks())
    if xxhash.xxh3_128_digest(stored) != place.form.check:
        raise mismatch(place.digest)
    return place.form, stored


def scan(place: Place) -> Form:
    """Verify an object's stored bytes in constant memory and return its form."""
    seen = xxhash.xxh3_128()
    for block in place.blocks():
        seen.update(block)
    if seen.digest() != place.form.check:
        raise mismatch(place.digest)
    return place.form


def hash_of(place: Place) -> tuple[Form, Digest]:
    """Verify an object's stored bytes and return its form and their SHA-256."""
    seen, hashed = xxhash.xxh3_128(), hashlib.sha256()
    for block in place.blocks():
        seen.update(block)
        hashed.update(block)
    if seen.digest() != place.form.check:
        raise mismatch(place.digest)
    return place.form, Digest(hashed.hexdigest())
