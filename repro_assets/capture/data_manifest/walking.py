"""What lies in a folder, without reading any file.

Laws: every name comes from listing its folder, so that a file system that confuses case cannot answer for a name that
is not there; symbolic links are never followed, so neither out of the folder nor into a loop; sockets, FIFOs and
devices are never opened; what cannot be listed is an error with its path and never an empty folder; the order is that
of the paths' bytes.

Limit: a folder that is replaced by a link while it is being walked is listed through the link.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from repro_assets.capture.data_manifest.patterns import Selection
from repro_assets.errors import InvalidInput

FILE, FOLDER, LINK, OTHER, ERROR = "file", "folder", "link", "other", "error"
_TYPES: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISFIFO, "fifo"),
    (stat.S_ISCHR, "character device"),
    (stat.S_ISBLK, "block device"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """One thing in a folder.

    `detail` is the target of a link, the type of a socket, FIFO or device, and what the system said of an error.
    """

    path: str
    type: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk found: all that counts, in order, and every folder that was entered."""

    found: tuple[Found, ...]
    folders: frozenset[str]


def walk(root: str, selection: Selection, not_counted: frozenset[str] = frozenset()) -> Walk:
    """List what counts in a folder.

    Parameters
    ----------
    root : str
        The folder; itself followed if it is a link.
    selection : Selection
        Which paths count.
    not_counted : frozenset of str
        Relative paths to pass over.

    Returns
    -------
    Walk
        Folders are found only where they are empty.

    Raises
    ------
    InvalidInput
        If `root` cannot be listed.
    """
    found: list[Found] = []
    folders: set[str] = set()
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(_joined(root, folder) if folder else root) as listing:
                entries = [entry for entry in listing if _joined(folder, entry.name) not in not_counted]
        except OSError as error:
            if not folder:
                raise InvalidInput(f"{root} cannot be listed: {error.strerror}", "check its owner and mode") from error
            found.append(Found(folder, ERROR, f"the folder cannot be listed: {error.strerror}"))
            continue
        if folder:
            folders.add(folder)
            if not entries and selection.takes_folder(folder):
                found.append(Found(folder, FOLDER))
        for entry in entries:
            path = _joined(folder, entry.name)
            if not entry.is_symlink() and entry.is_dir(follow_symlinks=False):
                if selection.enters(path):
                    pending.append(path)
            elif selection.takes(path):
                found.append(_described(entry, path))
    return Walk(tuple(sorted(found, key=lambda item: os.fsencode(item.path))), frozenset(folders))


def type_name(mode: int) -> str:
    """Name the type of what is neither file, folder nor link."""
    return next((name for test, name in _TYPES if test(mode)), "of an unknown type")


def within(root: str, path: str | os.PathLike[str]) -> str | None:
    """Return where `path` is in the folder `root`, or None where it is not in it; links on the way are resolved."""
    folder = os.path.realpath(root)
    parent, _, name = absolute(path).rpartition("/")
    relative = os.path.relpath(f"{os.path.realpath(parent or '/')}/{name}", folder)
    return None if relative in (os.curdir, os.pardir) or relative.startswith("../") else relative


def absolute(path: str | os.PathLike[str]) -> str:
    """Return the absolute path, ``..`` taken out; links on the way stay."""
    return os.path.abspath(path)  # noqa: PTH100 (resolving would replace the name that the person gave)


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _described(entry: os.DirEntry[str], path: str) -> Found:
    try:
        if entry.is_symlink():
            return Found(path, LINK, os.readlink(entry.path))  # noqa: PTH115 (a Path would tidy the target up)
        if entry.is_file(follow_symlinks=False):
            return Found(path, FILE)
        return Found(path, OTHER, type_name(entry.stat(follow_symlinks=False).st_mode))
    except OSError as error:
        return Found(path, ERROR, f"cannot be looked at: {error.strerror}")
