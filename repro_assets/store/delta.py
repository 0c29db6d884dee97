"""Codec ``delta``: an object as its difference from another one of the same size.

Laws: the difference is the XOR of the two, stored as ``planes`` (`codecs`); what is stored names the base, so an object
is read from itself and what it `needs`, and from nothing else; a base may itself be a difference, up to `LONGEST` links
behind each other; a difference never stands for an object that it comes back to. The base is named by its digest, so
it does not matter how that one is stored, or whether that changes.

The stored form is the base's digest (32 bytes), an XXH3-64 of these (8 bytes, little-endian), and the planes.
"""

from __future__ import annotations

import struct

import xxhash

from repro_assets.identity.digest import Digest
from repro_assets.store import codecs

DELTA = "delta"
LONGEST = 8
_HEAD = struct.Struct("<32sQ")
HEAD_SIZE = _HEAD.size


def encode(data: memoryview, base: memoryview, base_digest: Digest, itemsize: int) -> bytes:
    """Return the stored form of `data` as a difference from `base`.

    Parameters
    ----------
    data, base : memoryview
        Two objects of the same size.
    base_digest : Digest
        Of `base`.
    itemsize : int
        Bytes of one number in both: 2, 4 or 8.
    """
    import numpy

    difference = numpy.bitwise_xor(numpy.frombuffer(data, numpy.uint8), numpy.frombuffer(base, numpy.uint8))
    name = bytes.fromhex(base_digest.hex)
    return _HEAD.pack(name, xxhash.xxh3_64_intdigest(name)) + codecs.split_planes(difference.data, itemsize)


def base_of(stored: bytes | memoryview) -> Digest:
    """Name the base, from the first `HEAD_SIZE` bytes of the stored form or more.

    Raises
    ------
    ValueError
        If they are not what was written.
    """
    if len(stored) < _HEAD.size:
        raise ValueError("the difference is cut short")
    name, seal = _HEAD.unpack_from(stored)
    if seal != xxhash.xxh3_64_intdigest(name):
        raise ValueError("the difference does not name its base")
    return Digest(name.hex())


def apply(stored: memoryview, out: memoryview) -> None:
    """Turn the bytes of the base, which are in `out`, into those of the object.

    Raises
    ------
    ValueError
        If `stored` is not a difference of that many bytes.
    """
    codecs.join_planes(codecs.taking(stored[_HEAD.size :]), out, difference=True)
