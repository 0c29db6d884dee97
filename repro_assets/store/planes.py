"""Form ``planes``: numbers of 2, 4 or 8 bytes, a block of them at a time, one byte of each beside the other.

Laws: sign and exponent of trained weights repeat where their mantissas do not, so the first bytes of all numbers of a
block stand together, then the second ones, and so on; a plane is a Zstandard frame only where that is smaller.
Neighbouring bytes that do not shrink are one plane, because putting numbers together again costs a pass for each plane.
A block is small enough to stay in the cache between being read, checked, decompressed and put together.

Hardly any search for repetitions, only short codes for frequent bytes: of the exponents of 16 Mi normal numbers that
leaves 0.34 and takes a third of the time of Zstandard's level 1, which leaves 0.38.

The stored form is, little-endian::

    1  bytes of a number        1  planes, n      2  zero      4  numbers in a block
    n  bytes of each plane, lowest first
    4  for each block and plane: bytes that it takes, in 31 bits; the highest one is set where it is a Zstandard frame
    …  the planes, in that order
"""

from __future__ import annotations

import functools
import struct
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import zstandard

ITEM_SIZES = (2, 4, 8)
WORTH = 0.98
BLOCK_ITEMS = 1 << 17
LARGEST_BLOCK = 1 << 24
_SAMPLE = 1 << 16
_HEAD = struct.Struct("<BBHI")
_FRAME = 1 << 31
_of_thread = threading.local()

Take = Callable[[int], memoryview]
"""Returns the next bytes of a stored form, as many as it is asked for or as there are."""
Turned = Callable[[Any, slice], Any]
Combine = Callable[[Any, Any], None]
Spread = Callable[[Callable[[], None]], None]
"""Has some work done, here or elsewhere, now or later."""


def taking(stored: memoryview) -> Take:
    """Return what gives the next bytes of `stored`."""
    place = 0

    def take(size: int) -> memoryview:
        nonlocal place
        place += size
        return stored[place - size : place]

    return take


