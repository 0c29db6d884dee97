"""How far two values are apart: per tensor, column or member, in absolute, relative and ULP terms.

Laws: equal bits are no deviation, and every leaf with unequal bits is one; of numbers the first element that differs
and the greatest errors over all of them are told, of columns the first row, of nested values the path; two NaN are
equal as numbers, whatever their payload, and so are 0 and -0. A tolerance is for floats: whole numbers, texts, shapes,
types and members are equal or they are not.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repro_assets.determinism.leaves import Leaf, leaves
from repro_assets.determinism.results import cell_text
from repro_assets.errors import InvalidValue

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

ERRORS = ("max_absolute", "max_relative", "max_ulp")
"""Members of a `Deviation` and of a measured product: its greatest errors."""
_FLOATS = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")
_STRUCTURES = ("dict", "list", "tuple", "frame", "set")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """By how much a float may be off and still count as equivalent.

    An element x that was made again as y is within it if ``|x - y| <= absolute + relative * |x|``, as of
    `numpy.isclose` with the original as reference, or if at most `ulp` floats of their type lie from x to y.

    Parameters
    ----------
    absolute, relative : float
        Not negative.
    ulp : int
        Units in the last place of the tensor's own type.

    Raises
    ------
    InvalidValue
        If one is negative or no number.
    """

    absolute: float = 0.0
    relative: float = 0.0
    ulp: int = 0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not 0 <= value < math.inf:
                raise InvalidValue(f"the {name} tolerance is {value}", "give a number that is not negative")

    @classmethod
    def parse(cls, text: str) -> Tolerance:
        """Read ``1e-6``, which is both the absolute and the relative one, or ``absolute=1e-8,relative=1e-5,ulp=4``.

        Raises
        ------
        InvalidValue
            If it is neither.
        """
        given: dict[str, Any] = {}
        try:
            if "=" not in text:
                return cls(float(text), float(text))
            for part in text.split(","):
                name, _, value = part.partition("=")
                name = name.strip()
                if name not in ("absolute", "relative", "ulp") or name in given:
                    raise ValueError(name)
                given[name] = int(value) if name == "ulp" else float(value)
        except ValueError as error:
            remedy = "write 1e-6, or absolute=1e-8,relative=1e-5,ulp=4"
            raise InvalidValue(f"{text!r} is not a tolerance", remedy) from error
        return cls(**given)

    def document(self) -> dict[str, float | int]:
        """Return it as JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class Deviation:
    """One leaf in which two values differ.

    Parameters
    ----------
    path : str
        Where: ``model.layers[3].weight``, ``['price']`` of a table; empty for the value itself.
    what : str
        ``content``, ``type``, ``shape``, ``members``, ``added`` or ``removed``.
    within : bool
        Whether all of it is within the tolerance; False where none was stated.
    element : list of int or None
        Index of the first element that differs: of a column the row.
    values : list
        What stands there, in the original and in the other.
    differing, elements : int or None
        How many elements differ, of how many.
    max_absolute, max_relative, max_ulp : float or None
        The greatest error; None where it is not of floats. Infinite where one side alone is infinite or no number.
    """

    path: str
    what: str
    within: bool
    element: list[int] | None
    values: list[str | None]
    differing: int | None = None
    elements: int | None = None
    max_absolute: float | None = None
    max_relative: float | None = None
    max_ulp: float | None = None

    def document(self) -> dict[str, Any]:
        """Return it as JSON, in which an infinite error is the text ``Infinity``."""
        found = dataclasses.asdict(self)
        return {name: "Infinity" if value == math.inf else value for name, value in found.items()}


def deviations(original: Any, replayed: Any, tolerance: Tolerance | None = None) -> list[Deviation]:
    """Name every leaf in which two values differ.

    Parameters
    ----------
    original, replayed : object
        Nested values of tensors, arrays, tables and scalars.
    tolerance : Tolerance, optional
        What `Deviation.within` is measured by.

    Returns
    -------
    list of Deviation
        In the order of the original; empty exactly if no bit differs.

    Raises
    ------
    InvalidValue
        If something in a value has no form that can be compared; its path is named.
    """
    before, after = ({leaf.path: leaf for leaf in leaves(value)} for value in (original, replayed))
    found = []
    for path, leaf in before.items():
        other = after.get(path)
        if other is None:
            found.append(Deviation(path, "removed", False, None, [leaf.dtype, None]))
        else:
            found += _of_leaves(leaf, other, tolerance or Tolerance(), stated=tolerance is not None)
    found += [
        Deviation(path, "added", False, None, [None, leaf.dtype]) for path, leaf in after.items() if path not in before
    ]
    return found


def _of_leaves(one: Leaf, two: Leaf, tolerance: Tolerance, *, stated: bool) -> Iterator[Deviation]:
    if {one.dtype, two.dtype} == {"int", "float"} or one.dtype == two.dtype == "float":
        # JSON writes 1.0 as 1, so one number may come as either.
        yield from _of_floats(one, two, tolerance, stated=stated)
    elif one.dtype != two.dtype:
        yield Deviation(one.path, "type", False, None, [one.dtype, two.dtype])
    elif one.shape != two.shape:
        yield Deviation(one.path, "shape", False, None, [str(one.shape), str(two.shape)])
    elif one.numbers is not None and two.numbers is not None:
        yield from _of_numbers(one, two, tolerance, stated=stated)
    else:
        yield from _of_cells(one, two)


