"""What lies in the folder of a DVC repository now, whether git knows it or not.

Laws: nothing is read through a link; what DVC tracks is data, and no file in it is taken for one of DVC's; a repository
of DVC's below is one of its own, and left alone.
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from repro_assets.errors import InvalidInput
from repro_assets.interchange.imports.dvc_files import LOCK, is_dvc_file, read_data, read_lock
from repro_assets.interchange.plain_yaml import MOST_BYTES, Unreadable
from repro_assets.store.sources import unreadable

MOST_READ = 64 << 20
"""Bytes of a file that is read beside the cache: sources and metrics, no data."""
Reader = Callable[[], bytes | None]


class Change(NamedTuple):
    """A file of DVC's as it became: its content, and what it was in each parent (empty where it was not there)."""

    path: str
    content: bytes
    before: tuple[bytes, ...]


class Moment(NamedTuple):
    """The repository at one time.

    Parameters
    ----------
    commit : str or None
        None for what is not committed.
    time : float or None
        When it was written, seconds since 1970.
    message : str or None
        Its message.
    changes : list of Change
        What DVC's files became with it.
    read : callable
        Returns the content of a file as it was then, by its path from the folder; None where there was none, or it is
        larger than `MOST_READ`.
    files : callable
        Returns what reads each file of a folder as it was then, by its path in it.
    now : dict or None
        Content of all files of DVC's, where this is what lies in the folder now.
    """

    commit: str | None
    time: float | None
    message: str | None
    changes: list[Change]
    read: Callable[[str], bytes | None]
    files: Callable[[str], dict[str, Reader]]
    now: dict[str, bytes] | None = None


def uncommitted(root: Path, committed: dict[str, bytes], paths: Iterable[str] | None = None) -> Moment:
    """Return what lies in the folder and is not what was committed.

    Parameters
    ----------
    root : Path
        The folder that holds ``.dvc``.
    committed : dict
        Content of DVC's files in the last commit.
    paths : iterable of str, optional
        DVC's files; they are looked for if left out.

    Raises
    ------
    InvalidInput
        If one of them cannot be read, or is too large.
    """
    changes, now = [], {}
    for path in walked(root) if paths is None else paths:
        content = read_file(root, path, MOST_BYTES)
        if content is None:
            raise InvalidInput(f"{root / path} is no file, or has more than {MOST_BYTES} bytes", "put it right")
        now[path] = content
        if content != committed.get(path):
            changes.append(Change(path, content, (committed.get(path, b""),)))

    def files(folder: str) -> dict[str, Reader]:
        return {name: functools.partial(read_file, root, f"{folder}/{name}") for name in _names(root / folder)}

    return Moment(None, None, None, sorted(changes), functools.partial(read_file, root), files, now)


def walked(root: Path) -> Iterator[str]:
    """Yield the paths of DVC's files in a folder.

    Raises
    ------
    InvalidInput
        If a folder cannot be looked at.
    """
    waiting = [""]
    while waiting:
        above = waiting.pop()
        try:
            with os.scandir(root / above) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            raise unreadable(root / above, error) from error
        folders = {above + entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        found = [path for entry in entries if (path := above + entry.name) not in folders and is_dvc_file(path)]
        yield from found
        tracked = {path for file in found for path in _tracked_by(root, file)}
        waiting += [
            f"{path}/"
            for path in sorted(folders - tracked)
            if path.rpartition("/")[2] not in (".git", ".dvc") and is_own(root, f"{path}/")
        ]


def is_own(root: Path, path: str) -> bool:
    """Whether a path belongs to the repository in `root`, and to none below it."""
    parts = path.split("/")[:-1]
    return not any((root / "/".join(parts[:length]) / ".dvc").is_dir() for length in range(1, len(parts) + 1))


def _tracked_by(root: Path, path: str) -> Iterator[str]:
    content = read_file(root, path, MOST_BYTES)
    try:
        stages = read_lock(content or b"", path, None) if path.endswith(LOCK) else read_data(content or b"", path)
    except Unreadable:
        return  # What does not read is refused where it is taken.
    for stage in stages:
        yield from (item.path for item in stage.outs)


def _names(folder: Path) -> list[str]:
    found = []
    for above, _, names in os.walk(folder):
        below = os.path.relpath(above, folder)
        found += [name if below == "." else f"{below}/{name}" for name in names]
    return found


def read_file(root: Path, path: str, most: int = MOST_READ) -> bytes | None:
    """Return the content of a file below a folder, through no link; None where there is none, or it is larger."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        *above, name = path.split("/")
        for part in above:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = below
        found = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(found, "rb") as file:
            if not stat.S_ISREG(os.fstat(found).st_mode):
                return None
            content = file.read(most + 1)
            return content if len(content) <= most else None
    except (OSError, ValueError):
        return None
    finally:
        os.close(folder)
