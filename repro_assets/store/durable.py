"""Durable writes.

Laws: a file that shows under its final name is whole and on the disk. The order is: write a temporary file in the same
file system, fsync it, rename (or link, where an existing file must win), fsync the folder. A failure at any of these
calls leaves either nothing or the whole file under the final name, and removes the temporary file; a kill leaves at
most a file in the temporary folder.

Known gap: on macOS ``fsync`` does not reach the platter; ``F_FULLFSYNC`` is used there where the file system has it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from repro_assets.errors import ReusedElsewhere, from_os_error

BLOCK = 1 << 20


_ONE_MACHINES = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "tmpfs", "overlay"})
"""File systems that only one machine writes to."""


def is_of_this_machine(folder: Path) -> bool:
    """Return whether only this machine can write to the file system of a folder; False where that is not known."""
    try:
        device = folder.stat().st_dev
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return False
    # https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
    number = f"{os.major(device)}:{os.minor(device)}"
    kinds = {
        line.partition(" - ")[2].split(" ", 1)[0] for line in mounts.splitlines() if line.split(" ", 3)[2] == number
    }
    return bool(kinds) and kinds <= _ONE_MACHINES


def sync_descriptor(descriptor: int) -> None:
    """Put what was written to an open file on the disk."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, full)
            return
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Put the names in `folder` on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def ensure_folder(folder: Path) -> None:
    """Make `folder` and its parents durably; nothing happens where it is there already."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for item in reversed(missing):
        item.mkdir(exist_ok=True)
        sync_folder(item.parent)


def create_temporary(folder: Path) -> tuple[int, Path]:
    """Open a new file in `folder` for writing; the caller closes and removes it."""
    ensure_folder(folder)
    path = folder / uuid.uuid4().hex
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644), path


@contextlib.contextmanager
def temporary_file(folder: Path) -> Iterator[tuple[int, Path]]:
    """Open a new file in `folder` for writing and remove it if it is still there at the end."""
    descriptor, path = create_temporary(folder)
    try:
        yield descriptor, path
    finally:
        os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def write_all(descriptor: int, chunks: Iterable[bytes | memoryview]) -> None:
    """Write every byte of `chunks`, however short the system's writes are."""
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        while view:
            view = view[os.write(descriptor, view[: 64 * BLOCK]) :]


def write_file(path: Path, chunks: Iterable[bytes | memoryview], temporary: Path, *, exclusive: bool = False) -> bool:
    """Write `path` durably.

    Parameters
    ----------
    path : Path
        The final name.
    chunks : iterable of bytes
        Its content.
    temporary : Path
        A folder in the same file system.
    exclusive : bool
        Let a file that is already there win.

    Returns
    -------
    bool
        False exactly if `exclusive` and the name was taken.

    Raises
    ------
    MachineError
        If the system refuses; nothing half-written shows.
    """
    try:
        with temporary_file(temporary) as (descriptor, partial):
            write_all(descriptor, chunks)
            sync_descriptor(descriptor)
            ensure_folder(path.parent)
            if exclusive:
                try:
                    os.link(partial, path)
                except FileExistsError:
                    return False
            else:
                partial.rename(path)
            sync_folder(path.parent)
    except OSError as error:
        raise from_os_error(error, path) from error
    return True


def replace_file(path: Path, chunks: Iterable[bytes | memoryview], temporary: Path) -> None:
    """Write a file of a cache: whole under its name, but not forced to the disk.

    Raises
    ------
    MachineError
        If the system refuses.
    """
    try:
        with temporary_file(temporary) as (descriptor, partial):
            write_all(descriptor, chunks)
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.rename(path)
    except OSError as error:
        raise from_os_error(error, path) from error


@contextlib.contextmanager
def locked(path: Path, *, folder: bool = False, wait: bool = True) -> Iterator[None]:
    """Hold the exclusive lock of a file or a folder, which is made if it is missing.

    A folder carries a lock also where the disk is full and no file can be made. A process's death frees it.

    Parameters
    ----------
    path : Path
        The file or the folder.
    folder : bool
        Whether it is a folder.
    wait : bool
        Wait for its turn.

    Raises
    ------
    ReusedElsewhere
        If another process holds it, and `wait` is not set.
    MachineError
        If the system refuses.
    """
    try:
        ensure_folder(path if folder else path.parent)
        kind = os.O_RDONLY | os.O_DIRECTORY if folder else os.O_RDWR | os.O_CREAT
        descriptor = os.open(path, kind | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise from_os_error(error, path) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise ReusedElsewhere(f"another process holds {path}", "run it when that has ended") from error
        except OSError as error:
            raise from_os_error(error, path) from error
        try:
            yield
        finally:
            try:
                # Closing alone would not do: a child that was forked meanwhile shares the lock.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            except OSError as error:
                raise from_os_error(error, path) from error
    finally:
        os.close(descriptor)
