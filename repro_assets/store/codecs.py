"""How the bytes of an object are made smaller, and got back.

Laws: a codec is an attribute of the stored file and no part of an identity; it is kept only where it saves at least
two per cent; what is stored says by name which one it was. Level 1 of Zstandard for bytes: checkpoints are written far
more often than they are archived.

``zstd`` is one Zstandard frame. ``planes`` is for numbers of 2, 4 or 8 bytes (`planes`).

``rows`` is for rows of such numbers that follow each other in time: what each number has more than the one before it
in its column, or that difference's own difference, both taken of the bits as integers, without overflow, and turned so
that small ones of either sign have few bits (2 d, or -2 d - 1). Then the first numbers of all rows, the second ones,
and so on, as ``planes`` whose blocks are these columns, because each of them has its own frequent bytes. Its stored
form is the bytes of a row (4), how often the difference was taken (1), then the planes.
"""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING

from repro_assets.store.layout import RAW
from repro_assets.store.planes import LARGEST_BLOCK, WORTH, decompress, join_planes, split_planes, taking

if TYPE_CHECKING:
    import zstandard

ZSTD = "zstd"
PLANES = "planes"
ROWS = "rows"
_LEVEL = 1
_SMALLEST = 128
# What is shorter is compressed without a look at a sample.
_SHORT = 4 << 10
_STRETCHES = 4
_FEWEST_ROWS = 256
_ROW = struct.Struct("<IB")
_of_thread = threading.local()


def encode(data: bytes | memoryview, itemsize: int = 1, row: int = 0) -> tuple[str, bytes | memoryview]:
    """Return the codec that suits `data`, and its stored form.

    Parameters
    ----------
    data : bytes
        The object.
    itemsize : int
        Bytes of one number; 1 where the bytes are no numbers.
    row : int
        Bytes of one row of numbers; 0 where they form none.
    """
    size = len(data)
    codec: str
    stored: bytes
    if size < _SMALLEST:
        return RAW, data
    if itemsize in (2, 4, 8) and size % itemsize == 0:
        codec, stored = PLANES, split_planes(data, itemsize)
        if row and row % itemsize == 0 and size % row == 0 and size // row >= _FEWEST_ROWS:
            in_time = split_rows(data, itemsize, row)
            if len(in_time) < len(stored):
                codec, stored = ROWS, in_time
    elif size > _SHORT and not _promises(data):
        return RAW, data
    else:
        codec, stored = ZSTD, _compressor().compress(data)
    return (codec, stored) if len(stored) <= WORTH * size else (RAW, data)


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
        out[:] = decompress(stored, len(out))
    elif codec == PLANES:
        join_planes(taking(stored), out)
    elif codec == ROWS:
        join_rows(stored, out)
    else:
        return False
    return True


def split_rows(data: bytes | memoryview, itemsize: int, row: int) -> bytes:
    """Return the shorter one of the stored forms ``rows`` of rows of `row` bytes."""
    import numpy

    rows = numpy.frombuffer(data, f"<u{itemsize}").reshape(-1, row // itemsize)
    numbers = rows.T.copy()
    found = []
    for order in (1, 2):
        numbers[:, 1:] -= numbers[:, :-1].copy()
        signed = numbers.view(f"<i{itemsize}")
        folded = ((signed << 1) ^ (signed >> (8 * itemsize - 1))).view(numpy.uint8).reshape(-1)
        found.append(_ROW.pack(row, order) + split_planes(folded.data, itemsize, min(len(rows), LARGEST_BLOCK)))
    return min(found, key=len)


def join_rows(stored: memoryview, out: memoryview) -> None:
    """Write the rows whose stored form is ``rows`` into `out`.

    Raises
    ------
    ValueError
        If the stored form is not one of that many bytes.
    """
    import numpy

    row, order = _ROW.unpack_from(stored) if len(stored) >= _ROW.size else (0, 0)
    itemsize = stored[_ROW.size] if len(stored) > _ROW.size else 0
    if not row or order not in (1, 2) or itemsize not in (2, 4, 8) or row % itemsize or len(out) % row:
        raise ValueError("the rows have no valid head")
    kind = f"<u{itemsize}"
    folded = numpy.empty((row // itemsize, len(out) // row), kind)
    join_planes(taking(stored[_ROW.size :]), memoryview(folded.reshape(-1).view(numpy.uint8).data))
    numbers = (folded >> 1) ^ (~(folded & 1) + 1)
    for _ in range(order):
        numpy.add.accumulate(numbers, axis=1, out=numbers)
    numpy.frombuffer(out, kind).reshape(-1, row // itemsize)[:] = numbers.T


def _promises(data: bytes | memoryview) -> bool:
    """Tell whether stretches from all over the data become smaller, which costs a fraction of compressing it."""
    size = len(data)
    stretch = min(max(size // 16, 1 << 10), 512 << 10) // _STRETCHES
    starts = (number * (size - stretch) // (_STRETCHES - 1) for number in range(_STRETCHES))
    sample = b"".join([data[start : start + stretch] for start in starts])
    return len(_compressor().compress(sample)) <= WORTH * len(sample)


def _compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_of_thread, "compressor"):
        import zstandard

        _of_thread.compressor = zstandard.ZstdCompressor(level=_LEVEL)
    return _of_thread.compressor  # type: ignore[no-any-return]
