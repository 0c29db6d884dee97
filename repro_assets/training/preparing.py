"""Batches that are made ready by this process, or by workers while it trains.

Laws: a batch is a function of its step and of the positions that are drawn for it, so any number of workers, none
included, gives equal bits; the order is drawn here, so a checkpoint is of the step that it follows, however far ahead
the workers are; nothing is drawn from a global generator; a signal that is sent to all processes of a training is
answered by the one that trains.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from repro_assets.training.optimization import Batches

Prepare = Callable[[int, Tensor], Tensor]


def prepared(
    batches: Batches, prepare: Prepare, steps: range, workers: int
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Yield for each step the positions that are drawn for it and what is made of them; closing it ends the workers.

    Parameters
    ----------
    batches : Batches
        The order; it goes on by one batch when that batch is asked for.
    prepare : callable
        Makes a batch of a step and its positions, int64 [size]. With workers it is called in other processes, so it
        must be something that pickle can send where processes are not forked, and what it does there changes nothing
        here.
    steps : range
        The steps that are still to be made.
    workers : int
        Processes that prepare; 0 for this one.

    Yields
    ------
    positions : Tensor
        int64 [size].
    batch : Tensor
        What `prepare` returned.
    """
    if not workers:
        for step in steps:
            positions = batches.next()
            yield positions, prepare(step, positions)
        return
    loader: DataLoader[Any] = DataLoader(
        _Prepared(prepare),
        batch_size=None,
        sampler=_Ahead(batches.copy(), steps),
        num_workers=workers,
        worker_init_fn=_leave_signals,
        # Torch draws a seed for its workers, which here is for nothing, and must not come from the global generator.
        generator=torch.Generator(),
    )
    ready = iter(loader)
    try:
        for _ in steps:
            positions = batches.next()
            yield positions, next(ready)
    finally:
        # Ends the workers, now and not when nobody holds on to this generator any more.
        del ready


class _Prepared(Dataset[Tensor]):
    """By step and positions."""

    def __init__(self, prepare: Prepare) -> None:
        self._prepare = prepare

    def __getitem__(self, batch: tuple[int, Tensor]) -> Tensor:
        return self._prepare(*batch)


class _Ahead:
    """What is to be prepared, as far ahead as the workers are."""

    def __init__(self, batches: Batches, steps: range) -> None:
        self._batches, self._steps = batches, steps

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        for step in self._steps:
            yield step, self._batches.next()

    def __len__(self) -> int:
        return len(self._steps)


def _leave_signals(worker: int) -> None:
    """Ignore what ends the training: it makes its step whole, for which it needs its workers, and then ends them."""
    del worker
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
