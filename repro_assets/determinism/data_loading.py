"""Batches that do not depend on how many workers load them.

Laws: the order of the samples is a function of the seed and the epoch; what a sample draws from the global generators
is a function of the seed, the epoch and its index, so neither the number of workers nor how they are started counts; a
sample leaves the global generators as it found them.

A worker computes with one torch thread, so a sample does in the main process too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sized
from typing import TYPE_CHECKING, Any

from repro_assets.determinism.global_rng import seed_host_globals
from repro_assets.determinism.seeds import Seeds
from repro_assets.errors import InvalidValue
from repro_assets.wording import type_in_words

if TYPE_CHECKING:
    from collections.abc import Iterable

_MASK = 2**63 - 1


def seed_worker(worker_id: int) -> None:
    """Seed Python's, NumPy's and torch's global generators in a worker of a DataLoader.

    For ``worker_init_fn``. The seed is the one that torch gave the worker, which it draws from the loader's generator
    for each epoch. Which samples a worker gets depends on the number of workers, and so does what they draw; see
    `get_reproducible_dataloader_kwargs` for draws that do not.

    Parameters
    ----------
    worker_id : int
        The worker's number; it is part of torch's seed already.
    """
    import torch

    del worker_id
    seed_host_globals(Seeds(torch.initial_seed() & _MASK))


def get_reproducible_dataloader_kwargs(
    seed: int,
    num_workers: int = 0,
    *,
    dataset: Any = None,
    shuffle: bool = False,
    sampler: Iterable[Any] | None = None,
) -> dict[str, Any]:
    """Return arguments of a `torch.utils.data.DataLoader` that make its batches a function of the seed.

    Parameters
    ----------
    seed : int
        The root, 0 to 2^63 - 1; consumers are ``dataloader/workers`` and ``dataloader/order``.
    num_workers : int
        Processes that load; 0 for this one.
    dataset : torch.utils.data.Dataset, optional
        Data whose samples draw from the global generators, as augmentation does. It comes back wrapped, with a sampler:
        then equal batches come from any number of workers, forked or spawned. Without it that holds for the order
        alone, and what samples draw is pinned only for one number of workers.
    shuffle : bool
        Another order in each epoch; only with `dataset`. Without it give ``shuffle`` to the DataLoader.
    sampler : iterable of indices, optional
        The order, such as a `DistributedSampler`, instead of `shuffle`; only with `dataset`.

    Returns
    -------
    dict
        ``num_workers``, ``worker_init_fn``, ``generator``; with `dataset` also ``dataset`` and ``sampler``, whose
        ``generator`` has at an epoch's start the state that a checkpoint needs.

    Raises
    ------
    InvalidValue
        If the seed is out of range, `dataset` has no indices, or arguments exclude each other.
    """
    if num_workers < 0:
        raise InvalidValue(f"num_workers is {num_workers}", "0 or more")
    if dataset is None and (shuffle or sampler is not None):
        raise InvalidValue("shuffle and sampler need the dataset", "pass dataset=, or give them to the DataLoader")
    if shuffle and sampler is not None:
        raise InvalidValue("shuffle and sampler exclude each other", "give one")
    seeds = Seeds(seed)
    found: dict[str, Any] = {
        "num_workers": num_workers,
        "worker_init_fn": seed_worker,
        "generator": seeds.torch("dataloader/workers"),
    }
    if dataset is None:
        return found
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise InvalidValue(
            f"{type_in_words(dataset)} has no indices, so its workers share it out by their number",
            "give a dataset with __getitem__ and __len__",
        )
    order = _Order(len(dataset), shuffle, sampler, seeds.torch("dataloader/order"))
    return {**found, "dataset": _PerSample(dataset), "sampler": order}


class _Order:
    """Yields ``(draw, index)``: the same draw for a whole epoch, another in each.

    Its generator is not the loader's, from which seeds of workers are drawn once or in each epoch. Nothing is drawn
    before the first index is asked for: with workers a loader without batches makes two iterators and reads one.
    """

    def __init__(self, count: int, shuffle: bool, sampler: Any, generator: Any) -> None:
        self._count, self._shuffle, self._sampler = count, shuffle, sampler
        self.generator = generator

    def __len__(self) -> int:
        return len(self._sampler) if isinstance(self._sampler, Sized) else self._count

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        import torch

        draw = int(torch.randint(_MASK, (), generator=self.generator))
        indices: Any = range(self._count) if self._sampler is None else self._sampler
        if self._shuffle:
            indices = torch.randperm(self._count, generator=self.generator).tolist()
        for index in indices:
            yield draw, index


class _PerSample:
    """A dataset whose samples draw from generators of their own."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: tuple[int, Any]) -> Any:
        import numpy
        import torch

        draw, index = place
        threads = torch.get_num_threads()
        before = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
        try:
            torch.set_num_threads(1)
            seed_host_globals(Seeds(Seeds(draw).derive(f"sample/{index}")))
            return self.dataset[index]
        finally:
            torch.set_num_threads(threads)
            random.setstate(before[0])
            numpy.random.set_state(before[1])
            torch.set_rng_state(before[2])
