"""The digest that a folder or a file has as an artifact, without storing it.

Laws: it is the digest of the tree artifact of the folder, or of the bytes artifact of the file: the same bytes, names,
executable bits, links and empty folders have it on every machine, and times, owners and places have no part in it.
Where something cannot be read, or could not be part of an artifact, there is no digest.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from repro_assets.artifacts.kinds import raw_bytes, tree
from repro_assets.capture.data_manifest.hashing import Hashed, Progress, hash_file, hash_files
from repro_assets.capture.data_manifest.listing import shown
from repro_assets.capture.data_manifest.patterns import Selection
from repro_assets.capture.data_manifest.walking import ERROR, FILE, FOLDER, LINK, Found, walk
from repro_assets.errors import InvalidInput
from repro_assets.identity.digest import ALGORITHM, Digest
from repro_assets.identity.manifest import Entry, Manifest


@dataclass(frozen=True, slots=True)
class Content:
    """What is in a folder or file.

    `kind` is that of the artifact; `digest` is None exactly if `refused` names something: path and reason.
    """

    kind: str
    digest: Digest | None
    files: int
    bytes: int
    refused: tuple[tuple[str, str], ...]


def content_of(path: Path, progress: Progress | None = None) -> Content:
    """Hash a folder or a file.

    Parameters
    ----------
    path : Path
        The folder or file; followed if it is itself a link.
    progress : callable, optional
        Is told how many files are hashed.

    Raises
    ------
    InvalidInput
        If `path` is neither, or a folder that cannot be listed.
    """
    if path.is_dir():
        return _folder(str(path), progress)
    if not path.is_file():
        raise InvalidInput(f"{path} is {'neither a folder nor a file' if path.exists() else 'not there'}", "check it")
    read = hash_file(str(path), (ALGORITHM,), follow=True)
    if not isinstance(read, Hashed):
        return Content(raw_bytes.NAME, None, 0, 0, ((path.name, read.error),))
    manifest = Manifest(raw_bytes.NAME, (Entry("data", read.size, (Digest(read.hashes[ALGORITHM]),)),))
    return Content(raw_bytes.NAME, manifest.digest, 1, read.size, ())


def _folder(root: str, progress: Progress | None) -> Content:
    found = walk(root, Selection()).found
    paths = [item.path for item in found if item.type == FILE]
    entries: list[Entry] = []
    refused: list[tuple[str, str]] = []
    files = size = 0
    for path, read in zip(paths, hash_files(root, paths, (ALGORITHM,), progress), strict=True):
        if isinstance(read, Hashed):
            digest = Digest(read.hashes[ALGORITHM])
            entries.append(Entry(path, read.size, (digest,), {"executable": bool(read.mode & 0o100)}))
            files, size = files + 1, size + read.size
        else:
            refused.append((shown(path), read.error))
    for item in found:
        reason = _refusal(item)
        if reason:
            refused.append((shown(item.path), reason))
        elif item.type == LINK:
            entries.append(Entry(item.path, 0, (), {"link": str(PurePosixPath(item.detail))}))
        elif item.type == FOLDER:
            entries.append(Entry(item.path, 0, (), {"folder": True}))
    manifest = Manifest(tree.NAME, tuple(sorted(entries, key=lambda entry: entry.name)))
    return Content(tree.NAME, None if refused else manifest.digest, files, size, tuple(sorted(refused)))


def _refusal(item: Found) -> str:
    """Say why a thing cannot be part of a tree artifact; nothing where it can."""
    if shown(item.path) != item.path or (item.type == LINK and shown(item.detail) != item.detail):
        return "its name or target is not Unicode text"
    if item.type == ERROR:
        return item.detail
    if item.type == LINK:
        return f"the link leads out of the folder, to {item.detail!r}" if _leaves(item.path, item.detail) else ""
    return "" if item.type in (FILE, FOLDER) else f"it is a {item.detail}"


def _leaves(path: str, target: str) -> bool:
    steps = [*PurePosixPath(path).parent.parts, *PurePosixPath(target).parts]
    depth = 0
    for step in steps:
        depth += -1 if step == os.pardir else 1
        if depth < 0:
            return True
    return target.startswith("/")
