"""Codecs ``delta`` and ``delta2``: an object as its difference from another one of the same size.

Laws: what is stored names the base, so an object is read from itself and what it `needs`, and from nothing else; a base
may itself be a difference, up to `LONGEST` links behind each other; a difference never stands for an object that it
comes back to. The base is named by its digest, so it does not matter how that one is stored, or whether that changes.
Every operation is one on integers, so it gives the same bits on every machine, whatever the bits mean: NaN with any
payload, infinities, either zero, denormals, or no floating-point numbers at all.

Both stored forms begin with the base's digest (32 bytes) and an XXH3-64 of these (8 bytes, little-endian).

``delta2`` goes on with ``planes`` of what each number is more than the base's: the bits of both as integers in the
order of the floating-point numbers, one less the other, without overflow, turned so that small ones of either sign have
few bits (2 d, or -2 d - 1). That leaves less than the XOR, which has many bits where a number passes a power of
two.

``delta``, which is read and no longer written, goes on with ``planes`` of the XOR of the two.
"""

from __future__ import annotations

import struct
from typing import Any

import xxhash

from repro_assets.identity.digest import Digest
from repro_assets.store import planes

DELTA = "delta"
DELTA2 = "delta2"
LONGEST = 9
_HEAD = struct.Struct("<32sQ")
HEAD_SIZE = _HEAD.size


def is_difference(codec: str) -> bool:
    """Tell whether a codec is one of this module."""
    return codec in (DELTA, DELTA2)


def encode(data: memoryview, base: memoryview, base_digest: Digest, itemsize: int) -> bytes:
    """Return the stored form ``delta2`` of `data` as a difference from `base`, which is used up.

    What was made is turned back where the base was, and compared, so that two large objects are enough memory.

    Parameters
    ----------
    data : memoryview
        The object.
    base : memoryview
        Another one of the same size, in memory that can be written; the same as `data` afterwards.
    base_digest : Digest
        Of `base`.
    itemsize : int
        Bytes of one number in both: 2, 4 or 8.

    Raises
    ------
    ValueError
        If the object does not come out as it went in, which is a fault of the machine or of this module.
    """
    import numpy

    others = numpy.frombuffer(base, f"<u{itemsize}")
    stored = planes.split_planes(data, itemsize, turned=lambda numbers, where: _more(numbers, others[where]))
    name = bytes.fromhex(base_digest.hex)
    difference = _HEAD.pack(name, xxhash.xxh3_64_intdigest(name)) + stored
    apply(DELTA2, memoryview(difference), base)
    if not numpy.array_equal(others, numpy.frombuffer(data, others.dtype)):
        raise ValueError(f"a difference from {base_digest} does not come out as it went in")
    return difference


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


def apply(codec: str, stored: memoryview, out: memoryview) -> None:
    """Turn the bytes of the base, which are in `out`, into those of the object.

    Raises
    ------
    ValueError
        If `stored` is not a difference of that many bytes.
    """
    planes.join_planes(planes.taking(stored[_HEAD.size :]), out, combine=_change if codec == DELTA else _add)


def _change(numbers: Any, stored: Any) -> None:
    numbers ^= stored


def _add(numbers: Any, stored: Any) -> None:
    """Turn the base's numbers into the object's; in place, because each pass over new memory costs as much again."""
    import numpy

    spare = stored & 1
    numpy.negative(spare, out=spare)
    stored >>= 1
    stored ^= spare
    stored += _in_order(numbers, spare)
    _in_order(stored, numbers)


def _more(numbers: Any, base: Any) -> Any:
    """Return what `_add` turns the base's numbers into these with."""
    import numpy

    more = _in_order(numbers, numpy.empty_like(numbers))
    more -= _in_order(base, numpy.empty_like(base))
    signed = more.view(f"<i{more.itemsize}")
    return ((signed << 1) ^ (signed >> (8 * more.itemsize - 1))).view(more.dtype)


def _in_order(bits: Any, out: Any) -> Any:
    """Write integers that stand in the order of the floating-point numbers of these bits into `out`, and return it.

    All bits but the sign's are turned round where that is set; so doing it again gives the bits back.
    """
    import numpy

    top = 8 * bits.itemsize - 1
    signed = f"<i{bits.itemsize}"
    numpy.right_shift(bits.view(signed), top, out=out.view(signed))
    out &= bits.dtype.type((1 << top) - 1)
    out ^= bits
    return out
