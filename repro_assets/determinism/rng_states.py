"""The states of random generators, saved and continued.

Laws: a saved state is plain values and tensors, so a checkpoint or the store can hold it without pickle; loading it
continues every stream exactly where it was; a state that does not fit is refused before anything is loaded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from repro_assets.determinism.torch_settings import cuda_runs
from repro_assets.errors import InvalidValue
from repro_assets.wording import type_in_words

if TYPE_CHECKING:
    import numpy
    import torch

    Generator = random.Random | numpy.random.Generator | numpy.random.RandomState | torch.Generator

FORMAT = 2
"""1 had no named generators."""

_GLOBAL = ("python", "numpy", "torch", "cuda")


def save_rng_states(generators: Mapping[str, Generator] | None = None) -> dict[str, Any]:
    """Read the states of all global generators, and of those that are passed.

    Parameters
    ----------
    generators : mapping, optional
        Name to `random.Random`, `numpy.random.Generator`, `numpy.random.RandomState` or `torch.Generator`.

    Returns
    -------
    dict
        ``format``; ``python`` and ``numpy`` in JSON; ``torch`` a uint8 tensor; ``cuda`` a list of uint8 tensors, one
        for each device, empty where CUDA has not been started; ``generators``, name to ``type`` and ``state``. It can
        be part of a checkpoint, or be stored as it is: ``repository.put(home, save_rng_states())``.

    Raises
    ------
    InvalidValue
        If a passed object is no generator.
    """
    import numpy
    import torch

    return {
        "format": FORMAT,
        "python": _of_python(random.getstate()),
        "numpy": _of_legacy(numpy.random.get_state()),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if cuda_runs() else [],
        "generators": {name: _state_of(name, generator) for name, generator in (generators or {}).items()},
    }


def load_rng_states(states: Mapping[str, Any], generators: Mapping[str, Generator] | None = None) -> None:
    """Continue all global generators, and those that are passed, from what `save_rng_states` gave.

    Parameters
    ----------
    states : mapping
        What was saved, or what an artifact of it loads.
    generators : mapping, optional
        The generators that are to go on, by the names under which they were saved.

    Raises
    ------
    InvalidValue
        If `states` has another format, lacks a generator, was saved with another number of GPUs, names other
        generators than those passed, or of other types, or holds a state that its generator does not take. Nothing is
        loaded then.
    """
    import numpy
    import torch

    passed = dict(generators or {})
    saved = _checked(states, passed)
    cuda = list(states["cuda"])
    # Each is tried on a generator of its own first.
    _try("python", lambda: random.Random().setstate(_to_python(states["python"])))
    _try("numpy", lambda: numpy.random.RandomState().set_state(_to_legacy(states["numpy"])))
    _try("torch", lambda: torch.Generator().set_state(states["torch"].cpu()))
    for number, state in enumerate(cuda):
        _try(f"cuda:{number}", partial(_load_on, torch.Generator(f"cuda:{number}"), state))
    for name, generator in passed.items():
        _try(repr(name), partial(_continue, _another(generator), saved[name].get("state")))
    random.setstate(_to_python(states["python"]))
    numpy.random.set_state(_to_legacy(states["numpy"]))
    torch.set_rng_state(states["torch"].cpu())
    if cuda:
        torch.cuda.set_rng_state_all([state.cpu() for state in cuda])
    for name, generator in passed.items():
        _continue(generator, saved[name]["state"])


def _load_on(generator: Any, state: Any) -> None:
    generator.set_state(state.cpu())


def _try(name: str, load: Callable[[], Any]) -> None:
    try:
        load()
    except (TypeError, ValueError, RuntimeError, LookupError, AttributeError, OverflowError) as error:
        raise InvalidValue(
            f"the state of the generator {name} does not read: {error}", "was the file cut off or edited?"
        ) from error


def _another(generator: Any) -> Any:
    """Return a generator of the same kind."""
    import numpy
    import torch

    if isinstance(generator, torch.Generator):
        return torch.Generator(generator.device)
    if isinstance(generator, numpy.random.RandomState):
        return numpy.random.RandomState()
    if isinstance(generator, random.Random):
        return random.Random()
    return numpy.random.Generator(type(generator.bit_generator)())


def _checked(states: Mapping[str, Any], passed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the saved states of the passed generators."""
    import torch

    if not isinstance(states, Mapping):
        raise InvalidValue(f"RNG states are a dictionary, and this is {type_in_words(states)}")
    if states.get("format") not in (1, FORMAT):
        raise InvalidValue(f"RNG states of format {states.get('format')!r} do not read here", f"format 1 or {FORMAT}")
    missing = [name for name in _GLOBAL if name not in states]
    if missing:
        raise InvalidValue(f"the RNG states lack {', '.join(missing)}")
    if not isinstance(states["cuda"], (list, tuple)) or not isinstance(states.get("generators", {}), Mapping):
        raise InvalidValue("the RNG states of the GPUs are no list, or those of named generators no dictionary")
    devices = len(states["cuda"])
    if devices and devices != torch.cuda.device_count():
        raise InvalidValue(
            f"the RNG states are of {devices} GPUs and this machine has {torch.cuda.device_count()}",
            "resume with as many GPUs as the checkpoint was made with",
        )
    saved = dict(states.get("generators", {}))
    if set(saved) != set(passed):
        raise InvalidValue(
            f"the RNG states are of the generators {_listed(saved)}, and {_listed(passed)} are passed",
            "pass those that were saved, by the same names",
        )
    for name, generator in passed.items():
        found = _type_of(name, generator)
        kind = saved[name].get("type") if isinstance(saved[name], Mapping) else None
        if found != kind:
            raise InvalidValue(f"generator {name!r} is a {found} and was saved as a {kind}")
    return saved


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, sorted(names))) or "none"


