"""Kind ``tree``: files under relative POSIX paths, with their executable bit; symbolic links as such.

Laws: each file is one object, so its whole-file SHA-256 stands in the manifest; times, owners and other mode bits are
no part of it; paths are sorted, relative, without ``..``, no two of them are the same, and none lies below one that
is a file or a link, so that nothing is ever written through a link; a link whose target is absolute or outside is
refused, because it would mean something else wherever the tree is laid out. What is stored can be laid out: `write`
refuses what `lay_out` would. Empty folders are entries whose facts say ``folder``.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from repro_assets.errors import CorruptRecord, InvalidInput, InvalidValue
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.store.batch import Batch
from repro_assets.store.laying import LaidFile, lay_out_files
from repro_assets.store.objects import LocalObjects
from repro_assets.store.sources import Stamp, StatCache, unreadable
from repro_assets.store.staging import Known, Part, SourceFile

NAME = "tree"
_EXECUTABLE = 0o100
# An empty part, "." or "..": none of them names a file.
_NO_PART = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)")


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One file to be stored: where it is in the tree, and where its bytes are now.

    `read` returns the bytes where not simply those of `source` are meant; where their digest and `size` are `known`, it
    is only called if the store lacks them. `stamp` is that of a file that was looked at just now.
    """

    path: str
    source: str | os.PathLike[str]
    executable: bool = False
    link_target: str | None = None
    read: Callable[[], bytes] | None = None
    stamp: Stamp | None = None
    known: tuple[Digest, int] | None = None


@dataclass(slots=True)
class Survey:
    """What a folder looks like.

    Parameters
    ----------
    root : Path
        The folder.
    outline : str
        A hash of every path with all that the file system says of it, in the order in which it lists them.
    files, others : list
        Path, place and state of each file; and the links and empty folders.
    rested : bool
        Set by `write`: every file was read when it had not changed for a while, and has not changed since the survey.
    """

    root: Path
    outline: str
    files: list[tuple[str, str, os.stat_result]]
    others: list[TreeFile]
    rested: bool = False

    def __iter__(self) -> Iterator[TreeFile]:
        yield from self.others
        for path, place, state in self.files:
            yield TreeFile(path, place, bool(state.st_mode & _EXECUTABLE), stamp=Stamp.of(state))


class Tree(Mapping[str, bytes]):
    """A stored tree, read file by file."""

    def __init__(self, manifest: Manifest, objects: LocalObjects) -> None:
        self._entries = {entry.name: entry for entry in manifest.entries if entry.objects}
        self._objects = objects

    def __getitem__(self, path: str) -> bytes:
        return self._objects.read(self._entries[path].objects[0])

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def survey(root: Path) -> Survey:
    """Look at a folder without reading its files.

    Raises
    ------
    InvalidInput
        If it cannot be looked at, or something in it is neither file, folder nor symbolic link.
    """
    if not root.is_dir():
        raise InvalidInput(f"{root} is not a folder", "give a folder")
    files: list[tuple[str, str, os.stat_result]] = []
    others: list[TreeFile] = []
    seen: list[str] = []
    folders = [(os.path.abspath(root), "")]  # noqa: PTH100 (one stat for each of ten thousand files)
    while folders:
        folder, above = folders.pop()
        try:
            with os.scandir(folder) as listed:
                found = list(listed)
        except OSError as error:
            raise unreadable(folder, error) from error
        if not found and above:
            others.append(TreeFile(above[:-1], folder))
            seen.append(f"{above}\0")
        for item in found:
            path = above + item.name
            if item.is_file(follow_symlinks=False):
                state = item.stat(follow_symlinks=False)
                files.append((path, item.path, state))
                seen.append(
                    f"{path}\0{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino} {state.st_mode}\0"
                )
            elif item.is_symlink():
                target = str(Path(item.path).readlink())
                others.append(TreeFile(path, item.path, link_target=target))
                seen.append(f"{path}\0\0{target}\0")
            elif item.is_dir(follow_symlinks=False):
                folders.append((item.path, f"{path}/"))
            else:
                raise InvalidInput(f"{item.path} is neither a file, a folder nor a link", "remove it or leave it out")
    outline = hashlib.sha256("".join(seen).encode("utf-8", "surrogateescape")).hexdigest()
    return Survey(root, outline, files, others)


