"""Laying an artifact out where a person wants it.

Laws: every byte is verified on its way; files are made beside the target and renamed into place when all are right, so
the target shows either what was there before or the whole artifact; something that differs is replaced only when that
is asked for, what the artifact has nothing in the place of never goes, and what is equal already is left alone.
Changing a file changes nothing in the store. Files are not forced to the disk, because they can be had again.
"""

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from repro_assets.artifacts.handle import Artifact
from repro_assets.errors import InvalidValue, ReusedElsewhere, from_os_error
from repro_assets.store import durable


@dataclass(frozen=True, slots=True)
class CheckedOut:
    """What lies at the target now.

    Parameters
    ----------
    digest : str
        The artifact.
    path : str
        The target.
    files, bytes : int
        Files, and the sum of their sizes.
    changed : bool
        False if the same content was there before.
    """

    digest: str
    path: str
    files: int
    bytes: int
    changed: bool


def check_out(artifact: Artifact, target: Path, *, force: bool = False) -> CheckedOut:
    """Write an artifact as the file or folder `target`.

    Parameters
    ----------
    artifact : Artifact
        What to write.
    target : Path
        Where; an empty folder counts as nothing where the artifact is a folder.
    force : bool
        Replace files that differ. A folder in which there is more than the artifact has is not replaced.

    Raises
    ------
    MissingObject, CorruptObject
        If bytes are gone or do not match; the artifact is named, and nothing was written.
    ReusedElsewhere
        If something else is there and `force` is not set, or it holds more than the artifact has.
    InvalidValue
        If `target` lies in the store, or is the current folder or one that holds it.
    MachineError
        If it cannot be written; the target is as it was then.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100 (a link as last part is replaced, not followed)
    home = artifact.home
    own = (home.objects, home.journal, home.names, home.cache, home.temporary, home.quarantine, home.dagster)
    where = target.resolve()
    if any(folder.resolve() in (where, *where.parents) for folder in own):
        raise InvalidValue(f"{target} lies in the store itself", "choose a folder of your own")
    current = Path.cwd()
    if where in (current, *current.parents):
        raise InvalidValue(f"{target} is the current folder, or holds it", "name a file or folder below it")
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            artifact.lay_out(beside)
            files, size = _measure(beside)
            same = os.path.lexists(target) and _is_same(beside, target)
            if not same:
                _place(beside, target, force=force)
        finally:
            _remove(beside)
    except OSError as error:
        raise from_os_error(error, target) from error
    return CheckedOut(str(artifact.digest), str(target), files, size, not same)


def _place(beside: Path, target: Path, *, force: bool) -> None:
    if not _is_taken(target, beside):
        # Between the look and the rename something may appear: neither call replaces it.
        try:
            if beside.is_dir():
                beside.rename(target)
            else:
                os.link(beside, target)
        except OSError as error:
            # A folder is refused with ENOTEMPTY or EEXIST, a file in the place of a folder with ENOTDIR.
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR) and os.path.lexists(target):
                raise _taken(target) from error
            raise
    elif not force:
        raise _taken(target)
    elif more := _more(beside, target):
        holds = f"{target} holds {len(more)} that the artifact does not have, such as {more[0]}"
        raise ReusedElsewhere(holds, "move them away, or choose another path")
    elif not beside.is_dir() and not target.is_dir():
        beside.rename(target)
    else:
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        target.rename(aside)
        try:
            beside.rename(target)
        except BaseException:
            aside.rename(target)
            raise
        _remove(aside)
    durable.sync_folder(target.parent)


def _taken(target: Path) -> ReusedElsewhere:
    return ReusedElsewhere(f"{target} is there already and differs", "choose another path or give --force")


def _more(made: Path, there: Path) -> list[str]:
    """Names below a folder that would be lost with it."""
    if there.is_symlink() or not there.is_dir():
        return []
    kept = _names(made) if made.is_dir() else set()
    return sorted(name for name in _names(there) - kept if (there / name).is_symlink() or not (there / name).is_dir())


def _is_taken(target: Path, beside: Path) -> bool:
    if not os.path.lexists(target):
        return False
    empty_folder = target.is_dir() and not target.is_symlink() and not any(target.iterdir())
    return not (empty_folder and beside.is_dir())


def _is_same(made: Path, there: Path) -> bool:
    if made.is_dir():
        if there.is_symlink() or not there.is_dir():
            return False
        before, after = _names(there), _names(made)
        return before == after and all(_is_same_entry(made / name, there / name) for name in after)
    return _is_same_entry(made, there)


def _is_same_entry(made: Path, there: Path) -> bool:
    if made.is_symlink() or there.is_symlink():
        return made.is_symlink() and there.is_symlink() and made.readlink() == there.readlink()
    if made.is_dir():
        return there.is_dir()
    return (
        there.is_file()
        and filecmp.cmp(made, there, shallow=False)
        and bool(made.stat().st_mode & 0o100) == bool(there.stat().st_mode & 0o100)
    )


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def _measure(path: Path) -> tuple[int, int]:
    if path.is_file():
        return 1, path.stat().st_size
    number = size = 0
    folders = [os.fspath(path)]
    while folders:
        with os.scandir(folders.pop()) as listed:
            for item in listed:
                if item.is_dir(follow_symlinks=False):
                    folders.append(item.path)
                elif not item.is_symlink():
                    number += 1
                    size += item.stat(follow_symlinks=False).st_size
    return number, size


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
