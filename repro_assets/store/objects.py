"""Objects: immutable bytes under their digest.

Laws: the digest is over the uncompressed bytes; how they are stored (the codec) is an attribute of the stored file; an
object that is there is whole; every read verifies; bytes that do not match are read once more, then set aside under
``quarantine`` and an error names the digest. Putting bytes that are there already writes nothing, but checks them.

A loose object is ``objects/ab/<62 hex>``: the stored bytes, then a trailer of 64 bytes that describes them, so the
file needs no index to be read and its bytes start at offset 0, where a reflink can share them. It names the digest
too, so that a whole file under another's name is damage. Other names in the folder are no objects::

    8  magic "reproOB1"     16  codec, ASCII, padded with NUL      8  size of the uncompressed bytes
    8  start of the digest  16  XXH3-128 of the stored bytes       8  XXH3-64 of the 56 bytes before
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import struct
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, TypeVar

import xxhash

from repro_assets.errors import (
    CorruptObject,
    InvalidInput,
    MissingObject,
    SourceChanged,
    UnsupportedFormat,
    from_os_error,
)
from repro_assets.identity.digest import Digest
from repro_assets.store import durable
from repro_assets.store.home import Home

RAW = "raw"
_TRAILER = struct.Struct("<8s16sQ8s16sQ")
_MAGIC = b"reproOB1"
_FOLDER = re.compile(r"[0-9a-f]{2}")
_REST = re.compile(r"[0-9a-f]{62}")

# What file systems stamp times with advances in steps of up to 10 ms (a kernel tick at 100 Hz).
_CLOCK_STEP_NS = 20_000_000

_T = TypeVar("_T")

Decoder = Callable[[bytes], bytes]
"""Returns the uncompressed bytes; a ValueError says that the stored ones are none of its codec."""


class _State(Protocol):
    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Placement:
    """How an object is stored: its codec, and its size before and after."""

    codec: str
    size: int
    stored_size: int


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
        How to get the uncompressed bytes back, for each codec beside ``raw``.
    """

    def __init__(self, home: Home, decoders: Mapping[str, Decoder] | None = None) -> None:
        self.home = home
        self._decoders: dict[str, Decoder] = {RAW: bytes, **(decoders or {})}

    def path(self, digest: Digest) -> Path:
        """Where the object is, or would be."""
        return self.home.objects / digest.hex[:2] / digest.hex[2:]

    def has(self, digest: Digest) -> bool:
        """Tell whether bytes are stored under `digest`, without reading them."""
        return self.path(digest).is_file()

    def put(self, data: bytes | memoryview) -> Digest:
        """Store bytes durably.

        Raises
        ------
        MachineError
            If they cannot be written.
        """
        digest = Digest.of(data)
        self._store(digest, RAW, len(data), data)
        return digest

    def put_encoded(self, data: bytes, codec: str, stored: bytes) -> Digest:
        """Store `data` in the form `stored` that the decoder of `codec` turns back into it."""
        digest = Digest.of(data)
        self._store(digest, codec, len(data), stored)
        return digest

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
        try:
            source = path.open("rb")
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror}", "check that it is there") from error
        try:
            with source, durable.temporary_file(self.home.temporary) as (descriptor, partial):
                before, begun = os.fstat(source.fileno()), time.time_ns()
                hashed, check, size = hashlib.sha256(), xxhash.xxh3_128(), 0
                for block in _source_blocks(source, path):
                    hashed.update(block)
                    check.update(block)
                    size += len(block)
                    durable.write_all(descriptor, [block])
                digest = Digest(hashed.hexdigest())
                after = os.fstat(source.fileno())
                still = _state(before) == _state(after) and size == after.st_size
                if still and begun - before.st_mtime_ns < _CLOCK_STEP_NS:
                    # A write in the same step of the file system's clock leaves the time as it was.
                    source.seek(0)
                    still = Digest.of_chunks(_source_blocks(source, path)) == digest
                if not still:
                    raise SourceChanged(f"{path} changed while it was read", "run the command again when it is still")
                if not self._settled(digest, RAW):
                    durable.write_all(descriptor, [_trailer(digest, RAW, size, check.digest())])
                    self._publish(descriptor, partial, digest)
                return digest, size
        except OSError as error:
            raise from_os_error(error, self.home.objects) from error

    def placement(self, digest: Digest) -> Placement:
        """Describe the stored file.

        Raises
        ------
        MissingObject
            If there is none.
        CorruptObject
            If its trailer does not read.
        """
        path = self.path(digest)
        try:
            with path.open("rb") as file:
                length = file.seek(0, os.SEEK_END)
                file.seek(max(0, length - _TRAILER.size))
                codec, size, _ = _read_trailer(file.read(), digest)
        except FileNotFoundError as error:
            raise _missing(digest) from error
        return Placement(codec, size, length - _TRAILER.size)

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
        stored, codec = self.read_stored(digest)
        return self._decode(stored, codec, digest)

    def read_stored(self, digest: Digest) -> tuple[bytes, str]:
        """Return the verified bytes as stored, and their codec."""
        return self._twice(self._load, digest)

    def verify(self, digest: Digest) -> None:
        """Hash the uncompressed bytes again with SHA-256.

        Raises
        ------
        CorruptObject
            If they do not match; they are in quarantine then.
        """
        codec, hashed = self._twice(self._hash, digest)
        if codec != RAW:
            hashed = Digest.of(self.read(digest))
        if hashed != digest:
            self._set_aside(digest)
            raise CorruptObject(f"the bytes stored under {digest} hash to another digest", "restore it from a copy")

    def digests(self) -> Iterator[Digest]:
        """Yield every stored digest, in order."""
        if not self.home.objects.is_dir():
            return
        for folder in sorted(self.home.objects.iterdir()):
            if not _FOLDER.fullmatch(folder.name):
                continue
            for path in sorted(folder.iterdir()):
                if _REST.fullmatch(path.name):
                    yield Digest(folder.name + path.name)

    def _twice(self, look: Callable[[Digest], _T], digest: Digest) -> _T:
        try:
            return look(digest)
        except CorruptObject:
            pass
        try:
            return look(digest)
        except CorruptObject:
            self._set_aside(digest)
            raise

    def _load(self, digest: Digest) -> tuple[bytes, str]:
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError as error:
            raise _missing(digest) from error
        codec, _, check = _read_trailer(data[-_TRAILER.size :], digest)
        stored = data[: -_TRAILER.size]
        if xxhash.xxh3_128_digest(stored) != check:
            raise _mismatch(digest)
        return stored, codec

    def _scan(self, digest: Digest, *states: _State) -> str:
        """Verify the stored bytes in constant memory, update `states` with them, and return their codec."""
        try:
            file = self.path(digest).open("rb")
        except FileNotFoundError as error:
            raise _missing(digest) from error
        with file:
            left = file.seek(0, os.SEEK_END) - _TRAILER.size
            file.seek(max(0, left))
            codec, _, check = _read_trailer(file.read(), digest)
            file.seek(0)
            seen = xxhash.xxh3_128()
            while left and (block := file.read(min(left, durable.BLOCK))):
                left -= len(block)
                for state in (seen, *states):
                    state.update(block)
        if seen.digest() != check:
            raise _mismatch(digest)
        return codec

    def _hash(self, digest: Digest) -> tuple[str, Digest]:
        hashed = hashlib.sha256()
        codec = self._scan(digest, hashed)
        return codec, Digest(hashed.hexdigest())

    def _decode(self, stored: bytes, codec: str, digest: Digest) -> bytes:
        decoder = self._decoders.get(codec)
        if decoder is None:
            raise UnsupportedFormat(f"{digest} is stored with the codec {codec!r}, which is not known here")
        try:
            return decoder(stored)
        except ValueError as error:
            raise CorruptObject(f"the bytes stored under {digest} are no {codec}: {error}") from error

    def _settled(self, digest: Digest, codec: str) -> bool:
        if not self.has(digest):
            return False
        try:
            stored_as = self._twice(self._scan, digest)
        except (CorruptObject, MissingObject):
            return False
        if codec not in (RAW, stored_as):
            # Whoever asks for a codec reads the stored form; the raw form can be had from any.
            return False
        # Another process may have renamed the file a moment ago and not have reached the disk with its name.
        durable.sync_folder(self.path(digest).parent)
        return True

    def _store(self, digest: Digest, codec: str, size: int, stored: bytes | memoryview) -> None:
        try:
            if self._settled(digest, codec):
                return
            with durable.temporary_file(self.home.temporary) as (descriptor, partial):
                durable.write_all(descriptor, [stored, _trailer(digest, codec, size, xxhash.xxh3_128_digest(stored))])
                self._publish(descriptor, partial, digest)
        except OSError as error:
            raise from_os_error(error, self.path(digest)) from error

    def _publish(self, descriptor: int, partial: Path, digest: Digest) -> None:
        durable.sync_descriptor(descriptor)
        final = self.path(digest)
        durable.ensure_folder(final.parent)
        partial.rename(final)
        durable.sync_folder(final.parent)

    def _set_aside(self, digest: Digest) -> None:
        durable.ensure_folder(self.home.quarantine)
        # Another reader may have set it aside first.
        with contextlib.suppress(FileNotFoundError):
            self.path(digest).rename(self.home.quarantine / f"{digest.hex}.{uuid.uuid4().hex}")


