"""Files of a person's own: read as they are at one moment, and recognized when they have not changed.

Laws: bytes count only if the file's stamp (size, mtime, ctime, inode) is the same before and after they were read, and
only if two writes cannot share that stamp: a file that changed within a step of the file system's clock is read again
after that step, because a write that is on its way has set the time already when its bytes are not all there.
A remembered digest counts only under an unchanged stamp, and only if the file had rested for two seconds before it was
read. It says what a source file holds, never that the store has it.

Known gap: one call of ``write`` over existing bytes that is held up for longer than that step cannot be told from one
that has ended.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import xxhash

from repro_assets.errors import InvalidInput, MachineError, SourceChanged
from repro_assets.identity.digest import Digest
from repro_assets.store import durable
from repro_assets.store.home import Home

REST_NS = 2_000_000_000
# What file systems stamp times with advances in steps of up to 10 ms (a kernel tick at 100 Hz).
_CLOCK_STEP_NS = 20_000_000
_FORMAT = 2
_HEAD = struct.Struct("<QQ")
_ROW = struct.Struct("<qqqQ32s")


class Stamp(NamedTuple):
    """State of a file, as far as the file system tells without reading it."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, state: os.stat_result) -> Stamp:
        """Take the four fields from what `os.stat` gave."""
        return cls(state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)

    def rested(self, now_ns: int, rest_ns: int = REST_NS) -> bool:
        """Tell whether the file had not changed for `rest_ns` nanoseconds."""
        return now_ns - max(self.mtime_ns, self.ctime_ns) > rest_ns


def read_stable(path: str | os.PathLike[str], expected: Stamp | None = None) -> bytes:
    """Read a whole file that must not change meanwhile.

    Parameters
    ----------
    path : path-like
        A regular file.
    expected : Stamp, optional
        Its state when it was captured.

    Raises
    ------
    SourceChanged
        If its state was not the expected one, or changed while it was read.
    OSError
        If it cannot be read.
    """
    data, after = read_stamped(path)
    if expected is not None and expected != after:
        raise SourceChanged(f"{os.fspath(path)} changed after it was captured", "run again when nothing writes to it")
    return data


def read_stamped(path: str | os.PathLike[str]) -> tuple[bytes, Stamp]:
    """Read a whole file that must not change meanwhile, and return its stamp as well.

    Raises
    ------
    SourceChanged
        If it changed while it was read.
    OSError
        If it cannot be read.
    """
    # A file object costs as much as the read itself.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        before, begun = Stamp.of(os.fstat(descriptor)), time.time_ns()
        data = _read_all(descriptor, before.size)
        if not before.rested(begun, _CLOCK_STEP_NS):
            time.sleep(_CLOCK_STEP_NS / 1e9)
            if _read_all(descriptor, before.size) != data:
                raise _changed(path)
        after = Stamp.of(os.fstat(descriptor))
    finally:
        os.close(descriptor)
    if before != after or len(data) != after.size or Stamp.of(os.stat(path)) != after:  # noqa: PTH116
        raise _changed(path)
    return data, after


def _read_all(descriptor: int, size: int) -> bytes:
    """Read a file that had `size` bytes, from its start, and whatever more there is."""
    data = os.pread(descriptor, size + 1, 0)
    if len(data) == size:
        return data
    parts = [data]
    done = len(data)
    while more := os.pread(descriptor, 1 << 20, done):
        parts.append(more)
        done += len(more)
    return b"".join(parts)


def stamp_of(path: str | os.PathLike[str]) -> Stamp:
    """Return the stamp of a file.

    Raises
    ------
    InvalidInput, MachineError
        If it cannot be looked at.
    """
    try:
        return Stamp.of(os.stat(path))  # noqa: PTH116
    except OSError as error:
        raise unreadable(path, error) from error


def stream_stable(path: Path, take: Callable[[bytes], None]) -> tuple[int, Stamp]:
    """Give a file's blocks to `take`, in constant memory, and return its size and stamp.

    Raises
    ------
    InvalidInput, MachineError
        If it cannot be read.
    SourceChanged
        If it changes meanwhile. What `take` was given is worth nothing then.
    """
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise unreadable(path, error) from error
    with file:
        before, begun = Stamp.of(os.fstat(file.fileno())), time.time_ns()
        hashed = None if before.rested(begun, _CLOCK_STEP_NS) else hashlib.sha256()
        size = 0
        for block in _blocks(file.fileno(), path):
            size += len(block)
            if hashed is not None:
                hashed.update(block)
            take(block)
        if hashed is not None:
            time.sleep(_CLOCK_STEP_NS / 1e9)
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            if Digest.of_chunks(_blocks(file.fileno(), path)).hex != hashed.hexdigest():
                raise _changed(path)
        after = Stamp.of(os.fstat(file.fileno()))
    if before != after or size != after.size:
        raise _changed(path)
    return size, after


