"""Where two executions part: pure decisions over fingerprints, traced ops and values; nothing is executed here.

Laws: only steps and quantities that both have are compared; of several quantities that differ at the first step the
first in the order of cause and effect is named; a generator that nobody draws from is none of a training's. An op is
the first one where op, inputs or outputs differ: with equal inputs it computed otherwise, with other inputs the
difference came in from outside torch, because no earlier op wrote it. What uninitialised memory holds is compared
nowhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repro_assets.determinism.quantities import RNG, rank_of

Key = tuple[int, str, str]
"""Step, quantity, tensor."""
Row = Mapping[str, Any]

OP, INPUT, OTHER_OP, UNINITIALISED = "op", "input", "other op", "uninitialised memory"


@dataclass(frozen=True, slots=True)
class FirstDifference:
    """The first step at which two lists of fingerprints differ.

    Parameters
    ----------
    step : int
        That step.
    last_equal : int or None
        The last step before it that both have; None where there is none.
    quantities : dict
        Names of the tensors that differ, by quantity, in the order of cause and effect.
    """

    step: int
    last_equal: int | None
    quantities: dict[str, list[str]]

    @property
    def quantity(self) -> str:
        """The quantity that differed first."""
        return next(iter(self.quantities))

    @property
    def tensor(self) -> str:
        """The first tensor of it, as the model names them."""
        return self.quantities[self.quantity][0]


@dataclass(frozen=True, slots=True)
class FirstOp:
    """The first op that differs.

    Parameters
    ----------
    kind : str
        ``op`` (equal inputs, other outputs), ``input`` (an input that no op wrote), ``other op`` (the code took another
        way) or ``uninitialised memory``.
    argument : str or None
        The input that differs, with its two values where they are no tensors; of other ops, both names.
    tensor : str or None
        Name of the parameter or gradient that differs, or that it wrote.
    one, other : mapping
        The two lines of the trace; `other` is None where there is none.
    """

    kind: str
    step: int
    op: str
    phase: str
    module: str | None
    source_line: str | None
    forward_line: str | None
    argument: str | None
    tensor: str | None
    one: Row
    other: Row | None


def keyed(rows: Iterable[Row]) -> dict[Key, str]:
    """Return fingerprints by step, quantity and tensor; of a step that was made twice the last counts."""
    return {(row["step"], row["quantity"], row["tensor"]): row["xxh3"] for row in rows}


def first_difference(one: Mapping[Key, str], other: Mapping[Key, str]) -> FirstDifference | None:
    """Return where two executions differ first; None where all that both have is equal."""
    there = [{(step, quantity) for step, quantity, _ in side} for side in (one, other)]
    both = there[0] & there[1]
    steps = sorted({step for step, _ in both})
    drawn_from = _moved(one) | _moved(other)
    names: dict[tuple[int, str], dict[str, None]] = {}
    for step, quantity, tensor in itertools.chain(one, other):
        if (step, quantity) in both and (quantity != RNG or tensor in drawn_from):
            names.setdefault((step, quantity), {})[tensor] = None
    before = None
    for step in steps:
        differing = {}
        for quantity in sorted((quantity for at, quantity in both if at == step), key=rank_of):
            found = [
                tensor
                for tensor in names.get((step, quantity), ())
                if one.get((step, quantity, tensor)) != other.get((step, quantity, tensor))
            ]
            if found:
                differing[quantity] = found
        if differing:
            return FirstDifference(step, before, differing)
        before = step
    return None


def _moved(fingerprints: Mapping[Key, str]) -> set[str]:
    """Return the generators that somebody draws from: whose state is not the same after all steps."""
    states: dict[str, set[str]] = {}
    for (_, quantity, tensor), state in fingerprints.items():
        if quantity == RNG:
            states.setdefault(tensor, set()).add(state)
    return {tensor for tensor, found in states.items() if len(found) > 1}


def steps_of(fingerprints: Mapping[Key, str]) -> list[int]:
    """Return the steps that were fingerprinted, in order."""
    return sorted({step for step, _, _ in fingerprints})


def first_op(one: Sequence[Row], other: Sequence[Row]) -> FirstOp | None:
    """Return the first op in which two traces differ; None where they do not.

    Parameters
    ----------
    one, other : sequence of mapping
        Lines of `repro_assets.determinism.op_tracing`, of the same steps.
    """
    for place, (left, right) in enumerate(itertools.zip_longest(one, other)):
        if left is None or right is None:
            return _found(OTHER_OP, left or right, None)
        if left["op"] != right["op"] or left["step"] != right["step"]:
            row = _added(one, other, place)
            return _found(OTHER_OP, row, right, argument=f"{left['op']} and {right['op']}")
        argument = _first_argument(left["in"], right["in"])
        if argument is not None:
            return _found(INPUT, left, right, argument=argument[0], tensor=argument[1])
        if any(_differs(mine, theirs) for mine, theirs in zip(left["out"], right["out"], strict=False)):
            read_blank = any(part.get("blank") for part in _flat(left["in"]))
            return _found(UNINITIALISED if read_blank else OP, left, right)
    return None


def _added(one: Sequence[Row], other: Sequence[Row], place: int) -> Row:
    """Return the op that only one of two traces has, which part at `place`: the one after which they soonest agree."""
    until: list[tuple[int, Sequence[Row]]] = []
    for mine, theirs in ((one, other), (other, one)):
        wanted = theirs[place]["step"], theirs[place]["op"]
        ahead = enumerate((row["step"], row["op"]) for row in mine[place:])
        distance = next((number for number, row in ahead if row == wanted), None)
        if distance is not None:
            until.append((distance, mine[place : place + distance]))
    if not until:
        return one[place]
    _, added = min(until, key=lambda found: found[0])
    # What only makes room for a result says less than what computes it.
    return next((row for row in added if "empty" not in row["op"]), added[0])


def _first_argument(one: Sequence[Row], other: Sequence[Row]) -> tuple[str, str | None] | None:
    """Return the argument that differs, with its values where they are no tensors, and the name of its tensor."""
    for left, right in itertools.zip_longest(one, other):
        if left is None or right is None:
            return str((left or right)["arg"]), None
        if "parts" in left and "parts" in right:
            pairs = list(itertools.zip_longest(left["parts"], right["parts"]))
            differing = [mine or theirs for mine, theirs in pairs if not mine or not theirs or _differs(mine, theirs)]
            if differing:
                return str(left["arg"]), differing[0].get("name")
        elif _differs(left, right):
            if "value" in left and "value" in right:
                return f"{left['arg']}: {_number(left['value'])} and {_number(right['value'])}", None
            return str(left["arg"]), left.get("name")
    return None


def _differs(one: Row, other: Row) -> bool:
    if one.get("blank") and other.get("blank"):
        return False
    return any(one.get(what) != other.get(what) for what in ("tensor", "value", "blank"))


def _number(value: Any) -> Any:
    # Floats are written in hexadecimal, so that no bit is lost.
    try:
        return float.fromhex(value) if isinstance(value, str) and value.lstrip("-").startswith("0x") else value
    except ValueError:
        return value


def _flat(arguments: Iterable[Row]) -> Iterable[Row]:
    for one in arguments:
        yield from one.get("parts") or [one]


def _found(kind: str, one: Row, other: Row | None, argument: str | None = None, tensor: str | None = None) -> FirstOp:
    named = [part["name"] for part in _flat(one["out"]) if part.get("name")]
    return FirstOp(
        kind=kind,
        step=one["step"],
        op=one["op"],
        phase=one["phase"],
        module=one.get("module"),
        source_line=one.get("source"),
        forward_line=one.get("forward_line"),
        argument=argument,
        tensor=tensor or (named[0] if named else None),
        one=one,
        other=other,
    )
