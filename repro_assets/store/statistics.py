"""How much a store holds, as its folders say.

Laws: sizes are those of the stored files, so compression and sharing show; nothing is opened, so damage does not stop
the count; an object that comes or goes meanwhile is counted or not, and nothing fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repro_assets.store.home import Home


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is in the folders of a store.

    Parameters
    ----------
    objects : int
        Objects.
    bytes : int
        Bytes of their files.
    quarantined : int
        Objects that were set aside because their bytes did not match.
    unfinished : int
        Files that are being written, or were when a process died.
    """

    objects: int
    bytes: int
    quarantined: int
    unfinished: int


def measure(home: Home) -> Statistics:
    """Count the objects of a store and the bytes that their files take.

    Raises
    ------
    OSError
        If a folder cannot be read.
    """
    objects = size = 0
    for folder in _entries(home.objects):
        if folder.is_dir():
            for file in _entries(Path(folder.path)):
                try:
                    size += file.stat().st_size
                except FileNotFoundError:
                    continue
                objects += 1
    return Statistics(
        objects,
        size,
        sum(1 for _ in _entries(home.quarantine)),
        sum(1 for _ in _entries(home.temporary)),
    )


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except FileNotFoundError:
        return
