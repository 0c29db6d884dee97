"""What a file draws from the generators that a whole process shares, and where it seeds them.

Laws: a seeding counts where it is executed in every case, once its function is called; of a function that seeds, its
name is told, and whoever knows all files tells whether any of them uses it. A draw that stands above the seeding in the
same function comes before it. Limit: methods of what is no import, such as a frame's ``sample``, are told by name.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from repro_assets.capture.syntax import Syntax

LIBRARIES = frozenset({"random", "numpy", "torch"})
"""Those that have a generator for the whole process."""
SEEDERS = {
    "random.seed": "random",
    "numpy.random.seed": "numpy",
    "torch.manual_seed": "torch",
    "torch.random.manual_seed": "torch",
}
_SEED_ALL = frozenset({"seed_everything", "set_seed", "set_random_seed", "enable_deterministic_mode"})
"""Names under which libraries, Lightning, transformers, accelerate and this project among them, seed all of these."""
_NO_DRAWS = frozenset({"seed", "getstate", "setstate", "default_rng", "get_state", "set_state"})
_TORCH = frozenset(
    {
        *("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like"),
        *("normal", "bernoulli", "multinomial", "poisson", "dropout"),
    }
)
_LAYERS = ("Linear", "Bilinear", "Conv", "Embedding", "LSTM", "GRU", "RNN", "Transformer", "Multihead", "Dropout")
_SAMPLERS = frozenset({"random_split", "RandomSampler", "SubsetRandomSampler", "WeightedRandomSampler"})
_CONSTANT = frozenset({"zeros_", "ones_", "constant_", "eye_", "dirac_"})
_SCIKIT = frozenset(
    {
        *("train_test_split", "shuffle", "resample", "ShuffleSplit", "StratifiedShuffleSplit", "KMeans"),
        *("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"),
        *("MLPClassifier", "MLPRegressor", "SGDClassifier", "SGDRegressor", "GaussianMixture", "TSNE"),
    }
)
"""These draw from NumPy's generator unless they are given ``random_state``."""
_SCIKIT_SHUFFLED = frozenset({"KFold", "StratifiedKFold", "StratifiedGroupKFold"})
_IN_PLACE = frozenset({"uniform_", "normal_", "random_", "bernoulli_", "exponential_", "log_normal_", "cauchy_"})


@dataclass(frozen=True, slots=True)
class Seeded:
    """What a file seeds in every case.

    Parameters
    ----------
    libraries : set of str
        Those that it seeds when it is executed.
    functions : dict
        Those that a function of it seeds when it is called, by the function's name.
    used : set of str
        Names of what it calls or hands on in every case.
    """

    libraries: frozenset[str] = frozenset()
    functions: dict[str, frozenset[str]] = field(default_factory=dict)
    used: frozenset[str] = frozenset()


def seeded_by_all(files: list[Seeded]) -> frozenset[str]:
    """Return the libraries that files seed together."""
    used = frozenset[str]().union(*(each.used for each in files))
    called = (libraries for each in files for name, libraries in each.functions.items() if name in used)
    return frozenset[str]().union(*(each.libraries for each in files), *called)


class Generators:
    """The draws and the seedings of a file."""

    def __init__(self, syntax: Syntax) -> None:
        self._syntax = syntax
        self._seedings = [
            (call, libraries)
            for call in syntax.nodes
            if isinstance(call, ast.Call) and (libraries := self._seeds(call)) and not syntax.is_conditional(call)
        ]

    def seeded(self) -> Seeded:
        """Return what the file seeds."""
        at_once: set[str] = set()
        functions: dict[str, frozenset[str]] = {}
        for call, libraries in self._seedings:
            function = next(self._syntax.functions(call), None)
            if function is None or self._is_called_elsewhere(function):
                at_once |= libraries
            else:
                name = getattr(function, "name", "")
                functions[name] = functions.get(name, frozenset()) | libraries
        return Seeded(frozenset(at_once), functions, frozenset(self._used()))

    def draws_from(self, call: ast.Call) -> str | None:
        """Return the library from whose generator a call draws; ``""`` where it draws before the file seeds that."""
        library = self._library_of(call)
        if library is None:
            return None
        scope = next(self._syntax.functions(call), None)
        lines = [
            seeding.lineno
            for seeding, libraries in self._seedings
            if library in libraries and next(self._syntax.functions(seeding), None) is scope
        ]
        return "" if lines and call.lineno < min(lines) else library

    def _seeds(self, call: ast.Call) -> frozenset[str]:
        name = self._syntax.name_of(call.func)
        if name in SEEDERS:
            return frozenset({SEEDERS[name]}) if call.args or call.keywords else frozenset()
        return LIBRARIES if self._syntax.last_name_of(call.func) in _SEED_ALL else frozenset()

    def _is_called_elsewhere(self, function: ast.AST) -> bool:
        """Tell whether something else than the source calls a function: a framework, or Python itself."""
        decorated = bool(getattr(function, "decorator_list", []))
        return decorated or isinstance(self._syntax.parent(function), ast.ClassDef)

    def _used(self) -> set[str]:
        return {
            node.id if isinstance(node, ast.Name) else node.attr
            for node in self._syntax.nodes
            if isinstance(node, ast.Name | ast.Attribute)
            and isinstance(node.ctx, ast.Load)
            and not self._syntax.is_conditional(node)
        }

    def _library_of(self, call: ast.Call) -> str | None:
        name = self._syntax.name_of(call.func)
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        if name is None:
            return _method(call, set(given)) if isinstance(call.func, ast.Attribute) else None
        package, _, last = name.rpartition(".")
        if package in ("random", "numpy.random"):
            return package.partition(".")[0] if last[0].islower() and last not in _NO_DRAWS else None
        if name.startswith(("sklearn.", "scipy.stats.")):
            draws = last in _SCIKIT or last == "rvs" or (last in _SCIKIT_SHUFFLED and _is_true(given.get("shuffle")))
            return "numpy" if draws and "random_state" not in given else None
        if not name.startswith("torch.") or "generator" in given:
            return None
        draws = (
            (package == "torch.nn.init" and last not in _CONSTANT)
            or (package == "torch.nn" and last.startswith(_LAYERS))
            or (package in ("torch", "torch.nn.functional") and last in _TORCH)
            or (last == "DataLoader" and _is_true(given.get("shuffle")))
            or last in _SAMPLERS
        )
        return "torch" if draws else None


def _method(call: ast.Call, given: set[str | None]) -> str | None:
    """Return the library whose generator a method of an object draws from, told by the method's name."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if name in _IN_PLACE:
        return None if "generator" in given else "torch"
    # A sampler of another kind has no such parameters.
    is_frame = name == "sample" and bool(given & {"n", "frac"})
    return "numpy" if (is_frame or name == "rvs") and "random_state" not in given else None


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True
