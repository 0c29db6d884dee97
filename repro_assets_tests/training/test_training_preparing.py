"""Batches that workers prepare are those that the process itself would have prepared."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

import psutil
import torch

from repro_assets.training.filtering import FilterConfig, filter_and_score
from repro_assets.training.optimization import Batches
from repro_assets.training.preparing import prepared
from repro_assets.training.sft import SftConfig, train_sft
from repro_assets.training.traces import TracesConfig, generate_traces


def order() -> Batches:
    return Batches(10, 4, torch.Generator().manual_seed(3))


def taken(workers: int, steps: range, *, skip: int = 0) -> list[tuple[list[int], list[int]]]:
    batches = order()
    for _ in range(skip):
        batches.next()
    with contextlib.closing(prepared(batches, lambda step, chosen: chosen + 100 * step, steps, workers)) as ready:
        return [(chosen.tolist(), batch.tolist()) for chosen, batch in ready]


def test_workers_give_the_batches_in_their_order_and_leave_nothing_behind():
    before, children = torch.get_rng_state(), psutil.Process().children()
    alone = taken(0, range(1, 8))
    assert taken(2, range(1, 8)) == alone
    assert taken(1, range(4, 8), skip=3) == alone[3:]
    assert torch.equal(torch.get_rng_state(), before)
    assert psutil.Process().children() == children


def test_the_order_is_at_the_step_that_is_made_however_far_ahead_the_workers_are():
    batches = order()
    other = order()
    with contextlib.closing(prepared(batches, lambda step, chosen: chosen, range(1, 30), 2)) as ready:
        for _ in range(3):
            chosen, batch = next(ready)
            assert torch.equal(chosen, batch)
            assert torch.equal(chosen, other.next())
    assert batches.position == other.position
    assert torch.equal(batches.generator.get_state(), other.generator.get_state())


def test_a_signal_to_the_workers_does_not_end_them():
    def prepare(step: int, chosen: torch.Tensor) -> torch.Tensor:
        if torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
        return chosen

    with contextlib.closing(prepared(order(), prepare, range(1, 6), 1)) as ready:
        assert len(list(ready)) == 5


def test_any_number_of_workers_makes_the_same_model_also_from_the_middle_of_an_epoch(new_run, splits, equal_bits):
    few = {name: part[:60] for name, part in splits["sft"].items()}
    shown = {name: part[:8] for name, part in splits["validation"].items()}
    kept = filter_and_score(new_run(0), FilterConfig(), generate_traces(new_run(0), TracesConfig(per_image=2), few))

    def train(workers: int, resume: Any = None) -> tuple[Any, Any]:
        run = new_run(0)
        config = SftConfig(
            steps=8, batch_size=24, width=8, layers=1, heads=2, feed_forward=8, checkpoint_every=5, workers=workers
        )
        return run, train_sft(run, config, kept, few, shown, resume=resume)

    run, alone = train(0)
    state = run.checkpoints["checkpoint_step_5"].load()
    assert 0 < state["parts"]["sampler"]["position"] < len(kept)
    for workers, resume in ((1, None), (2, None), (2, state), (0, train(2)[0].checkpoints["checkpoint_step_5"].load())):
        other, model = train(workers, resume)
        equal_bits(alone, model)
        assert other.checkpoints["checkpoint_step_8"].digest == run.checkpoints["checkpoint_step_8"].digest
