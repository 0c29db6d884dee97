"""Leases: which objects a living process relies on, so that collection leaves them alone.

Laws: a process puts the digests that it is about to rely on into its lease *before* it looks whether the objects are
there; so a collector that reads the leases after it has moved an object away sees every process that may have found it.
It sees what this machine has written at once; the disk is waited for only where another machine may collect, because a
power cut ends the process, too, for whose sake the lease is there. The file is locked while its process lives and
removed at its end. One that a killed process left counts until it is older than the grace time, because a record may
still be on its way; from another host the lock cannot be seen, and the same holds. A lease that does not read stops the
collection.

``leases/<host>-<pid>-<uuid>`` is a row of 40 bytes for each object: 32 of the digest, 8 of its XXH3-64. A torn last row
was never relied on.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import platform
import threading
import time
import uuid
import weakref
from collections.abc import Iterable
from pathlib import Path

import xxhash

from repro_assets.errors import CorruptRecord, from_os_error
from repro_assets.identity.digest import Digest
from repro_assets.store import durable
from repro_assets.store.home import Home

_ROW = 40


class Lease:
    """The lease of this process on the objects of one store. Thread-safe; a forked child takes one of its own."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._path: Path | None = None
        self._shared = True
        self._taken: set[Digest] = set()
        _leases.add(self)

    def take(self, digests: Iterable[Digest]) -> None:
        """Rely on objects from now on.

        Raises
        ------
        MachineError
            If the lease cannot be written.
        """
        with self._lock:
            new = [digest for digest in dict.fromkeys(digests) if digest not in self._taken]
            if not new:
                return
            self._append(rows_of(new))
            self._taken.update(new)

    def take_rows(self, rows: bytes) -> None:
        """Rely on the objects of rows that `rows_of` made, from now on.

        Raises
        ------
        MachineError
            If the lease cannot be written.
        """
        with self._lock:
            self._append(rows)

    def release(self) -> None:
        """Rely on nothing any more."""
        with self._lock:
            self._forget(remove=True)

    def _append(self, rows: bytes) -> None:
        try:
            if self._descriptor is not None and not os.fstat(self._descriptor).st_nlink:
                # The store was deleted under a living process.
                self._forget()
            if self._descriptor is None:
                self._open()
            assert self._descriptor is not None
            durable.write_all(self._descriptor, [rows])
            if self._shared:
                durable.sync_descriptor(self._descriptor)
        except OSError as error:
            # What was half-written must not stand before later rows.
            self._forget(remove=True)
            raise from_os_error(error, self.home.leases) from error

    def _open(self) -> None:
        durable.ensure_folder(self.home.leases)
        while True:
            path = self.home.leases / f"{platform.node() or 'host'}-{os.getpid()}-{uuid.uuid4().hex}"
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                break
            # A collector took it for a dead process's before the lock was there, and removed it.
            os.close(descriptor)
        self._descriptor, self._path = descriptor, path
        self._shared = not durable.is_of_this_machine(self.home.leases)
        if self._shared:
            durable.sync_folder(self.home.leases)

    def _forget(self, *, remove: bool = False) -> None:
        if self._descriptor is not None:
            if remove and self._path is not None:
                with contextlib.suppress(OSError):
                    self._path.unlink()
            os.close(self._descriptor)
        self._descriptor, self._path = None, None
        self._taken.clear()

    def _after_fork(self) -> None:
        # The parent keeps its lock: closing this copy of the descriptor does not let go of it.
        self._lock = threading.Lock()
        self._forget()


_leases: weakref.WeakSet[Lease] = weakref.WeakSet()
_open: dict[Path, Lease] = {}
_opening = threading.Lock()


def lease_on(home: Home) -> Lease:
    """Return this process's lease on a store."""
    with _opening:
        return _open.setdefault(home.root, Lease(home))


def rows_of(digests: Iterable[Digest]) -> bytes:
    """Return the rows of a lease on these objects."""
    return b"".join(row + _check(row) for row in (bytes.fromhex(digest.hex) for digest in digests))


def leased(home: Home, grace: float) -> set[Digest]:
    """Return every object that some process may rely on.

    Parameters
    ----------
    home : Home
        The store.
    grace : float
        Seconds for which the lease of an ended process still counts.

    Raises
    ------
    CorruptRecord
        If a lease does not read.
    """
    found: set[Digest] = set()
    for path in _files(home):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if _is_over(file.fileno(), grace):
                continue
            data = file.read()
            for start in range(0, len(data) - _ROW + 1, _ROW):
                row = data[start : start + 32]
                if _check(row) != data[start + 32 : start + _ROW]:
                    raise CorruptRecord(f"the lease {path.name} is damaged", "end its process and remove the file")
                found.add(Digest(row.hex()))
    return found


def damaged(home: Home) -> list[str]:
    """Return the names of the leases that hold a row that does not read, those of ended processes included."""
    found = []
    for path in _files(home):
        with contextlib.suppress(FileNotFoundError):
            data = path.read_bytes()
            rows = (data[start : start + _ROW] for start in range(0, len(data) - _ROW + 1, _ROW))
            if any(_check(row[:32]) != row[32:] for row in rows):
                found.append(path.name)
    return sorted(found)


def living(home: Home) -> bool:
    """Tell whether some process holds a lease."""
    for path in _files(home):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if not _is_over(file.fileno(), 0.0):
                return True
    return False


def sweep(home: Home, grace: float) -> int:
    """Remove the leases that no longer count and return their number."""
    removed = 0
    for path in _files(home):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if _is_over(file.fileno(), grace):
                path.unlink()
                removed += 1
    return removed


def _files(home: Home) -> list[Path]:
    return list(home.leases.iterdir()) if home.leases.is_dir() else []


def _is_over(descriptor: int, grace: float) -> bool:
    if os.fstat(descriptor).st_mtime > time.time() - grace:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check(row: bytes) -> bytes:
    return xxhash.xxh3_64_digest(row)


def _after_fork() -> None:
    global _opening
    _opening = threading.Lock()
    for lease in list(_leases):
        lease._after_fork()


def _at_exit() -> None:
    for lease in list(_leases):
        lease.release()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
