"""Files of another tool, looked at and hashed before anything of them is taken.

Laws: a link, a device or a socket refuses the whole, because what it leads to is not the source's; names are relative
and inside, as a tree holds them. Every file is hashed once here; `recording` takes the bytes that hash to the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from repro_assets.artifacts.kinds import raw_bytes, tree
from repro_assets.errors import CorruptRecord, InvalidInput
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.interchange.imports.foreign import ForeignArtifact
from repro_assets.store.durable import BLOCK
from repro_assets.store.sources import unreadable

_EXECUTABLE = 0o100


def files_in(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the files below a folder by their paths from there, and the folders in which there is nothing.

    Raises
    ------
    InvalidInput
        If something there is neither file nor folder, cannot be looked at, or has a name that is no Unicode text.
    """
    files: dict[str, Path] = {}
    empty: list[str] = []
    waiting = [(folder, "")]
    while waiting:
        place, above = waiting.pop()
        try:
            with os.scandir(place) as listed:
                found = sorted(listed, key=lambda item: item.name)
        except OSError as error:
            raise unreadable(place, error) from error
        if not found and above:
            empty.append(above[:-1])
        for item in found:
            path = above + item.name
            try:
                path.encode()
            except UnicodeEncodeError as error:
                raise InvalidInput(f"the name {path!r} in {folder} is no Unicode text", "rename it") from error
            if item.is_symlink():
                raise InvalidInput(f"{item.path} is a link", "put the file itself there, or remove it")
            if item.is_dir(follow_symlinks=False):
                waiting.append((Path(item.path), f"{path}/"))
            elif item.is_file(follow_symlinks=False):
                files[path] = Path(item.path)
            else:
                raise InvalidInput(f"{item.path} is neither a file nor a folder", "remove it")
    return files, empty


def hashed(path: Path) -> tuple[Digest, int]:
    """Return digest and size of a file.

    Raises
    ------
    InvalidInput
        If it cannot be read.
    """
    size = 0
    try:
        with path.open("rb") as file:

            def blocks() -> Iterable[bytes]:
                nonlocal size
                while block := file.read(BLOCK):
                    size += len(block)
                    yield block

            return Digest.of_chunks(blocks()), size
    except OSError as error:
        raise unreadable(path, error) from error


def tree_of(files: Mapping[str, Path], empty: Iterable[str] = ()) -> ForeignArtifact:
    """Return files as a tree.

    Parameters
    ----------
    files : mapping of str to Path
        Where each file is, by its path in the tree.
    empty : iterable of str
        Folders in which there is nothing.

    Raises
    ------
    InvalidInput
        If a file cannot be read, or a path is not relative and inside, or lies below a file.
    """
    entries = {path: Entry(path, 0, (), {"folder": True}) for path in empty}
    sizes: dict[Digest, int] = {}
    sources: dict[Digest, Path] = {}
    for path, file in files.items():
        digest, size = hashed(file)
        executable = bool(file.stat().st_mode & _EXECUTABLE)
        entries[path] = Entry(path, size, (digest,), {"executable": executable})
        sizes[digest], sources[digest] = size, file
    manifest = sound_tree(Manifest(tree.NAME, tuple(entries[path] for path in sorted(entries))))
    return ForeignArtifact(manifest, sizes, sources)


def sound_tree(manifest: Manifest) -> Manifest:
    """Return the manifest of a tree that can be laid out.

    Raises
    ------
    InvalidInput
        If it cannot.
    """
    try:
        tree.check_paths(manifest)
    except CorruptRecord as error:
        raise InvalidInput(f"these files cannot be a tree: {error.message}", "rename what is named") from error
    return manifest


def bytes_of(file: Path) -> ForeignArtifact:
    """Return a file as bytes.

    Raises
    ------
    InvalidInput
        If it cannot be read.
    """
    digest, size = hashed(file)
    return ForeignArtifact(Manifest(raw_bytes.NAME, (Entry("data", size, (digest,)),)), {digest: size}, {digest: file})
