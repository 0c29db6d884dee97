"""Kind ``segments``: an append-only buffer as sealed blocks.

A longer buffer shares the blocks of the shorter one that it grew from, so a snapshot costs what is new. The blocks are
bytes whose meaning is the buffer's own affair (`Segments`), or hold records with ids (`record_blocks.Records`, which
`record_blocks.RecordBuffer` collects).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_assets.artifacts.kinds import record_blocks
from repro_assets.artifacts.kinds.record_blocks import FACT, Records
from repro_assets.errors import InvalidValue
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.store.batch import Batch
from repro_assets.store.objects import LocalObjects
from repro_assets.store.staging import Part
from repro_assets.wording import type_in_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = record_blocks.NAME


@dataclass(frozen=True, slots=True)
class Segments:
    """Sealed blocks in order."""

    blocks: tuple[bytes, ...]

    @staticmethod
    def of_records(records: NDArray[Any] | Mapping[str, NDArray[Any]], first: int = 0) -> Records:
        """Return records that are stored in sealed blocks.

        Parameters
        ----------
        records : structured array, or mapping of str to array
            One record for each row.
        first : int
            Id of the first one: how many records the buffer got before it.

        Raises
        ------
        InvalidValue
            If they cannot be stored.
        """
        return Records(records, first) if isinstance(records, Mapping) else Records.of_structured(records, first)


def write(value: Segments | Records, batch: Batch) -> Manifest:
    """Put each block; of records, each field of each block."""
    if isinstance(value, Records):
        return record_blocks.write(value, batch)
    if not isinstance(value, Segments):
        raise InvalidValue(f"{type_in_words(value)} is not Segments")
    digests = batch.put_all(Part(block) for block in value.blocks)
    parts = enumerate(zip(value.blocks, digests, strict=True))
    return Manifest(NAME, tuple(Entry(f"{i:08d}", len(block), (digest,)) for i, (block, digest) in parts))


def read(manifest: Manifest, objects: LocalObjects) -> Segments | Records:
    """Return the blocks, or the records."""
    if FACT in manifest.facts:
        return record_blocks.read(manifest, objects)
    return Segments(tuple(objects.read(entry.objects[0]) for entry in manifest.entries))


def lay_out(manifest: Manifest, objects: LocalObjects, target: Path) -> int:
    """Write a folder with one file for each block, or for each field of the records."""
    if FACT in manifest.facts:
        return record_blocks.lay_out(manifest, objects, target)
    target.mkdir()
    for entry in manifest.entries:
        (target / entry.name).write_bytes(objects.read(entry.objects[0]))
    return len(manifest.entries)
