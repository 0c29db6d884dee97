"""Several ranks make one training: the gradient of the whole batch, equal bits, one end for all."""

from __future__ import annotations

import functools
import os
import signal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from toy_ranks import SharedConfig, forked, train_shared, with_own_globals

from repro_assets.determinism.devices import check_devices
from repro_assets.determinism.probe import Enough
from repro_assets.determinism.setting_differences import setting_differences
from repro_assets.determinism.stops import Stop, written
from repro_assets.errors import CheckFailed, InvalidInput, InvalidValue, PeerLost
from repro_assets.recording.ranks import settings_of
from repro_assets.replay.compare import NOT_COMPARABLE, compare_products
from repro_assets.training import filtering, traces
from repro_assets.training.ranks import Ranks, _buckets, check_equal
from repro_assets.training.sft import SftConfig, train_sft

pytestmark = pytest.mark.usefixtures("globals_as_before")
TINY: dict[str, Any] = {
    "width": 8, "layers": 1, "heads": 2, "feed_forward": 8, "log_every": 1, "checkpoint_every": 2, "validate_every": 6,
    "warm_up": 0,
}  # fmt: skip


def seen(run: Any) -> Any:
    """What a run was given, in a form that can be sent from one process to another."""
    saved = {name: artifact.load() for name, artifact in run.checkpoints.items()}
    return SimpleNamespace(curves=run.curves, fingerprints=run.fingerprints, checkpoints=saved)


def shared(new_run: Any, config: SharedConfig, **more: Any) -> list[Any]:
    """Train in forked ranks; return run and model of each, or what it raised."""

    def train() -> Any:
        run = new_run(3)
        model = with_own_globals(run, config, **more)
        return seen(run), model

    return forked(config.processes, train)


@pytest.fixture(scope="module")
def data(new_run, splits):
    raw = traces.generate_traces(new_run(1), traces.TracesConfig(per_image=1), splits["sft"])
    return filtering.filter_and_score(new_run(1), filtering.FilterConfig(), raw), splits["sft"], splits["validation"]


def fine_tuned(new_run: Any, data: Any, processes: int, **more: Any) -> list[Any]:
    # Which steps are fingerprinted depends on the time that they take, unless it is said.
    fixed = {"steps": 6, "batch_size": 7, "fingerprint_every": 1}
    config = SftConfig(**{**TINY, **fixed, "processes": processes, **more})

    def train() -> Any:
        run = new_run(2)
        model = train_sft(run, config, *data)
        return seen(run), model

    return [train()] if processes == 1 else forked(processes, train)


def test_two_ranks_twice_have_equal_bits_and_are_close_to_one(new_run, data, equal_bits):
    (alone, _), *_ = fine_tuned(new_run, data, 1)
    (first, one), (_, other) = fine_tuned(new_run, data, 2)
    (again, same), _ = fine_tuned(new_run, data, 2, workers=1)
    equal_bits(one, other)
    equal_bits(one, same)
    assert first.fingerprints == again.fingerprints and first.curves == again.curves
    for name in ("train/loss", "train/accuracy", "train/gradient_norm"):
        assert [step for step, _ in first.curves[name]] == list(range(1, 7))
        np.testing.assert_allclose(
            [value for _, value in first.curves[name]], [value for _, value in alone.curves[name]], rtol=1e-4
        )


def test_the_first_rank_records_and_each_logs_its_own_figures(new_run, data):
    (first, _), (second, _), (third, _) = fine_tuned(new_run, data, 3)
    assert set(second.curves) == {"rank/1/train/loss", "rank/1/train/accuracy"}
    assert set(third.curves) == {"rank/2/train/loss", "rank/2/train/accuracy"}
    assert {"rank/0/train/loss", "train/loss", "validation/accuracy"} <= set(first.curves)
    assert list(first.checkpoints) == [f"checkpoint_step_{step}" for step in (2, 4, 6)]
    assert (second.checkpoints, second.fingerprints) == ({}, {}) and first.fingerprints
    assert second.curves["rank/1/train/loss"] != third.curves["rank/2/train/loss"]


def test_a_resumption_continues_the_generators_of_every_rank(new_run, equal_bits):
    config = SharedConfig(processes=3)
    (run, whole), *_ = shared(new_run, config)
    state = run.checkpoints["checkpoint_step_3"]
    drawn = [states["torch"] for states in state["globals"]]
    assert len(drawn) == 3 and len({str(states) for states in drawn}) == 3
    for _, model in shared(new_run, config, resume=state):
        equal_bits(whole, model)


def test_a_checkpoint_of_other_processes_is_refused(new_run):
    (run, _), _ = shared(new_run, SharedConfig(processes=2, steps=3))
    with pytest.raises(InvalidInput, match="made with another processes"):
        train_shared(new_run(3), SharedConfig(steps=3), resume=run.checkpoints["checkpoint_step_3"])


