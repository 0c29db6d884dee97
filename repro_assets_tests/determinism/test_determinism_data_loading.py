"""Batches: equal from any number of workers, however these are started."""

from __future__ import annotations

import random
from typing import Any

import numpy
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, SequentialSampler

from repro_assets.determinism.data_loading import get_reproducible_dataloader_kwargs, seed_worker
from repro_assets.determinism.rng_states import load_rng_states, save_rng_states
from repro_assets.errors import InvalidValue


class Noisy(Dataset[torch.Tensor]):
    """Samples that draw from every global generator, as augmentation does."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([index, random.random(), float(numpy.random.rand()), float(torch.rand(()))])


class Stream(IterableDataset[int]):
    def __iter__(self) -> Any:
        return iter(range(4))


def epochs(workers: int, start: str | None = None, *, seed: int = 3, wrapped: bool = True, **more: Any) -> torch.Tensor:
    """Two epochs of batches, [2, 12, 4]."""
    if wrapped:
        words = get_reproducible_dataloader_kwargs(seed, workers, dataset=Noisy(), shuffle=True)
    else:
        words = {**get_reproducible_dataloader_kwargs(seed, workers), "dataset": Noisy(), "shuffle": True}
    loader = DataLoader(**words, batch_size=5, multiprocessing_context=start, **more)
    return torch.stack([torch.cat(list(loader)) for _ in range(2)])


@pytest.fixture(scope="module")
def here() -> torch.Tensor:
    """What no worker at all makes of it."""
    return epochs(0)


@pytest.mark.parametrize(("workers", "start"), [(1, "fork"), (2, "fork"), (1, "spawn"), (2, "spawn")])
def test_batches_do_not_depend_on_the_workers(here: torch.Tensor, workers: int, start: str) -> None:
    # Spawned workers take seconds to start; that they stay for the second epoch is another case of the same law.
    assert torch.equal(epochs(workers, start, persistent_workers=start == "spawn"), here)


@pytest.mark.parametrize("words", [{"batch_size": None}, {"batch_size": 4, "drop_last": True}])
def test_epochs_of_every_kind_of_batch_do_not_depend_on_the_workers(words: dict[str, Any]) -> None:
    def loaded(workers: int) -> list[torch.Tensor]:
        kwargs = get_reproducible_dataloader_kwargs(3, workers, dataset=Noisy(), shuffle=True)
        loader = DataLoader(**kwargs, **words)
        return [torch.stack(list(loader)) for _ in range(2)]

    for one, two in zip(loaded(0), loaded(2), strict=True):
        assert torch.equal(one, two)


def test_epochs_and_seeds_differ_and_samples_draw_apart(here: torch.Tensor) -> None:
    assert sorted(here[0, :, 0].tolist()) == list(range(12)) == sorted(here[1, :, 0].tolist())
    draws = torch.cat([here[..., 1:].flatten(), epochs(0, seed=4)[..., 1:].flatten()])
    assert len(draws.unique()) == draws.numel()
    assert here[0, :, 0].tolist() != here[1, :, 0].tolist()


def test_without_the_dataset_the_order_is_equal_and_the_draws_are_those_of_the_workers() -> None:
    one, two = epochs(1, wrapped=False), epochs(2, wrapped=False)
    assert torch.equal(one[..., 0], two[..., 0])
    assert not torch.equal(one[..., 1:], two[..., 1:])
    assert torch.equal(two, epochs(2, wrapped=False))


def test_a_worker_is_seeded_from_what_torch_gave_it() -> None:
    states = save_rng_states()
    try:
        drawn = []
        for seed in (5, 6, 5):
            torch.manual_seed(seed)
            seed_worker(0)
            drawn.append((random.random(), float(numpy.random.rand()), float(torch.rand(()))))
    finally:
        load_rng_states(states)
    assert drawn[0] == drawn[2] and not set(drawn[0]) & set(drawn[1])


def test_loading_here_leaves_generators_and_threads_alone() -> None:
    threads = torch.get_num_threads()
    loader = DataLoader(**get_reproducible_dataloader_kwargs(1, dataset=Noisy()))
    batches = iter(loader)
    states = save_rng_states()
    expected = random.random(), float(numpy.random.rand()), float(torch.rand(()))
    load_rng_states(states)
    next(batches)
    assert (random.random(), float(numpy.random.rand()), float(torch.rand(()))) == expected
    assert torch.get_num_threads() == threads


def test_a_saved_order_goes_on_with_the_same_epochs(here: torch.Tensor) -> None:
    words = get_reproducible_dataloader_kwargs(3, dataset=Noisy(), shuffle=True)
    loader = DataLoader(**words, batch_size=5)
    list(loader)
    states = save_rng_states({"order": words["sampler"].generator})
    again = get_reproducible_dataloader_kwargs(99, dataset=Noisy(), shuffle=True)
    load_rng_states(states, {"order": again["sampler"].generator})
    assert torch.equal(torch.cat(list(DataLoader(**again, batch_size=5))), here[1])


def test_an_order_of_ones_own_is_kept() -> None:
    words = get_reproducible_dataloader_kwargs(3, dataset=Noisy(), sampler=SequentialSampler(range(7)))
    loader = DataLoader(**words, batch_size=7)
    assert len(loader) == 1
    assert next(iter(loader))[:, 0].tolist() == list(range(7))


@pytest.mark.parametrize(
    "words",
    [
        {"seed": -1},
        {"seed": 0, "num_workers": -1},
        {"seed": 0, "shuffle": True},
        {"seed": 0, "dataset": Stream()},
        {"seed": 0, "dataset": Noisy(), "shuffle": True, "sampler": [1]},
    ],
)
def test_what_cannot_be_pinned_is_refused(words: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        get_reproducible_dataloader_kwargs(**words)