def split_planes(
    data: bytes | memoryview, itemsize: int, block: int = BLOCK_ITEMS, turned: Turned | None = None
) -> bytes:
    """Return the stored form ``planes`` of numbers of `itemsize` bytes, in blocks of so many numbers.

    Parameters
    ----------
    data : bytes
        The numbers.
    itemsize, block : int
        Bytes of a number, numbers in a block.
    turned : callable, optional
        Given an array of numbers and where they stand among all, returns those that are to be stored in their place.
    """
    import numpy

    numbers = numpy.frombuffer(data, f"<u{itemsize}")

    def items(first: int, end: int) -> Any:
        found = numbers[first:end] if turned is None else turned(numbers[first:end], slice(first, end))
        return found.view(numpy.uint8).reshape(-1, itemsize)

    count = len(numbers)
    widths, shrinking = [1] * itemsize, [True] * itemsize
    if block == BLOCK_ITEMS:
        widths, shrinking = _widths([items(0, _SAMPLE), items(max(0, count - _SAMPLE), count)])
    sizes: list[int] = []
    planes: list[Any] = []
    for start in range(0, count, block):
        of_block = items(start, min(start + block, count))
        byte = 0
        for width, shrinks in zip(widths, shrinking, strict=True):
            plane = numpy.ascontiguousarray(of_block.view(f"<u{width}")[:, byte // width]).view(numpy.uint8).data
            byte += width
            stored: Any = _compressor().compress(plane) if shrinks else plane
            framed = len(stored) < len(plane)
            planes.append(stored if framed else plane)
            sizes.append(len(planes[-1]) | framed * _FRAME)
    head = _HEAD.pack(itemsize, len(widths), 0, block) + bytes(widths)
    return b"".join([head, struct.pack(f"<{len(sizes)}I", *sizes), *planes])


def join_planes(take: Take, out: memoryview, *, combine: Combine | None = None, spread: Spread | None = None) -> None:
    """Write the numbers whose stored form is ``planes`` into `out`.

    Parameters
    ----------
    take : callable
        Gives the stored form. What it returns counts until it is called again; with `spread`, until the work on it is
        done.
    out : memoryview
        Where the numbers go.
    combine : callable, optional
        Given an array of the numbers that are in `out` and one of those that were stored, changes the first one.
    spread : callable, optional
        Given the work on each block. Its errors are those named here.

    Raises
    ------
    ValueError
        If the stored form is not one of that many bytes.
    """
    import numpy

    head = bytes(take(_HEAD.size))
    itemsize, number, _, block = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0, 0, 0)
    widths = bytes(take(number))
    if (
        itemsize not in ITEM_SIZES
        or sum(widths) != itemsize
        or len(out) % itemsize
        or not 0 < block <= LARGEST_BLOCK
        or not set(widths) <= {1, 2, 4, 8}
        or any(sum(widths[:n]) % width for n, width in enumerate(widths))
    ):
        raise ValueError("the planes have no valid head")
    blocks = -(-(len(out) // itemsize) // block)
    table = bytes(take(4 * blocks * number))
    if len(table) != 4 * blocks * number:
        raise ValueError("the planes are cut short")
    sizes = struct.unpack(f"<{blocks * number}I", table)
    whole = numpy.frombuffer(out, f"<u{itemsize}")
    for index in range(blocks):
        target = whole[index * block : (index + 1) * block]
        row = sizes[index * number : (index + 1) * number]
        stored = take(sum(size & ~_FRAME for size in row))
        work = functools.partial(_join_block, stored, row, widths, target, combine)
        if spread is None:
            work()
        else:
            spread(work)
    if len(take(1)):
        raise ValueError("there is more behind the planes")


def _join_block(stored: memoryview, sizes: Sequence[int], widths: bytes, target: Any, combine: Combine | None) -> None:
    """Put the planes of one block together."""
    import numpy

    items = target if combine is None else _spare(target.nbytes).view(target.dtype)
    place = byte = 0
    for size, width in zip(sizes, widths, strict=True):
        length = size & ~_FRAME
        part: Any = stored[place : place + length]
        place += length
        if size & _FRAME:
            part = decompress(part, len(target) * width)
        if len(part) != len(target) * width:
            raise ValueError(f"byte {byte} of a block has {len(part)} bytes")
        kind = f"<u{width}"
        items.view(kind).reshape(-1, target.itemsize // width)[:, byte // width] = numpy.frombuffer(part, kind)
        byte += width
    if combine is not None:
        combine(target, items)


def _widths(samples: Sequence[Any]) -> tuple[list[int], list[bool]]:
    """Return the bytes of each plane, and whether it shrinks; aligned neighbours that do not are joined."""
    planes: list[tuple[int, bool]] = []
    for index in range(samples[0].shape[1]):
        planes.append((1, any(_shrinks(sample[:, index].tobytes()) for sample in samples)))
        while len(planes) > 1 and not planes[-1][1] and planes[-2] == planes[-1]:
            width = planes[-1][0]
            if sum(size for size, _ in planes[:-2]) % (2 * width):
                break
            planes[-2:] = [(2 * width, False)]
    return [width for width, _ in planes], [shrinks for _, shrinks in planes]


def decompress(stored: bytes | memoryview, size: int) -> bytes:
    """Return the bytes of a Zstandard frame that has exactly `size` of them.

    Raises
    ------
    ValueError
        If it is not one.
    """
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


def _spare(size: int) -> Any:
    """Return memory of this thread for one block."""
    if len(getattr(_of_thread, "spare", b"")) < size:
        import numpy

        _of_thread.spare = numpy.empty(size, numpy.uint8)
    return _of_thread.spare[:size]


def _shrinks(sample: bytes) -> bool:
    return len(_compressor().compress(sample)) <= WORTH * len(sample)


def _compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_of_thread, "compressor"):
        import zstandard

        _of_thread.compressor = zstandard.ZstdCompressor(
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
    return _of_thread.compressor  # type: ignore[no-any-return]


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_of_thread, "decompressor"):
        import zstandard

        _of_thread.decompressor = zstandard.ZstdDecompressor()
    return _of_thread.decompressor  # type: ignore[no-any-return]
