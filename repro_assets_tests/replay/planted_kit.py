"""A small training, of which parts can be replaced, and the table of faults that are planted into it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from repro_assets.tracking.watched import Watched

STEPS, ROWS, COLUMNS, BATCH = 8, 24, 6, 6
COLUMN = "PLANTED_COLUMN_"


@dataclass
class Kit:
    """A training, of which a fault replaces a part."""

    folder: Path
    model: nn.Module = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)
    inputs: Tensor = field(init=False)
    labels: Tensor = field(init=False)
    order: Callable[[int], Tensor] = field(init=False)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        random.seed(2)
        np.random.seed(3)
        torch.manual_seed(4)
        torch.set_num_threads(1)
        self.inputs = torch.randn(ROWS, COLUMNS, generator=generator)
        self.labels = torch.randint(0, 3, (ROWS,), generator=generator)
        self.take(nn.Sequential(nn.Linear(COLUMNS, 8), nn.ReLU(), nn.Linear(8, 3)))
        orders = [torch.randperm(ROWS, generator=generator)[:BATCH] for _ in range(STEPS + 1)]
        self.order = lambda step: orders[step]

    def take(self, model: nn.Module) -> None:
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, foreach=False)

    def begin(self, step: int) -> None:
        """What happens before a step."""

    def batch(self, step: int, chosen: Tensor) -> tuple[Tensor, Tensor]:
        return self.prepare(step, self.inputs[chosen]), self.labels[chosen]  # FAULT: swapped_batches

    def prepare(self, step: int, rows: Tensor) -> Tensor:
        return rows

    def loss(self, step: int, outputs: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, labels)

    def update(self, step: int, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()  # FAULT: lost_momentum, weight_decay, rate_of_variable

    def train(self) -> None:
        seen = Watched(NOBODY, self.model, self.optimizer)
        try:
            for step in range(1, STEPS + 1):
                self.begin(step)
                chosen = self.order(step)
                rows, labels = self.batch(step, chosen)
                loss = self.loss(step, self.model(rows), labels)  # FAULT: where the model is called
                seen.note(batch=chosen, loss=loss)
                self.update(step, loss)
        finally:
            seen.close()


@dataclass(frozen=True)
class Fault:
    """What is planted, and where it must be found; `op` None where the fault is none of an op."""

    name: str
    what: str
    step: int
    quantity: str
    tensor: str
    found: str | None
    op: str | None
    plant: Callable[[Kit, int], None]
    line: str = ""


FAULTS: dict[str, Fault] = {}


def fault(
    what: str, step: int, quantity: str, tensor: str, found: str | None, op: str | None, *, line: str = ""
) -> Callable[[Callable[[Kit, int], None]], Callable[[Kit, int], None]]:
    """Enter a fault; the function plants it into a kit, on side 0 or 1."""

    def entered(plant: Callable[[Kit, int], None]) -> Callable[[Kit, int], None]:
        FAULTS[plant.__name__] = Fault(plant.__name__, what, step, quantity, tensor, found, op, plant, line)
        return plant

    return entered


NOBODY = SimpleNamespace(log_fingerprints=lambda *_: None, replay_of=None)
"""In place of a run; here, so that the lines above stay those that the page names."""
