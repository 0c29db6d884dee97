"""How the bytes of an object are made smaller, and got back.

Laws: a codec is an attribute of the stored file and no part of an identity; it is kept only where it saves at least
two per cent; what is stored says by name which one it was. Level 1 of Zstandard throughout: checkpoints are written
far more often than they are archived.

``zstd`` is one Zstandard frame. ``planes`` is for numbers of 2, 4 or 8 bytes: the first bytes of all numbers, then the
second ones, and so on; sign and exponent of trained weights repeat where their mantissas do not. Its stored form is the
item size (1 byte), for each plane its method (1 byte: 0 as it is, 1 a Zstandard frame) and its length (8 bytes,
little-endian), then the planes.
"""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING, Any

from repro_assets.store.layout import RAW

if TYPE_CHECKING:
    import zstandard

ZSTD = "zstd"
PLANES = "planes"
_LEVEL = 1
_WORTH = 0.98
_SMALLEST = 128
_SAMPLE = 1 << 18
_CHUNK = 1 << 15
_PLANE = struct.Struct("<BQ")
_of_thread = threading.local()


def encode(data: bytes | memoryview, itemsize: int = 1) -> tuple[str, bytes | memoryview]:
    """Return the codec that suits `data`, and its stored form.

    Parameters
    ----------
    data : bytes
        The object.
    itemsize : int
        Bytes of one number; 1 where the bytes are no numbers.
    """
    size = len(data)
    if size < _SMALLEST:
        return RAW, data
    if itemsize in (2, 4, 8) and size % itemsize == 0:
        codec, stored = PLANES, split_planes(data, itemsize)
    elif size > 4 * _SAMPLE and not _shrinks(data[:_SAMPLE]) and not _shrinks(data[size // 2 : size // 2 + _SAMPLE]):
        return RAW, data
    else:
        codec, stored = ZSTD, _compressor().compress(data)
    return (codec, stored) if len(stored) <= _WORTH * size else (RAW, data)


def decode_into(codec: str, stored: memoryview, out: memoryview) -> bool:
    """Write the bytes whose stored form is `stored` into `out`; False if the codec is not one of this module.

    Raises
    ------
    ValueError
        If the stored form does not give exactly that many bytes.
    """
    if codec == RAW:
        if len(stored) != len(out):
            raise ValueError(f"{len(stored)} bytes where {len(out)} are expected")
        out[:] = stored
    elif codec == ZSTD:
        data = _decompress(stored, len(out))
        out[:] = data
    elif codec == PLANES:
        join_planes(stored, out)
    else:
        return False
    return True


def split_planes(data: bytes | memoryview, itemsize: int) -> bytes:
    """Return the stored form ``planes`` of numbers of `itemsize` bytes."""
    import numpy

    items = numpy.frombuffer(data, numpy.uint8).reshape(-1, itemsize)
    head, planes = [bytes([itemsize])], []
    for index in range(itemsize):
        plane = numpy.ascontiguousarray(items[:, index]).data
        stored: Any = plane
        if _shrinks(plane[:_SAMPLE]) or (len(plane) > _SAMPLE and _shrinks(plane[-_SAMPLE:])):
            stored = _compressor().compress(plane)
        shorter = len(stored) < len(plane)
        head.append(_PLANE.pack(int(shorter), len(stored) if shorter else len(plane)))
        planes.append(stored if shorter else plane)
    return b"".join([*head, *planes])


def join_planes(stored: memoryview, out: memoryview) -> None:
    """Write the numbers whose stored form is ``planes`` into `out`.

    Raises
    ------
    ValueError
        If the stored form is not one of that many bytes.
    """
    import numpy

    itemsize = stored[0] if len(stored) else 0
    place = 1 + itemsize * _PLANE.size
    if itemsize not in (2, 4, 8) or len(out) % itemsize or len(stored) < place:
        raise ValueError("the planes have no valid head")
    planes = []
    count = len(out) // itemsize
    for index in range(itemsize):
        method, length = _PLANE.unpack_from(stored, 1 + index * _PLANE.size)
        part: Any = stored[place : place + length]
        place += length
        if method == 1:
            part = _decompress(part, count)
        if method > 1 or len(part) != count:
            raise ValueError(f"plane {index} has {len(part)} bytes and not {count}")
        planes.append(numpy.frombuffer(part, numpy.uint8))
    if place != len(stored):
        raise ValueError("there is more behind the planes")
    items = numpy.frombuffer(out, numpy.uint8).reshape(-1, itemsize)
    # A chunk stays in the cache while its planes are interleaved.
    for start in range(0, count, _CHUNK):
        for index, plane in enumerate(planes):
            items[start : start + _CHUNK, index] = plane[start : start + _CHUNK]


def _shrinks(sample: bytes | memoryview) -> bool:
    return len(_compressor().compress(sample)) <= _WORTH * len(sample)


def _decompress(stored: bytes | memoryview, size: int) -> bytes:
    import zstandard

    try:
        # Zstandard takes as much memory as the frame claims to need before it looks at the limit.
        if zstandard.get_frame_parameters(stored).content_size != size:
            raise ValueError(f"the frame is not one of {size} bytes")
        data: bytes = _decompressor().decompress(stored, max_output_size=size)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes where {size} are expected")
    return data


def _compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_of_thread, "compressor"):
        import zstandard

        _of_thread.compressor = zstandard.ZstdCompressor(level=_LEVEL)
    return _of_thread.compressor  # type: ignore[no-any-return]


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_of_thread, "decompressor"):
        import zstandard

        _of_thread.decompressor = zstandard.ZstdDecompressor()
    return _of_thread.decompressor  # type: ignore[no-any-return]
