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
    """Return the stored form of `data` as a difference from `base`, which is used up.

    The difference is made where the base was, so that two large objects are enough memory, and what was made is
    turned back and compared.

    Parameters
    ----------
    data : memoryview
        The object.
    base : memoryview
        Another one of the same size, in memory that can be written; zeros afterwards.
    base_digest : Digest
        Of `base`.
    itemsize : int
        Bytes of one number in both: 2, 4 or 8.

    Raises
    ------
    ValueError
        If the difference does not come out as it went in, which is a fault of the machine or of this module.
    """
    import numpy

    difference = numpy.frombuffer(base, numpy.uint8)
    numpy.bitwise_xor(difference, numpy.frombuffer(data, numpy.uint8), out=difference)
    planes = codecs.split_planes(base, itemsize)
    codecs.join_planes(codecs.taking(memoryview(planes)), base, difference=True)
    if difference.any():
        raise ValueError(f"a difference from {base_digest} does not come out as it went in")
    name = bytes.fromhex(base_digest.hex)
    return _HEAD.pack(name, xxhash.xxh3_64_intdigest(name)) + planes


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
