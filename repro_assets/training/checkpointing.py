"""Saving checkpoints while training goes on.

Laws: the loop waits for a copy of the state alone, where it is saved in the background; at most one checkpoint is on
its way, and the next one waits for it; a checkpoint is let go only after the one that takes its place is durable, and
only one that this run saved; an error of the thread is raised at the next save or at the end, never lost; each
checkpoint names the one before it as its parent, the first one that from which the run was resumed.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from repro_assets.recording.tracing import carried
from repro_assets.store.lanes import leaving
from repro_assets.training.checkpoint_policy import Mark
from repro_assets.training.checkpoint_state import Copies

if TYPE_CHECKING:
    from repro_assets.recording.run import Run

# The steps go first where there are fewer cores than threads; with more, a busy machine would hold up the next save.
_NICENESS = 5


class Checkpointing:
    """Gives states to a run as its checkpoints.

    Parameters
    ----------
    run : Run
        Stores them.
    background : bool
        Whether a thread stores them while the caller goes on.
    """

    def __init__(self, run: Run, *, background: bool) -> None:
        self._run = run
        self._background = background
        self._copies = Copies()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._parent: str | None = run.resumed_from
        self._saved: set[str] = set()

    def save(
        self,
        state: Mapping[str, Any],
        marks: list[Mark],
        *,
        step: int,
        metrics: Mapping[str, float] | None,
        drop: list[Mark],
        durable: bool = False,
    ) -> None:
        """Save a state under each of `marks`, then let go of `drop`.

        Parameters
        ----------
        state : mapping
            What `repro_assets.training.checkpoint_state.envelope` made; copied where the caller does not wait.
        marks : list of Mark
            Types and ids; one artifact for all.
        step : int
            After which it is.
        metrics : mapping, optional
            Figures of the validation at this step.
        drop : list of Mark
            What is let go; those that another run saved stay.
        durable : bool
            Return when it is on the disk.
        """
        self.wait()
        if durable or not self._background:
            self._store(state, marks, step, metrics, drop)
            return
        work = carried(self._store)
        copy = self._copies.of(state)
        self._thread = threading.Thread(
            target=self._aside,
            args=(lambda: work(copy, marks, step, metrics, drop), torch.get_num_threads()),
            name="repro-checkpoint",
            daemon=True,
        )
        self._thread.start()

    def wait(self) -> None:
        """Return when nothing is on its way.

        Raises
        ------
        BaseException
            What the saving failed with.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _aside(self, work: Callable[[], None], busy: int) -> None:
        """Do the work on the cores that the steps do not use, and note its error."""
        if sys.platform == "linux":
            # Linux gives each thread a niceness of its own, and the threads that this one starts get it too.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            with leaving(busy):
                work()
        except BaseException as error:  # noqa: BLE001 - the loop raises it
            self._error = error

    def _store(
        self,
        state: Mapping[str, Any],
        marks: list[Mark],
        step: int,
        metrics: Mapping[str, float] | None,
        drop: list[Mark],
    ) -> None:
        value: Any = state
        for mark in marks:
            value = self._run.checkpoint(
                mark.kind, mark.identifier, value, step=step, metrics=metrics, parent=self._parent
            )
            self._saved.add(mark.name)
        self._parent = str(value.digest)
        for mark in drop:
            if mark.name in self._saved:
                self._saved.remove(mark.name)
                self._run.forget_checkpoint(mark.name)
