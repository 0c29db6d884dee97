"""How the bytes of an object are made smaller, and got back.

Laws: a codec is an attribute of the stored file and no part of an identity; it is kept only where it saves at least
two per cent; what is stored says by name which one it was. Level 1 of Zstandard for bytes: checkpoints are written far
more often than they are archived. For planes hardly any search for repetitions, only short codes for frequent bytes:
of the exponents of 16 Mi normal numbers that leaves 0.34 and takes a third of the time of level 1, which leaves 0.38.

``zstd`` is one Zstandard frame. ``planes`` is for numbers of 2, 4 or 8 bytes, a block of numbers at a time: the first
bytes of all numbers of the block, then the second ones, and so on; sign and exponent of trained weights repeat where
their mantissas do not. Neighbouring bytes that do not shrink are one plane, because putting numbers together again
costs a pass for each plane. Its stored form is, little-endian::

    1  bytes of a number        1  planes, n      2  zero      4  numbers in a block
    n  bytes of each plane, lowest first
    4  for each block and plane: bytes that it takes, in 31 bits; the highest one is set where it is a Zstandard frame
    …  the planes, in that order

``rows`` is for rows of such numbers that follow each other in time: what each number has more than the one before it
in its column, or that difference's own difference, both taken of the bits as integers, without overflow, and turned so
that small ones of either sign have few bits (2 d, or -2 d - 1). Then the first numbers of all rows, the second ones,
and so on, as ``planes`` whose blocks are these columns, because each of them has its own frequent bytes. Its stored
form is the bytes of a row (4), how often the difference was taken (1), then the planes.

A block is small enough to stay in the cache between being read, checked, decompressed and put together.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from repro_assets.store.layout import RAW

if TYPE_CHECKING:
    import zstandard

ZSTD = "zstd"
PLANES = "planes"
ROWS = "rows"
_LEVEL = 1
_WORTH = 0.98
_SMALLEST = 128
_SAMPLE = 1 << 18
_PLANE_SAMPLE = 1 << 16
_LARGEST = 1 << 24
_BLOCK_ITEMS = 1 << 17
_HEAD = struct.Struct("<BBHI")
_FRAME = 1 << 31
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
        join_planes(taking(stored), out)
    elif codec == ROWS:
        join_rows(stored, out)
    else:
        return False
    return True


def taking(stored: memoryview) -> Callable[[int], memoryview]:
    """Return what gives the next bytes of `stored`, as many as it is asked for or as there are."""
    place = 0

    def take(size: int) -> memoryview:
        nonlocal place
        place += size
        return stored[place - size : place]

    return take


def split_planes(data: bytes | memoryview, itemsize: int, block: int = _BLOCK_ITEMS) -> bytes:
    """Return the stored form ``planes`` of numbers of `itemsize` bytes, in blocks of so many numbers."""
    import numpy

    items = numpy.frombuffer(data, numpy.uint8).reshape(-1, itemsize)
    widths, shrinking = _widths(items) if block == _BLOCK_ITEMS else ([1] * itemsize, [True] * itemsize)
    sizes: list[int] = []
    planes: list[Any] = []
    for start in range(0, len(items), block):
        byte = 0
        for width, shrinks in zip(widths, shrinking, strict=True):
            column = items.view(f"<u{width}")[start : start + block, byte // width]
            plane = numpy.ascontiguousarray(column).view(numpy.uint8).data
            byte += width
            stored: Any = _plane_compressor().compress(plane) if shrinks else plane
            framed = len(stored) < len(plane)
            planes.append(stored if framed else plane)
            sizes.append(len(planes[-1]) | framed * _FRAME)
    head = _HEAD.pack(itemsize, len(widths), 0, block) + bytes(widths)
    return b"".join([head, struct.pack(f"<{len(sizes)}I", *sizes), *planes])


def join_planes(take: Callable[[int], memoryview], out: memoryview, *, difference: bool = False) -> None:
    """Write the numbers whose stored form is ``planes`` into `out`.

    Parameters
    ----------
    take : callable
        Returns the next bytes of the stored form, as many as it is asked for; they count until it is called again.
    out : memoryview
        Where the numbers go.
    difference : bool
        Combine them by XOR with what is there.

    Raises
    ------
    ValueError
        If the stored form is not one of that many bytes.
    """
    import numpy

    head = bytes(take(_HEAD.size))
    itemsize, number, _, block = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0, 0, 0)
    widths = bytes(take(number))
    count = len(out) // itemsize if itemsize else 0
    if (
        itemsize not in (2, 4, 8)
        or sum(widths) != itemsize
        or count * itemsize != len(out)
        or not 0 < block <= _LARGEST
    ):
        raise ValueError("the planes have no valid head")
    if not set(widths) <= {1, 2, 4, 8} or any(sum(widths[:n]) % width for n, width in enumerate(widths)):
        raise ValueError("the planes have no valid head")
    blocks = -(-count // block)
    table = bytes(take(4 * blocks * number))
    if len(table) != 4 * blocks * number:
        raise ValueError("the planes are cut short")
    sizes = struct.unpack(f"<{blocks * number}I", table)
    whole = numpy.frombuffer(out, numpy.uint8)
    for index in range(blocks):
        target = whole[index * block * itemsize : (index + 1) * block * itemsize]
        row = sizes[index * number : (index + 1) * number]
        stored = take(sum(size & ~_FRAME for size in row))
        items = _spare(len(target)) if difference else target
        place = byte = 0
        for size, width in zip(row, widths, strict=True):
            length = size & ~_FRAME
            part: Any = stored[place : place + length]
            place += length
            if size & _FRAME:
                part = _decompress(part, len(target) // itemsize * width)
            if len(part) != len(target) // itemsize * width:
                raise ValueError(f"byte {byte} of block {index} has {len(part)} bytes")
            kind = f"<u{width}"
            items.view(kind).reshape(-1, itemsize // width)[:, byte // width] = numpy.frombuffer(part, kind)
            byte += width
        if difference:
            numpy.bitwise_xor(target, items, out=target)
    if len(take(1)):
        raise ValueError("there is more behind the planes")


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
        found.append(_ROW.pack(row, order) + split_planes(folded.data, itemsize, min(len(rows), _LARGEST)))
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


def _widths(items: Any) -> tuple[list[int], list[bool]]:
    """Return the bytes of each plane, and whether it shrinks; aligned neighbours that do not are joined."""
    planes: list[tuple[int, bool]] = []
    for index in range(items.shape[1]):
        first, last = items[:_PLANE_SAMPLE, index].tobytes(), items[-_PLANE_SAMPLE:, index].tobytes()
        shrinks = _plane_shrinks(first) or (len(items) > _PLANE_SAMPLE and _plane_shrinks(last))
        planes.append((1, shrinks))
        while len(planes) > 1 and not planes[-1][1] and planes[-2] == planes[-1]:
            width = planes[-1][0]
            if sum(size for size, _ in planes[:-2]) % (2 * width):
                break
            planes[-2:] = [(2 * width, False)]
    return [width for width, _ in planes], [shrinks for _, shrinks in planes]


def _spare(size: int) -> Any:
    """Return memory of this thread for one block."""
    if len(getattr(_of_thread, "spare", b"")) < size:
        import numpy

        _of_thread.spare = numpy.empty(size, numpy.uint8)
    return _of_thread.spare[:size]


def _shrinks(sample: bytes | memoryview) -> bool:
    return len(_compressor().compress(sample)) <= _WORTH * len(sample)


def _plane_shrinks(sample: bytes) -> bool:
    return len(_plane_compressor().compress(sample)) <= _WORTH * len(sample)


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


def _plane_compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_of_thread, "plane_compressor"):
        import zstandard

        _of_thread.plane_compressor = zstandard.ZstdCompressor(
            compression_params=zstandard.ZstdCompressionParameters(
                strategy=zstandard.STRATEGY_FAST,
                min_match=7,
                hash_log=6,
                chain_log=6,
                search_log=1,
                window_log=17,
                target_length=0,
            )
        )
    return _of_thread.plane_compressor  # type: ignore[no-any-return]


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_of_thread, "decompressor"):
        import zstandard

        _of_thread.decompressor = zstandard.ZstdDecompressor()
    return _of_thread.decompressor  # type: ignore[no-any-return]
