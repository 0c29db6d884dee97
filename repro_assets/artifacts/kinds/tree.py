"""Kind ``tree``: files under relative POSIX paths, with their executable bit; symbolic links as such.

Laws: each file is one object, so its whole-file SHA-256 stands in the manifest; times, owners and other mode bits are
no part of it; paths are sorted, relative, without ``..``, no two of them are the same, and none lies below one that
is a file or a link, so that nothing is ever written through a link; a link whose target is absolute or outside is
refused, because it would mean something else wherever the tree is laid out. What is stored can be laid out: `write`
refuses what `lay_out` would. Empty folders are entries whose facts say ``folder``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from repro_assets.errors import CorruptRecord, InvalidInput, InvalidValue
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.store.objects import LocalObjects

NAME = "tree"


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One file to be stored: where it is in the tree, and where its bytes are now.

    `read` returns the bytes where not simply those of `source` are meant.
    """

    path: str
    source: Path
    executable: bool = False
    link_target: str | None = None
    read: Callable[[], bytes] | None = None


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


def write(value: Path | Iterable[TreeFile], objects: LocalObjects) -> Manifest:
    """Store a folder, or the files that are named.

    Raises
    ------
    InvalidInput
        If the folder cannot be read, something in it is neither file, folder nor symbolic link, a name or the target
        of a link is not Unicode text, or a link leads out of the tree.
    InvalidValue
        If a path is not inside the tree, stands there twice, or lies below a file or a link.
    SourceChanged
        If a file changes while it is read.
    """
    entries: dict[str, Entry] = {}
    for file in _walk(value) if isinstance(value, Path) else value:
        if not _is_inside(file.path):
            raise InvalidValue(f"{file.path!r} is not a relative path inside a tree")
        _check_text(file.path, f"the file name {file.path!r}")
        if file.path in entries:
            raise InvalidValue(f"the tree names {file.path!r} twice")
        if file.link_target is not None:
            _check_text(file.link_target, f"the target of the link {file.path!r}")
            if _leaves(PurePosixPath(file.path).parent, file.link_target):
                raise InvalidInput(
                    f"the link {file.path!r} leads out of the tree, to {file.link_target!r}",
                    "make it relative and inside, or leave it out",
                )
            entries[file.path] = Entry(file.path, 0, (), {"link": file.link_target})
        elif file.source.is_dir():
            entries[file.path] = Entry(file.path, 0, (), {"folder": True})
        else:
            digest, size = _put(file, objects)
            entries[file.path] = Entry(file.path, size, (digest,), {"executable": file.executable})
    below = _below_no_folder(entries.values())
    if below is not None:
        raise InvalidValue(f"the tree has {below!r} below something that is no folder")
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
    for entry in manifest.entries:
        if not _is_inside(entry.name):
            raise CorruptRecord(f"{entry.name!r} is not a relative path inside a tree")
        link = entry.facts.get("link")
        if link is not None and _leaves(PurePosixPath(entry.name).parent, link):
            raise CorruptRecord(f"the link {entry.name!r} of the tree points outside of it")
    below = _below_no_folder(manifest.entries)
    if below is not None:
        raise CorruptRecord(f"the tree has {below!r} below something that is no folder")
    target.mkdir(parents=True)
    files = 0
    for entry in manifest.entries:
        path = target / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if "link" in entry.facts:
            path.symlink_to(entry.facts["link"])
        elif "folder" in entry.facts:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(objects.read(entry.objects[0]))
            path.chmod(0o755 if entry.facts.get("executable") else 0o644)
            files += 1
    return files


def _put(file: TreeFile, objects: LocalObjects) -> tuple[Digest, int]:
    if file.read is None:
        return objects.put_file(file.source)
    data = file.read()
    return objects.put(data), len(data)


def _walk(root: Path) -> Iterator[TreeFile]:
    if not root.is_dir():
        raise InvalidInput(f"{root} is not a folder", "give a folder")
    for folder, folders, names in os.walk(root, onerror=_refuse):
        here = Path(folder)
        if not folders and not names and here != root:
            yield TreeFile(here.relative_to(root).as_posix(), here)
        for name in [*names, *(item for item in folders if (here / item).is_symlink())]:
            path = here / name
            relative = path.relative_to(root).as_posix()
            if path.is_symlink():
                yield TreeFile(relative, path, link_target=str(path.readlink()))
            elif path.is_file():
                yield TreeFile(relative, path, executable=bool(path.stat().st_mode & 0o100))
            else:
                raise InvalidInput(f"{path} is neither a file, a folder nor a link", "remove it or leave it out")


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return (
        bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path and path == "/".join(parts)
    )


def _below_no_folder(entries: Iterable[Entry]) -> str | None:
    """Return a path that lies below a file or a link, if there is one."""
    paths = {entry.name: "folder" not in entry.facts for entry in entries}
    for path in paths:
        if any(paths.get(str(above), False) for above in PurePosixPath(path).parents):
            return path
    return None


def _check_text(text: str, what: str) -> None:
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise InvalidInput(f"{what} is not Unicode text", "rename it or leave it out")


def _refuse(error: OSError) -> None:
    raise InvalidInput(f"{error.filename} cannot be read: {error.strerror}", "check its owner and mode") from error


def _leaves(folder: PurePosixPath, link: str) -> bool:
    if link.startswith("/"):
        return True
    depth = 0
    for part in (*folder.parts, *PurePosixPath(link).parts):
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False
