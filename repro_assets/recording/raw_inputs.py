"""Files and folders that nobody computed, as artifacts, with the manifest of a folder's files.

Laws: a file becomes an artifact of its bytes and a folder a tree, each a version of a collection that is called after
it, whatever it is called; the manifest of a folder is of the bytes that were stored, or the folder is refused because
it changed meanwhile; it holds neither times nor a place that the config does not name, so equal files have an equal
manifest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from pathlib import Path

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.capture.data_manifest.creation import create_manifest
from repro_assets.capture.data_manifest.document import document_of, encode
from repro_assets.capture.data_manifest.walking import FILE
from repro_assets.errors import SourceChanged
from repro_assets.store.home import Home

_NOT_IN_COLLECTIONS = re.compile(r"[^A-Za-z0-9_.+-]")


def store_raw(home: Home, root: Path, path: Path) -> Artifact:
    """Store a file or a folder as a version of the collection ``raw-<its name>``.

    What a collection's name cannot hold is ``-`` there, and 8 digits of the name's SHA-256 follow.

    Parameters
    ----------
    home : Home
        The store.
    root : Path
        The project's top.
    path : Path
        The file or folder, from there; it is also the display name.

    Raises
    ------
    InvalidInput
        If it cannot be read, or something in the folder is neither file, folder nor a link within it.
    SourceChanged
        If a file changes while it is read.
    """
    stored = repository.put(home, root / path, "tree" if (root / path).is_dir() else "bytes", name=str(path))
    return dataclasses.replace(repository.claim(stored, _collection("raw", root / path)), name=str(path))


def store_manifest(home: Home, root: Path, path: Path, tree: Artifact) -> Artifact:
    """Store the manifest of a folder as a version of the collection ``manifest-<its name>``.

    Parameters
    ----------
    home, root, path
        As for `store_raw`.
    tree : Artifact
        What `store_raw` returned for the folder.

    Returns
    -------
    Artifact
        Of the kind ``bytes``: a file that ``repro manifest verify`` reads.

    Raises
    ------
    SourceChanged
        If the folder is not as it was stored.
    """
    found = create_manifest(root / path)
    stored = {entry.name: [digest.hex for digest in entry.objects] for entry in tree.manifest.entries}
    there = {item.path: [item.hashes["sha256"]] if item.type == FILE else [] for item in found.items.values()}
    if there != stored:
        changed = sorted(name for name in there.keys() | stored.keys() if there.get(name) != stored.get(name))
        raise SourceChanged(f"{changed[0]!r} of {path} changed while it was captured", "run it again")
    manifest = dataclasses.replace(
        found,
        data_path=path.as_posix(),
        generated_at="",
        seconds=0.0,
        items={name: dataclasses.replace(item, modified_time="") for name, item in found.items.items()},
    )
    name = f"manifest of {path}"
    artifact = repository.put(home, encode(document_of(manifest)), "bytes", name=name)
    return dataclasses.replace(repository.claim(artifact, _collection("manifest", root / path)), name=name)


def _collection(prefix: str, path: Path) -> str:
    """Return the collection of a file or folder; where its name cannot be one, a digest tells it from its like."""
    name = path.name or path.resolve().name
    kept = _NOT_IN_COLLECTIONS.sub("-", name)[:100]
    if kept != name:
        kept = f"{kept}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"
    return f"{prefix}-{kept}"
