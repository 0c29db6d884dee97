"""A training by the loop, which can be told to part from itself: definitions of their own."""

import os
import threading
from typing import Any

import dagster as dg
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from repro_assets.orchestration.code import asset_version
from repro_assets.orchestration.config import TrainingConfig
from repro_assets.orchestration.io_manager import ArtifactIOManager
from repro_assets.orchestration.resource import Repro
from repro_assets.training.loop import Generators, Loop
from repro_assets.training.loop_config import LoopConfig
from repro_assets.training.optimization import Batches


class LoopedConfig(LoopConfig):
    """What it does, and what it does wrong."""

    steps: int = Field(default=12, ge=1)
    fingerprint_every: int = Field(default=4, ge=0)
    checkpoint_every: int = Field(default=4, ge=0)
    rate_from_six: float = 0.1
    noisy_from: int = 0


@torch.library.custom_op("small::noisy", mutates_args=())
def noisy(values: torch.Tensor) -> torch.Tensor:
    """Add what no seed governs."""
    return values + int.from_bytes(os.urandom(4), "little") / 2**40


@noisy.register_fake
def _(values: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(values)


noisy.register_autograd(lambda _, gradient: gradient)


class Model(nn.Module):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 8), nn.Linear(8, 2)
        self.noise = False

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        values = torch.tanh(self.inner(values))
        if self.noise:
            values = noisy(values)
        return self.outer(values)


def end_as_asked(run: Any, step: int) -> None:
    """Fail, or give this process a signal, after the step that a test names."""
    how, _, at = os.environ.get("SMALL_ENDS", "").partition(":")
    if at != str(step):
        return
    run.flush()
    # A kill loses the checkpoint that is on its way to the disk; which one that is depends on the machine.
    for thread in threading.enumerate():
        if thread.name == "repro-checkpoint":
            thread.join()
    if how == "fails":
        raise RuntimeError("failed as the test asked")
    os.kill(os.getpid(), int(how))


def looped(run: Any, config: LoopedConfig, *, resume: Any = None) -> dict[str, Any]:
    """Train a model on noise."""
    generators = Generators({name: run.seeds.torch(f"looped/{name}") for name in ("data", "order")})
    with torch.random.fork_rng():
        torch.manual_seed(run.seeds.derive("looped/model"))
        model = Model()
    inputs = torch.randn(32, 4, generator=generators["data"])
    labels = (inputs.sum(dim=1) > 0).long()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, foreach=False)
    batches = Batches(32, 8, generators["order"])
    parts = {"model": model, "optimizer": optimizer, "sampler": batches, "generators": generators}
    with Loop(run, "looped", config, config.steps, parts, tensors=model.state_dict, resume=resume) as loop:
        for step in loop:
            chosen = batches.next()
            model.noise = 0 < config.noisy_from <= step
            loss = functional.cross_entropy(model(inputs[chosen]), labels[chosen])
            loop.note(batch=chosen, loss=loss)
            optimizer.param_groups[0]["lr"] = config.rate_from_six if step >= 6 else 0.1
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            value = float(loss.detach())
            loop.log(lambda: {"train/loss": value})  # noqa: B023
            end_as_asked(run, step)
    return {"state": {name: tensor.clone() for name, tensor in model.state_dict().items()}}


class LoopedAssetConfig(LoopedConfig, TrainingConfig):
    """Config of the asset."""


@dg.asset(code_version=asset_version(looped))
def model(context: dg.AssetExecutionContext, repro: Repro, config: LoopedAssetConfig) -> dg.MaterializeResult[Any]:
    """A model that is trained by the loop."""
    return repro.execute(context, looped, config, {})


defs = dg.Definitions(assets=[model], resources={"repro": Repro(), "io_manager": ArtifactIOManager()})
