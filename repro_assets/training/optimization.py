"""What the gradient recipes share: order of the data, learning rates and updates.

Laws: a learning rate is a function of step and config alone; a batch order is a function of its generator alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from repro_assets.errors import InvalidInput
from repro_assets.training.policy import Policy


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

    def copy(self) -> Batches:
        """Return batches that go on as these would, and leave these as they are."""
        generator = torch.Generator(device=self.generator.device)
        generator.set_state(self.generator.get_state())
        other = copy.copy(self)
        other.generator = generator
        return other

    def state_dict(self) -> dict[str, Any]:
        """Return the present order, int64 [count], and the position in it; the generator is a part of its own."""
        return {"order": self.order, "position": self.position}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state.

        Raises
        ------
        InvalidInput
            If it is one of another number of positions.
        """
        if len(state["order"]) != len(self.order):
            raise InvalidInput(
                f"the checkpoint was made on {len(state['order'])} examples, not {len(self.order)}",
                "give the data that it was made on, or start from the beginning",
            )
        self.order, self.position = state["order"], int(state["position"])


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


def update(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    rate: float,
    clip: float,
    exchange: Callable[[nn.Module], None] | None = None,
) -> float:
    """Make one step at learning rate `rate` with the gradient's norm clipped to `clip`; return the norm before.

    `exchange` is called before the clipping and may change the gradients.

    Raises
    ------
    FloatingPointError
        If loss or gradient is not finite; the parameters are untouched.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if exchange is not None:
        exchange(model)
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), clip, foreach=False))
    if not (math.isfinite(norm) and math.isfinite(float(loss.detach()))):
        raise FloatingPointError("the loss or its gradient is not finite: lower the learning rate")
    optimizer.step()
    return norm
