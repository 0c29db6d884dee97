"""Calls in source that return something else each time: clocks, and sources of entropy.

Laws: they are found in the syntax tree, and nothing is imported; the name that is told is the one of the library,
whatever an import calls it. Clocks that measure how long something takes are not among them, because what they return
is hardly ever an input. Limit: what is called by other names than those of imports, such as a variable's, is not seen.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from repro_assets.capture.imports import parsed

_ALWAYS = frozenset(
    {
        "time.time",
        "time.time_ns",
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "datetime.datetime.today",
        "datetime.date.today",
        "os.urandom",
        "os.getrandom",
        "uuid.uuid1",
        "uuid.uuid4",
        "random.SystemRandom",
        "torch.seed",
        "torch.random.seed",
    }
)
_WITHOUT_SEED = frozenset(
    {
        "random.Random",
        "random.seed",
        "numpy.random.default_rng",
        "numpy.random.seed",
        "numpy.random.RandomState",
        "numpy.random.SeedSequence",
        "numpy.random.PCG64",
        "numpy.random.PCG64DXSM",
        "numpy.random.Philox",
        "numpy.random.MT19937",
        "numpy.random.SFC64",
    }
)
"""These draw their seed from the system where they are given none, or None."""
_MODULES = ("secrets.",)


@dataclass(frozen=True, slots=True)
class UnrepeatableCall:
    """One call: the line that it begins in, and the name of what is called."""

    line: int
    name: str


def unrepeatable_calls(data: bytes | str, place: str) -> list[UnrepeatableCall]:
    """Return the calls in a Python file that return something else each time, in the order of the lines.

    Parameters
    ----------
    data : bytes or str
        The file.
    place : str
        What an error calls it.

    Raises
    ------
    InvalidInput
        If it is no Python; `place` and the line are named.
    """
    tree = parsed(data, place)
    names = dict(_imported(tree))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = _name_of(node.func, names)
            if name is not None and _is_unrepeatable(name, node):
                found.append(UnrepeatableCall(node.lineno, name))
    return sorted(found, key=lambda call: (call.line, call.name))


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield each name that an import binds, at any depth, and what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                # A plain import binds the first part of the name alone.
                whole = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or whole, whole
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _name_of(function: ast.expr, names: dict[str, str]) -> str | None:
    """Return the whole name of what is called, where it begins with the name of an import."""
    parts = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name) or function.id not in names:
        return None
    return ".".join([names[function.id], *reversed(parts)])


def _is_unrepeatable(name: str, call: ast.Call) -> bool:
    if name in _WITHOUT_SEED:
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        return all(isinstance(each, ast.Constant) and each.value is None for each in given)
    return name in _ALWAYS or name.startswith(_MODULES)
