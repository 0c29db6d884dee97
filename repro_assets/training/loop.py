"""The loop of every recipe that trains by gradients: figures, fingerprints, validation, checkpoints, signals.

Laws: continuing from a checkpoint gives the bits of never having stopped; neither cadence nor policy changes a bit of
what is trained; the last step is always logged, fingerprinted, validated and saved; a signal ends the loop only between
two steps, after a checkpoint of the step before it is durable; whatever ends the loop, what was on its way to the disk
is there or its error is raised.

A recipe gives the parts that its next step depends on, and iterates::

    with Loop(run, "sft", config, config.steps, {"model": model, "optimizer": optimizer}, ...) as loop:
        for step in loop:
            loss = ...
            loop.log(lambda: {"train/loss": float(loss)})
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field

from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.recording.tracing import Laps
from repro_assets.training.checkpoint_policy import CheckpointPolicy, Mark
from repro_assets.training.checkpoint_state import Stateful, envelope, restore
from repro_assets.training.checkpointing import Checkpointing
from repro_assets.training.interruption import Interruption

if TYPE_CHECKING:
    from repro_assets.recording.run import Run

__all__ = ["Generators", "Loop", "LoopConfig", "Stateful"]


class LoopConfig(BaseModel):
    """Cadence of a loop and its policy of checkpoints; the config of every recipe with a loop is one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    CHANGES_NO_BITS: ClassVar[frozenset[str]] = frozenset(
        {
            "log_every",
            "validate_every",
            "fingerprint_every",
            "checkpoint_every",
            "checkpoint_epochs",
            "checkpoint_best",
            "checkpoint_mode",
            "checkpoint_keep",
            "checkpoint_in_background",
        }
    )
    """Fields that may differ between a checkpoint and what continues from it; a recipe may have more."""

    log_every: int = Field(default=10, ge=1, description="updates between points of the training curve")
    validate_every: int = Field(default=100, ge=1, description="updates between validations")
    fingerprint_every: int = Field(default=50, ge=1, description="updates between fingerprints of the parameters")
    checkpoint_every: int = Field(default=200, ge=0, description="updates between checkpoints; 0: only the last")
    checkpoint_epochs: int = Field(default=0, ge=0, description="also a checkpoint every so many epochs; 0: none")
    checkpoint_best: str = Field(default="", description="also one where this validation figure is the best so far")
    checkpoint_mode: Literal["min", "max"] = Field(default="max", description="whether less or more is best")
    checkpoint_keep: int = Field(default=0, ge=0, description="keep so many of the newest and of the best; 0: all")
    checkpoint_in_background: bool = Field(default=True, description="store checkpoints while training goes on")

    def deciding(self) -> dict[str, Any]:
        """Return the fields that decide bits.

        Those are what this class or a recipe's config declares; what a mix-in adds, such as an asset's pins, is not the
        recipe's.
        """
        own = {
            name for cls in type(self).__mro__ if issubclass(cls, LoopConfig) for name in inspect.get_annotations(cls)
        }
        values = self.model_dump(mode="json")
        return {name: value for name, value in values.items() if name in own - self.CHANGES_NO_BITS}


class Generators:
    """Named generators as one part of a state.

    Parameters
    ----------
    generators : mapping
        Name to generator.
    """

    def __init__(self, generators: Mapping[str, torch.Generator]) -> None:
        self._generators = dict(generators)

    def __getitem__(self, name: str) -> torch.Generator:
        return self._generators[name]

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each, uint8."""
        return {name: generator.get_state() for name, generator in self._generators.items()}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Continue each from its state.

        Raises
        ------
        InvalidInput
            If the state is one of other generators.
        """
        if set(state) != set(self._generators):
            raise InvalidInput(
                f"the checkpoint holds the generators {', '.join(sorted(state))}, not "
                f"{', '.join(sorted(self._generators))}",
                "give a checkpoint of this recipe",
            )
        for name, generator in self._generators.items():
            generator.set_state(state[name])


