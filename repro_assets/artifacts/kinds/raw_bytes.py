"""Kind ``bytes``: one file's content, kept whole, so that ``sha256sum`` of the file agrees with its object."""

from __future__ import annotations

import os
from pathlib import Path

from repro_assets.errors import InvalidValue
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.store.batch import Batch
from repro_assets.store.laying import LaidFile, lay_out_files
from repro_assets.store.objects import LocalObjects, concatenate
from repro_assets.store.sources import StatCache
from repro_assets.store.staging import SourceFile
from repro_assets.wording import type_in_words

NAME = "bytes"


def write(value: bytes | Path, batch: Batch) -> Manifest:
    """Put bytes, or the content of a file."""
    if isinstance(value, Path):
        cache = StatCache(batch.home, value)
        digest, size = batch.put_files([SourceFile(os.path.abspath(value))], cache)[0]  # noqa: PTH100
        cache.save()
    elif isinstance(value, (bytes, bytearray, memoryview)):
        digest, size = batch.put(bytes(value)), len(bytes(value))
    else:
        raise InvalidValue(f"{type_in_words(value)} is not bytes", "give bytes or a Path")
    return Manifest(NAME, (Entry("data", size, (digest,)),))


def read(manifest: Manifest, objects: LocalObjects) -> bytes:
    """Return the bytes."""
    return concatenate(objects, manifest.entries[0].objects)


def lay_out(manifest: Manifest, objects: LocalObjects, target: Path) -> int:
    """Write the file."""
    lay_out_files(objects, [LaidFile(str(target), manifest.entries[0].objects)])
    return 1
