"""The plain function under `reproducible_asset`, as a recipe.

Laws: what a parameter gets is decided by its annotation when the asset is defined, and a parameter that could get
nothing is refused there; a value arrives loaded, an `Artifact` as a handle, a `Path` as a copy of the stored file or
folder that lives as long as the call; nothing that decides the bits stays outside the reuse key: parameters have no
defaults, and what the function closes over is part of its identity, or refused.
"""

from __future__ import annotations

import collections.abc
import copy
import inspect
import sys
import tempfile
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.resource_annotation import get_resource_args

from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import kind_of
from repro_assets.artifacts.kinds.block_list import Segments
from repro_assets.artifacts.kinds.record_blocks import Records
from repro_assets.errors import InvalidValue
from repro_assets.orchestration.config import AssetConfig, TrainingConfig, asset_config
from repro_assets.recording.run import RESUME, Run
from repro_assets.training.loop_config import ParallelConfig
from repro_assets.wording import type_in_words

CONTEXT_NAMES = ("context", "_context", "context_", "_")
VALUE, HANDLE, FILE = "value", "handle", "file"
_OWN = {"Run": Run, "Artifact": Artifact, "Path": Path, "AssetExecutionContext": dg.AssetExecutionContext}
_STORABLE: dict[str, tuple[str, ...]] = {
    "builtins": ("dict", "list", "tuple", "str", "int", "float", "bool", "bytes", "bytearray", "memoryview"),
    "pathlib": ("Path",),
    "numpy": ("ndarray", "generic"),
    "torch": ("Tensor",),
    "pandas": ("DataFrame",),
    "pyarrow": ("Table",),
    Records.__module__: ("Records",),
    Segments.__module__: ("Segments",),
}
"""Classes of the values that `kind_of` knows, by the module that is loaded wherever there is one."""
_ANYTHING = inspect.Parameter.empty
_BY_NAME = inspect.Parameter.POSITIONAL_OR_KEYWORD


