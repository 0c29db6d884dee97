"""What a step of a training is made of, as far as it can be fingerprinted.

Laws: quantities have an order, that of cause and effect within a step, and of several that differ the first in it is
named; a state of a generator is read and not moved; whatever is given becomes arrays whose bytes are its value.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from repro_assets.determinism.torch_settings import cuda_runs

if TYPE_CHECKING:
    import numpy
    import torch

    Tensors = Mapping[str, torch.Tensor | numpy.ndarray[Any, Any]]

BATCH, RNG, DATA, OUTPUT, LOSS, GRADIENT, PARAMETER = QUANTITIES = (
    "batch", "rng", "data", "output", "loss", "gradient", "parameter",
)  # fmt: skip
"""Which examples a step takes; the states of generators after it; what the examples hold; what the model makes of
them; the loss; its gradients; the parameters after the step."""


def rank_of(quantity: str) -> int:
    """Return the place of a quantity in the order of cause and effect; one of another name comes last."""
    return QUANTITIES.index(quantity) if quantity in QUANTITIES else len(QUANTITIES)


def generator_states(named: Mapping[str, Any] | None = None) -> Tensors:
    """Return the states of the global generators, and of named ones, as arrays.

    Parameters
    ----------
    named : mapping, optional
        Name to `torch.Generator`, `numpy.random.Generator` or `random.Random`.
    """
    found: dict[str, Any] = {"python": _of_python(random.getstate())}
    if "numpy" in sys.modules:
        import numpy

        found["numpy"] = _of_numpy(numpy.random.get_state(legacy=False))
    if "torch" in sys.modules:
        import torch

        found["torch"] = torch.get_rng_state()
        if cuda_runs():
            found |= {f"cuda:{number}": state for number, state in enumerate(torch.cuda.get_rng_state_all())}
    for name, generator in (named or {}).items():
        if hasattr(generator, "get_state"):
            found[name] = generator.get_state()
        elif hasattr(generator, "bit_generator"):
            found[name] = _of_numpy(generator.bit_generator.state)
        else:
            found[name] = _of_python(generator.getstate())
    return found


def arrays_of(quantity: str, value: Any) -> Tensors:
    """Return what a person gave for a quantity by name: tensors, numbers, lists, texts, or mappings and tuples of them.

    Parameters
    ----------
    quantity : str
        What it is called where it is only one.
    """
    import numpy

    if isinstance(value, Mapping):
        given = list(value.items())
    elif isinstance(value, tuple):
        given = list(enumerate(value))
    else:
        return {quantity: value if hasattr(value, "dtype") and hasattr(value, "shape") else _plain(numpy, value)}
    return {
        f"{quantity}.{name}" if key == quantity else f"{quantity}.{key.removeprefix(quantity + '.')}": array
        for name, part in given
        for key, array in arrays_of(str(name), part).items()
    }


def _plain(numpy: Any, value: Any) -> Any:
    try:
        array = numpy.asarray(value)
    except ValueError:
        array = None
    if array is not None and array.dtype.kind in "biufc":
        return array
    # Texts, and lists of different lengths.
    return numpy.frombuffer(json.dumps(value, default=repr, sort_keys=False).encode() or b"\0", numpy.uint8)


def _of_python(state: Any) -> Any:
    import numpy

    _, words, gauss = state
    # 32-bit words and a place, which float64 holds exactly.
    return numpy.array([*words, float("nan") if gauss is None else gauss])


def _of_numpy(state: Mapping[str, Any]) -> Any:
    import numpy

    inner = state["state"]
    if "key" in inner:
        rest = [inner["pos"], state.get("has_gauss", 0), state.get("gauss", 0.0)]
        return numpy.concatenate([inner["key"].astype(numpy.float64), numpy.array(rest, numpy.float64)])
    return numpy.frombuffer(repr(state).encode(), numpy.uint8)
