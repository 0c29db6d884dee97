"""Fingerprints of a training while it goes on, and a close look at it where one was ordered.

Laws: what is watched is read and never changed; a step is fingerprinted after it was made, at the steps of a cadence
and at the last one; whoever watches hands the digests on and waits for no disk. Where the process was started with
orders (`repro_assets.determinism.probe`), they are carried out instead, and end the training with `Enough`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from repro_assets.determinism import probe
from repro_assets.determinism.cadence import Cadence
from repro_assets.determinism.probe import Enough
from repro_assets.determinism.quantities import GRADIENT, PARAMETER, RNG, arrays_of, generator_states

if TYPE_CHECKING:
    from torch import nn

    from repro_assets.determinism.op_tracing import OpTrace
    from repro_assets.determinism.quantities import Tensors

Keep = Callable[[int, "Tensors", str], object]


class Watch:
    """Fingerprints the quantities of a training.

    Parameters
    ----------
    keep : callable
        Takes step, tensors by name, and which quantity they are.
    tensors : callable
        Returns the parameters.
    model : Module, optional
        Has the gradients, and names what the trace of ops shows.
    generators : mapping, optional
        Named generators beside the global ones.
    every : int
        A fixed interval; 0 for one that adapts to cost at most 2 % of the time.
    gradients : bool
        Fingerprint the gradients too.
    replay_of : str, optional
        The recorded run that this training executes again.

    Attributes
    ----------
    probe : Probe or None
        The close look that was ordered.
    newest : int or None
        The step that was fingerprinted last.
    """

    def __init__(
        self,
        keep: Keep,
        tensors: Callable[[], Tensors],
        *,
        model: nn.Module | None = None,
        generators: Mapping[str, Any] | None = None,
        every: int = 0,
        gradients: bool = False,
        replay_of: str | None = None,
    ) -> None:
        self._keep, self._tensors, self._model = keep, tensors, model
        self._generators = dict(generators or {})
        self._gradients = gradients
        self._every = every
        self._cadence = Cadence(every)
        self._noted: dict[str, list[Any]] = {}
        self._began: float | None = None
        self._work, self._steps = 0.0, 0.0
        self.newest: int | None = None
        self.probe = probe.claimed(replay_of)
        self._trace: OpTrace | None = None
        if self.probe is not None and self.probe.writes and self.probe.orders.trace is not None:
            from repro_assets.determinism.op_tracing import OpTrace

            self._trace = OpTrace(self.probe, model)
            self._trace.__enter__()  # type: ignore[no-untyped-call]

    def note(self, **quantities: Any) -> None:
        """Say what the step that is being made takes or computes: ``batch``, ``data``, ``output``, ``loss``.

        Parameters
        ----------
        quantities : object
            What `arrays_of` takes; it is read when the step has been made.
        """
        for quantity, value in quantities.items():
            self._noted.setdefault(quantity, []).append(value)

    def wants(self, step: int) -> bool:
        """Tell whether `step` will be looked at, so that what it takes is worth noting."""
        return self.probe.wants(step) if self.probe is not None else self._cadence.is_due(step)

    def start(self, step: int) -> None:
        """Look at the state after `step`, from which the training begins."""
        if self.probe is not None:
            if self.probe.wants(step):
                self._see(step)
        elif not self._every:
            self._fingerprint(step)

    def before(self, step: int) -> None:
        """Say that `step` begins."""
        if self._trace is not None and self.probe is not None and self.probe.traces(step):
            self._trace.begin(step)
        self._began = time.perf_counter()

    def after(self, step: int, *, last: bool = False) -> None:
        """Look at the state after `step`.

        Raises
        ------
        Enough
            If nothing that comes after it was ordered.
        """
        if self._trace is not None:
            self._trace.pause()
        if self.probe is not None:
            if self.probe.wants(step):
                self._see(step)
            self._noted.clear()
            self.probe.flush()
            self.end_if_last(step)
            self._began = time.perf_counter()
            return
        now = time.perf_counter()
        if self._began is not None:
            self._work, self._steps = self._work + now - self._began, self._steps + 1
            self._cadence.adapt(self._work / self._steps)
        if last or self._cadence.is_due(step):
            self._fingerprint(step)
            # The first steps are the slowest; what was measured before counts less and less.
            self._work, self._steps = self._work / 2, self._steps / 2
        self._noted.clear()
        self._began = time.perf_counter()

    def end_if_last(self, step: int) -> None:
        """End the training where nothing after `step` was ordered; a rank that looks at nothing ends with the others.

        Raises
        ------
        Enough
            If it ends here.
        """
        if self.probe is not None and self.probe.is_last(step):
            self.close()
            raise Enough(step)

    def finish(self, step: int) -> None:
        """Fingerprint the state after the last step, where that was not known when it was made."""
        if self.probe is None:
            self._fingerprint(step)

    def close(self) -> None:
        """Watch no more."""
        if self._trace is not None:
            self._trace.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self._trace = None
        if self.probe is not None:
            self.probe.flush()

    def _fingerprint(self, step: int) -> None:
        began = time.perf_counter()
        for quantity, tensors in self._quantities(self._gradients):
            self._keep(step, tensors, quantity)
        self._cadence.cost(time.perf_counter() - began)
        self.newest = step

    def _see(self, step: int) -> None:
        assert self.probe is not None
        for quantity, tensors in self._quantities(True):
            self.probe.see(step, quantity, tensors)

    def _quantities(self, gradients: bool) -> list[tuple[str, Tensors]]:
        found: list[tuple[str, Tensors]] = [(RNG, generator_states(self._generators))]
        for quantity, values in self._noted.items():
            found.append((quantity, arrays_of(quantity, values[0] if len(values) == 1 else tuple(values))))
        if gradients and (of_gradients := self._read_gradients()):
            found.append((GRADIENT, of_gradients))
        found.append((PARAMETER, self._tensors()))
        return found

    def _read_gradients(self) -> dict[str, Any]:
        if self._model is None:
            return {}
        return {name: one.grad for name, one in self._model.named_parameters() if one.grad is not None}
