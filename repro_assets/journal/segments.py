"""Segments: one append-only file per process.

Laws: a process writes only its own segment; a record is on the disk before `Journal.append` returns; while the process
lives it holds an exclusive ``flock`` on its segment, so its end is known without trusting process ids; after a fork the
child drops the handle and opens a segment of its own (a kept descriptor would keep the lock alive); a segment shows
under its name only when it is locked and has its first record; a stretch that cannot be read is reported with its
place and never hides the records after it, even where the newline between them is what was damaged.

Another host cannot see the lock. For it the segment's modification time is the heartbeat: it is renewed every 30 s
while a run is open, and one older than 5 minutes means that nothing is known.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import itertools
import os
import platform
import pwd
import re
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from repro_assets.errors import ReproError, from_os_error
from repro_assets.journal.lines import read_line, write_line
from repro_assets.journal.records import PART, Payload, Process, Record
from repro_assets.store import durable

HEARTBEAT_SECONDS = 30.0
HEARTBEAT_LOST_SECONDS = 300.0
_OPENING = b'{"v":'
_ENDING = re.compile(rb',"xxh3":"[0-9a-f]{16}"}\Z')


class Liveness(enum.Enum):
    """What is known of the process that writes a segment."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch of a segment that is not a record."""

    segment: str
    offset: int
    reason: str


