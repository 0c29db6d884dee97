"""A small network that can grow, and when it does: seeds that germinate, blend in and are active.

Laws: a dormant seed has no effect and no gradient; a seed that germinates and a seed that becomes active change no
output by a single bit, because its last layer is zero before it has learnt and because it is blended in wholly before
it is called active; all seeds have their initial weights from the beginning, so a state has the same shape whenever it
is saved; the scaler belongs to the network and is fitted once, on the inputs that it is given for that.

A seed adds to the last hidden state: h += alpha * MLP([h, x]). `Germination` decides from one validation loss and one
accuracy for each epoch and knows nothing of torch's optimizers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from repro_assets.errors import InvalidInput

DORMANT, BLENDING, ACTIVE = "dormant", "blending", "active"
STAGES = (DORMANT, BLENDING, ACTIVE)
_REMEDY = "give a model that the recipe of the growing network made"


class GrowingShape(BaseModel):
    """Sizes of a growing network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: int = Field(ge=1, description="numbers that describe an example")
    classes: int = Field(default=2, ge=2)
    width: int = Field(ge=1, description="width of both hidden layers")
    seeds: int = Field(ge=0, description="seeds that may germinate")
    seed_width: int = Field(ge=1, description="width of a seed's two hidden layers")
    gain: float = Field(gt=0, description="what standardized inputs are multiplied by")


class Seed(nn.Module):
    """What a seed adds to the hidden state; nothing before it has learnt."""

    def __init__(self, shape: GrowingShape, generator: torch.Generator) -> None:
        super().__init__()
        sizes = (shape.width + shape.inputs, shape.seed_width, shape.seed_width, shape.width)
        self.layers = _layers(sizes, generator)
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, hidden: Tensor, inputs: Tensor) -> Tensor:
        """Return what is added, float32 [n, width]."""
        state = torch.cat([hidden, inputs], dim=1)
        for layer in self.layers[:-1]:
            state = layer(state).relu()
        added: Tensor = self.layers[-1](state)
        return added


class GrowingNetwork(nn.Module):
    """Two hidden layers, seeds on the second one, and a head.

    Parameters
    ----------
    shape : GrowingShape
        Sizes.
    generator : torch.Generator
        Draws the initial weights: base, head, then one seed after the other, so that what a network shares with one of
        more seeds is equal.

    Attributes
    ----------
    alphas : list of float
        Share of each seed that is blended in, 0 to 1.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: GrowingShape, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = shape
        self.alphas = [0.0] * shape.seeds
        self.register_buffer("mean", torch.zeros(shape.inputs))
        self.register_buffer("scale", torch.ones(shape.inputs))
        self.base = _layers((shape.inputs, shape.width, shape.width), generator)
        self.head = _layers((shape.width, shape.classes), generator)[0]
        self.seeds = nn.ModuleList([Seed(shape, generator) for _ in range(shape.seeds)])

    def fit_scaler(self, inputs: Tensor) -> None:
        """Take mean and standard deviation of each input from float32 [n, inputs]; a constant one is only centred."""
        exact = inputs.double()
        deviation = exact.std(dim=0, correction=0)
        self.mean.copy_(exact.mean(dim=0))
        self.scale.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def scaled(self, inputs: Tensor) -> Tensor:
        """Return raw inputs as the layers see them."""
        return (inputs - self.mean) / self.scale * self.shape.gain

    def hidden_states(self, inputs: Tensor) -> list[Tensor]:
        """Return the hidden state of the base and after each seed, each float32 [n, width], from scaled inputs."""
        hidden = inputs
        for layer in self.base:
            hidden = layer(hidden).relu()
        states = [hidden]
        for alpha, seed in zip(self.alphas, self.seeds, strict=True):
            if alpha:
                hidden = hidden + alpha * seed(hidden, inputs)
            states.append(hidden)
        return states

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits, float32 [n, classes], from scaled inputs."""
        logits: Tensor = self.head(self.hidden_states(inputs)[-1])
        return logits


def _layers(sizes: tuple[int, ...], generator: torch.Generator) -> nn.ModuleList:
    """Linear layers between these sizes, uniform within 1 / sqrt(inputs of the layer) as `torch.nn.Linear` draws."""
    layers = nn.ModuleList()
    for inputs, outputs in itertools.pairwise(sizes):
        # Made without values, because `Linear` draws them from the global generator.
        layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
        bound = 1 / math.sqrt(inputs)
        with torch.no_grad():
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)
        layers.append(layer)
    return layers


def to_value(network: GrowingNetwork) -> dict[str, Any]:
    """Return a network as a value: ``architecture``, ``alphas`` and ``state``."""
    return {
        "architecture": network.shape.model_dump(),
        "alphas": list(network.alphas),
        "state": {name: tensor.detach().clone() for name, tensor in network.state_dict().items()},
    }


def from_value(value: Mapping[str, Any]) -> GrowingNetwork:
    """Return the network of a value.

    Raises
    ------
    InvalidInput
        If it is none.
    """
    try:
        shape = GrowingShape(**value["architecture"])
        network = GrowingNetwork(shape, torch.Generator().manual_seed(0))
        network.load_state_dict({name: torch.as_tensor(part).clone() for name, part in value["state"].items()})
        network.alphas = [float(alpha) for alpha in value["alphas"]]
    except (KeyError, TypeError, ValidationError, RuntimeError, AttributeError) as error:
        raise InvalidInput(f"this is no growing network: {error}", _REMEDY) from error
    if len(network.alphas) != shape.seeds:
        raise InvalidInput(f"this is no growing network: {len(network.alphas)} alphas of {shape.seeds} seeds", _REMEDY)
    return network


