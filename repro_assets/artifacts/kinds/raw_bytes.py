"""Kind ``bytes``: one file's content, kept whole, so that ``sha256sum`` of the file agrees with its object."""

from __future__ import annotations

from pathlib import Path

from repro_assets.errors import InvalidValue
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.store.objects import LocalObjects, concatenate

NAME = "bytes"


def write(value: bytes | Path, objects: LocalObjects) -> Manifest:
    """Store bytes, or the content of a file."""
    if isinstance(value, Path):
        digest, size = objects.put_file(value)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        digest, size = objects.put(bytes(value)), len(bytes(value))
    else:
        raise InvalidValue(f"a {type(value).__name__} is not bytes", "give bytes or a Path")
    return Manifest(NAME, (Entry("data", size, (digest,)),))


def read(manifest: Manifest, objects: LocalObjects) -> bytes:
    """Return the bytes."""
    return concatenate(objects, manifest.entries[0].objects)


def lay_out(manifest: Manifest, objects: LocalObjects, target: Path) -> int:
    """Write the file."""
    target.write_bytes(read(manifest, objects))
    return 1
