"""What the gradient recipes share: order of the data, learning rates, and the state of a training in flight.

Laws: a learning rate is a function of step and config alone; a batch order is a function of its generator alone; a
state holds all that the next step's bits depend on, as plain values, and is restored whole or refused: continuing from
it gives the bits of never having stopped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from repro_assets.errors import InvalidInput
from repro_assets.training import policy as policies
from repro_assets.training.policy import Policy

_REMEDY = "give a checkpoint of this recipe, made with the same config and data, or start from the beginning"


class Batches:
    """Batches of positions: every position once in random order, then all again in another order.

    Parameters
    ----------
    count : int
        Positions 0 to count - 1.
    size : int
        Positions in a batch; a batch may span two orders, so `size` may exceed `count`.
    generator : torch.Generator
        Draws the orders.
    """

    def __init__(self, count: int, size: int, generator: torch.Generator) -> None:
        self.size = size
        self.generator = generator
        self.order = torch.randperm(count, generator=generator)
        self.position = 0

    def next(self) -> Tensor:
        """Return the next batch, int64 [size]."""
        parts: list[Tensor] = []
        wanted = self.size
        while wanted:
            if self.position == len(self.order):
                self.order = torch.randperm(len(self.order), generator=self.generator)
                self.position = 0
            taken = self.order[self.position : self.position + wanted]
            self.position += len(taken)
            wanted -= len(taken)
            parts.append(taken)
        return torch.cat(parts)


def warmed_up_cosine(step: int, steps: int, warm_up: int) -> float:
    """Share of the peak learning rate for update `step` (from 1): linear rise, then half a cosine down to 0."""
    if step <= warm_up:
        return step / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def warmed_up_linear(step: int, steps: int, warm_up: int, final: float) -> float:
    """Share of the peak learning rate for update `step` (from 1): linear rise, then linear down to `final`."""
    if step <= warm_up:
        return step / warm_up
    return 1 + (final - 1) * (step - warm_up) / max(1, steps - warm_up)


def adamw(policy: Policy, weight_decay: float) -> torch.optim.AdamW:
    """AdamW in the plain implementation: fused and foreach variants round differently."""
    return torch.optim.AdamW(policy.parameters(), lr=0.0, weight_decay=weight_decay, foreach=False, fused=False)


def update(policy: Policy, optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, clip: float) -> float:
    """Make one step at learning rate `rate` with the gradient's norm clipped to `clip`; return the norm before.

    Raises
    ------
    FloatingPointError
        If loss or gradient is not finite; the parameters are untouched.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = float(nn.utils.clip_grad_norm_(policy.parameters(), clip, foreach=False))
    if not (math.isfinite(norm) and math.isfinite(float(loss.detach()))):
        raise FloatingPointError("the loss or its gradient is not finite: lower the learning rate")
    optimizer.step()
    return norm


def state_of(
    recipe: str,
    config: BaseModel,
    step: int,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    generators: Mapping[str, torch.Generator],
) -> dict[str, Any]:
    """State after `step` updates, as a value of tensors and JSON scalars.

    Returns
    -------
    dict
        ``recipe``, ``config``, ``step``; ``model`` as `policy.to_value` makes it; ``optimizer`` (state by parameter
        index, param_groups); ``scheduler`` (steps made and current rate); ``sampler`` (order, position);
        ``generators`` (name to uint8 state).
    """
    optimizing = optimizer.state_dict()
    return {
        "recipe": recipe,
        "config": config.model_dump(),
        "step": step,
        "model": policies.to_value(policy),
        "optimizer": {
            "state": {
                str(place): {name: tensor.clone() for name, tensor in state.items()}
                for place, state in optimizing["state"].items()
            },
            "param_groups": [
                {name: list(value) if isinstance(value, tuple) else value for name, value in group.items()}
                for group in optimizing["param_groups"]
            ],
        },
        "scheduler": {"step": step, "learning_rate": optimizer.param_groups[0]["lr"]},
        "sampler": {"order": batches.order.clone(), "position": batches.position},
        "generators": {name: generator.get_state() for name, generator in generators.items()},
    }


def restore(
    value: Mapping[str, Any],
    recipe: str,
    config: BaseModel,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    generators: Mapping[str, torch.Generator],
) -> int:
    """Put a training into the state that `state_of` wrote; return the updates made so far.

    Raises
    ------
    InvalidInput
        If the value is no such state, or was made by another recipe or config or on data of another size.
    """
    absent = [
        name
        for name in ("recipe", "config", "step", "model", "optimizer", "sampler", "generators")
        if name not in value
    ]
    if absent:
        raise InvalidInput(f"the checkpoint has no {', '.join(absent)}", _REMEDY)
    if value["recipe"] != recipe:
        raise InvalidInput(f"the checkpoint is one of {value['recipe']}, not of {recipe}", _REMEDY)
    wanted, made = config.model_dump(), dict(value["config"])
    differing = sorted(name for name in wanted.keys() | made.keys() if wanted.get(name) != made.get(name))
    if differing:
        raise InvalidInput(f"the checkpoint was made with another {', '.join(differing)}", _REMEDY)
    order = torch.as_tensor(value["sampler"]["order"])
    if len(order) != len(batches.order):
        raise InvalidInput(f"the checkpoint was made on {len(order)} examples, not {len(batches.order)}", _REMEDY)
    if set(value["generators"]) != set(generators):
        raise InvalidInput("the checkpoint holds other generators", _REMEDY)
    policy.load_state_dict(policies.from_value(value["model"]).state_dict())
    optimizer.load_state_dict(
        {
            "state": {
                int(place): {name: torch.as_tensor(tensor).clone() for name, tensor in state.items()}
                for place, state in value["optimizer"]["state"].items()
            },
            "param_groups": [
                {
                    name: tuple(entry) if name == "betas" else list(entry) if name == "params" else entry
                    for name, entry in group.items()
                }
                for group in value["optimizer"]["param_groups"]
            ],
        }
    )
    batches.order, batches.position = order.clone(), int(value["sampler"]["position"])
    for name, generator in generators.items():
        generator.set_state(torch.as_tensor(value["generators"][name]).clone())
    return int(value["step"])
