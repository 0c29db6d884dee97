"""The loop of every recipe that trains by gradients: figures, fingerprints, validation, checkpoints, signals.

Laws: continuing from a checkpoint gives the bits of never having stopped; neither cadence nor policy changes a bit of
what is trained; the last step is always logged, fingerprinted, validated and saved; a signal ends the loop only between
two steps, after a checkpoint of the step before it is durable; whatever ends the loop, what was on its way to the disk
is there or its error is raised. Of several ranks the first one validates and records, all wait for it, all stop after
the same step, and nothing is saved unless their parameters are equal.

A recipe gives the parts that its next step depends on, and iterates::

    with Loop(run, "sft", config, config.steps, {"model": model, "optimizer": optimizer}, ...) as loop:
        for step in loop:
            loss = ...
            loop.log(lambda: {"train/loss": float(loss)})
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import torch

from repro_assets.artifacts import repository
from repro_assets.determinism.fingerprints import fingerprint
from repro_assets.determinism.probe import Enough
from repro_assets.determinism.stops import stop_of
from repro_assets.determinism.watching import Watch
from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.identity.digest import Digest
from repro_assets.recording.interruption import Interruption
from repro_assets.recording.tracing import Laps
from repro_assets.training.checkpoint_policy import CheckpointPolicy, Mark
from repro_assets.training.checkpoint_state import Stateful, envelope, restore, states_of_globals
from repro_assets.training.checkpointing import Checkpointing
from repro_assets.training.loop_config import LoopConfig
from repro_assets.training.ranks import Ranks, check_equal

if TYPE_CHECKING:
    from repro_assets.recording.run import Run

__all__ = ["Generators", "Loop", "Stateful"]

ALONE = Ranks()


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

    def named(self) -> dict[str, torch.Generator]:
        """Return the generators by name."""
        return dict(self._generators)

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
    ranks : Ranks
        The processes that make each step together. All of them iterate, and give equal parts and equal tensors.

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
        ranks: Ranks = ALONE,
    ) -> None:
        if config.checkpoint_best and validate is None:
            raise InvalidValue(f"{recipe} has no validation to choose checkpoints by", "leave checkpoint_best empty")
        if config.checkpoint_epochs and epoch is None:
            raise InvalidValue(f"{recipe} has no epochs to save checkpoints at", "set checkpoint_every instead")
        self.done = 0
        self._ranks = ranks
        self._run, self._recipe, self._config, self._steps = run, recipe, config, steps
        self._parts, self._tensors, self._validate, self._epoch = dict(parts), tensors, validate, epoch
        self._policy = CheckpointPolicy(
            every=config.checkpoint_every,
            epochs=config.checkpoint_epochs,
            best=config.checkpoint_best,
            mode=config.checkpoint_mode,
            keep=config.checkpoint_keep,
        )
        model, generators = parts.get("model"), parts.get("generators")
        self._watch = Watch(
            run.log_fingerprints,
            tensors,
            model=model if isinstance(model, torch.nn.Module) else None,
            generators=generators.named() if isinstance(generators, Generators) else None,
            every=config.fingerprint_every,
            gradients=config.fingerprint_gradients,
            replay_of=run.replay_of,
        )
        self._stop = None if self._watch.probe is not None else stop_of(run.replay_of)
        if self._watch.probe is not None and self._watch.probe.orders.checkpoint is not None:
            resume = repository.by_digest(run.home, Digest.parse(self._watch.probe.orders.checkpoint)).load()
        if resume is not None:
            resume = config.completed(resume)
            self.done, memory = restore(resume, recipe, config.deciding(), self._parts, ranks.rank)
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
            self._watch.close()
            self._laps.__exit__(kind, error, trace)
            self._signals.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[int]:
        if not self._entered:
            raise InvalidValue("the loop has not been entered, so nothing would wait for its checkpoints", "use `with`")
        if self._ranks.first:
            self._watch.start(self.done)
        for step in range(self.done + 1, self._steps + 1):
            self._step = step
            if self._epoch is not None:
                self._laps.at(self._epoch(step))
            self._watch.before(step)
            yield step
            self.done = step
            self._after(step)

    def log(
        self,
        metrics: Callable[[], Mapping[str, float]],
        own: Callable[[], Mapping[str, float]] | None = None,
    ) -> None:
        """Record figures of the step that is being made, where they are due; only then are they computed.

        Parameters
        ----------
        metrics : callable
            Returns name to value, of the whole batch. Every rank computes them, the first one records them.
        own : callable, optional
            Returns name to value of the part of this rank, which where there are several records them as
            ``rank/<rank>/<name>``.
        """
        if not self._due(self._config.log_every):
            return
        figures = metrics()
        if self._ranks.first:
            self._run.log_metrics(figures, self._step)
        if own is not None and self._ranks.count > 1:
            mine = {f"rank/{self._ranks.rank}/{name}": value for name, value in own().items()}
            self._run.log_metrics(mine, self._step)

    def note(self, **quantities: Any) -> None:
        """Say what the step that is being made takes and computes, for its fingerprints.

        Parameters
        ----------
        quantities : object
            ``batch`` (which examples), ``data`` (what they hold), ``loss``; `quantities.arrays_of` says in what forms.
        """
        self._watch.note(**quantities)

    def _due(self, every: int) -> bool:
        return self._step % every == 0 or self._step == self._steps

    def _after(self, step: int) -> None:
        if not self._ranks.first:
            self._watch.end_if_last(step)
        measured, save, drop = self._recorded(step) if self._ranks.first else (None, [], [])
        # What the first rank found due, and a signal that any of them was given, is from here on known to all.
        number, saving = self._ranks.most(self._signals.number or 0, len(save))
        ending = number > 0 and step < self._steps
        if saving or ending:
            self._save(step, save, drop, measured, ending=ending)
        if ending:
            self._run.flush()
            self._signals.deliver(number)
        if self._stop is not None and step == self._stop.step and self._stop.ends:
            self._checkpoints.wait()
            self._run.flush()
            # No rank leaves before the checkpoint is durable.
            self._ranks.most(0)
            raise Enough(step)

    def _recorded(self, step: int) -> tuple[dict[str, float] | None, list[Mark], list[Mark]]:
        """Fingerprint and validate where that is due; return the figures, and what the policy saves and lets go."""
        self._watch.after(step, last=step == self._steps)
        measured = None
        if self._validate is not None and self._due(self._config.validate_every):
            measured = self._validate()
            self._run.log_metrics(measured, step)
        epochs = None if self._epoch is None else (self._epoch(step), self._epoch(step + 1))
        save, drop = self._policy.decide(step, last=step == self._steps, epochs=epochs, measured=measured)
        if self._stop is not None and self._stop.signal and step == self._stop.step:
            save.append(Mark("signal", step))
        return measured, save, drop

    def _save(
        self, step: int, save: list[Mark], drop: list[Mark], measured: dict[str, float] | None, *, ending: bool
    ) -> None:
        states = self._ranks.gathered(states_of_globals())
        if self._ranks.count > 1:
            check_equal(self._ranks.gathered(fingerprint(self._tensors())), step)
        if self._ranks.first:
            save = [*save, *([Mark("signal", step)] if ending else [])]
            state = envelope(
                self._recipe, self._config.deciding(), step, self._policy.state_dict(), self._parts, states
            )
            self._checkpoints.save(state, save, step=step, metrics=measured, drop=drop, durable=ending)
        if ending:
            # Nobody leaves before the checkpoint is durable: whoever starts the ranks ends all when one has left.
            self._ranks.most(0)