class Journal:
    """The writing end of this process's segment. Thread-safe; survives a fork by starting a new segment.

    Parameters
    ----------
    folder : Path
        The store's ``journal`` folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._descriptor: int | None = None
        self._segment = ""
        self._sequence = 0
        _journals.add(self)

    @property
    def segment(self) -> str:
        """Name of the segment, empty before the first record."""
        return self._segment

    def append(self, *payloads: Payload, follows: tuple[str, ...] = (), receipt: list[str] | None = None) -> list[str]:
        """Write records, make them durable with one fsync, and return their ids.

        Whoever would write them again after an error gives a `receipt`, which gets the ids once they are written: also
        where the handler of a signal raises then.

        Raises
        ------
        MachineError
            If they cannot be written; earlier records are intact, and what was half-written is not a record.
        """
        if not payloads:
            return []
        with self._lock:
            try:
                if self._descriptor is not None and not os.fstat(self._descriptor).st_nlink:
                    # The store was deleted under a living process; what is appended to no name is lost.
                    self.close()
                if self._descriptor is None:
                    self._open()
                assert self._descriptor is not None
                now = time.time()
                lines = [
                    write_line(payload, seq=self._sequence + index, time=now, follows=follows)
                    for index, payload in enumerate(payloads)
                ]
                ids = [f"{self._segment}:{self._sequence + index}" for index in range(len(payloads))]
                data = b"".join(lines)
                end = os.lseek(self._descriptor, 0, os.SEEK_END)
                try:
                    _write_all(self._descriptor, data)
                    os.fsync(self._descriptor)
                    if receipt is not None:
                        receipt += ids
                    self._sequence += len(payloads)
                except BaseException as error:
                    # A reader may have seen these ids already: they are spent.
                    self._sequence += len(payloads)
                    whole = os.fstat(self._descriptor).st_size == end + len(data)
                    if isinstance(error, OSError) or not whole:
                        # A torn line in the middle would make the next one unreadable.
                        os.ftruncate(self._descriptor, end)
                    elif receipt is not None:
                        receipt += ids
                    raise
            except OSError as error:
                raise from_os_error(error, self.folder / self._segment) from error
            return ids

    def beat(self) -> None:
        """Renew the heartbeat that other hosts look at."""
        with self._lock:
            if self._descriptor is not None:
                os.utime(self._descriptor)

    def close(self) -> None:
        """Let go of the segment; the next record opens a new one."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = _new_name()
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        opening = self.folder / f"{name}.opening"
        descriptor = os.open(opening, flags, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_all(descriptor, write_line(_this_process(), seq=0, time=time.time()))
            os.fsync(descriptor)
            # Whoever looks at the segments must not take one that is being opened for one whose writer is gone.
            opening.rename(self.folder / name)
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except BaseException:
            os.close(descriptor)
            opening.unlink(missing_ok=True)
            raise
        self._descriptor, self._segment, self._sequence = descriptor, name, 1

    def _pause(self) -> None:
        # A fork in the middle of an append would copy a descriptor that is not known yet, and with it the lock.
        self._lock.acquire()

    def _resume(self) -> None:
        self._lock.release()

    def _forget(self) -> None:
        # Runs in a forked child: the descriptor is the parent's lock.
        self._lock = threading.RLock()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class _OpenJournals:
    """The journals of this process, so that a fork can reach them."""

    def __init__(self) -> None:
        self._items: list[Journal] = []
        self._lock = threading.RLock()

    def add(self, journal: Journal) -> None:
        with self._lock:
            self._items.append(journal)

    def pause_all(self) -> None:
        self._lock.acquire()
        for journal in self._items:
            journal._pause()

    def resume_all(self) -> None:
        for journal in self._items:
            journal._resume()
        self._lock.release()

    def forget_all(self) -> None:
        self._lock = threading.RLock()
        for journal in self._items:
            journal._forget()


_journals = _OpenJournals()
os.register_at_fork(
    before=_journals.pause_all, after_in_parent=_journals.resume_all, after_in_child=_journals.forget_all
)


@cache
def journal_at(folder: Path) -> Journal:
    """Return the one journal of this process in `folder`."""
    return Journal(folder)


def keep_whole(folder: Path, payloads: Iterable[Payload], temporary: Path) -> str:
    """Write records as a segment of their own, which shows with all of them or not at all, and return its name.

    Parameters
    ----------
    folder : Path
        The store's ``journal`` folder.
    payloads : iterable of Payload
        The records, in order; whoever takes segments away must not do so meanwhile (`merged.alone`).
    temporary : Path
        A folder in the same file system.

    Raises
    ------
    MachineError
        If it cannot be written.
    """
    name, now = _new_name(), time.time()
    everything = itertools.chain([_this_process()], payloads)
    lines = (write_line(payload, seq=number, time=now) for number, payload in enumerate(everything))
    durable.write_file(folder / name, lines, temporary, exclusive=True)
    return name


def list_segments(folder: Path) -> list[Path]:
    """All segments, by name."""
    return sorted(folder.glob("*.jsonl")) if folder.is_dir() else []


def read_segment(path: Path, offset: int = 0) -> Iterator[tuple[Record | Damage, int]]:
    """Yield each complete line after `offset` with the offset behind it.

    A last line without its newline is not yielded, because it is being written or its writer died; but one that has
    another byte in place of its newline was written whole, and is damaged. What does not read as a record is yielded as
    `Damage`; records that stand behind it in the same line, because their newline is gone, are still found.
    """
    with path.open("rb") as file:
        file.seek(offset)
        yield from read_lines(file, path.name, offset)


def read_lines(lines: Iterable[bytes], segment: str, offset: int) -> Iterator[tuple[Record | Damage, int]]:
    """Yield what lines of a segment, of which the first begins at `offset`, are, as `read_segment` does."""
    for line in lines:
        if not line.endswith(b"\n") and not _is_whole(line[:-1]):
            return
        for item, length in _items(line, segment, offset):
            offset += length
            yield item, offset


def whole_length(path: Path) -> int:
    """Return the length of a segment without the record that is being written, or was when its writer died."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - durable.BLOCK)
            file.seek(start)
            last = file.read(end - start).rfind(b"\n")
            if last >= 0:
                return start + last + 1
            end = start
    return 0


def _is_whole(line: bytes) -> bool:
    return _ENDING.search(line) is not None


def _items(line: bytes, segment: str, offset: int) -> Iterator[tuple[Record | Damage, int]]:
    try:
        yield read_line(line, segment), len(line)
        return
    except ReproError as error:
        reason = str(error)
    place = line.find(_OPENING, 1)
    while place > 0:
        with contextlib.suppress(ReproError):
            record = read_line(line[place:], segment)
            yield Damage(segment, offset, reason), place
            yield record, len(line) - place
            return
        place = line.find(_OPENING, place + 1)
    yield Damage(segment, offset, reason), len(line)


def liveness(path: Path) -> Liveness:
    """Tell whether the process that writes `path` still lives; nobody writes to a part of a segment."""
    if PART.fullmatch(path.name):
        return Liveness.GONE
    header = next(read_segment(path), None)
    process = header[0].payload if header and isinstance(header[0], Record) else None
    if isinstance(process, Process) and (process.host_id, process.boot_id) != host_identity():
        # Machines that were made from one image may share the id; then their names tell them apart.
        if (process.host_id, process.host) == (host_identity()[0], platform.node()):
            return Liveness.GONE
        age = time.time() - path.stat().st_mtime
        return Liveness.ALIVE if age < HEARTBEAT_LOST_SECONDS else Liveness.UNKNOWN
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Liveness.ALIVE
    finally:
        os.close(descriptor)
    return Liveness.GONE


@cache
def host_identity() -> tuple[str, str]:
    """Return ids of this machine and of its current start; the node name where the system keeps none."""
    machine = Path("/etc/machine-id")
    boot = Path("/proc/sys/kernel/random/boot_id")
    machine_id = machine.read_text().strip() if machine.is_file() else ""
    boot_id = boot.read_text().strip() if boot.is_file() else ""
    return machine_id or f"{platform.node()}-{uuid.getnode():012x}", boot_id


def _new_name() -> str:
    return f"{platform.node() or 'host'}-{os.getpid()}-{uuid.uuid4().hex}.jsonl"


def _this_process() -> Process:
    return Process(platform.node(), *host_identity(), os.getpid(), argv=_program(), account=_account())


def _program() -> list[str]:
    # Only the program's name: arguments may hold secrets, and a run records its own, scanned.
    return [Path(sys.argv[0]).name] if sys.argv and sys.argv[0] else []


def _account() -> str | None:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number that has no name
        return None


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
