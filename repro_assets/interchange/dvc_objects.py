"""Files and folders as DVC 3 identifies them: by MD5, a folder by that of a list of its files.

Laws: a folder has the same hash here as DVC gives it: links to files are the files that they name, links to folders and
empty folders are nothing, modes are nothing. MD5 says what DVC calls a thing and proves nothing; whoever takes
something in hashes it with SHA-256 as well.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_assets.store import durable

OBJECTS = Path("files", "md5")
"""Where in a cache, and in a remote, DVC 3 keeps its objects."""
LISTING = ".dir"
"""What the name of a folder's hash ends with."""
OBJECT_MODE = 0o444
UNKEPT = frozenset({".git", ".hg", ".dvc", ".dvcignore"})
"""Names that DVC passes over, or refuses, within a folder that it tracks."""


@dataclass(frozen=True, slots=True)
class Hashed:
    """What DVC writes of a file or a folder; `files` is None for a file."""

    md5: str
    size: int
    files: int | None = None

    def fields(self) -> dict[str, Any]:
        """Return the members that identify it in ``dvc.lock`` and in a ``.dvc`` file."""
        counted = {} if self.files is None else {"nfiles": self.files}
        return {"hash": "md5", "md5": self.md5, "size": self.size, **counted}


def object_path(objects: Path, md5: str) -> Path:
    """Return where an object is kept, below `objects`."""
    return objects / md5[:2] / md5[2:]


def listing(files: Mapping[str, str]) -> bytes:
    """Return the list of a folder's files, path to MD5, of which the folder's hash is taken."""
    entries = [{"md5": files[path], "relpath": path} for path in sorted(files)]
    return json.dumps(entries, sort_keys=True).encode()


def listing_md5(data: bytes) -> str:
    """Return the hash of the folder that has this list."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest() + LISTING


def hash_file(path: str | os.PathLike[str]) -> tuple[str, int]:
    """Return MD5 and size of a file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    state = hashlib.md5(usedforsecurity=False)
    size = 0
    with open(path, "rb") as file:  # noqa: PTH123 (called for each of ten thousand files)
        while block := file.read(durable.BLOCK):
            state.update(block)
            size += len(block)
    return state.hexdigest(), size


def files_of(folder: Path) -> list[str]:
    """Return the paths of a folder's files, as far as DVC has them."""
    found = []
    for above, _, names in os.walk(folder):
        below = os.path.relpath(above, folder)
        found += [name if below == "." else f"{below}/{name}" for name in names]
    return sorted(found)


def hash_path(path: Path) -> Hashed:
    """Return what DVC would write of a file or a folder.

    Raises
    ------
    OSError
        If it, or something in it, cannot be read.
    """
    if not path.is_dir():
        return Hashed(*hash_file(path))
    files, size = {}, 0
    for name in files_of(path):
        files[name], length = hash_file(path / name)
        size += length
    return Hashed(listing_md5(listing(files)), size, len(files))
