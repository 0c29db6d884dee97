"""Parts: a tensor, a column, a field of all samples; its fingerprint, and where a single change of it lies.

Laws: the digest covers every element, the dtype and the shape; the places cover every element, and two parts of one
shape that differ in one element name it; where more differ, they name none.

Places: with the elements' bits as unsigned integers v(0), v(1), … (those of 64 bits with their upper half folded onto
the lower by exclusive or; of elements that are no numbers, XXH3-64 of their encoding) the three sums of v(i), i·v(i)
and i²·v(i), modulo 2^64. If only v(k) changes, by d, they change by d, k·d and k²·d, so that k is the second over the
first, and the third says whether that was so. A change of a number has a one among its lower 32 bits, so 33 bits of k
are known. They find places; whether something differs at all is the digest's word.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import xxhash

from repro_assets.determinism.fingerprints import Numbers, opened, written

_MODULUS = 1 << 64
_BLOCK = 1 << 15
Sums = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Part:
    """What a fingerprint keeps of one part.

    Parameters
    ----------
    dtype : str
        The elements' type.
    shape : tuple of int
        How many they are.
    digest : str
        Of all of them.
    places : str or None
        The three sums, 16 hexadecimal digits each; None where no element can be named, as of a file.
    numbers : int
        Numbers that make one element: 2 of a complex one.
    """

    dtype: str
    shape: tuple[int, ...]
    digest: str
    places: str | None = None
    numbers: int = 1

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "dtype": self.dtype,
            "shape": list(self.shape),
            "digest": self.digest,
            "places": self.places,
            "numbers": self.numbers,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Part:
        """Read what `document` wrote."""
        return cls(**{**document, "shape": tuple(document["shape"])})


def part_of(numbers: Numbers) -> Part:
    """Return the part that a tensor or array is, in one pass over its bytes."""
    state = opened(numbers.dtype, numbers.shape)
    sums, count = (0, 0, 0), 0
    for piece in numbers.pieces():
        state.update(piece)
        words = piece.view(f"<u{numbers.width}")
        sums = _joined(sums, _sums(words), count)
        count += len(words)
    complex_numbers = numbers.dtype.startswith("complex")
    return Part(numbers.dtype, numbers.shape, written(state), _written(sums), 2 if complex_numbers else 1)


def part_of_cells(dtype: str, cells: Iterable[bytes]) -> Part:
    """Return the part that encoded elements are, one after the other."""
    column = Column(dtype)
    for cell in cells:
        column.add(cell)
    return column.part()


class Column:
    """A part whose elements come one by one, and of which some may be missing."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self._state = opened(dtype, ())
        self._sums = (0, 0, 0)
        self._next = 0

    def add(self, cell: bytes, place: int | None = None) -> None:
        """Add an encoded element, at `place` or after the last one."""
        place = self._next if place is None else place
        self._next = place + 1
        self._state.update(place.to_bytes(8, "little") + len(cell).to_bytes(8, "little"))
        self._state.update(cell)
        self._sums = _joined(self._sums, (xxhash.xxh3_64_intdigest(cell), 0, 0), place)

    def part(self) -> Part:
        """Return the part that the elements are so far."""
        return Part(self.dtype, (self._next,), written(self._state), _written(self._sums))


def changed_place(before: Part, after: Part) -> tuple[int, ...] | None:
    """Index of the only element that differs between two parts of one shape; None where several do, or none is known.

    Returns
    -------
    tuple of int or None
        One number for each dimension.
    """
    if before.places is None or after.places is None or before.shape != after.shape:
        return None
    first, second, third = (
        (new - old) % _MODULUS for old, new in zip(_read(before.places), _read(after.places), strict=True)
    )
    count = before.numbers
    for size in before.shape:
        count *= size
    if first == 0 or count == 0:
        return None
    # A factor 2^z of the change leaves 64 - z bits of the index, which must be enough to tell all indices apart.
    zeros = (first & -first).bit_length() - 1
    known = _MODULUS >> zeros
    if second % (1 << zeros) or count > known:
        return None
    place = (second >> zeros) * pow(first >> zeros, -1, known) % known
    if place >= count or (place * place * first - third) % _MODULUS:
        return None
    index, place = [], place // before.numbers
    for size in reversed(before.shape):
        place, inner = divmod(place, size)
        index.append(inner)
    return tuple(reversed(index))


def _sums(words: Any) -> Sums:
    import numpy

    total: Sums = (0, 0, 0)
    for start in range(0, len(words), _BLOCK):
        block = words[start : start + _BLOCK].astype(numpy.uint64)
        if words.itemsize == 8:
            block ^= block >> numpy.uint64(32)
        first, second = _powers()
        # NumPy's integer products wrap around at 2^64, which is the modulus.
        found = (
            int(block.sum(dtype=numpy.uint64)),
            int(numpy.dot(block, first[: len(block)])),
            int(numpy.dot(block, second[: len(block)])),
        )
        total = _joined(total, found, start)
    return total


@lru_cache(maxsize=1)
def _powers() -> tuple[Any, Any]:
    import numpy

    index = numpy.arange(_BLOCK, dtype=numpy.uint64)
    return index, index * index


def _joined(total: Sums, more: Sums, offset: int) -> Sums:
    """Add the sums of elements that begin at `offset` and were counted from 0."""
    first, second, third = more
    return (
        (total[0] + first) % _MODULUS,
        (total[1] + second + offset * first) % _MODULUS,
        (total[2] + third + 2 * offset * second + offset * offset * first) % _MODULUS,
    )


def _written(sums: Sums) -> str:
    return "".join(f"{value:016x}" for value in sums)


def _read(places: str) -> list[int]:
    return [int(places[start : start + 16], 16) for start in (0, 16, 32)]
