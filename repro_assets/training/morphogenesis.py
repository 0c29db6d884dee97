"""Morphogenesis: a network that is too small grows where training has come to a plateau.

Warm-up (``phase_1``) trains base and head. When the validation loss has not improved for some epochs and the accuracy
is not enough, a dormant seed germinates: it is blended in epoch by epoch and then active. From then on (``phase_2``)
only the newest seed and the head are trained, by an optimizer made anew.

Laws: what germinates or becomes active changes no output (`repro_assets.training.growing`), and the event says by how
much the logits moved; the scaler is fitted on the train split alone, plateaus are found on the validation split, the
test split is never read; the model that is returned is the one after the last step; all three ways of `growth` make the
same number of updates on the same batches from the same initial weights; equal inputs, config and seed give equal bits;
continuing from a checkpoint, also in the middle of a blending, gives the bits of never having stopped.

Seeds: ``morphogenesis/initialisation``, ``morphogenesis/batches``.

The learning rate falls by half a cosine to zero within each stage. A stage may last an equal share of the steps that
are left, for itself and each dormant seed; what a plateau ends sooner is left to the later ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from repro_assets.errors import InvalidInput
from repro_assets.training import growing, optimization, synthetic
from repro_assets.training.growing import ACTIVE, STAGES, Germination, GrowingNetwork, GrowingShape
from repro_assets.training.loop import Generators, Loop, Stateful
from repro_assets.training.loop_config import LoopConfig

if TYPE_CHECKING:
    from repro_assets.recording.run import Run

RECIPE = "morphogenesis"
WARM_UP, ADAPTATION = "phase_1", "phase_2"


class MorphogenesisConfig(LoopConfig):
    """Settings of the growing network and its controls."""

    growth: Literal["seeds", "none", "large"] = Field(
        default="seeds",
        description="seeds that germinate; none: the base alone; large: all seeds active from the start",
    )
    steps: int = Field(default=2000, ge=1, le=1_000_000, description="updates, in all phases together")
    batch_size: int = Field(default=256, ge=1, le=100_000, description="points in an update")
    learning_rate: float = Field(default=1e-2, gt=0, le=1, description="peak learning rate of Adam in each stage")
    clip_norm: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    width: int = Field(default=10, ge=1, le=4096, description="width of the base's two hidden layers")
    seeds: int = Field(default=3, ge=0, le=64, description="seeds that may germinate")
    seed_width: int = Field(default=16, ge=1, le=4096, description="width of a seed's two hidden layers")
    gain: float = Field(default=3.0, gt=0, le=1000, description="what standardized inputs are multiplied by")
    patience: int = Field(default=15, ge=1, le=100_000, description="epochs without improvement that make a plateau")
    least_improvement: float = Field(default=5e-4, ge=0, description="fall of the validation loss that counts as one")
    enough: float = Field(default=0.95, ge=0, le=1, description="validation accuracy at which nothing germinates")
    blending_epochs: int = Field(default=30, ge=1, le=10_000, description="epochs in which a seed's alpha rises to 1")
    log_every: int = Field(default=25, ge=1, description="updates between points of the training curve")
    validate_every: int = Field(default=500, ge=1, description="updates between validations")
    checkpoint_every: int = Field(default=500, ge=0, description="updates between checkpoints; 0: only the last")


def train_morphogenesis(
    run: Run,
    config: MorphogenesisConfig,
    dataset: Mapping[str, Any],
    *,
    resume: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train a growing network, or one of its controls.

    Parameters
    ----------
    run : Run
        Gives the seeds. Takes ``train/loss``, ``train/learning_rate`` and ``train/gradient_norm``; for each epoch
        ``epoch/accuracy`` and ``epoch/loss`` (validation, what germination is decided by), ``epoch/phase`` (1 or 2)
        and for each seed ``seed/I/alpha``, ``seed/I/stage`` (0 dormant, 1 blending, 2 active) and ``seed/I/drift`` (by
        how much it changes the hidden state, relative to the state's norm); ``validation/accuracy``,
        ``validation/loss`` and ``train/accuracy`` (whole splits); the events ``phase``, ``germination``,
        ``activation`` and ``recovery``; checkpoints and fingerprints.
    config : MorphogenesisConfig
        Settings.
    dataset : mapping
        What `repro_assets.training.synthetic.generate_synthetic` made.
    resume : mapping, optional
        Value of a checkpoint of this recipe to go on from.

    Returns
    -------
    dict
        The model, as `repro_assets.training.growing.to_value` makes it, with its scaler.

    Raises
    ------
    InvalidInput
        If the data set is malformed; if `resume` is not a checkpoint of this recipe, config and data.
    FloatingPointError
        If the loss is no longer a number.
    """
    training = _Training(run, config, dataset, first=resume is None)
    parts: dict[str, Stateful] = {
        "network": training.network,
        "germination": training.germination,
        "stage": training.stage,
        "batches": training.batches,
        "generators": Generators({"batches": training.batches.generator}),
    }
    with Loop(
        run,
        RECIPE,
        config,
        config.steps,
        parts,
        tensors=training.network.state_dict,
        validate=training.validate,
        epoch=training.epoch,
        resume=resume,
    ) as loop:
        training.network.alphas = training.germination.alphas()
        for step in loop:
            chosen, loss, rate, norm = training.update(step)
            loop.note(batch=chosen, loss=loss)
            loop.log(lambda: {"train/loss": float(loss), "train/learning_rate": rate, "train/gradient_norm": norm})
            if training.epoch(step + 1) > training.epoch(step):
                training.end_epoch(step)
    training.end(config.steps)
    return growing.to_value(training.network)


