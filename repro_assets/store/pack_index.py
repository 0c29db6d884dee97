"""The index of a pack: where in it each digest is.

Laws: an index is the home of no fact; it is sound only where its seal matches, it was made for a pack of this name and
the pack has the size that it had then; otherwise it is made again from the pack.

``packs/<id>.idx`` is the magic ``reproIX1``, the size of the pack (8 bytes), one record of 48 bytes for each entry,
sorted by digest (32 bytes digest, 8 bytes place of the header, 8 bytes size of the stored bytes), and an XXH3-64 of all
before it, seeded with the first 8 bytes of the id.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import xxhash

from repro_assets.store.pack_scanning import scan

_MAGIC = b"reproIX1"
_RECORD = struct.Struct("<32sQQ")
_HEAD = struct.Struct("<8sQ")
_SEAL = struct.Struct("<Q")


class Entry(NamedTuple):
    """Where an object is: its pack, the place of its header, and the size of its stored bytes."""

    pack: str
    offset: int
    stored_size: int


class PackIndex(Sequence[bytes]):
    """An index that is sound: its digests, sorted.

    Parameters
    ----------
    data : bytes
        The whole file.
    """

    def __init__(self, data: bytes) -> None:
        self._records = memoryview(data)[_HEAD.size : -_SEAL.size]

    def __len__(self) -> int:
        return len(self._records) // _RECORD.size

    def __getitem__(self, number: int) -> bytes:  # type: ignore[override]
        return bytes(self._records[number * _RECORD.size :][:32])

    def records(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield digest, place and stored size of each entry."""
        return _RECORD.iter_unpack(self._records)

    def find(self, digest: bytes) -> tuple[int, int] | None:
        """Return place and stored size of an object."""
        number = bisect.bisect_left(self, digest)
        if number < len(self):
            found, offset, stored = _RECORD.unpack_from(self._records, number * _RECORD.size)
            if found == digest:
                return offset, stored
        return None


def encode_index(pack: str, records: list[tuple[bytes, int, int]], pack_size: int) -> bytes:
    """Return an index of these entries (digest, place, stored size), of a pack of this name and size."""
    body = b"".join([_HEAD.pack(_MAGIC, pack_size), *(_RECORD.pack(*record) for record in sorted(records))])
    return body + _SEAL.pack(_sealed(pack, body))


def is_sound_index(data: bytes, pack: str, pack_size: int) -> bool:
    """Tell whether `data` is an index as it was written, of that pack at that size."""
    if len(data) < _HEAD.size + _SEAL.size or (len(data) - _HEAD.size - _SEAL.size) % _RECORD.size:
        return False
    magic, size = _HEAD.unpack_from(data)
    (seal,) = _SEAL.unpack_from(data, len(data) - _SEAL.size)
    return bool(magic == _MAGIC and size == pack_size and seal == _sealed(pack, data[: -_SEAL.size]))


def read_index(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield digest, place and stored size of each entry of an index that is sound."""
    return PackIndex(data).records()


def index_of(pack: str, path: Path) -> bytes:
    """Make the index of a pack again, from the pack itself, which lies at `path`."""
    found = [(bytes.fromhex(digest.hex), offset, form.stored_size) for digest, offset, form in scan(path)]
    return encode_index(pack, found, path.stat().st_size)


def _sealed(pack: str, body: bytes) -> int:
    # The name of the pack is part of the seal: an index that came to stand beside another pack is none of its own.
    return xxhash.xxh3_64_intdigest(body, seed=int(pack[:16], 16))
