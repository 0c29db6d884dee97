"""When a checkpoint is due, and which one is let go for it.

Laws: what is decided is a function of the config, the steps and the figures seen so far, all of which is in the
memory, so a training that is continued decides as if it had never stopped; the newest checkpoint is never let go, nor
one of the best, nor one that a signal asked for; a figure that is not a number is never the best, and one that only
equals another does not take its place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from repro_assets.errors import InvalidValue


class Mark(NamedTuple):
    """A checkpoint by its type and its id within the type."""

    kind: str
    identifier: int

    @property
    def name(self) -> str:
        """Its display name."""
        return f"checkpoint_{self.kind}_{self.identifier}"


class Decision(NamedTuple):
    """What is to be saved after a step, and what is let go once that is durable."""

    save: list[Mark]
    drop: list[Mark]


class CheckpointPolicy:
    """Cadence, best and retention.

    Parameters
    ----------
    every : int
        Updates between checkpoints of the type ``step``; 0 for none but the last.
    epochs : int
        Epochs between checkpoints of the type ``epoch``; 0 for none.
    best : str
        The figure by which those of the type ``best`` are chosen; empty for none.
    mode : str
        ``max`` where a greater figure is better, ``min`` where a smaller one is.
    keep : int
        How many of the newest (``step`` and ``epoch``), and how many of the best, are kept; 0 keeps all.
    """

    def __init__(self, *, every: int, epochs: int, best: str, mode: str, keep: int) -> None:
        self._every, self._epochs, self._keep = every, epochs, keep
        self._metric, self._mode = best, mode
        self._recent: list[tuple[int, Mark]] = []
        self._best: list[tuple[float, int]] = []

    def decide(
        self, step: int, *, last: bool, epochs: tuple[int, int] | None, measured: Mapping[str, float] | None
    ) -> Decision:
        """Decide, and remember.

        Parameters
        ----------
        step : int
            The step that has been made.
        last : bool
            It is the last one.
        epochs : tuple of two int, optional
            Epochs that were over before the step and after it.
        measured : mapping, optional
            Figures of the validation after this step, where there was one.

        Raises
        ------
        InvalidValue
            If the figures lack the one that the best is chosen by.
        """
        save: list[Mark] = []
        if last or (self._every and step % self._every == 0):
            save.append(Mark("step", step))
        if self._epochs and epochs is not None and epochs[1] // self._epochs > epochs[0] // self._epochs:
            save.append(Mark("epoch", epochs[1] // self._epochs * self._epochs))
        drop: list[Mark] = []
        if self._keep and save:
            self._recent += [(step, mark) for mark in save]
            steps = sorted({made for made, _ in self._recent})[-self._keep :]
            drop += [mark for made, mark in self._recent if made not in steps]
            self._recent = [item for item in self._recent if item[0] in steps]
        if self._metric and measured is not None:
            save += self._if_best(step, measured, drop)
        return Decision(save, drop)

    def _if_best(self, step: int, measured: Mapping[str, float], drop: list[Mark]) -> list[Mark]:
        if self._metric not in measured:
            raise InvalidValue(
                f"the validation has no figure {self._metric!r} to choose checkpoints by",
                f"set checkpoint_best to one of {', '.join(sorted(measured))}",
            )
        value = float(measured[self._metric])
        if math.isnan(value):
            return []
        sign = 1.0 if self._mode == "min" else -1.0
        room = max(1, self._keep)
        # A stable sort: of equal figures the earlier one stands first.
        ranked = sorted([*self._best, (value, step)], key=lambda item: sign * item[0])
        self._best, fallen = ranked[:room], ranked[room:]
        if (value, step) in fallen:
            return []
        if self._keep:
            drop += [Mark("best", made) for _, made in fallen]
        return [Mark("best", step)]

    def state_dict(self) -> dict[str, Any]:
        """Return the memory."""
        return {
            "by": [self._metric, self._mode],
            "best": [[value, step] for value, step in self._best],
            "recent": [[step, mark.kind, mark.identifier] for step, mark in self._recent],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a memory; what was best by another figure counts no more."""
        if list(state["by"]) == [self._metric, self._mode]:
            self._best = [(float(value), int(step)) for value, step in state["best"]]
        self._recent = [(int(step), Mark(kind, int(number))) for step, kind, number in state["recent"]]