def write(value: Path | Survey | Iterable[TreeFile], batch: Batch) -> Manifest:
    """Put a folder, or the files that are named.

    Raises
    ------
    InvalidInput
        If the folder cannot be read, something in it is neither file, folder nor symbolic link, a link leads out of it,
        or a name or the target of a link is not Unicode text.
    InvalidValue
        If a named path is not relative and inside, is named twice, or lies below a file or a link.
    SourceChanged
        If a file changes while it is read.
    """
    if isinstance(value, Path):
        value = survey(value)
    cache = StatCache(batch.home, value.root) if isinstance(value, Survey) else None
    entries: dict[str, Entry] = {}
    files: list[TreeFile] = []
    for file in value:
        if not is_inside(file.path):
            raise InvalidValue(f"{file.path!r} is not a relative path inside a tree")
        _check_text(file.path, f"the file name {file.path!r}")
        if file.path in entries:
            raise InvalidValue(f"the tree names {file.path!r} twice")
        facts: dict[str, Any] = {}
        if file.link_target is not None:
            _check_text(file.link_target, f"the target of the link {file.path!r}")
            if _leaves(PurePosixPath(file.path).parent, file.link_target):
                raise InvalidInput(
                    f"the link {file.path!r} leads out of the tree, to {file.link_target!r}",
                    "make it relative and inside, or leave it out",
                )
            facts = {"link": file.link_target}
        elif file.stamp is None and file.known is None and os.path.isdir(file.source):  # noqa: PTH112
            facts = {"folder": True}
        else:
            files.append(file)
        entries[file.path] = Entry(file.path, 0, (), facts)
    below = _below_no_folder(entries)
    if below is not None:
        raise InvalidValue(f"the tree has {below!r} below something that is no folder")
    for file, (digest, size) in zip(files, _put(files, batch, cache), strict=True):
        entries[file.path] = Entry(file.path, size, (digest,), {"executable": file.executable})
    if cache is not None and isinstance(value, Survey):
        cache.save()
        value.rested = all(file.stamp and cache.digest(os.fspath(file.source), file.stamp) for file in files)
    return Manifest(NAME, tuple(entries[path] for path in sorted(entries)))


def read(manifest: Manifest, objects: LocalObjects) -> Tree:
    """Return the tree; files are read when they are asked for."""
    return Tree(manifest, objects)


def lay_out(manifest: Manifest, objects: LocalObjects, target: Path) -> int:
    """Write the files under the new folder `target`.

    Raises
    ------
    CorruptRecord
        If a path would leave `target`; nothing is written then.
    """
    check_paths(manifest)
    folders = {"", *(entry.name for entry in manifest.entries if "folder" in entry.facts)}
    folders.update(entry.name.rpartition("/")[0] for entry in manifest.entries)
    for folder in sorted(folders):
        (target / folder).mkdir(parents=True, exist_ok=folder != "")
    files = []
    for entry in manifest.entries:
        if "link" in entry.facts:
            (target / entry.name).symlink_to(entry.facts["link"])
        elif "folder" not in entry.facts:
            files.append(LaidFile(f"{target}/{entry.name}", entry.objects, bool(entry.facts.get("executable"))))
    lay_out_files(objects, files)
    return len(files)


def check_paths(manifest: Manifest) -> None:
    """Refuse a tree that cannot be laid out inside a folder.

    Raises
    ------
    CorruptRecord
        If a path or the target of a link leads out of it, a path stands twice, or one is below a file or a link.
    """
    for entry in manifest.entries:
        if not is_inside(entry.name):
            raise CorruptRecord(f"{entry.name!r} is not a relative path inside a tree")
        link = entry.facts.get("link")
        if link is not None and (not isinstance(link, str) or _leaves(PurePosixPath(entry.name).parent, link)):
            raise CorruptRecord(f"the link {entry.name!r} of the tree points outside of it")
    named = {entry.name: entry for entry in manifest.entries}
    if len(named) != len(manifest.entries):
        raise CorruptRecord("the tree has a path twice")
    below = _below_no_folder(named)
    if below is not None:
        raise CorruptRecord(f"the tree has {below!r} below something that is no folder")


def _put(files: list[TreeFile], batch: Batch, cache: StatCache | None) -> Iterator[tuple[Digest, int]]:
    """Put the files' bytes and yield digest and size in order."""
    plain = iter(batch.put_files([SourceFile(os.fspath(f.source), f.stamp) for f in files if f.read is None], cache))
    batch.put_known([Known(file.known[0], file.read) for file in files if file.read is not None and file.known])
    sizes: list[int] = []

    def parts() -> Iterator[Part]:
        for file in files:
            if file.read is not None and file.known is None:
                data = file.read()
                sizes.append(len(data))
                yield Part(data)

    given = iter(batch.put_all(parts()))
    lengths = iter(sizes)
    for file in files:
        if file.read is None:
            yield next(plain)
        else:
            yield file.known or (next(given), next(lengths))


def is_inside(path: str) -> bool:
    """Tell whether a path is relative and leads to a file inside."""
    return "\0" not in path and _NO_PART.search(path) is None


def _below_no_folder(entries: Mapping[str, Entry]) -> str | None:
    """Return a path that lies below a file or a link, if there is one."""
    sound: set[str] = set()
    for path in entries:
        above = path.rpartition("/")[0]
        while above and above not in sound:
            if above in entries and "folder" not in entries[above].facts:
                return path
            sound.add(above)
            above = above.rpartition("/")[0]
    return None


def _check_text(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{what} is not Unicode text", "rename it or leave it out") from error


def _leaves(folder: PurePosixPath, link: str) -> bool:
    if link.startswith("/"):
        return True
    depth = 0
    for part in (*folder.parts, *PurePosixPath(link).parts):
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False
