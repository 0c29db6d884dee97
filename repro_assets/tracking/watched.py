"""Fingerprints of any PyTorch training: what the model takes and gives, its parameters, the generators.

Laws: a step ends when the optimizer has made one, or where the loop says so; nothing that is watched is changed; the
last step is fingerprinted when the experiment ends; what a model is given without gradients is no part of a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from repro_assets.determinism.watching import Watch
from repro_assets.errors import InvalidValue
from repro_assets.recording.run import Run
from repro_assets.wording import type_in_words

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


_HOOKS = ("state_dict", "register_forward_pre_hook", "register_forward_hook")


class Watched:
    """A training that is fingerprinted; `Experiment.watch` makes it.

    Parameters
    ----------
    run : Run
        Takes the fingerprints.
    model : Module
        Its inputs, outputs, parameters and gradients are watched.
    optimizer : Optimizer, optional
        Whose steps are the steps; without one, call `step` after each.
    every : int
        Steps between fingerprints; 0 for as many as cost at most 2 % of the time.
    gradients : bool
        Fingerprint the gradients too.
    generators : mapping, optional
        Named generators beside the global ones.
    done : int
        Steps that were made before, by the training that this one goes on from.

    Raises
    ------
    InvalidValue
        If `model` is no Module, or `optimizer` no Optimizer.
    """

    def __init__(
        self,
        run: Run,
        model: nn.Module,
        optimizer: Optimizer | None = None,
        *,
        every: int = 0,
        gradients: bool = False,
        generators: Mapping[str, Any] | None = None,
        done: int = 0,
    ) -> None:
        _check(model, optimizer)
        self.made = done
        self._watch = Watch(
            run.log_fingerprints,
            model.state_dict,
            model=model,
            generators=generators,
            every=every,
            gradients=gradients,
            replay_of=run.replay_of,
        )
        self._hooks: list[Any] = [
            model.register_forward_pre_hook(self._given, with_kwargs=True),
            model.register_forward_hook(self._gave),
        ]
        if optimizer is not None:
            self._hooks.append(optimizer.register_step_post_hook(self._stepped))
        self._watch.start(done)
        self._watch.before(done + 1)

    def note(self, **quantities: Any) -> None:
        """Say what the step takes or computes that no hook sees: ``batch`` (which examples), ``loss``."""
        if self._watch.wants(self.made + 1):
            self._watch.note(**{name: _detached(value) for name, value in quantities.items()})

    def step(self) -> None:
        """End a step, where no optimizer does."""
        self.made += 1
        self._watch.after(self.made)
        self._watch.before(self.made + 1)

    def close(self) -> None:
        """Fingerprint the last step, and watch no more."""
        if not self._hooks:
            return
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        if self.made and self._watch.newest != self.made:
            self._watch.finish(self.made)
        self._watch.close()

    def _given(self, model: nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        import torch

        if model.training and torch.is_grad_enabled():
            found = {str(number): value for number, value in enumerate(arguments)} | dict(named)
            self.note(data={name: value for name, value in found.items() if isinstance(value, torch.Tensor)})

    def _gave(self, model: nn.Module, _arguments: Any, output: Any) -> None:
        import torch

        if model.training and torch.is_grad_enabled() and isinstance(output, torch.Tensor):
            self.note(output=output)

    def _stepped(self, *_: Any) -> None:
        self.step()


def _detached(value: Any) -> Any:
    """Return it without its graph, which would live until the step has ended."""
    if isinstance(value, Mapping):
        return {name: _detached(part) for name, part in value.items()}
    return value.detach() if hasattr(value, "detach") else value


def _check(model: object, optimizer: object) -> None:
    """Refuse what PyTorch cannot hook into; by what it can do, because importing torch takes seconds."""
    if not all(hasattr(model, name) for name in _HOOKS):
        raise InvalidValue(f"{type_in_words(model)} is no model to watch", "give a torch.nn.Module")
    if optimizer is not None and not hasattr(optimizer, "register_step_post_hook"):
        raise InvalidValue(f"{type_in_words(optimizer)} is no optimizer", "give one of torch.optim, or leave it out")
