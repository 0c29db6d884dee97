"""Parts: a tensor, a column, a field of all samples; its fingerprint, and where a single change of it lies.

Laws: the digest covers every element, the dtype and the shape; the places cover every element, and two parts of one
shape that differ in one element name it; where more differ, they name none.

Places: with the elements' bits as unsigned integers v(0), v(1), … (those of 64 bits with their upper half folded onto
the lower by exclusive or; of elements that are no numbers, XXH3-64 of their encoding) the three sums of v(i), i·v(i)
and w(i)·v(i), modulo 2^64, where w(256·r + c) = r² + `_WEIGHT`·c². If only v(k) changes, by d, they change by d, k·d
and w(k)·d, so that k is the second over the first, and the third says whether that was so. A change of a number has a
one among its lower 32 bits, so 33 bits of k are known. The sums of rows and columns of a table 256 wide give all three.
They find places; whether something differs at all is the digest's word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import xxhash

from repro_assets.determinism.fingerprints import Numbers, opened, written
from repro_assets.errors import UnsupportedFormat

_MODULUS = 1 << 64
_WIDTH = 256
_BLOCK = 1 << 15
_WEIGHT = 0x9E3779B97F4A7C15
"""Any odd number whose bits look random: 2^64 over the golden ratio."""

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


def refuse_other_form(document: Mapping[str, Any], form: int) -> None:
    """Raise for a fingerprint that another version wrote.

    Raises
    ------
    UnsupportedFormat
        If its ``format`` is another one.
    """
    found = document.get("format")
    if found != form:
        earlier = isinstance(found, int) and found < form
        remedy = "take the fingerprint again" if earlier else "use a newer version"
        raise UnsupportedFormat(f"a fingerprint of format {found!r} cannot be compared with those of {form}", remedy)


def part_of(numbers: Numbers) -> Part:
    """Return the part that a tensor or array is, in one pass over its bytes."""
    state = opened(numbers.dtype, numbers.shape)
    sums, count = (0, 0, 0), 0
    for piece in numbers.pieces():
        state.update(piece)
        words = piece.view(f"<u{numbers.width}")
        # Every piece but the last has whole rows.
        sums = _joined(sums, _sums(words, count // _WIDTH))
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
        word = xxhash.xxh3_64_intdigest(cell)
        self._sums = _joined(self._sums, (word, place * word, _weight(place) * word))

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
    if place >= count or (_weight(place) * first - third) % _MODULUS:
        return None
    index, place = [], place // before.numbers
    for size in reversed(before.shape):
        place, inner = divmod(place, size)
        index.append(inner)
    return tuple(reversed(index))


def _sums(words: Any, row: int) -> Sums:
    """Return the sums of elements that begin with the row of this number."""
    import numpy

    total: Sums = (0, 0, 0)
    columns, last = numpy.zeros(_WIDTH, numpy.uint64), numpy.uint64(32)
    for start in range(0, len(words), _BLOCK):
        block = words[start : start + _BLOCK].astype(numpy.uint64)
        if words.itemsize == 8:
            block ^= block >> last
        if len(block) % _WIDTH:
            block = numpy.concatenate([block, numpy.zeros(-len(block) % _WIDTH, numpy.uint64)])
        table = block.reshape(-1, _WIDTH)
        columns += table.sum(axis=0)
        rows = table.sum(axis=1)
        numbers = numpy.arange(row, row + len(rows), dtype=numpy.uint64)
        # NumPy's integers wrap around at 2^64, which is the modulus.
        total = _joined(total, (0, _WIDTH * int(numpy.dot(rows, numbers)), int(numpy.dot(rows, numbers * numbers))))
        row += len(rows)
    place = numpy.arange(_WIDTH, dtype=numpy.uint64)
    squares = _WEIGHT * int(numpy.dot(columns, place * place))
    return _joined(total, (int(columns.sum()), int(numpy.dot(columns, place)), squares))


def _joined(total: Sums, more: Sums) -> Sums:
    return (
        (total[0] + more[0]) % _MODULUS,
        (total[1] + more[1]) % _MODULUS,
        (total[2] + more[2]) % _MODULUS,
    )


def _weight(place: int) -> int:
    row, column = divmod(place, _WIDTH)
    return row * row + _WEIGHT * column * column


def _written(sums: Sums) -> str:
    return "".join(f"{value:016x}" for value in sums)


def _read(places: str) -> list[int]:
    return [int(places[start : start + 16], 16) for start in (0, 16, 32)]
