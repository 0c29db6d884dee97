"""Batches that follow a curriculum.

Laws: a batch is a function of the curriculum and its generator alone; how many of it are of a level is within one of
the level's share of the batch; an example is twice in a batch only where its share of the batch is above one; every
change is recorded when it happens, the first stage too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from repro_assets.training.curriculum import Change, Curriculum
from repro_assets.training.levels import LEVELS, levels, ranks

if TYPE_CHECKING:
    from repro_assets.recording.run import Run


class CurriculumBatches:
    """Draws batches of positions by systematic sampling: one random start, then equal strides of probability.

    The examples lie in the order of their levels, and in a new random order within each, so that a level gets its share
    of every batch and not only on average.

    Parameters
    ----------
    run : Run
        Takes the changes of the curriculum.
    curriculum : Curriculum
        Says with which probability each position is drawn.
    difficulties : sequence of float
        Of each position, 0 to 1.
    size : int
        Positions in a batch.
    generator : torch.Generator
        Draws the orders and the starts; whoever gave it saves its state.
    """

    def __init__(
        self, run: Run, curriculum: Curriculum, difficulties: Sequence[float], size: int, generator: torch.Generator
    ) -> None:
        self.curriculum = curriculum
        self.size = size
        self._run = run
        self._generator = generator
        self._levels = torch.from_numpy(levels(ranks(difficulties)))

    def start(self) -> None:
        """Record what holds for the first update; a training that goes on from a checkpoint does without."""
        self._record(self.curriculum.start())

    def draw(self, step: int) -> Tensor:
        """Return the batch of update `step`, from 1: int64 [size]."""
        weights = torch.from_numpy(self.curriculum.weights(step))
        order = torch.randperm(len(weights), generator=self._generator)
        order = order[torch.argsort(self._levels[order], stable=True)]
        order = order[weights[order] > 0]
        reached = weights[order].cumsum(0)
        start = torch.rand((), generator=self._generator, dtype=torch.float64)
        at = (start + torch.arange(self.size)) / self.size * reached[-1]
        # Rounding may bring the last point to the very end.
        return order[torch.searchsorted(reached, at, right=True).clamp_max(len(order) - 1)]

    def counts(self, chosen: Tensor) -> dict[str, float]:
        """How many of a batch are of each level, as the metrics ``curriculum/<level>``."""
        found = torch.bincount(self._levels[chosen], minlength=len(LEVELS)).tolist()
        return {f"curriculum/{level}": float(count) for level, count in zip(LEVELS, found, strict=True)}

    def learn(self, chosen: Tensor, losses: Tensor) -> None:
        """Tell the curriculum the losses, [size], of a batch."""
        self.curriculum.learn(chosen.numpy(), losses.detach().double().cpu().numpy())

    def observe(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell the curriculum the figures of the evaluation after `step` updates, and record what changes."""
        for change in self.curriculum.observe(step, metrics):
            self._record(change)

    def _record(self, change: Change) -> None:
        self._run.log_curriculum(**change._asdict())

    def state_dict(self) -> dict[str, Any]:
        """The curriculum's state."""
        return self.curriculum.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; InvalidInput if it is no state of this curriculum."""
        self.curriculum.load_state_dict(state)
