"""What a checkpoint holds: all that the next step's bits depend on, under an envelope that says of what it is.

Laws: a state is restored if recipe, config, parts and sizes are those that it was made with, and refused with one error
that names what differs otherwise, before any part is changed where that can be known; what was restored shares no
memory with the checkpoint's value; no time, host or run is in it, so two runs that came to the same state have equal
checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from repro_assets.determinism.rng_states import load_rng_states, save_rng_states
from repro_assets.errors import InvalidInput, ReproError, UnsupportedFormat

FORMAT = 1
_MEMBERS = ("recipe", "config", "step", "memory", "globals", "parts")
_REMEDY = "give a checkpoint of this recipe, made with the same config and data, or start from the beginning"


class Stateful(Protocol):
    """What has a state to save, by torch's convention: nested dictionaries, lists and tuples of tensors and scalars."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return the state."""
        ...

    def load_state_dict(self, state: Any, /) -> Any:
        """Go on from a state; one that does not fit is an error."""
        ...


def states_of_globals() -> dict[str, Any]:
    """Return the states of the global generators of this process, as a checkpoint holds them."""
    return _packed(save_rng_states())


def envelope(
    recipe: str,
    config: Mapping[str, Any],
    step: int,
    memory: Mapping[str, Any],
    parts: Mapping[str, Stateful],
    states: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the state after `step` updates; its tensors are those that training goes on with, not copies.

    `states` are those of the global generators of each rank (`states_of_globals`).
    """
    return {
        "format": FORMAT,
        "recipe": recipe,
        "config": dict(config),
        "step": step,
        "memory": dict(memory),
        "globals": dict(states[0]) if len(states) == 1 else list(states),
        "parts": {name: part.state_dict() for name, part in parts.items()},
    }


def restore(
    value: Mapping[str, Any], recipe: str, config: Mapping[str, Any], parts: Mapping[str, Stateful], rank: int = 0
) -> tuple[int, Mapping[str, Any]]:
    """Put a training into the state that `envelope` gave, the global generators last, which are those of `rank`.

    Returns
    -------
    step : int
        Updates made so far.
    memory : mapping
        What the policy remembered.

    Raises
    ------
    InvalidInput
        If the value is no such state, or was made by another recipe or config, or with parts of other names or sizes.
    UnsupportedFormat
        If a newer version made it.
    """
    _check_envelope(value, recipe, config, parts)
    states = {name: Copies().of(value["parts"][name]) for name in parts}
    for name, part in parts.items():
        _check_sizes(name, part, states[name])
    for name, part in parts.items():
        try:
            part.load_state_dict(states[name])
        except ReproError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
            raise InvalidInput(f"the checkpoint's {name} does not fit: {error!r}", _REMEDY) from error
    held = value["globals"]
    load_rng_states(_unpacked(held if isinstance(held, Mapping) else held[rank]))
    return int(value["step"]), value["memory"]


# The words of the two Mersenne twisters: as JSON they would be most of a checkpoint's manifest, and encoding that would
# hold up the steps that are made meanwhile.
_WORDS = (("python", "words"), ("numpy", "keys"))


def _packed(states: dict[str, Any]) -> dict[str, Any]:
    for name, words in _WORDS:
        states[name] = {**states[name], words: torch.tensor(states[name][words], dtype=torch.int64)}
    return states


def _unpacked(states: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **states,
        **{name: {**states[name], words: torch.as_tensor(states[name][words]).tolist()} for name, words in _WORDS},
    }


def _check_envelope(
    value: Mapping[str, Any], recipe: str, config: Mapping[str, Any], parts: Mapping[str, Stateful]
) -> None:
    absent = [name for name in _MEMBERS if name not in value]
    if absent:
        raise InvalidInput(f"the checkpoint has no {', '.join(absent)}", _REMEDY)
    if value.get("format") != FORMAT:
        raise UnsupportedFormat(f"the checkpoint has format {value.get('format')!r}", "use a newer repro-assets")
    if value["recipe"] != recipe:
        raise InvalidInput(f"the checkpoint is one of {value['recipe']}, not of {recipe}", _REMEDY)
    made = dict(value["config"])
    differing = sorted(name for name in config.keys() | made.keys() if config.get(name) != made.get(name))
    if differing:
        raise InvalidInput(f"the checkpoint was made with another {', '.join(differing)}", _REMEDY)
    missing = sorted(parts.keys() - value["parts"].keys())
    if missing:
        raise InvalidInput(f"the checkpoint has no {', '.join(missing)}", _REMEDY)
    unknown = sorted(value["parts"].keys() - parts.keys())
    if unknown:
        raise InvalidInput(f"the checkpoint has the unknown parts {', '.join(unknown)}", _REMEDY)


def _check_sizes(name: str, part: Stateful, state: Any) -> None:
    """Refuse tensors of other shapes than those of a network or an optimizer; other parts check what they load."""
    if isinstance(part, nn.Module):
        expected = {key: _described(tensor) for key, tensor in part.state_dict().items()}
        given = {key: _described(tensor) for key, tensor in dict(state).items()}
        for key in sorted(expected.keys() | given.keys()):
            if expected.get(key) != given.get(key):
                raise InvalidInput(
                    f"the checkpoint's {name}.{key} is {given.get(key, 'missing')}, not {expected.get(key, 'known')}",
                    _REMEDY,
                )
    elif isinstance(part, torch.optim.Optimizer):
        sizes = [[tuple(parameter.shape) for parameter in group["params"]] for group in part.param_groups]
        groups = [list(group["params"]) for group in state["param_groups"]]
        if [len(group) for group in groups] != [len(group) for group in sizes]:
            raise InvalidInput(
                f"the checkpoint's {name} has {sum(map(len, groups))} parameters, not {sum(map(len, sizes))}", _REMEDY
            )
        shapes = {
            place: size
            for group, some in zip(groups, sizes, strict=True)
            for place, size in zip(group, some, strict=True)
        }
        for place, held in state["state"].items():
            for key, tensor in held.items():
                if isinstance(tensor, Tensor) and tensor.ndim and tuple(tensor.shape) != shapes.get(place):
                    raise InvalidInput(
                        f"the checkpoint's {name} has {key} {list(tensor.shape)} for parameter {place}, "
                        f"not {list(shapes.get(place, ()))}",
                        _REMEDY,
                    )


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return type(value).__name__


class Copies:
    """Copies of nested states, on the CPU.

    A later copy goes into the memory of the one before, tensor by tensor, so whoever reads a copy must be done with it
    before the next is made.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}
        self._made: dict[tuple[Any, ...], Tensor] = {}

    @torch.no_grad()
    def of(self, value: Any) -> Any:
        """Copy `value`; a tensor that is in it twice is in the copy twice, not two tensors."""
        self._made = {}
        return self._copy(value, "")

    def _copy(self, value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if isinstance(value, Mapping):
            return {key: self._copy(item, f"{path}/{key!r}") for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            items = [self._copy(item, f"{path}/{place}") for place, item in enumerate(value)]
            return items if isinstance(value, list) else tuple(items)
        return value.copy() if isinstance(value, np.ndarray) else value

    def _tensor(self, tensor: Tensor, path: str) -> Tensor:
        where = (tensor.device, tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        if tensor.numel() and where in self._made:
            return self._made[where]
        kept = self._kept.get(path)
        if kept is not None and kept.shape == tensor.shape and kept.dtype == tensor.dtype:
            kept.copy_(tensor)
        else:
            kept = tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            self._kept[path] = kept
        self._made[where] = kept
        return kept
