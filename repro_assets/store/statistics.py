"""How much a store holds, as its folders and the indices of its packs say.

Laws: an object counts once, wherever it lies and however often; sizes are those of the stored files, packs with their
indices among them, so compression and sharing show; no object is opened, so damage does not stop the count; one that
comes or goes meanwhile is counted or not, and nothing fails; what lies in the trash is not counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home
from repro_assets.store.objects import LocalObjects


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is in the folders of a store.

    Parameters
    ----------
    digests : frozenset of Digest
        The objects, alone or in packs.
    bytes : int
        Bytes of their files.
    packs : int
        Packs.
    quarantined : int
        Objects that were set aside because their bytes did not match.
    unfinished : int
        Files that are being written, or were when a process died.
    """

    digests: frozenset[Digest]
    bytes: int
    packs: int
    quarantined: int
    unfinished: int


def measure(home: Home) -> Statistics:
    """Count the objects of a store and the bytes that their files take.

    Raises
    ------
    OSError
        If a folder cannot be read.
    """
    objects = LocalObjects(home)
    folders = (Path(entry.path) for entry in _entries(home.objects) if entry.is_dir())
    size = sum(_size(file) for folder in (*folders, home.packs) for file in _entries(folder))
    return Statistics(
        frozenset(objects.digests()),
        size,
        len(objects.packs.names()),
        sum(1 for _ in _entries(home.quarantine)),
        sum(1 for _ in _entries(home.temporary)),
    )


def _size(file: os.DirEntry[str]) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except FileNotFoundError:
        return
