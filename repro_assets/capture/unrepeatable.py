"""Places in source that may give something else the next time: generators without a seed, orders, clocks, what is read.

Laws: they are found in the syntax tree, and nothing is imported; the name that is told is the one of the library,
whatever an import calls it. Clocks that measure how long something takes are not among them, because what they return
is hardly ever an input. A place is a lead and no proof: whether it is reached is not known. Limit: what is called by
other names than those of imports, such as a variable's, is not seen, but for methods that are told by their name alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from repro_assets.capture.absent_seeds import Absent
from repro_assets.capture.generators import SEEDERS, Generators, Seeded
from repro_assets.capture.imports import parsed
from repro_assets.capture.orders import Orders
from repro_assets.capture.syntax import Syntax


class Why(StrEnum):
    """Why a place may give something else the next time; those that are likelier to decide bits come first."""

    RESEEDED = "seeds its generator with something else each time"
    UNSEEDED = "draws from a generator that the source does not seed, or not in every case"
    ENTROPY = "returns something else each time"
    NO_SEED = "may be given no seed, and takes one from the system then"
    GIVEN = "what it reads is on no record"
    HASH = "texts have other hashes, and a set of them another order, in each process: PYTHONHASHSEED was not set"
    ORDER = "the order is another one elsewhere or the next time, and nothing sorts it"
    VARIABLE = "reads a variable whose value is on no record"
    OTHER_SEED = "is given a seed that the source does not hold"
    CLOCK = "returns the time"
    ASIDE = "returns the time, which is told or subtracted here"
    PLACE = "returns something else in each process or on each machine"


@dataclass(frozen=True, slots=True)
class Lead:
    """One place.

    Parameters
    ----------
    line : int
        Where it begins.
    name : str
        What is called or read, with parentheses where it is a call.
    why : Why
        What may be another.
    of : str
        The library whose generator draws, or the variable that is read.
    """

    line: int
    name: str
    why: Why
    of: str = ""


@dataclass(frozen=True, slots=True)
class Leads:
    """What one file holds.

    Parameters
    ----------
    found : list of Lead
        In the order of the lines; of one draw from one generator the first alone.
    seeded : Seeded
        The generators that it seeds in every case.
    """

    found: list[Lead]
    seeded: Seeded


_CALLS = {
    **dict.fromkeys(("os.urandom", "os.getrandom", "uuid.uuid1", "uuid.uuid4", "random.SystemRandom"), Why.ENTROPY),
    **dict.fromkeys(("torch.seed", "torch.random.seed"), Why.RESEEDED),
    **dict.fromkeys(("time.time", "time.time_ns"), Why.CLOCK),
    **{f"datetime.datetime.{name}": Why.CLOCK for name in ("now", "utcnow", "today")},
    "datetime.date.today": Why.CLOCK,
    "fileinput.input": Why.GIVEN,
    **dict.fromkeys(("os.getpid", "os.getppid", "os.cpu_count", "multiprocessing.cpu_count"), Why.PLACE),
    **dict.fromkeys(("threading.get_ident", "threading.get_native_id"), Why.PLACE),
    **dict.fromkeys(("socket.gethostname", "platform.node"), Why.PLACE),
}
_BUILTINS = {"input": Why.GIVEN, "hash": Why.HASH, "id": Why.PLACE}
_WITHOUT_SEED = frozenset(
    {
        "random.Random",
        "random.seed",
        *(f"numpy.random.{name}" for name in ("default_rng", "seed", "RandomState", "SeedSequence")),
        *(f"numpy.random.{name}" for name in ("PCG64", "PCG64DXSM", "Philox", "MT19937", "SFC64")),
    }
)
"""These draw their seed from the system where they are given none, or None."""
_TELLING = frozenset({"print", "log", "debug", "info", "warning", "error", "critical", "exception", "write", "echo"})


def leads_in(data: bytes | str, place: str) -> Leads:
    """Return the places in a Python file that may give something else the next time.

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
    syntax = Syntax(parsed(data, place))
    absent, orders, generators = Absent(syntax), Orders(syntax), Generators(syntax)
    found: list[Lead] = []
    for node in syntax.nodes:
        found += _read(syntax, node)
        if isinstance(node, ast.Call):
            found += _called(syntax, absent, generators, node)
    found += (Lead(node.lineno, name, Why.HASH) for node, name in orders.of_sets())
    found += (Lead(node.lineno, name, Why.ORDER) for node, name in orders.of_others())
    found.sort(key=lambda lead: (lead.line, lead.name))
    return Leads(list(_first_draws(found)), generators.seeded())


