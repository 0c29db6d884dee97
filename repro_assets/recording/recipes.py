"""What stands for a recipe where a record names one, and what a recipe is given.

Laws: what a name leads to may carry the recipe itself as ``__recipe__``; a recipe gets the values of its inputs, but
for those of which its ``wants_handle(slot)``, if it has that, says that it takes the handle; the global generators are
seeded around it, unless its ``seeded`` is false; while it is called, its run is the enclosing one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.determinism.global_rng import seeded_globals
from repro_assets.errors import InvalidValue
from repro_assets.recording import enclosing
from repro_assets.recording.run import Run
from repro_assets.store.home import Home

_called: ContextVar[Run | None] = ContextVar("called", default=None)


def called() -> Run | None:
    """Return the run of the recipe that is being called here; None where none is."""
    return _called.get()


enclosing.register(called)


def recipe_of(target: Any) -> Any:
    """Return the recipe that is carried by what a module has under a name, or that itself."""
    return getattr(target, "__recipe__", target)


def arguments_of(recipe: Any, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """Return what a recipe is given for its inputs, by slot."""
    wants_handle = getattr(recipe, "wants_handle", None)
    return {
        slot: artifact if wants_handle is not None and wants_handle(slot) else artifact.load()
        for slot, artifact in inputs.items()
    }


def is_seeded(recipe: Any) -> bool:
    """Tell whether the global generators are to be seeded around a recipe."""
    return bool(getattr(recipe, "seeded", True))


@contextlib.contextmanager
def scope(recipe: Any, run: Run) -> Iterator[None]:
    """Enter the scope in which a recipe is given its inputs and called."""
    with seeded_globals(run.seeds) if is_seeded(recipe) else contextlib.nullcontext():
        token = _called.set(run)
        try:
            yield
        finally:
            _called.reset(token)


def settings_of(recipe: Any) -> dict[str, str]:
    """Return what the settings of a run say of this; nothing where it is as always."""
    return {} if is_seeded(recipe) else {"global_generators": "not seeded"}


def stored(home: Home, value: Any, what: str) -> Artifact:
    """Store what a recipe made, or pass the handle through that it returned.

    Raises
    ------
    InvalidValue
        If no kind of artifact holds it; `what` is named, and what would be held.
    """
    if isinstance(value, Artifact):
        return value
    try:
        return repository.put(home, value)
    except InvalidValue as error:
        remedy = error.remedy or "return tensors, arrays, a DataFrame, JSON, bytes or a path"
        raise InvalidValue(f"{what} cannot be stored: {error.message}", remedy) from error
