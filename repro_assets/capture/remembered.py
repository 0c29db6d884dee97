"""Answers that hold for as long as some files do not change, kept across processes.

Laws: an answer counts only under an equal stamp of all that it was made from, and is only remembered if that had rested
for a second before the question was asked, because two writes within one tick of the file system's clock leave one
stamp. A file of answers that differs in any bit is not used: only time is lost. No path is kept as it is, because its
name may hold a secret. Where nothing is kept, nothing but the standard library is needed.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_REST_NS = 1_000_000_000
_FORMAT = 1

Stamps = list[list[Any]]
"""A hash of a path and its size, mtime, ctime and inode, or only the hash where nothing is there; one for each path.

Of many files together (`joint_stamp`): one hash, their number, the newest mtime and ctime, and nought.
"""


def key_of(path: str | os.PathLike[str]) -> str:
    """Return what a path is remembered as."""
    return _hash(os.fsencode(path))


def stamps(paths: Iterable[str | os.PathLike[str]]) -> Stamps:
    """Return the state of files and folders, as far as the file system tells without reading them."""
    return [[key_of(path), *(state or ())] for path, state in _states(paths)]


def joint_stamp(paths: Iterable[str | os.PathLike[str]]) -> Stamps:
    """Return the state of many files as one: a hash of all their paths and states, and the newest of their times."""
    told: list[bytes] = []
    modified = changed = 0
    for path, state in _states(paths):
        told += os.fsencode(path), b"absent" if state is None else b"%d %d %d %d" % state
        if state is not None:
            modified, changed = max(modified, state[1]), max(changed, state[2])
    return [[_hash(b"\0".join(told)), len(told) // 2, modified, changed, 0]]


def _states(
    paths: Iterable[str | os.PathLike[str]],
) -> Iterator[tuple[str | os.PathLike[str], tuple[int, int, int, int] | None]]:
    """Yield each path with its size, mtime, ctime and inode; None where nothing is there."""
    for path in paths:
        try:
            state = os.stat(path)  # noqa: PTH116  (hundreds of files at every capture)
        except OSError:
            yield path, None
        else:
            yield path, (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


def _hash(words: bytes) -> str:
    return hashlib.blake2b(words, digest_size=16).hexdigest()


def rested(stamp: Stamps, now_ns: int | None = None) -> bool:
    """Whether nothing of `stamp` changed within the last second."""
    now = time.time_ns() if now_ns is None else now_ns
    return all(len(each) == 1 or now - max(each[2], each[3]) > _REST_NS for each in stamp)


class Remembered:
    """Answers by key and stamp.

    Parameters
    ----------
    folder : path, optional
        Where `save` keeps them; without it they live as long as this object.
    name : str
        Of the file.
    version : int
        Of the way in which answers are made; those of another version are not used.
    """

    def __init__(self, folder: Path | None, name: str, version: int = 1) -> None:
        self._file = None if folder is None else folder / f"{name}.json"
        self._version = [_FORMAT, version]
        self._entries: dict[str, list[Any]] = {}
        self._changed = False
        if self._file is not None:
            # Only where something is kept: an interpreter without our libraries asks too, and keeps nothing.
            from repro_assets.store import sealed

            try:
                read = sealed.unseal(self._file.read_bytes())
                if read["version"] == self._version and isinstance(read["entries"], dict):
                    self._entries = read["entries"]
            except (OSError, ValueError, KeyError, TypeError):
                self._entries = {}

    def get(self, key: str, stamp: Stamps) -> Any:
        """Return the answer under `key`; None where there is none for this stamp."""
        known = self._entries.get(key)
        return known[1] if known is not None and known[0] == stamp else None

    def stamp_of(self, key: str) -> Stamps | None:
        """Return the stamp under which the answer to `key` is remembered."""
        known = self._entries.get(key)
        return None if known is None else known[0]

    def put(self, key: str, stamp: Stamps, answer: Any) -> None:
        """Remember an answer that is JSON-able and not None, unless what it was made from has changed a moment ago."""
        if rested(stamp):
            self._entries[key] = [stamp, answer]
            self._changed = True

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._changed = True

    def save(self) -> None:
        """Write what was learnt since the last time.

        Raises
        ------
        DiskFull, NotWritable, MachineError
            If the file cannot be written.
        """
        if self._file is None or not self._changed:
            return
        from repro_assets.store import sealed

        sealed.keep(self._file, {"version": self._version, "entries": self._entries})
        self._changed = False