class Body:
    """A person's function as ``recipe(run, config, **inputs)``.

    Parameters
    ----------
    function : callable
        A plain function.
    ins : collection of str
        Inputs that the decorator names, which may therefore have defaults.
    files : mapping
        Place of the raw file or folder that a parameter gets, from the project's top.
    outs : tuple of str
        Names of the outputs of a multi-asset; of an asset, none.
    config : type, optional
        Config class with other defaults than the annotated one, of which it is a subclass.
    seeded : bool
        Whether the global generators are seeded around the call.

    Attributes
    ----------
    inputs : dict
        Way in which each input arrives, by parameter: ``value``, ``handle`` or ``file``.
    config_class : type
        The asset's config class.
    resources : list of Parameter
        Parameters that are Dagster's resources.

    Raises
    ------
    InvalidValue
        If a parameter can get nothing, the config has no class, or the function is none that can be called here.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        ins: collections.abc.Collection[str] = (),
        files: Mapping[str, Path] | None = None,
        outs: tuple[str, ...] = (),
        config: type[Any] | None = None,
        seeded: bool = True,
    ) -> None:
        _refuse_other_than_plain(function)
        self.function = function
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self.__module__, self.__qualname__ = function.__module__, function.__qualname__
        self.files = dict(files or {})
        self.outs = outs
        self.seeded = seeded
        self.inputs: dict[str, str] = {}
        self.run: str | None = None
        self.context: str | None = None
        self.resumable = False
        self.resources = get_resource_args(_with_resolved(function))
        self.config_class: type[AssetConfig] = asset_config(config or AssetConfig)
        self.has_config = False
        self.given_context: dg.AssetExecutionContext | None = None
        self.given_resources: Mapping[str, Any] = {}
        self._read_parameters(frozenset(ins), config)
        self.closed_over = _closed_over(function)
        if not seeded and issubclass(self.config_class, ParallelConfig):
            raise InvalidValue(f"{self.__qualname__} may run in several processes, which are always seeded")
        config_parameter = inspect.Parameter("config", _BY_NAME, annotation=self.config_class)
        inputs = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in self.inputs]
        self.__signature__ = inspect.Signature([inspect.Parameter("run", _BY_NAME), config_parameter, *inputs])

    def identity(self, asset: str) -> dict[str, Any]:
        """Return what tells this work from another of the same recipe's name; nothing where the name says it all."""
        if "<" not in self.__qualname__:
            return {}
        return {"asset": asset, "closed_over": self.closed_over}

    def bound(self, context: dg.AssetExecutionContext, resources: Mapping[str, Any]) -> Body:
        """Return the same body with what Dagster gives to one execution of it."""
        found = copy.copy(self)
        found.given_context, found.given_resources = context, resources
        return found

    def wants_handle(self, slot: str) -> bool:
        """Tell whether an input is to be given without its value having been loaded."""
        return self.inputs.get(slot.partition("[")[0], VALUE) != VALUE

    def __call__(self, run: Run, config: Any, **inputs: Any) -> Any:
        """Call the function and return its value; of several outputs, a mapping from their names."""
        needed = [name for name in (self.context, *(item.name for item in self.resources)) if name is not None]
        if needed and self.given_context is None:
            raise InvalidValue(
                f"{self.__qualname__} needs {', '.join(needed)}, which Dagster alone gives",
                "materialize the asset, or replay a run of it",
            )
        given: dict[str, Any] = {item.name: self.given_resources[item.name] for item in self.resources}
        if self.run is not None:
            given[self.run] = run
        if self.context is not None:
            given[self.context] = self.given_context
        if self.has_config:
            given["config"] = config
        with self._arrived(inputs) as arrived:
            return self._checked(self.function(**given, **arrived))

    def _read_parameters(self, ins: frozenset[str], config: type[Any] | None) -> None:
        resources = {item.name for item in self.resources}
        parameters = inspect.signature(self.function).parameters
        for name in self.files.keys() - parameters.keys():
            raise InvalidValue(f"{self.__qualname__} has no parameter {name!r} to take a file", "name a parameter")
        for position, item in enumerate(parameters.values()):
            annotation = _resolved(self.function, item.annotation)
            if item.kind in (item.VAR_POSITIONAL, item.VAR_KEYWORD, item.POSITIONAL_ONLY):
                self._refuse(item.name, f"is {item.kind.description}", "give each input a parameter with a name")
            elif item.name in resources:
                continue
            elif annotation is dg.AssetExecutionContext or (position == 0 and item.name in CONTEXT_NAMES):
                self.context = item.name
            elif annotation is Run:
                self.run = item.name
            elif item.name == "config":
                self._take_config(annotation, config)
            elif item.name == RESUME and issubclass(self.config_class, TrainingConfig):
                self.resumable = True
            else:
                self._take_input(item, annotation, ins)
        if config is not None and not self.has_config:
            raise InvalidValue(f"{self.__qualname__} takes no config", "give it a parameter config: Config")

    def _take_config(self, annotation: Any, config: type[Any] | None) -> None:
        if not isinstance(annotation, type) or not hasattr(annotation, "model_fields"):
            said = "has no class" if annotation is _ANYTHING else f"is {_shown(annotation)}"
            self._refuse("config", said, "annotate it with a class that derives from dagster.Config")
        if config is not None and not issubclass(config, annotation):
            raise InvalidValue(f"{config.__name__} is no {annotation.__name__}, which {self.__qualname__} takes")
        self.config_class = asset_config(config or annotation)
        self.has_config = True

    def _take_input(self, item: inspect.Parameter, annotation: Any, ins: frozenset[str]) -> None:
        if isinstance(annotation, type) and issubclass(annotation, dg.Config):
            self._refuse(item.name, f"is the config {annotation.__name__}", "call it config")
        if item.default is not _ANYTHING and item.name not in ins and item.name not in self.files:
            self._refuse(item.name, "has a default, which no record would show", "make it a field of a config class")
        wanted = _member(annotation)
        if wanted is Artifact:
            self.inputs[item.name] = HANDLE
        elif wanted is Path:
            self.inputs[item.name] = FILE
        elif is_storable(wanted):
            self.inputs[item.name] = VALUE
        else:
            self._refuse(
                item.name,
                f"is a {_shown(annotation)}, which is neither what an asset can be, nor a Run, config or resource",
                "annotate a resource with its ConfigurableResource class, or as dagster.ResourceParam[...]",
            )

    def _refuse(self, name: str, said: str, remedy: str) -> typing.NoReturn:
        raise InvalidValue(f"the parameter {name} of {self.__qualname__} {said}", remedy)

    @contextmanager
    def _arrived(self, inputs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield what the parameters get; of an input with several partitions, a dictionary by partition."""
        arrived: dict[str, Any] = {}
        with tempfile.TemporaryDirectory(prefix="repro-inputs-") as folder:
            for number, (slot, given) in enumerate(inputs.items()):
                name, _, partition = slot.partition("[")
                value = (
                    self._laid_out(name, given, Path(folder) / str(number)) if self.inputs.get(name) == FILE else given
                )
                if partition:
                    arrived.setdefault(name, {})[partition.removesuffix("]")] = value
                elif name != RESUME or self.resumable:
                    arrived[name] = value
            yield arrived

    def _laid_out(self, name: str, artifact: Artifact, folder: Path) -> Path:
        """Return a copy of a stored file or folder, which has the name that it has in the project."""
        place = folder / (self.files[name].name if name in self.files else name)
        folder.mkdir()
        artifact.lay_out(place)
        return place

    def _checked(self, made: Any) -> Any:
        if isinstance(made, (dg.MaterializeResult, dg.Output, types.GeneratorType)):
            raise InvalidValue(
                f"{self.__qualname__} returned {type_in_words(made)}",
                "return the value itself, and give what it measured to a parameter run: Run (run.log_metric)",
            )
        if not self.outs:
            self._check_value(made)
            return made
        if isinstance(made, tuple) and len(made) == len(self.outs):
            made = dict(zip(self.outs, made, strict=True))
        if isinstance(made, Mapping):
            for value in made.values():
                self._check_value(value)
            # A step with one output takes its value.
            return made[self.outs[0]] if len(self.outs) == 1 and set(made) == set(self.outs) else made
        return made

    def _check_value(self, value: Any) -> None:
        if isinstance(value, Artifact):
            return
        try:
            kind_of(value)
        except InvalidValue as error:
            raise InvalidValue(
                f"{self.__qualname__} returned what cannot be stored: {error.message}", error.remedy
            ) from (error)


def check_return(function: Callable[..., Any]) -> None:
    """Refuse a function whose annotation promises what no kind of artifact holds.

    Raises
    ------
    InvalidValue
        If it does.
    """
    promised = _resolved(function, inspect.signature(function).return_annotation)
    if not is_storable(promised):
        raise InvalidValue(
            f"{function.__qualname__} returns a {_shown(promised)}, which cannot be stored",
            "return tensors, arrays, a DataFrame, JSON, bytes or a path",
        )


def is_storable(annotation: Any) -> bool:
    """Tell whether something of an annotated class may be an artifact's value; what is no class may be anything."""
    # `Any` is a class to Python.
    if not isinstance(annotation, type) or annotation in (Any, Artifact, _ANYTHING, types.NoneType):
        return True
    return any(issubclass(annotation, base) or issubclass(base, annotation) for base in _storable_classes())


def _storable_classes() -> list[type]:
    return [
        getattr(sys.modules[module], name)
        for module, names in _STORABLE.items()
        if module in sys.modules
        for name in names
    ]


def _member(annotation: Any) -> Any:
    """Return what a parameter is annotated with; of a mapping from partitions, what its values are."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (dict, collections.abc.Mapping) and len(arguments) == 2 and arguments[1] in (Artifact, Path):
        return arguments[1]
    return annotation if origin is None else origin


def _resolved(function: Callable[..., Any], annotation: Any) -> Any:
    """Return an annotation, also where it is postponed; one that only type checkers can read is as good as none.

    Of those, the last word decides whether it is one of ours.
    """
    if not isinstance(annotation, str):
        return annotation
    inner = inspect.unwrap(function)
    namespace = {**inner.__globals__, **inspect.getclosurevars(inner).nonlocals}
    try:
        return typing.get_type_hints(types.SimpleNamespace(__annotations__={"it": annotation}), namespace)["it"]
    except (NameError, AttributeError, TypeError, SyntaxError):
        return _OWN.get(annotation.rpartition(".")[2], _ANYTHING)


def _with_resolved(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a stand-in of the function whose annotations Dagster can read."""

    def stand_in() -> None:
        pass

    found = inspect.signature(function)
    parameters = [item.replace(annotation=_resolved(function, item.annotation)) for item in found.parameters.values()]
    stand_in.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return stand_in


def _refuse_other_than_plain(function: Any) -> None:
    if not inspect.isfunction(function):
        raise InvalidValue(f"{function!r} is no function", "decorate a plain function")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidValue(
            f"{function.__qualname__} is asynchronous", "make it a plain function that returns its value"
        )
    if inspect.isgeneratorfunction(function):
        raise InvalidValue(f"{function.__qualname__} yields", "make it a plain function that returns its value")


def _closed_over(function: Callable[..., Any]) -> dict[str, Any]:
    """Return what a function takes from the functions around it, as far as it is data.

    Raises
    ------
    InvalidValue
        If it is something that no reuse key could hold.
    """
    found: dict[str, Any] = {}
    for name, value in inspect.getclosurevars(inspect.unwrap(function)).nonlocals.items():
        if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
            found[name] = f"{value.__module__}:{value.__qualname__}"
        elif isinstance(value, types.ModuleType):
            found[name] = value.__name__
        elif _is_plain(value):
            found[name] = value
        else:
            raise InvalidValue(
                f"{function.__qualname__} closes over {name}, {type_in_words(value)}, which no record would show",
                "make it an input or a field of a config class",
            )
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or isinstance(value, (bool, int, float, str))


def _shown(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