def _type_of(name: str, generator: Any) -> str:
    """Name the type whose state it is; of NumPy's generators that of the bits, of torch's the device too."""
    import numpy
    import torch

    if isinstance(generator, torch.Generator):
        return f"torch.Generator on {generator.device.type}"
    if isinstance(generator, numpy.random.Generator):
        return f"numpy.random.Generator of {type(generator.bit_generator).__name__}"
    if isinstance(generator, numpy.random.RandomState):
        return "numpy.random.RandomState"
    if isinstance(generator, random.Random) and not isinstance(generator, random.SystemRandom):
        return "random.Random"
    raise InvalidValue(
        f"{name!r} is {type_in_words(generator)}, which has no state to save",
        "pass random.Random, numpy.random.Generator, numpy.random.RandomState or torch.Generator",
    )


def _state_of(name: str, generator: Any) -> dict[str, Any]:
    kind = _type_of(name, generator)
    if kind.startswith("torch"):
        state: Any = generator.get_state()
    elif kind == "numpy.random.RandomState":
        state = _of_legacy(generator.get_state())
    elif kind == "random.Random":
        state = _of_python(generator.getstate())
    else:
        state = _plain(generator.bit_generator.state)
    return {"type": kind, "state": state}


def _continue(generator: Any, state: Any) -> None:
    import numpy
    import torch

    if isinstance(generator, torch.Generator):
        generator.set_state(state.cpu())
    elif isinstance(generator, numpy.random.RandomState):
        generator.set_state(_to_legacy(state))
    elif isinstance(generator, random.Random):
        generator.setstate(_to_python(state))
    else:
        generator.bit_generator.state = _from_plain(state)


def _of_python(state: Any) -> dict[str, Any]:
    version, words, gauss = state
    return {"version": version, "words": list(words), "gauss": gauss}


def _to_python(state: Mapping[str, Any]) -> tuple[Any, ...]:
    return state["version"], tuple(state["words"]), state["gauss"]


def _of_legacy(state: Any) -> dict[str, Any]:
    kind, keys, position, has_gauss, cached = state
    return {
        "kind": str(kind),
        "keys": [int(key) for key in keys],
        "position": int(position),
        "has_gauss": int(has_gauss),
        "cached": float(cached),
    }


def _to_legacy(state: Mapping[str, Any]) -> Any:
    import numpy

    return (
        state["kind"],
        numpy.asarray(state["keys"], dtype=numpy.uint32),
        int(state["position"]),
        int(state["has_gauss"]),
        float(state["cached"]),
    )


def _plain(state: Any) -> Any:
    """Return a bit generator's state without arrays: Mersenne twister, Philox and SFC64 hold some."""
    import numpy

    if isinstance(state, dict):
        return {name: _plain(value) for name, value in state.items()}
    if isinstance(state, numpy.ndarray):
        return {"dtype": state.dtype.name, "words": [int(word) for word in state]}
    return int(state) if isinstance(state, numpy.integer) else state


def _from_plain(state: Any) -> Any:
    import numpy

    if isinstance(state, Mapping):
        if set(state) == {"dtype", "words"}:
            return numpy.asarray(state["words"], dtype=state["dtype"])
        return {name: _from_plain(value) for name, value in state.items()}
    return state
