"""Hashes of files: each file read once, several at a time.

Laws: every byte is read, in constant memory; all algorithms are fed from the same read; a file that is not the same
before and after (size, times, inode), or whose name means another file afterwards, has no hashes but an error; nothing
but a regular file is read, and opening one never waits and never follows a link. Where a file was changed so shortly
before that the file system's clock could not tell another change, it is read a second time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from repro_assets.capture.data_manifest.walking import type_name

ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
CHANGED, UNREADABLE = "changed", "unreadable"
_BLOCK = 1 << 20
# Blocks of a file whose hashes are computed at the same time: smaller ones cost more in waiting than they win.
_SPLIT_BLOCK = 4 << 20
# So few files that they do not keep the cores busy, and that two such blocks of each are little memory.
_FEW_FILES = 8
# What file systems stamp times with advances in steps of up to 10 ms (a kernel tick at 100 Hz).
_CLOCK_STEP_NS = 20_000_000
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Progress = Callable[[int], None]
"""Is told how many files are done."""


@dataclass(frozen=True, slots=True)
class Hashed:
    """A file as it was read: bytes, time of its last change in ns since 1970, mode bits, hexadecimal hashes."""

    size: int
    modified_ns: int
    mode: int
    hashes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unhashed:
    """A file that has no hashes: `reason` is `CHANGED` or `UNREADABLE`, `error` says it in words."""

    reason: str
    error: str


def hash_files(
    root: str, paths: Sequence[str], algorithms: Sequence[str], progress: Progress | None = None
) -> list[Hashed | Unhashed]:
    """Hash files on all cores that this process may use.

    Parameters
    ----------
    root : str
        The folder.
    paths : sequence of str
        Relative to it.
    algorithms : sequence of str
        Some of `ALGORITHMS`.
    progress : callable, optional
        Called from several threads, one at a time.

    Returns
    -------
    list
        In the order of `paths`.
    """
    results: list[Hashed | Unhashed | None] = [None] * len(paths)
    order = iter(range(len(paths)))
    lock = threading.Lock()
    stopped = threading.Event()
    done = 0

    def work() -> None:
        nonlocal done
        while not stopped.is_set():
            with lock:
                index = next(order, None)
            if index is None:
                return
            results[index] = hash_file(f"{root}/{paths[index]}", algorithms, stopped, split=split)
            with lock:
                done += 1
                if progress is not None:
                    progress(done)

    cores = _cores()
    split = len(paths) < min(cores, _FEW_FILES)
    workers = max(1, min(len(paths), cores))
    with ThreadPoolExecutor(workers) as threads:
        try:
            for future in [threads.submit(work) for _ in range(workers)]:
                future.result()
        finally:
            # After Ctrl-C or a bug in one thread the others end with the block they are at.
            stopped.set()
    return [result for result in results if result is not None]


def hash_file(
    path: str,
    algorithms: Sequence[str],
    stopped: threading.Event | None = None,
    *,
    follow: bool = False,
    split: bool = True,
) -> Hashed | Unhashed:
    """Hash one file.

    Parameters
    ----------
    path : str
        The file.
    algorithms : sequence of str
        Some of `ALGORITHMS`.
    stopped : threading.Event, optional
        When set, reading ends and the result means nothing.
    follow : bool
        Whether `path` itself may be a link.
    split : bool
        Whether a large file's hashes may be computed at the same time.
    """
    try:
        descriptor = os.open(path, _FLAGS & ~os.O_NOFOLLOW if follow else _FLAGS)
    except OSError as error:
        return Unhashed(UNREADABLE, f"cannot be opened: {error.strerror}")
    try:
        before, begun = os.fstat(descriptor), time.time_ns()
        if not stat.S_ISREG(before.st_mode):
            return Unhashed(CHANGED, f"is no file any more: {type_name(before.st_mode)}")
        hashes, size = _read(descriptor, algorithms, before.st_size, stopped, split=split)
        after, named = os.fstat(descriptor), os.stat(path, follow_symlinks=follow)  # noqa: PTH116
        still = _state(before) == _state(after) == _state(named) and size == after.st_size
        if still and begun - max(before.st_ctime_ns, before.st_mtime_ns) < _CLOCK_STEP_NS:
            os.lseek(descriptor, 0, os.SEEK_SET)
            again, _ = _read(descriptor, algorithms[:1], before.st_size, stopped, split=False)
            still = again[algorithms[0]] == hashes[algorithms[0]] and _state(os.fstat(descriptor)) == _state(after)
    except FileNotFoundError:
        return Unhashed(CHANGED, "was removed while it was read")
    except OSError as error:
        return Unhashed(UNREADABLE, f"cannot be read: {error.strerror}")
    finally:
        os.close(descriptor)
    if not still:
        return Unhashed(CHANGED, "changed while it was read")
    return Hashed(size, before.st_mtime_ns, stat.S_IMODE(before.st_mode), hashes)


def _read(
    descriptor: int, algorithms: Sequence[str], expected: int, stopped: threading.Event | None, *, split: bool
) -> tuple[dict[str, str], int]:
    states = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    size = 0
    together = split and len(states) > 1 and expected > 2 * _SPLIT_BLOCK
    with _feeding(list(states.values()), together) as feed:
        # One byte more than expected, so that a small file's end shows without a buffer of a whole block.
        wanted = min(_SPLIT_BLOCK if together else _BLOCK, expected + 1)
        while block := os.read(descriptor, wanted):
            size += len(block)
            feed(block)
            if stopped is not None and stopped.is_set():
                break
    return {name: state.hexdigest() for name, state in states.items()}, size


@contextlib.contextmanager
def _feeding(states: Sequence[hashlib._Hash], together: bool) -> Iterator[Callable[[bytes], None]]:
    """Yield what feeds a block to all states; `together`: each in a thread, while the next block is read."""
    if not together:

        def feed(block: bytes) -> None:
            for state in states:
                state.update(block)

        yield feed
        return
    pending: list[Future[None]] = []
    with ThreadPoolExecutor(len(states)) as threads:

        def feed_together(block: bytes) -> None:
            # The next block waits for the one before: at most two are in memory, and each state sees them in order.
            for future in pending:
                future.result()
            pending[:] = [threads.submit(state.update, block) for state in states]

        yield feed_together
        for future in pending:
            future.result()


def _state(facts: os.stat_result) -> tuple[int, ...]:
    # The time of the last change of the inode as well: a writer can set back the other one.
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino, facts.st_dev


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