_MACHINES = frozenset({errno.EIO, errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE})


def unreadable(path: str | os.PathLike[str], error: OSError) -> InvalidInput | MachineError:
    """Say that a file cannot be read, and whether that is the machine's failure, such as a bad disk, or the file's."""
    said = f"{os.fspath(path)} cannot be read: {error.strerror}"
    if error.errno in _MACHINES:
        return MachineError(said, "check the disk, or free what the machine has run out of")
    return InvalidInput(said, "check the file and its disk")


class StatCache:
    """Digests of the files below a folder, by path and stamp.

    Parameters
    ----------
    home : Home
        The store in whose cache they are kept. A cache that does not read is not used.
    root : Path
        The folder, or the one file.

    Notes
    -----
    ``cache/sources/<hash of the path>.stamps`` is a seal (XXH3-64, hexadecimal) and a newline, the format and the
    number of files (8 bytes each), a row of 64 bytes for each (size, mtime, ctime, inode, digest), and their paths,
    with a NUL between two.
    """

    def __init__(self, home: Home, root: Path) -> None:
        key = xxhash.xxh3_128_hexdigest(os.fsencode(root.absolute()))
        self._home = home
        self._file = home.cache / "sources" / f"{key}.stamps"
        self._entries = self._load()
        self._changed = False

    def digest(self, path: str, stamp: Stamp) -> Digest | None:
        """Return what a file under this stamp is known to hold."""
        known = self._entries.get(path)
        if known is None or known[:4] != stamp:
            return None
        return Digest(known[4].hex())

    def learn(self, path: str, stamp: Stamp, digest: Digest, read_ns: int) -> None:
        """Remember a digest that was taken from a file at the time `read_ns`."""
        if stamp.rested(read_ns):
            self._entries[path] = (*stamp, bytes.fromhex(digest.hex))
            self._changed = True

    def save(self) -> None:
        """Write what was learnt.

        Raises
        ------
        MachineError
            If the file cannot be written.
        """
        if self._changed:
            rows = b"".join(_ROW.pack(*known) for known in self._entries.values())
            paths = b"\0".join(map(os.fsencode, self._entries))
            content = _HEAD.pack(_FORMAT, len(self._entries)) + rows + paths
            seal = xxhash.xxh3_64_hexdigest(content).encode()
            durable.replace_file(self._file, [seal, b"\n", content], self._home.temporary)
            self._changed = False

    def _load(self) -> dict[str, tuple[int, int, int, int, bytes]]:
        try:
            content = unsealed(self._file.read_bytes())
        except OSError:
            return {}
        if content is None:
            return {}
        version, number = _HEAD.unpack_from(content)
        if version != _FORMAT or not number:
            return {}
        end = _HEAD.size + number * _ROW.size
        paths = os.fsdecode(content[end:]).split("\0")
        return dict(zip(paths, _ROW.iter_unpack(content[_HEAD.size : end]), strict=True))


def damaged_caches(home: Home) -> list[str]:
    """Return the names of the cache files that do not read; none of them is used."""
    folder = home.cache / "sources"
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if unsealed((folder / name).read_bytes()) is None]


def unsealed(data: bytes) -> bytes | None:
    """Return what stands behind the seal of a file of this cache; None if it is not what was written."""
    seal, _, text = data.partition(b"\n")
    return text if seal == xxhash.xxh3_64_hexdigest(text).encode() else None


def _blocks(descriptor: int, path: Path) -> Iterator[bytes]:
    while True:
        try:
            block = os.read(descriptor, durable.BLOCK)
        except OSError as error:
            raise unreadable(path, error) from error
        if not block:
            return
        yield block


def _changed(path: str | os.PathLike[str]) -> SourceChanged:
    return SourceChanged(f"{os.fspath(path)} changed while it was read", "run again when nothing writes to it")
