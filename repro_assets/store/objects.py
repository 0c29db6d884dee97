"""Objects: immutable bytes under their digest.

Laws: the digest is over the uncompressed bytes; how they are stored (the codec, alone or in a pack) is an attribute of
the stored file; an object that is there is whole; every read verifies; bytes that do not match are read once more, then
set aside under ``quarantine`` and an error names the digest. An object that is stored as a difference is read from all
that it `needs`, and is whole only where these are. Putting bytes that are there already writes nothing, but
checks them. What collection has moved to the trash is still read there.

Large objects lie alone, as ``objects/ab/<62 hex>``; other names in the folder are no objects. Small ones that were put
together lie in `packs`. `layout` has the bytes of both, `batch` writes them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import xxhash

from repro_assets.errors import CorruptObject, MissingObject
from repro_assets.identity.digest import Digest
from repro_assets.store import delta, durable
from repro_assets.store.decoding import Decoder, Decoding
from repro_assets.store.home import Home
from repro_assets.store.layout import RAW, RESTORE, Form
from repro_assets.store.pack_index import Entry
from repro_assets.store.packs import Packs
from repro_assets.store.places import Place, Places, hash_of, load, mismatch, scan

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from repro_assets.store.batch import Batch

_T = TypeVar("_T")
# linux/fs.h; macOS has no such call on an open file, so files are copied there.
_FICLONE = 0x40049409
_NO_CLONE = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS)
_without_clones: set[int] = set()


@dataclass(frozen=True, slots=True)
class Placement:
    """How an object is stored: its codec, its size before and after, and its pack if it is in one."""

    codec: str
    size: int
    stored_size: int
    pack: str | None = None


class ObjectStore(Protocol):
    """What every object store offers; one contract suite runs on all of them."""

    def put(self, data: bytes | memoryview) -> Digest:
        """Store bytes and return their digest."""

    def has(self, digest: Digest) -> bool:
        """Tell whether bytes are stored under `digest`, without reading them."""

    def read(self, digest: Digest) -> bytes:
        """Return the verified bytes."""

    def digests(self) -> Iterator[Digest]:
        """Yield every stored digest, in order."""


class LocalObjects:
    """The object store of a folder.

    Parameters
    ----------
    home : Home
        The store.
    decoders : mapping
        How to get the uncompressed bytes back, for each codec beside those of the store itself.
    fetch : callable, optional
        Called with the digest of an object that is read and not there; True says that it is there now.
    """

    def __init__(
        self, home: Home, decoders: Mapping[str, Decoder] | None = None, fetch: Callable[[Digest], bool] | None = None
    ) -> None:
        self.home = home
        self.places = Places(home, fetch)
        self._decoding = Decoding(self.places, decoders or {})

    @property
    def packs(self) -> Packs:
        """The packs that are in place."""
        return self.places.packs

    def batch(self) -> Batch:
        """Begin to put objects that become durable together."""
        from repro_assets.store.batch import Batch

        return Batch(self)

    def put(self, data: bytes | memoryview) -> Digest:
        """Store bytes durably.

        Raises
        ------
        MachineError
            If they cannot be written.
        """
        with self.batch() as batch:
            return batch.put(data)

    def put_file(self, path: Path) -> tuple[Digest, int]:
        """Store a file's bytes in constant memory and return their digest and size.

        Raises
        ------
        InvalidInput
            If the file cannot be read.
        SourceChanged
            If it changes while it is read.
        MachineError
            If the bytes cannot be written.
        """
        with self.batch() as batch:
            return batch.put_file(path)

    def put_encoded(self, data: bytes, codec: str, stored: bytes) -> Digest:
        """Store `data` in the form `stored` that the decoder of `codec` turns back into it.

        Raises
        ------
        MachineError
            If the bytes cannot be written.
        """
        with self.batch() as batch:
            return batch.put_encoded(data, codec, stored)

    def path(self, digest: Digest) -> Path:
        """Where the object is, or would be, if it lies alone."""
        return Path(self.places.path(digest))

    def folder(self, digest: Digest) -> str:
        """Return the folder of `path`."""
        return self.places.folder(digest)

    def has(self, digest: Digest) -> bool:
        """Tell whether bytes are stored under `digest`, without reading them."""
        return self.places.has(digest) or self.places.has_trashed(digest)

    def placement(self, digest: Digest) -> Placement:
        """Describe how an object is stored.

        Raises
        ------
        MissingObject
            If it is not.
        CorruptObject
            If what describes it does not read.
        """
        with self.places.located(digest) as place:
            form = place.form
            return Placement(form.codec, form.size, form.stored_size, place.pack)

    def read(self, digest: Digest) -> bytes:
        """Return the verified, uncompressed bytes.

        Raises
        ------
        MissingObject
            If nothing is stored under `digest`.
        CorruptObject
            If the stored bytes do not match (they are in quarantine then), or their decoder refuses them.
        UnsupportedFormat
            If nothing here decodes them.
        """
        return self._decoding.read(digest)

    def read_into(self, digest: Digest, out: memoryview, helpers: Executor | None = None) -> None:
        """Write the verified, uncompressed bytes into memory of exactly their size.

        Parameters
        ----------
        digest : Digest
            The object.
        out : memoryview
            Where they go.
        helpers : Executor, optional
            Threads that take part. The calling one may not be among them.

        Raises
        ------
        MissingObject, CorruptObject, UnsupportedFormat
            As `read`; what `out` holds is worth nothing then.
        """
        self._decoding.read_into(digest, out, helpers)

    def needs(self, digest: Digest) -> Iterator[Digest]:
        """Yield what the object is stored as a difference from, nearest first; nothing where it is stored whole.

        Raises
        ------
        MissingObject
            If the object, or one that was yielded last, is not there.
        CorruptObject
            If what describes it does not read.
        """
        return self._decoding.needs(digest)

    def read_stored(self, digest: Digest) -> tuple[bytes, str]:
        """Return the verified bytes as stored, and their codec; as they are where a difference is stored.

        What is returned stands alone.
        """
        form, stored = self.places.twice(load, digest)
        if delta.is_difference(form.codec):
            return self._decoding.plain(digest, form, stored), RAW
        return stored, form.codec

    @contextlib.contextmanager
    def open_stored(self, digest: Digest) -> Iterator[tuple[Form, Iterator[bytes]]]:
        """Open an object and give its form and its stored bytes in blocks; whoever reads them checks them.

        Raises
        ------
        MissingObject, CorruptObject
            If it is not there, or what describes it does not read.
        """
        with self.places.located(digest) as place:
            yield place.form, place.blocks()

    def stream(self, digest: Digest) -> Iterator[bytes]:
        """Yield the uncompressed bytes in blocks; in constant memory where they are stored as they are.

        The last block comes only when all bytes have been verified, so whoever got all of them has the right ones.

        Raises
        ------
        MissingObject, CorruptObject, UnsupportedFormat
            As `read`.
        """

        def short(place: Place) -> tuple[Form, bytes] | None:
            return None if place.form.codec == RAW and place.form.size > durable.BLOCK else load(place)

        found = self.places.twice(short, digest)
        if found is not None:
            yield self._decoding.plain(digest, *found)
            return
        seen, last = xxhash.xxh3_128(), b""
        with self.places.located(digest) as place:
            for block in place.blocks():
                if last:
                    yield last
                seen.update(block)
                last = block
            sound = seen.digest() == place.form.check
        if not sound:
            self.places.set_aside(digest)
            raise mismatch(digest)
        yield last

    def read_packed(self, digests: Iterable[Digest]) -> Iterator[tuple[Digest, bytes]]:
        """Yield those objects that are whole in packs, and their bytes, in the order of their places.

        Raises
        ------
        CorruptObject, UnsupportedFormat
            If the bytes of one do not decode, or nothing here decodes them.
        """
        packed: dict[str, list[tuple[Digest, Entry]]] = {}
        for digest, entry in self.packs.find_all(digests).items():
            packed.setdefault(entry.pack, []).append((digest, entry))
        for pack, places in packed.items():
            for digest, form, stored in self.packs.stored(pack, sorted(places, key=lambda place: place[1].offset)):
                yield digest, self._decoding.plain(digest, form, stored)

    def clone_into(self, digest: Digest, descriptor: int) -> bool:
        """Let an empty file share the object's blocks, verified; False where that cannot be.

        It can be where the file system copies on write and the object lies alone and as it is.

        Raises
        ------
        MissingObject, CorruptObject
            As `read`; what the file holds is worth nothing then.
        OSError
            If the file cannot be written.
        """
        device = os.fstat(descriptor).st_dev
        if device in _without_clones:
            return False
        with self.places.located(digest) as place:
            if place.form.codec != RAW or place.start or place.form.size != place.form.stored_size:
                return False
            try:
                fcntl.ioctl(descriptor, _FICLONE, place.descriptor)
            except OSError as error:
                if error.errno in _NO_CLONE:
                    _without_clones.add(device)
                    return False
                raise
            os.ftruncate(descriptor, place.form.size)
        self.places.twice(scan, digest)
        return True

    def verify(self, digest: Digest) -> None:
        """Hash the uncompressed bytes again with SHA-256.

        Raises
        ------
        CorruptObject
            If they do not match; they are in quarantine then.
        """
        form, hashed = self.places.twice(hash_of, digest)
        if form.codec != RAW:
            hashed = Digest.of(self.read(digest))
        if hashed != digest:
            for base in self.needs(digest):
                # Where a base is wrong, the difference is not.
                self.verify(base)
            self.places.set_aside(digest)
            raise CorruptObject(f"the bytes stored under {digest} hash to another digest", RESTORE)

    def digests(self) -> Iterator[Digest]:
        """Yield every stored digest, in order."""
        yield from sorted({digest for digest, _ in self.packs.entries()}.union(self.loose()))

    def loose(self) -> Iterator[Digest]:
        """Yield the digest of every object that lies alone."""
        return self.places.loose()

    def absent(self, digests: Iterable[Digest]) -> set[Digest]:
        """Return the objects that are not there, or only in the trash; none is read."""
        return {digest for digest in digests if not self.places.has(digest)}

    def lacking(self, keys: set[bytes]) -> set[bytes]:
        """Return those of these hashes, 32 bytes each, whose objects are not there; `absent` for very many."""
        left = self.packs.lacking(keys)
        return left - {bytes.fromhex(digest.hex) for digest in self.places.alone(Digest(key.hex()) for key in left)}

    def unsettled(self, digests: Iterable[Digest], codec: str | None = None) -> set[Digest]:
        """Return the objects that are not there whole; the others were read and checked.

        Damaged ones are in quarantine afterwards, so that they can be put again. What is only in the trash counts as
        not there.

        Parameters
        ----------
        digests : iterable of Digest
            The objects.
        codec : str, optional
            The codec that they must have.
        """
        lost: set[Digest] = set()
        packed: dict[str, list[tuple[int, Digest, Entry]]] = {}
        digests = list(digests)
        entries = self.packs.find_all(digests)
        alone = self.places.alone(digest for digest in digests if digest not in entries)
        for digest in digests:
            entry = entries.get(digest)
            if entry is not None:
                packed.setdefault(entry.pack, []).append((entry.offset, digest, entry))
            elif digest not in alone or not self._is_whole(digest, codec):
                lost.add(digest)
        for pack, places in packed.items():
            # In the order of their places, so that the pack is read from its start to its end.
            sound = self.packs.sound(pack, [(digest, entry) for _, digest, entry in sorted(places)], codec)
            alone = {digest for digest, form in sound.items() if not delta.is_difference(form.codec)}
            lost.update(digest for _, digest, _ in places if digest not in alone and not self._is_whole(digest, codec))
        return lost

    def _is_whole(self, digest: Digest, codec: str | None) -> bool:
        try:
            form, trashed = self.places.twice(lambda place: (scan(place), place.trashed), digest)
        except (CorruptObject, MissingObject):
            return False
        if trashed:
            return False
        if delta.is_difference(form.codec) and not self._has_bases(digest):
            # It will be put again, whole, and must not stand in the way of that.
            self.places.set_aside(digest)
            return False
        return codec in (None, form.codec)

    def _has_bases(self, digest: Digest) -> bool:
        try:
            return all(self.places.has(base) and self.places.twice(scan, base) for base in self.needs(digest))
        except (CorruptObject, MissingObject):
            return False


def concatenate(objects: ObjectStore, digests: Iterable[Digest]) -> bytes:
    """Return the verified bytes of several objects, one after the other."""
    return b"".join(objects.read(digest) for digest in digests)