class _Stage:
    """What is trained now, since when and for how long, and the optimizer that does it."""

    def __init__(self, network: GrowingNetwork, learning_rate: float) -> None:
        self._network = network
        self._rate = learning_rate
        self.trained, self.since, self.length = "", 0, 1
        self.optimizer: torch.optim.Adam

    def begin(self, trained: str, since: int, length: int) -> None:
        """Train ``base``, ``all`` or the seed of this number from `since` on, with the head and a new optimizer."""
        network = self._network
        modules: list[nn.Module]
        if trained == "all":
            modules = [network]
        else:
            modules = [network.base if trained == "base" else network.seeds[int(trained)], network.head]
        network.requires_grad_(False)
        network.zero_grad(set_to_none=True)
        for module in modules:
            module.requires_grad_(True)
        # In the network's own order. A set has another one in each process, and with it the gradient's norm, a sum over
        # them, has other last bits.
        chosen = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.trained, self.since, self.length = trained, since, length
        self.optimizer = torch.optim.Adam(chosen, lr=self._rate, foreach=False, fused=False)

    def rate(self, step: int) -> float:
        """Learning rate of update `step`: half a cosine from the peak to 0, and 0 after the stage's length."""
        done = min(1.0, (step - 1 - self.since) / self.length)
        return self._rate * 0.5 * (1 + math.cos(math.pi * done))

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        return {
            "trained": self.trained,
            "since": self.since,
            "length": self.length,
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state, with an optimizer for what was trained then."""
        self.begin(str(state["trained"]), int(state["since"]), int(state["length"]))
        self.optimizer.load_state_dict(state["optimizer"])


class _Training:
    """A training in flight."""

    def __init__(self, run: Run, config: MorphogenesisConfig, dataset: Mapping[str, Any], *, first: bool) -> None:
        self._run, self._config = run, config
        # Copies that torch has made, so that nothing depends on where another library put the arrays.
        self._inputs, self._labels = map(torch.tensor, synthetic.split_of("train", dataset))
        shown, self._shown_labels = map(torch.tensor, synthetic.split_of("validation", dataset))
        if shown.shape[1] != self._inputs.shape[1]:
            raise InvalidInput(
                f"the train split has {self._inputs.shape[1]} inputs and the validation split {shown.shape[1]}",
                "give a data set whose splits belong together",
            )
        shape = GrowingShape(
            inputs=self._inputs.shape[1],
            classes=synthetic.CLASSES,
            width=config.width,
            seeds=config.seeds if config.growth != "none" else 0,
            seed_width=config.seed_width,
            gain=config.gain,
        )
        self.network = GrowingNetwork(shape, run.seeds.torch("morphogenesis/initialisation"))
        self.network.fit_scaler(self._inputs)
        self._inputs, self._shown = self.network.scaled(self._inputs), self.network.scaled(shown)
        self.batches = optimization.Batches(
            len(self._inputs), config.batch_size, run.seeds.torch("morphogenesis/batches")
        )
        self.germination = Germination(
            shape.seeds,
            patience=config.patience,
            least_improvement=config.least_improvement,
            enough=config.enough,
            blending_epochs=config.blending_epochs,
        )
        self.stage = _Stage(self.network, config.learning_rate)
        if config.growth == "large":
            self.germination.activate_all()
        self._begin_stage("all" if config.growth == "large" else "base", 0)
        if first:
            run.log_event("phase", 0, phase=WARM_UP, trained=self.stage.trained)

    def epoch(self, step: int) -> int:
        """Epoch of a step, from 0: how often all points had been seen before it."""
        return (step - 1) * self._config.batch_size // len(self._inputs)

    def update(self, step: int) -> tuple[Tensor, Tensor, float, float]:
        """Make one update; return the batch (int64 positions), loss, learning rate and the gradient's norm."""
        chosen = self.batches.next()
        loss = functional.cross_entropy(self.network(self._inputs[chosen]), self._labels[chosen])
        rate = self.stage.rate(step)
        norm = optimization.update(self.network, self.stage.optimizer, loss, rate, self._config.clip_norm)
        return chosen, loss.detach(), rate, norm

    @torch.no_grad()
    def end_epoch(self, step: int) -> None:
        """Measure, and let happen what the figures ask for."""
        states = self.network.hidden_states(self._shown)
        logits = self.network.head(states[-1])
        loss, accuracy = _figures(logits, self._shown_labels)
        metrics = {"epoch/loss": loss, "epoch/accuracy": accuracy, "epoch/phase": 1 + (self._phase == ADAPTATION)}
        for seed, stage in enumerate(self.germination.stages):
            metrics[f"seed/{seed}/alpha"] = self.network.alphas[seed]
            metrics[f"seed/{seed}/stage"] = STAGES.index(stage)
            metrics[f"seed/{seed}/drift"] = _drift(states[seed], states[seed + 1])
        self._run.log_metrics(metrics, step)
        if self._config.growth != "seeds":
            return
        events = self.germination.after_epoch(loss, accuracy)
        self.network.alphas = self.germination.alphas()
        for event, details in events:
            if event == "recovery":
                self._log_recovery(step, details)
                continue
            jump = float((self.network(self._shown) - logits).abs().max())
            self._run.log_event(event, step, **details, jump=jump)
            if event == "germination":
                self._adapt(int(details["seed"]), step)

    @property
    def _phase(self) -> str:
        return WARM_UP if self.stage.trained in ("base", "all") else ADAPTATION

    def _adapt(self, seed: int, step: int) -> None:
        first = self._phase == WARM_UP
        self._begin_stage(str(seed), step)
        if first:
            self._run.log_event("phase", step, phase=ADAPTATION, trained=self.stage.trained)

    def _begin_stage(self, trained: str, since: int) -> None:
        # Without growth there are no later stages that want their share.
        later = 0 if self._config.growth != "seeds" else self.germination.stages.count(growing.DORMANT)
        self.stage.begin(trained, since, max(1, (self._config.steps - since) // (later + 1)))

    def _log_recovery(self, step: int, details: dict[str, Any]) -> None:
        self._run.log_event("recovery", step, **details)
        seed = details["seed"]
        metrics = {f"seed/{seed}/dip": details["dip"]}
        if details["recovered"]:
            metrics[f"seed/{seed}/recovery_epochs"] = details["epochs"]
        self._run.log_metrics(metrics, step)

    def end(self, step: int) -> None:
        """Say what is left to say after the last step."""
        for _, details in self.germination.at_the_end():
            self._log_recovery(step, details)
        active = self.germination.stages.count(ACTIVE)
        self._run.log_metrics({"seeds/active": active, "seeds/grown": sum(map(bool, self.network.alphas))}, step)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Figures of the whole validation and train splits."""
        loss, accuracy = _figures(self.network(self._shown), self._shown_labels)
        _, train = _figures(self.network(self._inputs), self._labels)
        return {"validation/loss": loss, "validation/accuracy": accuracy, "train/accuracy": train}


def _figures(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy in nats, and accuracy."""
    right = (logits.argmax(dim=1) == labels).double().mean()
    return float(functional.cross_entropy(logits, labels)), float(right)


def _drift(before: Tensor, after: Tensor) -> float:
    """Norm of the change, relative to the norm before it; 0 where nothing changed."""
    change = float((after - before).norm())
    return change / max(float(before.norm()), 1e-12) if change else 0.0