def open_objects(home: Home, decoders: Mapping[str, Decoder] | None = None) -> LocalObjects:
    """Open the objects of a store."""
    return LocalObjects(home, decoders)


def concatenate(objects: ObjectStore, digests: Iterable[Digest]) -> bytes:
    """Return the verified bytes of several objects, one after the other."""
    return b"".join(objects.read(digest) for digest in digests)


def _source_blocks(source: IO[bytes], path: Path) -> Iterator[bytes]:
    try:
        while block := source.read(durable.BLOCK):
            yield block
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", "check the file and its disk") from error


def _state(facts: os.stat_result) -> tuple[int, int, int]:
    # The time of the last change of the inode as well: a writer can set back the other one.
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _missing(digest: Digest) -> MissingObject:
    return MissingObject(f"no bytes are stored under {digest}", "pull them or replay the run")


def _mismatch(digest: Digest) -> CorruptObject:
    return CorruptObject(f"the bytes stored under {digest} do not match", "restore it: repro store fsck")


def _trailer(digest: Digest, codec: str, size: int, check: bytes) -> bytes:
    head = _TRAILER.pack(_MAGIC, codec.encode("ascii"), size, bytes.fromhex(digest.hex[:16]), check, 0)[:-8]
    return head + struct.pack("<Q", xxhash.xxh3_64_intdigest(head))


def _read_trailer(data: bytes, digest: Digest) -> tuple[str, int, bytes]:
    if len(data) == _TRAILER.size:
        magic, codec, size, start, check, seal = _TRAILER.unpack(data)
        right = start == bytes.fromhex(digest.hex[:16])
        if right and magic == _MAGIC and seal == xxhash.xxh3_64_intdigest(data[:-8]):
            return codec.rstrip(b"\0").decode("ascii"), size, check
    raise CorruptObject(f"the file stored under {digest} is damaged or cut short", "restore it: repro store fsck")
