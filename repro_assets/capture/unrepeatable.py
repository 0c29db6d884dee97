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
from repro_assets.capture.imports import parsed
from repro_assets.capture.orders import Orders
from repro_assets.capture.syntax import Syntax


class Why(StrEnum):
    """Why a place may give something else the next time; those that are likelier to decide bits come first."""

    UNSEEDED = "draws from a generator that the source does not seed, or not in every case"
    ENTROPY = "returns something else each time"
    NO_SEED = "may be given no seed, and takes one from the system then"
    GIVEN = "what it reads is on no record"
    VARIABLE = "reads a variable whose value is on no record"
    HASH = "texts have other hashes, and a set of them another order, in each process: PYTHONHASHSEED was not set"
    ORDER = "the order is another one elsewhere or the next time, and nothing sorts it"
    CLOCK = "returns the time"
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
        In the order of the lines; of what draws from a library's own generator the first alone.
    seeded : set of str
        Libraries whose own generators it seeds in every case.
    """

    found: list[Lead]
    seeded: frozenset[str]


LIBRARIES = frozenset({"random", "numpy", "torch"})
"""Those that have a generator of their own for the whole process."""

_CALLS = {
    **dict.fromkeys(("os.urandom", "os.getrandom", "uuid.uuid1", "uuid.uuid4", "random.SystemRandom"), Why.ENTROPY),
    **dict.fromkeys(("torch.seed", "torch.random.seed"), Why.ENTROPY),
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
_SEEDS = {
    "random.seed": "random",
    "numpy.random.seed": "numpy",
    "torch.manual_seed": "torch",
    "torch.random.manual_seed": "torch",
}
_SEEDS_ALL = frozenset({"seed_everything", "set_seed", "set_random_seed", "enable_deterministic_mode"})
"""Names under which libraries, Lightning, transformers, accelerate and this project among them, seed all of these."""
_NO_DRAWS = frozenset({"seed", "getstate", "setstate", "default_rng", "get_state", "set_state"})
_TORCH_DRAWS = frozenset(
    {
        *("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like"),
        *("normal", "bernoulli", "multinomial", "poisson", "dropout"),
    }
)
_TORCH_LAYERS = ("Linear", "Bilinear", "Conv", "Embedding", "LSTM", "GRU", "RNN", "Transformer", "Multihead", "Dropout")
_TORCH_SAMPLERS = frozenset({"random_split", "RandomSampler", "SubsetRandomSampler", "WeightedRandomSampler"})
_SCIKIT_DRAWS = frozenset(
    {
        *("train_test_split", "shuffle", "resample", "ShuffleSplit", "StratifiedShuffleSplit", "KMeans"),
        *("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"),
        *("MLPClassifier", "MLPRegressor", "SGDClassifier", "SGDRegressor", "GaussianMixture", "TSNE"),
    }
)
"""These draw from NumPy's own generator unless they are given ``random_state``."""


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
    absent, orders = Absent(syntax), Orders(syntax)
    found: list[Lead] = []
    seeded: set[str] = set()
    for node in syntax.nodes:
        found += _read(syntax, node)
        if isinstance(node, ast.Call):
            found += _called(syntax, absent, node)
            if not syntax.is_conditional(node):
                seeded |= _seeded_by(syntax, node)
    found += (Lead(node.lineno, name, Why.HASH) for node, name in orders.of_sets())
    found += (Lead(node.lineno, name, Why.ORDER) for node, name in orders.of_others())
    found.sort(key=lambda lead: (lead.line, lead.name))
    return Leads(list(_first_draws(found)), frozenset(seeded))


def _first_draws(found: list[Lead]) -> Iterator[Lead]:
    met = set()
    for lead in found:
        if lead.why is not Why.UNSEEDED or lead.of not in met:
            yield lead
        if lead.why is Why.UNSEEDED:
            met.add(lead.of)


def _read(syntax: Syntax, node: ast.AST) -> Iterator[Lead]:
    """Yield what an expression reads that is no call."""
    match node:
        case ast.Attribute() | ast.Name() if syntax.name_of(node) == "sys.stdin":
            yield Lead(node.lineno, "sys.stdin", Why.GIVEN)
        case ast.Subscript(slice=ast.Constant(value=variable), ctx=ast.Load()):
            if syntax.name_of(node.value) == "os.environ":
                yield Lead(node.lineno, f"os.environ[{variable!r}]", Why.VARIABLE, str(variable))


def _called(syntax: Syntax, absent: Absent, call: ast.Call) -> Iterator[Lead]:
    name = syntax.name_of(call.func)
    if name is None:
        builtin = syntax.builtin(call.func)
        if builtin in _BUILTINS:
            yield Lead(call.lineno, f"{builtin}()", _BUILTINS[builtin])
        return
    shown = f"{name}()"
    if name in _WITHOUT_SEED:
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        if all(isinstance(each, ast.Constant) and each.value is None for each in given):
            yield Lead(call.lineno, shown, Why.ENTROPY)
        elif absent.may_be_none(given[0]):
            yield Lead(call.lineno, shown, Why.NO_SEED)
    elif name in _CALLS or name.startswith("secrets."):
        yield Lead(call.lineno, shown, _CALLS.get(name, Why.ENTROPY))
    elif name in ("os.getenv", "os.environ.get") and call.args and isinstance(call.args[0], ast.Constant):
        yield Lead(call.lineno, f"{name}({call.args[0].value!r})", Why.VARIABLE, str(call.args[0].value))
    elif (library := _draws_from(name, call)) is not None:
        yield Lead(call.lineno, shown, Why.UNSEEDED, library)


def _seeded_by(syntax: Syntax, call: ast.Call) -> frozenset[str]:
    name = syntax.name_of(call.func)
    if name in _SEEDS and (call.args or call.keywords):
        return frozenset({_SEEDS[name]})
    last = call.func.attr if isinstance(call.func, ast.Attribute) else (name or "").rpartition(".")[2]
    return LIBRARIES if last in _SEEDS_ALL else frozenset()


def _draws_from(name: str, call: ast.Call) -> str | None:
    """Return the library from whose own generator a call draws."""
    package, _, last = name.rpartition(".")
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if package == "random" and last[0].islower() and last not in _NO_DRAWS:
        return "random"
    if package == "numpy.random" and last[0].islower() and last not in _NO_DRAWS:
        return "numpy"
    if name.startswith("sklearn.") and last in _SCIKIT_DRAWS and "random_state" not in given:
        return "numpy"
    if not name.startswith("torch.") or "generator" in given:
        return None
    if package == "torch.nn.init" and last not in ("zeros_", "ones_", "constant_", "eye_", "dirac_"):
        return "torch"
    match given.get("shuffle"):
        case ast.Constant(value=True) if last == "DataLoader":
            return "torch"
    is_layer = package == "torch.nn" and last.startswith(_TORCH_LAYERS)
    draws = last in _TORCH_DRAWS and package in ("torch", "torch.nn.functional")
    return "torch" if is_layer or draws or last in _TORCH_SAMPLERS else None