class Germination:
    """Which stage each seed is in, and what an epoch's figures change.

    Parameters
    ----------
    seeds : int
        How many there are.
    patience : int
        Epochs without improvement that make a plateau.
    least_improvement : float
        By how much the validation loss must fall below the best one to count.
    enough : float
        Validation accuracy at which nothing germinates any more.
    blending_epochs : int
        Epochs in which alpha rises from 1 / `blending_epochs` to 1.
    """

    def __init__(
        self, seeds: int, *, patience: int, least_improvement: float, enough: float, blending_epochs: int
    ) -> None:
        self.stages = [DORMANT] * seeds
        self.blended = [0] * seeds
        self.best = math.inf
        self.waited = 0
        self._patience, self._least, self._enough = patience, least_improvement, enough
        self._blending_epochs = blending_epochs
        # Of the newest seed: accuracy when it germinated, the lowest since, epochs since, and after how many of them it
        # was back from its lowest; None once that has been told.
        self.recovery: dict[str, Any] | None = None

    @property
    def newest(self) -> int | None:
        """The seed that germinated last."""
        grown = sum(stage != DORMANT for stage in self.stages)
        return grown - 1 if grown else None

    def alphas(self) -> list[float]:
        """Share of each seed that is blended in; exactly 1 at the end of its blending."""
        return [done / self._blending_epochs for done in self.blended]

    def activate_all(self) -> None:
        """Make every seed active at once, as in a network that is large from the start."""
        self.stages = [ACTIVE] * len(self.stages)
        self.blended = [self._blending_epochs] * len(self.blended)

    def after_epoch(self, loss: float, accuracy: float) -> list[tuple[str, dict[str, Any]]]:
        """Take an epoch's validation figures and return what happens now, as (event, details).

        The events are ``activation``, ``recovery`` and ``germination``. A seed germinates on a plateau, unless another
        is still blending, none is dormant, or the accuracy is enough. A recovery tells the ``dip`` of the accuracy
        since the germination and after how many ``epochs`` it was back from its lowest: 0 if there was no dip, None if
        it was not back when the next seed germinated or training ended.
        """
        newest = self.newest
        events: list[tuple[str, dict[str, Any]]] = []
        if newest is not None and self.stages[newest] == BLENDING:
            if self.blended[newest] == self._blending_epochs:
                self.stages[newest] = ACTIVE
                events.append(("activation", {"seed": newest, "accuracy": accuracy}))
            else:
                self.blended[newest] += 1
        events += self._recover(accuracy)
        if loss < self.best - self._least:
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
        if self.waited >= self._patience and accuracy < self._enough and self._free():
            seed = 0 if newest is None else newest + 1
            events += self._told()
            details = {"seed": seed, "accuracy": accuracy, "loss": loss, "best_loss": self.best, "epochs": self.waited}
            events.append(("germination", details))
            self.stages[seed], self.blended[seed] = BLENDING, 1
            self.best, self.waited = math.inf, 0
            self.recovery = {"before": accuracy, "lowest": accuracy, "epochs": 0, "back": 0}
        return events

    def _free(self) -> bool:
        return DORMANT in self.stages and BLENDING not in self.stages

    def _recover(self, accuracy: float) -> list[tuple[str, dict[str, Any]]]:
        """Watch the newest seed until it is active and the accuracy is back."""
        if self.recovery is None:
            return []
        self.recovery["epochs"] += 1
        if accuracy < self.recovery["lowest"]:
            self.recovery["lowest"], self.recovery["back"] = accuracy, None
        elif self.recovery["back"] is None and accuracy >= self.recovery["before"]:
            self.recovery["back"] = self.recovery["epochs"]
        over = self.recovery["back"] is not None and BLENDING not in self.stages
        return self._told() if over else []

    def _told(self) -> list[tuple[str, dict[str, Any]]]:
        if self.recovery is None:
            return []
        dip, epochs = self.recovery["before"] - self.recovery["lowest"], self.recovery["back"]
        self.recovery = None
        return [("recovery", {"seed": self.newest, "recovered": epochs is not None, "dip": dip, "epochs": epochs})]

    def at_the_end(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what there is to say when training ends: a recovery that was still watched."""
        return self._told()

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        return {
            "stages": list(self.stages),
            "blended": list(self.blended),
            "best": self.best,
            "waited": self.waited,
            "recovery": None if self.recovery is None else dict(self.recovery),
        }

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state.

        Raises
        ------
        InvalidInput
            If it is one of another number of seeds.
        """
        stages, blended = list(state["stages"]), [int(done) for done in state["blended"]]
        if len(stages) != len(self.stages) or len(blended) != len(stages) or not set(stages) <= set(STAGES):
            raise InvalidInput(
                f"the checkpoint has the stages {stages}, not those of {len(self.stages)} seeds",
                "give a checkpoint of this recipe",
            )
        self.stages, self.blended = stages, blended
        self.best, self.waited = float(state["best"]), int(state["waited"])
        recovery = state["recovery"]
        self.recovery = None if recovery is None else dict(recovery)