def _of_floats(one: Leaf, two: Leaf, tolerance: Tolerance, *, stated: bool) -> Iterator[Deviation]:
    import numpy

    assert one.cells is not None and two.cells is not None
    data = [next(one.cells()), next(two.cells())]
    if one.dtype == two.dtype and data[0] == data[1]:
        return
    sides = [
        numpy.frombuffer(each, "<f8") if leaf.dtype == "float" else numpy.array([float(int(each))])
        for leaf, each in zip((one, two), data, strict=True)
    ]
    errors = _Errors("float64", tolerance)
    errors.add(sides, [side.view("<u8") for side in sides])
    yield errors.deviation(one.path, stated, None, [str(side[0]) for side in sides], 1)


def _of_cells(one: Leaf, two: Leaf) -> Iterator[Deviation]:
    import numpy

    assert one.cells is not None and two.cells is not None
    cells = enumerate(zip(one.cells(), two.cells(), strict=False))
    pairs = [(place, before, after) for place, (before, after) in cells if before != after]
    if not pairs:
        return
    place, before, after = pairs[0]
    if one.dtype in _STRUCTURES:
        yield Deviation(one.path, "members", False, None, [None, None])
    else:
        element = None if one.shape is None else [int(at) for at in numpy.unravel_index(place, one.shape)]
        size = None if one.shape is None else math.prod(one.shape)
        count = None if one.shape is None else len(pairs)
        shown: list[str | None] = [cell_text(one.dtype, one.shape is None, side) for side in (before, after)]
        yield Deviation(one.path, "content", False, element, shown, count, size)


def _of_numbers(one: Leaf, two: Leaf, tolerance: Tolerance, *, stated: bool) -> Iterator[Deviation]:
    import numpy

    assert one.numbers is not None and two.numbers is not None and one.shape is not None
    parts = 2 if one.dtype.startswith("complex") else 1
    errors, done, first, values = _Errors(one.dtype, tolerance), 0, None, ["", ""]
    for pieces in zip(one.numbers.pieces(), two.numbers.pieces(), strict=True):
        sides = [numpy.frombuffer(piece, f"<u{one.numbers.width}") for piece in pieces]
        unequal = (sides[0] != sides[1]).reshape(-1, parts).any(axis=1)
        if unequal.any():
            numbers = [_values(side, one.dtype) for side in sides]
            if first is None:
                at = int(numpy.flatnonzero(unequal)[0])
                first = done + at
                values = [" ".join(map(str, side[at * parts : (at + 1) * parts])) for side in numbers]
            errors.count += int(unequal.sum())
            if one.dtype in _FLOATS:
                errors.add(numbers, sides)
        done += len(unequal)
    if first is not None:
        element = [int(at) for at in numpy.unravel_index(first, one.shape)]
        yield errors.deviation(one.path, stated, element, values, done)


class _Errors:
    """The greatest errors over pieces of numbers."""

    def __init__(self, dtype: str, tolerance: Tolerance) -> None:
        self.count = 0
        self._tolerance = tolerance
        self._floats = dtype in _FLOATS
        self._within = self._floats
        self._absolute = self._relative = self._ulp = 0.0

    def add(self, numbers: list[Array], bits: list[Array]) -> None:
        """Take a flat piece of both sides, as floats and as their bits in the tensor's own type."""
        import numpy

        wide = [side.astype("f8") for side in numbers]
        equal = (wide[0] == wide[1]) | (numpy.isnan(wide[0]) & numpy.isnan(wide[1]))
        with numpy.errstate(invalid="ignore", divide="ignore", over="ignore"):
            apart = numpy.abs(wide[0] - wide[1])
            apart[equal] = 0.0
            apart[~equal & ~numpy.isfinite(apart)] = numpy.inf
            relative = apart / numpy.abs(wide[0])
            relative[apart == 0] = 0.0
            relative[numpy.isnan(relative)] = numpy.inf
            allowed = self._tolerance.absolute + self._tolerance.relative * numpy.abs(wide[0])
            allowed[numpy.isnan(allowed)] = 0.0
            ulps = _ulps(bits[0], bits[1])
        near = ulps <= self._tolerance.ulp
        ulps = numpy.where(equal, 0.0, numpy.where(numpy.isinf(apart), numpy.inf, ulps.astype("f8")))
        self._within &= bool((equal | (numpy.isfinite(apart) & ((apart <= allowed) | near))).all())
        self._absolute = max(self._absolute, float(apart.max()))
        self._relative = max(self._relative, float(relative.max()))
        self._ulp = max(self._ulp, float(ulps.max()))

    def deviation(
        self, path: str, stated: bool, element: list[int] | None, values: list[str], elements: int
    ) -> Deviation:
        shown: list[str | None] = [*values]
        count = self.count or 1
        if not self._floats:
            return Deviation(path, "content", False, element, shown, count, elements)
        return Deviation(
            path, "content", stated and self._within, element, shown, count, elements,
            self._absolute, self._relative, self._ulp,
        )  # fmt: skip


def _values(bits: Array, dtype: str) -> Array:
    """Return the numbers that bits are: of complex ones the two parts; bits where NumPy has no such type."""
    import numpy

    if dtype == "bfloat16":
        widened: Array = (bits.astype("u4") << 16).view("f4")
        return widened
    if dtype == "bool":
        return bits.astype(bool)
    named = {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)
    try:
        return bits.view(numpy.dtype(named))
    except TypeError:
        return bits


def _ulps(one: Array, two: Array) -> Array:
    """Return how many floats lie from one to the other, from their bits.

    Floats of one sign are in the order of their bits: B. Dawson, "Comparing Floating Point Numbers", 2012.
    """
    import numpy

    sign = one.dtype.type(1 << (8 * one.itemsize - 1))
    ordered = [numpy.where(side & sign, ~side + one.dtype.type(1), side | sign) for side in (one, two)]
    apart: Array = numpy.where(ordered[0] > ordered[1], ordered[0] - ordered[1], ordered[1] - ordered[0])
    return apart
