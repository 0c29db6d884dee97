"""Kind ``segments``: an append-only buffer as sealed blocks.

A longer buffer shares the blocks of the shorter one that it grew from, so a snapshot costs what is new. Blocks are
bytes here; what is in them is the buffer's own affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from repro_assets.errors import InvalidValue
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.store.objects import LocalObjects

NAME = "segments"


@dataclass(frozen=True, slots=True)
class Segments:
    """Sealed blocks in order."""

    blocks: tuple[bytes, ...]


def write(value: Segments, objects: LocalObjects) -> Manifest:
    """Store each block as one object."""
    if not isinstance(value, Segments):
        raise InvalidValue(f"a {type(value).__name__} is not Segments")
    entries = (Entry(f"{i:08d}", len(block), (objects.put(block),)) for i, block in enumerate(value.blocks))
    return Manifest(NAME, tuple(entries))


def read(manifest: Manifest, objects: LocalObjects) -> Segments:
    """Return the blocks."""
    return Segments(tuple(objects.read(entry.objects[0]) for entry in manifest.entries))


def lay_out(manifest: Manifest, objects: LocalObjects, target: Path) -> int:
    """Write a folder with one file for each block."""
    target.mkdir()
    for entry in manifest.entries:
        (target / entry.name).write_bytes(objects.read(entry.objects[0]))
    return len(manifest.entries)