class Loop:
    """Yields the steps of a training and does after each what is due.

    Parameters
    ----------
    run : Run
        Takes figures, fingerprints and checkpoints.
    recipe : str
        Of what a checkpoint is; it continues no other.
    config : LoopConfig
        The recipe's config.
    steps : int
        The last step.
    parts : mapping
        All that the next step's bits depend on, beside the global generators.
    tensors : callable
        What is fingerprinted.
    validate : callable, optional
        Measures the figures of the validation, which are logged. It must neither change a part nor draw from a
        generator that training draws from: how often it is called is nobody's promise.
    epoch : callable, optional
        The epoch of a step, from 0: a function of the step and the config alone.
    resume : mapping, optional
        Value of a checkpoint to go on from; the parts are put into its state here.

    Attributes
    ----------
    done : int
        Steps that have been made, those before a resumption included.

    Raises
    ------
    InvalidInput
        If `resume` is not a checkpoint of this recipe, config and data.
    InvalidValue
        If the policy needs epochs or figures that the recipe does not have.
    """

    def __init__(
        self,
        run: Run,
        recipe: str,
        config: LoopConfig,
        steps: int,
        parts: Mapping[str, Stateful],
        *,
        tensors: Callable[[], Mapping[str, torch.Tensor]],
        validate: Callable[[], dict[str, float]] | None = None,
        epoch: Callable[[int], int] | None = None,
        resume: Mapping[str, Any] | None = None,
    ) -> None:
        if config.checkpoint_best and validate is None:
            raise InvalidValue(f"{recipe} has no validation to choose checkpoints by", "leave checkpoint_best empty")
        if config.checkpoint_epochs and epoch is None:
            raise InvalidValue(f"{recipe} has no epochs to save checkpoints at", "set checkpoint_every instead")
        self.done = 0
        self._run, self._recipe, self._config, self._steps = run, recipe, config, steps
        self._parts, self._tensors, self._validate, self._epoch = dict(parts), tensors, validate, epoch
        self._policy = CheckpointPolicy(
            every=config.checkpoint_every,
            epochs=config.checkpoint_epochs,
            best=config.checkpoint_best,
            mode=config.checkpoint_mode,
            keep=config.checkpoint_keep,
        )
        if resume is not None:
            self.done, memory = restore(resume, recipe, config.deciding(), self._parts)
            self._policy.load_state_dict(memory)
        self._checkpoints = Checkpointing(run, background=config.checkpoint_in_background)
        self._laps = Laps("epoch", "epoch")
        self._signals = Interruption()
        self._step = self.done
        self._entered = False

    def __enter__(self) -> Self:
        self._signals.__enter__()
        self._laps.__enter__()
        self._entered = True
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            # After a second signal nobody waits: the store is as whole as after a kill.
            if not self._signals.hasty:
                self._checkpoints.wait()
        finally:
            self._laps.__exit__(kind, error, trace)
            self._signals.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[int]:
        if not self._entered:
            raise InvalidValue("the loop has not been entered, so nothing would wait for its checkpoints", "use `with`")
        for step in range(self.done + 1, self._steps + 1):
            self._step = step
            if self._epoch is not None:
                self._laps.at(self._epoch(step))
            yield step
            self.done = step
            self._after(step)

    def log(self, metrics: Callable[[], Mapping[str, float]]) -> None:
        """Record figures of the step that is being made, where they are due; only then are they computed.

        Parameters
        ----------
        metrics : callable
            Returns name to value.
        """
        if self._due(self._config.log_every):
            self._run.log_metrics(metrics(), self._step)

    def _due(self, every: int) -> bool:
        return self._step % every == 0 or self._step == self._steps

    def _after(self, step: int) -> None:
        if self._due(self._config.fingerprint_every):
            self._run.log_fingerprints(step, self._tensors())
        measured = None
        if self._validate is not None and self._due(self._config.validate_every):
            measured = self._validate()
            self._run.log_metrics(measured, step)
        epochs = None if self._epoch is None else (self._epoch(step), self._epoch(step + 1))
        save, drop = self._policy.decide(step, last=step == self._steps, epochs=epochs, measured=measured)
        ending = self._signals.number is not None and step < self._steps
        if ending:
            save.append(Mark("signal", step))
        if save:
            state = envelope(self._recipe, self._config.deciding(), step, self._policy.state_dict(), self._parts)
            self._checkpoints.save(state, save, step=step, metrics=measured, drop=drop, durable=ending)
        if ending:
            self._run.flush()
            self._signals.deliver()