def test_ranks_that_are_executed_again_end_after_the_step_at_which_they_were_interrupted(new_run, monkeypatch):
    (variable, value), *_ = written({"recorded": Stop(5, signal=True, ends=True)}).items()
    monkeypatch.setenv(variable, value)

    def train() -> Any:
        run = new_run(3)
        run.replay_of = "recorded"
        try:
            with_own_globals(run, SharedConfig(processes=2))
        except Enough as ended:
            return list(run.checkpoints), ended.step

    assert forked(2, train) == [(["checkpoint_step_3", "checkpoint_signal_5"], 5), ([], 5)]


def test_a_signal_to_one_rank_stops_all_after_the_same_step(new_run, equal_bits):
    config = SharedConfig(processes=2, checkpoint_every=100)
    (_, whole), _ = shared(new_run, config)
    reached = new_run(3)

    def stop(rank: int, step: int, model: Any) -> None:
        if (rank, step) == (1, 4):
            os.kill(os.getpid(), signal.SIGTERM)

    def train() -> Any:
        try:
            with_own_globals(reached, config, body=stop)
        except SystemExit as ended:
            return ended.code, seen(reached)
        return "was not stopped"

    (code, first), (other, second) = forked(2, train)
    assert (code, other) == (143, 143)
    assert (list(first.checkpoints), list(second.checkpoints)) == (["checkpoint_signal_4"], [])
    (_, model), _ = shared(new_run, config, resume=first.checkpoints["checkpoint_signal_4"])
    equal_bits(whole, model)


def test_ranks_with_other_parameters_save_nothing_and_are_named(new_run):
    def part(rank: int, step: int, model: Any) -> None:
        if (rank, step) == (1, 2):
            with torch.no_grad():
                model.bias.add_(1.0)

    for error in shared(new_run, SharedConfig(processes=2), body=part):
        assert isinstance(error, CheckFailed)
        assert error.message == "rank 1 has another bias than rank 0 after step 3"


def test_a_rank_whose_peer_is_gone_says_so(new_run):
    def leave(rank: int, step: int, model: Any) -> None:
        if (rank, step) == (1, 2):
            os._exit(3)

    found, gone = shared(new_run, SharedConfig(processes=2), body=leave)
    assert isinstance(found, PeerLost) and "the other ranks cannot be reached" in found.message
    assert gone == 3


def test_one_and_two_processes_are_other_settings(new_run):
    one, two = ({"world_size": 1, **settings_of(SharedConfig(processes=count))} for count in (1, 2))
    assert one == {"world_size": 1}
    found = setting_differences(one, two)
    assert [(each["setting"], each["original"], each["replayed"]) for each in found] == [
        ("backend", None, "gloo"), ("bucket_megabytes", None, 25.0), ("world_size", 1, 2),
    ]  # fmt: skip
    (product,) = compare_products({"model": ("m", "a")}, {"model": "b"}, comparable=not found)
    assert product.verdict == NOT_COMPARABLE


@pytest.mark.parametrize(("count", "size"), [(2, 7), (3, 7), (4, 4), (1, 3)])
def test_the_parts_of_a_batch_are_the_batch(count, size):
    batch = torch.arange(size)
    parts = [Ranks(rank, count).part(batch) for rank in range(count)]
    assert torch.equal(torch.cat(parts), batch)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_buckets_hold_neighbours_up_to_their_size_and_a_larger_one_alone():
    model = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 100), nn.Linear(1, 1))
    next(model.parameters()).grad = torch.ones(10, 10)
    sizes = [[gradient.numel() for gradient in bucket] for bucket in _buckets(model, 500)]
    assert sizes == [[100, 10], [1000], [100, 1, 1]]
    assert [len(bucket) for bucket in _buckets(model, 1e6)] == [6]
    assert float(model[0].weight.grad.sum()) == 100.0 and float(model[2].weight.grad.sum()) == 0.0


def test_equal_parameters_pass():
    check_equal([{"a": "1"}, {"a": "1"}], 3)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"processes": 0}, "greater than or equal to 1"),
        ({"processes": 4, "batch_size": 3}, "4 processes cannot share a batch of 3"),
        ({"processes": 2, "curriculum": "stages"}, "set processes to 1"),
        ({"processes": 2, "bucket_megabytes": 0}, "greater than 0"),
        ({"device": "tpu"}, "'cpu' or 'cuda'"),
    ],
)
def test_a_config_that_cannot_be_is_refused(values, said):
    with pytest.raises(ValidationError, match=said):
        SftConfig(**values)


def test_processes_that_nobody_started_and_gpus_that_are_not_there_are_refused(new_run, data, monkeypatch):
    with pytest.raises(InvalidValue, match="processes is 2, and 1 is here"):
        train_sft(new_run(0), SftConfig(processes=2), *data)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InvalidValue, match="2 processes need a GPU each, and torch sees 1"):
        check_devices("cuda", 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InvalidValue, match="1 process needs a GPU, and torch sees 0"):
        train_sft(new_run(0), SftConfig(device="cuda"), *data)
    check_devices("cpu", 64)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", functools.partial(bool, 0))
    with pytest.raises(InvalidValue, match="has no NCCL"):
        check_devices("cuda", 2)
