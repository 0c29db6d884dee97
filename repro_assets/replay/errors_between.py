"""How far apart two executions are: values that both kept, compared number by number.

Laws: errors are of float64 copies; two numbers with equal bits have no error, also where they are NaN or infinite, and
one that is NaN or infinite in one alone has an infinite error; tensors of other shapes have no error but None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Apart:
    """The error of one tensor.

    Parameters
    ----------
    absolute : float
        Greatest absolute error.
    relative : float
        It, relative to the greatest magnitude in either tensor; 0 where both are 0.
    """

    absolute: float
    relative: float


@dataclass(frozen=True, slots=True)
class Grown:
    """The greatest errors of a quantity after a step, or of one op within a step."""

    step: int
    what: str
    tensor: str
    absolute: float
    relative: float
    place: int = 0
    source_line: str | None = None

    def document(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


class Values:
    """The values that an execution kept.

    Parameters
    ----------
    folder : Path
        Its answer.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "values.bin"

    def read(self, row: Row) -> numpy.ndarray[Any, Any] | None:
        """Return the values of a line; None where it kept none."""
        import numpy

        if "at" not in row:
            return None
        shape = tuple(row["shape"])
        count = 1
        for length in shape:
            count *= length
        return numpy.fromfile(self._path, row["dtype"], count, offset=row["at"]).reshape(shape)


def apart(one: numpy.ndarray[Any, Any], other: numpy.ndarray[Any, Any]) -> Apart | None:
    """Return how far two tensors are apart; None where their shapes differ."""
    import numpy

    if one.shape != other.shape:
        return None
    if one.size == 0:
        return Apart(0.0, 0.0)
    wide = numpy.complex128 if "c" in (one.dtype.kind, other.dtype.kind) else numpy.float64
    left, right = one.astype(wide), other.astype(wide)
    with numpy.errstate(all="ignore"):
        error = numpy.abs(left - right)
        same = (left == right) | (numpy.isnan(left) & numpy.isnan(right))
    error = numpy.where(same, 0.0, numpy.where(numpy.isnan(error), numpy.inf, error))
    finite = [numpy.abs(side[numpy.isfinite(side)]) for side in (left, right)]
    scale = max((float(side.max()) for side in finite if side.size), default=0.0)
    absolute = float(error.max())
    return Apart(absolute, absolute / scale if scale else (0.0 if absolute == 0 else float("inf")))


def grown_over_steps(one: Sequence[Row], other: Sequence[Row], folders: tuple[Path, Path]) -> list[Grown]:
    """Return, for each step and quantity of which both kept values, the tensor with the greatest error."""
    first, second = map(Values, folders)
    there = {(row["step"], row["quantity"], row["tensor"]): row for row in other if "at" in row}
    worst: dict[tuple[int, str], Grown] = {}
    for row in one:
        key = row["step"], row["quantity"], row["tensor"]
        mine, theirs = first.read(row), second.read(there[key]) if key in there else None
        found = None if mine is None or theirs is None or row["quantity"] == "rng" else apart(mine, theirs)
        if found is None:
            continue
        grown = Grown(row["step"], row["quantity"], row["tensor"], found.absolute, found.relative)
        place = row["step"], row["quantity"]
        if place not in worst or worst[place].absolute < grown.absolute:
            worst[place] = grown
    return [worst[place] for place in sorted(worst)]


def grown_over_ops(one: Sequence[Row], other: Sequence[Row], folders: tuple[Path, Path]) -> list[Grown]:
    """Return the error of each op's outputs, from the first op that has one, as far as the two traces go together."""
    first, second = map(Values, folders)
    found: list[Grown] = []
    for left, right in zip(one, other, strict=False):
        if left["op"] != right["op"]:
            break
        pairs = zip(left["out"], right["out"], strict=False)
        errors = [
            (apart(mine, theirs), row)
            for row, again in pairs
            if row.get("tensor") != again.get("tensor")
            and (mine := first.read(row)) is not None
            and (theirs := second.read(again)) is not None
        ]
        known = [(error, row) for error, row in errors if error is not None]
        if known:
            error, row = max(known, key=lambda pair: pair[0].absolute)
            found.append(
                Grown(
                    left["step"], left["op"], row.get("name") or left.get("module") or "",
                    error.absolute, error.relative, left["n"], left.get("source"),
                )
            )  # fmt: skip
    return found
