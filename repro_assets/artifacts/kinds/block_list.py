"""Kind ``segments``: an append-only buffer as sealed blocks.

A longer buffer shares the blocks of the shorter one that it grew from, so a snapshot costs what is new. Blocks are
bytes here; what is in them is the buffer's own affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from repro_assets.errors import InvalidValue
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.store.batch import Batch, Part
from repro_assets.store.objects import LocalObjects

NAME = "segments"


@dataclass(frozen=True, slots=True)
class Segments:
    """Sealed blocks in order."""

    blocks: tuple[bytes, ...]


def write(value: Segments, batch: Batch) -> Manifest:
    """Put each block as one object."""
    if not isinstance(value, Segments):
        raise InvalidValue(f"a {type(value).__name__} is not Segments")
    digests = batch.put_all(Part(block) for block in value.blocks)
    parts = enumerate(zip(value.blocks, digests, strict=True))
    return Manifest(NAME, tuple(Entry(f"{i:08d}", len(block), (digest,)) for i, (block, digest) in parts))


def read(manifest: Manifest, objects: LocalObjects) -> Segments:
    """Return the blocks."""
    return Segments(tuple(objects.read(entry.objects[0]) for entry in manifest.entries))


def lay_out(manifest: Manifest, objects: LocalObjects, target: Path) -> int:
    """Write a folder with one file for each block."""
    target.mkdir()
    for entry in manifest.entries:
        (target / entry.name).write_bytes(objects.read(entry.objects[0]))
    return len(manifest.entries)
