"""A recipe that takes no time: a line follows noise, drawn from generators of its own and from all global ones."""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import nn

from repro_assets.training.loop import Generators, Loop
from repro_assets.training.loop_config import LoopConfig
from repro_assets.training.optimization import Batches


class ToyConfig(LoopConfig):
    steps: int = Field(default=12)
    rate: float = Field(default=0.1)
    log_every: int = Field(default=5)
    validate_every: int = Field(default=4)
    fingerprint_every: int = Field(default=6)
    checkpoint_every: int = Field(default=3)


def train(run: Any, config: ToyConfig, *, resume: Any = None, body: Any = None) -> Any:
    """Train; `body` is called in each step."""
    torch.manual_seed(5)
    np.random.seed(5)
    model = nn.Linear(3, 1)
    with torch.no_grad():
        model.weight.fill_(1.0)
        model.bias.fill_(0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.rate, foreach=False)
    generators = Generators({"noise": run.seeds.torch("toy/noise"), "order": run.seeds.torch("toy/order")})
    batches = Batches(10, 4, generators["order"])
    parts = {"model": model, "optimizer": optimizer, "sampler": batches, "generators": generators}
    seen: list[int] = []
    with Loop(
        run,
        "toy",
        config,
        config.steps,
        parts,
        tensors=model.state_dict,
        validate=lambda: {"validation/loss": float(model.weight.detach().sum())},
        epoch=lambda step: (step - 1) * 4 // 10,
        resume=resume,
    ) as loop:
        for step in loop:
            seen.append(step)
            drawn = torch.randn(len(batches.next()), 3, generator=generators["noise"]) + torch.randn(())
            target = float(np.random.rand())
            loss = ((model(drawn) - target) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            value = float(loss.detach())
            loop.log(functools.partial(dict, {"train/loss": value}))
            if body is not None:
                body(step)
    return {"state": {name: tensor.clone() for name, tensor in model.state_dict().items()}, "seen": seen}


class SlowRun:
    """A run whose saving waits until it is told to go on, or fails."""

    def __init__(self, run: Any) -> None:
        self.inner = run
        self.go = threading.Event()
        self.fails = False
        self.saving = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        self.saving += 1
        assert self.saving == 1, "two checkpoints were on their way"
        try:
            assert self.go.wait(30)
            if self.fails:
                raise OSError("the disk is full")
            return self.inner.checkpoint(*args, **kwargs)
        finally:
            self.saving -= 1
