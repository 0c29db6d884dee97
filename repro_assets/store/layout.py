"""How an object lies on the disk: alone in a file, or as an entry of a pack.

Laws: both forms describe themselves, so neither needs an index to be read; both name the digest, the codec, the size
before and after, and the XXH3-128 of the stored bytes; both seal that description with an XXH3-64 of it.

A loose object is ``objects/ab/<62 hex>``: the stored bytes, then a trailer of 64 bytes, so that the bytes start at
offset 0, where a reflink can share them. A whole file under another's name is damage::

    8  magic "reproOB1"     16  codec, ASCII, padded with NUL      8  size of the uncompressed bytes
    8  start of the digest  16  XXH3-128 of the stored bytes       8  XXH3-64 of the 56 bytes before

An entry of a pack is a header of 104 bytes, then the stored bytes, so that a pack can be read from its start, and
searched for the next header behind a damaged one::

    8  magic "reproPE1"     32  digest                            16  codec
    8  size                  8  size of the stored bytes          16  XXH3-128 of them
    8  zero                  8  XXH3-64 of the 96 bytes before
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import xxhash

from repro_assets.errors import CorruptObject
from repro_assets.identity.digest import Digest

RAW = "raw"
RESTORE = "repro store fsck --repair REMOTE, put the same data again, or repro replay RUN where a run made it"
"""What helps where stored bytes are damaged."""
_TRAILER = struct.Struct("<8s16sQ8s16sQ")
_HEADER = struct.Struct("<8s32s16sQQ16sQQ")
_LOOSE = b"reproOB1"
ENTRY_MAGIC = b"reproPE1"
TRAILER_SIZE = _TRAILER.size
HEADER_SIZE = _HEADER.size


@dataclass(frozen=True, slots=True)
class Form:
    """How an object is stored.

    Parameters
    ----------
    codec : str
        What turned its bytes into the stored ones.
    size, stored_size : int
        Bytes before and after.
    check : bytes
        XXH3-128 of the stored bytes.
    """

    codec: str
    size: int
    stored_size: int
    check: bytes


def trailer(digest: Digest, form: Form) -> bytes:
    """Return what follows the stored bytes of a loose object."""
    start = bytes.fromhex(digest.hex[:16])
    head = _TRAILER.pack(_LOOSE, form.codec.encode("ascii"), form.size, start, form.check, 0)[:-8]
    return head + struct.pack("<Q", xxhash.xxh3_64_intdigest(head))


def read_trailer(data: bytes, digest: Digest, file_size: int) -> Form:
    """Read the trailer of a loose object.

    Raises
    ------
    CorruptObject
        If it is not what was written, or another object's.
    """
    if len(data) == _TRAILER.size:
        magic, codec, size, start, check, seal = _TRAILER.unpack(data)
        right = start == bytes.fromhex(digest.hex[:16])
        if right and magic == _LOOSE and seal == xxhash.xxh3_64_intdigest(data[:-8]):
            return Form(codec.rstrip(b"\0").decode("ascii"), size, file_size - _TRAILER.size, check)
    raise CorruptObject(f"the file stored under {digest} is damaged or cut short", RESTORE)


def header(digest: Digest, form: Form) -> bytes:
    """Return what stands before the stored bytes of a pack's entry."""
    head = _HEADER.pack(
        ENTRY_MAGIC,
        bytes.fromhex(digest.hex),
        form.codec.encode("ascii"),
        form.size,
        form.stored_size,
        form.check,
        0,
        0,
    )[:-8]
    return head + struct.pack("<Q", xxhash.xxh3_64_intdigest(head))


def read_header(data: bytes | memoryview) -> tuple[Digest, Form] | None:
    """Read the header of a pack's entry; None if it is not what was written."""
    if len(data) != _HEADER.size:
        return None
    magic, digest, codec, size, stored, check, _, seal = _HEADER.unpack(data)
    if magic != ENTRY_MAGIC or seal != xxhash.xxh3_64_intdigest(bytes(data[:-8])):
        return None
    return Digest(digest.hex()), Form(codec.rstrip(b"\0").decode("ascii"), size, stored, check)