def _first_draws(found: list[Lead]) -> Iterator[Lead]:
    met = set()
    for lead in found:
        if lead.why is not Why.UNSEEDED or (lead.of, lead.name) not in met:
            yield lead
        if lead.why is Why.UNSEEDED:
            met.add((lead.of, lead.name))


def _read(syntax: Syntax, node: ast.AST) -> Iterator[Lead]:
    """Yield what an expression reads that is no call."""
    match node:
        case ast.Attribute() | ast.Name() if syntax.name_of(node) == "sys.stdin":
            yield Lead(node.lineno, "sys.stdin", Why.GIVEN)
        case ast.Subscript(slice=ast.Constant(value=variable), ctx=ast.Load()):
            if syntax.name_of(node.value) == "os.environ":
                yield Lead(node.lineno, f"os.environ[{variable!r}]", Why.VARIABLE, str(variable))


def _called(syntax: Syntax, absent: Absent, generators: Generators, call: ast.Call) -> Iterator[Lead]:
    name = syntax.name_of(call.func)
    library = generators.draws_from(call)
    if library is not None:
        yield Lead(call.lineno, f"{name or syntax.last_name_of(call.func)}()", Why.UNSEEDED, library)
    if name is None:
        builtin = syntax.builtin(call.func)
        if builtin in _BUILTINS:
            yield Lead(call.lineno, f"{builtin}()", _BUILTINS[builtin])
        return
    shown = f"{name}()"
    if name in _WITHOUT_SEED:
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        if all(isinstance(each, ast.Constant) and each.value is None for each in given):
            yield Lead(call.lineno, shown, Why.RESEEDED if name in SEEDERS else Why.ENTROPY)
        elif absent.may_be_none(given[0]):
            yield Lead(call.lineno, shown, Why.NO_SEED)
        elif isinstance(given[0], ast.Subscript):
            yield Lead(call.lineno, shown, Why.OTHER_SEED)
    elif name in _CALLS or name.startswith("secrets."):
        why = _CALLS.get(name, Why.ENTROPY)
        yield Lead(call.lineno, shown, Why.ASIDE if why is Why.CLOCK and _is_aside(syntax, call) else why)
    elif name in ("os.getenv", "os.environ.get") and call.args and isinstance(call.args[0], ast.Constant):
        yield Lead(call.lineno, f"{name}({call.args[0].value!r})", Why.VARIABLE, str(call.args[0].value))


def _is_aside(syntax: Syntax, call: ast.Call) -> bool:
    """Tell whether the time that a call returns is only subtracted, or told to a log or a terminal."""
    above = syntax.parent(call)
    if isinstance(above, ast.Assign) and len(above.targets) == 1 and isinstance(above.targets[0], ast.Name):
        uses = [node for node in syntax.nodes if isinstance(node, ast.Name) and node.id == above.targets[0].id]
        read = [node for node in uses if isinstance(node.ctx, ast.Load)]
        return bool(read) and all(_is_subtracted(syntax.parent(node)) for node in read)
    while above is not None and not isinstance(above, ast.stmt):
        if _is_subtracted(above) or (isinstance(above, ast.Call) and _tells(syntax, above.func)):
            return True
        above = syntax.parent(above)
    return False


def _is_subtracted(node: ast.AST | None) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)


def _tells(syntax: Syntax, function: ast.expr) -> bool:
    return (syntax.last_name_of(function) or syntax.builtin(function)) in _TELLING
