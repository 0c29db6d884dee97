"""The loop of a toy: what is due when, what is saved under which name, and what a resumption takes and refuses."""

from __future__ import annotations

import functools
import threading
from typing import Any

import pytest
import torch
from pydantic import BaseModel
from toy_recipe import SlowRun, ToyConfig, train

from repro_assets.errors import InvalidInput, InvalidValue, UnsupportedFormat
from repro_assets.store import lanes
from repro_assets.training.loop import Generators, Loop

pytestmark = pytest.mark.usefixtures("globals_as_before")


def steps_of(run: Any, name: str) -> list[int | None]:
    return [step for step, _ in run.curves[name]]


def test_each_figure_comes_at_its_cadence_and_always_at_the_last_step(new_run):
    run = new_run(0)
    trained = train(run, ToyConfig(steps=13))
    assert trained["seen"] == list(range(1, 14))
    assert steps_of(run, "train/loss") == [5, 10, 13]
    assert steps_of(run, "validation/loss") == [4, 8, 12, 13]
    assert list(run.fingerprints) == [6, 12, 13]
    assert list(run.checkpoints) == [f"checkpoint_step_{step}" for step in (3, 6, 9, 12, 13)]
    assert run.checkpoint_metrics["checkpoint_step_12"] == {"validation/loss": run.curves["validation/loss"][2][1]}
    assert run.checkpoint_metrics["checkpoint_step_9"] == {}


def test_figures_that_are_not_due_are_not_computed(new_run):
    counted: list[int] = []
    config = ToyConfig(steps=6, log_every=4)
    parts = {"generators": Generators({})}
    with Loop(new_run(0), "toy", config, 6, parts, tensors=dict) as loop:
        for step in loop:
            loop.log(functools.partial(lambda given: counted.append(given) or {}, step))
    assert counted == [4, 6]


def test_a_checkpoint_from_before_a_field_was_there_is_one_with_its_default(new_run, equal_bits):
    run = new_run(0)
    whole = train(run, ToyConfig())
    saved = run.checkpoints["checkpoint_step_6"].load()
    older = {**saved, "config": {name: value for name, value in saved["config"].items() if name != "rate"}}
    assert older["config"] != saved["config"]
    equal_bits(whole, train(new_run(0), ToyConfig(), resume=older))
    with pytest.raises(InvalidInput, match="made with another rate"):
        train(new_run(0), ToyConfig(rate=0.25), resume=older)


@pytest.mark.parametrize("background", [True, False])
def test_a_resumed_training_has_the_bits_and_the_checkpoints_of_one_that_never_stopped(new_run, equal_bits, background):
    config = ToyConfig(checkpoint_best="validation/loss", checkpoint_keep=2, checkpoint_in_background=background)
    run = new_run(0)
    whole = train(run, config)
    later = new_run(0)
    later.resumed_from = run.checkpoints["checkpoint_step_6"].digest
    rest = train(later, config, resume=run.checkpoints["checkpoint_step_6"].load())
    equal_bits(whole, rest)
    assert rest["seen"] == list(range(7, 13))
    for name, checkpoint in later.checkpoints.items():
        assert checkpoint.digest == run.checkpoints[name].digest, name
    assert later.fingerprints[12] == run.fingerprints[12]


def test_each_checkpoint_names_the_one_before_it(new_run):
    run = new_run(0)
    run.resumed_from = "the one before"
    train(run, ToyConfig(steps=9, checkpoint_best="validation/loss", checkpoint_mode="min", validate_every=3))
    digests = {name: checkpoint.digest for name, checkpoint in run.checkpoints.items()}
    assert run.parents["checkpoint_step_3"] == run.parents["checkpoint_best_3"] == "the one before"
    assert digests["checkpoint_step_3"] == digests["checkpoint_best_3"]
    assert run.parents["checkpoint_step_6"] == digests["checkpoint_step_3"]
    assert run.parents["checkpoint_step_9"] == digests["checkpoint_step_6"]


def test_checkpoints_come_at_the_ends_of_epochs(new_run):
    run = new_run(0)
    train(run, ToyConfig(steps=12, checkpoint_every=0, checkpoint_epochs=2))
    # Ten examples in batches of four: two epochs are over after step 5, four after step 10.
    assert list(run.checkpoints) == ["checkpoint_epoch_2", "checkpoint_epoch_4", "checkpoint_step_12"]
    assert run.checkpoints["checkpoint_epoch_2"].load()["step"] == 5
    assert run.checkpoints["checkpoint_epoch_4"].load()["step"] == 10


def test_cadence_and_policy_may_change_where_a_checkpoint_is_continued(new_run, equal_bits):
    run = new_run(0)
    whole = train(run, ToyConfig())
    other = ToyConfig(
        log_every=1,
        validate_every=2,
        fingerprint_every=1,
        checkpoint_every=0,
        checkpoint_epochs=1,
        checkpoint_best="validation/loss",
        checkpoint_mode="min",
        checkpoint_keep=1,
        checkpoint_in_background=False,
    )
    equal_bits(whole, train(new_run(0), other, resume=run.checkpoints["checkpoint_step_6"].load()))


def test_what_an_asset_adds_to_a_config_decides_no_bit():
    class Pins(BaseModel):
        force: bool = False

    class ToyAsset(ToyConfig, Pins):
        pass

    assert ToyAsset(force=True).deciding() == ToyConfig().deciding() == {"steps": 12, "rate": 0.1}


def test_a_checkpoint_that_does_not_fit_is_refused_by_what_differs(new_run):
    run = new_run(0)
    train(run, ToyConfig(steps=6))
    state = run.checkpoints["checkpoint_step_3"].load()
    parts = state["parts"]

    def changed(**part: Any) -> dict[str, Any]:
        return {**state, "parts": {**parts, **part}}

    optimizer = {**parts["optimizer"], "param_groups": [{**parts["optimizer"]["param_groups"][0], "params": [0]}]}
    grown = {key: dict(held) for key, held in parts["optimizer"]["state"].items()}
    grown[0]["exp_avg"] = torch.zeros(1, 7)
    cases: list[tuple[str, Any, Any]] = [
        ("has no recipe, step", ToyConfig(steps=6), {k: v for k, v in state.items() if k not in ("recipe", "step")}),
        ("is one of sft, not of toy", ToyConfig(steps=6), {**state, "recipe": "sft"}),
        (r"another rate, steps \(", ToyConfig(rate=0.2), state),
        ("has no optimizer", ToyConfig(steps=6), {**state, "parts": {k: parts[k] for k in parts if k != "optimizer"}}),
        ("unknown parts buffer", ToyConfig(steps=6), changed(buffer={})),
        (r"model.weight is float32 \[1, 5\], not float32 \[1, 3\]", ToyConfig(steps=6), changed(
            model={**parts["model"], "weight": torch.zeros(1, 5)})),
        ("model.bias is missing", ToyConfig(steps=6), changed(model={"weight": torch.zeros(1, 3)})),
        ("optimizer has 1 parameters, not 2", ToyConfig(steps=6), changed(optimizer=optimizer)),
        (r"exp_avg \[1, 7\] for parameter 0, not \[1, 3\]", ToyConfig(steps=6), changed(
            optimizer={**parts["optimizer"], "state": grown})),
        ("on 9 examples, not 10", ToyConfig(steps=6), changed(sampler={"order": torch.arange(9), "position": 0})),
        ("sampler does not fit", ToyConfig(steps=6), changed(sampler={"position": 0})),
        ("generators noise, not noise, order", ToyConfig(steps=6), changed(
            generators={"noise": parts["generators"]["noise"]})),
    ]  # fmt: skip
    for message, config, resume in cases:
        with pytest.raises(InvalidInput, match=message):
            train(new_run(0), config, resume=resume)
    with pytest.raises(UnsupportedFormat, match="format 2"):
        train(new_run(0), ToyConfig(steps=6), resume={**state, "format": 2})


def test_a_policy_that_the_recipe_cannot_follow_is_refused(new_run):
    parts = {"generators": Generators({})}
    for config, message in (
        (ToyConfig(checkpoint_best="validation/loss"), "no validation"),
        (ToyConfig(checkpoint_epochs=1), "no epochs"),
    ):
        with pytest.raises(InvalidValue, match=message):
            Loop(new_run(0), "toy", config, 3, parts, tensors=dict)
    with pytest.raises(InvalidValue, match="no figure 'accuracy'"):
        train(new_run(0), ToyConfig(checkpoint_best="accuracy"))
    loop = Loop(new_run(0), "toy", ToyConfig(), 3, parts, tensors=dict)
    with pytest.raises(InvalidValue, match="not been entered"):
        next(iter(loop))


def test_a_value_that_is_resumed_from_is_not_trained_on(new_run):
    run = new_run(0)
    train(run, ToyConfig())
    state = run.checkpoints["checkpoint_step_6"].load()
    kept = run.checkpoints["checkpoint_step_6"].load()
    train(new_run(0), ToyConfig(), resume=state)
    assert torch.equal(state["parts"]["model"]["weight"], kept["parts"]["model"]["weight"])
    for name, tensor in state["parts"]["optimizer"]["state"][0].items():
        assert torch.equal(tensor, kept["parts"]["optimizer"]["state"][0][name]), name


def test_training_goes_on_while_a_copy_is_stored_and_one_at_most_is_on_its_way(new_run):
    plain, run = new_run(0), SlowRun(new_run(0))
    train(plain, ToyConfig(checkpoint_every=2))
    reached: list[int] = []

    def body(step: int) -> None:
        reached.append(step)
        if step == 4:
            # The first one waits still, and the next would wait for it.
            assert run.inner.checkpoints == {}
            run.go.set()

    train(run, ToyConfig(checkpoint_every=2), body=body)
    assert reached == list(range(1, 13))
    assert {name: item.digest for name, item in run.inner.checkpoints.items()} == {
        name: item.digest for name, item in plain.checkpoints.items()
    }


def test_saving_in_the_background_leaves_the_cores_that_the_steps_use(new_run, monkeypatch):
    run = new_run(0)
    seen: list[tuple[bool, int]] = []

    def checkpoint(*args: Any, **kwargs: Any) -> Any:
        seen.append((threading.current_thread() is threading.main_thread(), lanes._share.cores))
        return type(run).checkpoint(run, *args, **kwargs)

    monkeypatch.setattr(run, "checkpoint", checkpoint, raising=False)
    monkeypatch.setattr(lanes._Share, "cores", 8)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        train(run, ToyConfig(steps=3))
        train(run, ToyConfig(steps=3, checkpoint_in_background=False))
    finally:
        torch.set_num_threads(threads)
    assert seen == [(False, 5), (True, 8)]


@pytest.mark.parametrize(("every", "at"), [(2, 4), (0, 12)])
def test_an_error_of_the_saving_thread_is_raised_at_the_next_save_or_at_the_end(new_run, every, at):
    run = SlowRun(new_run(0))
    run.fails = True
    run.go.set()
    reached: list[int] = []
    with pytest.raises(OSError, match="the disk is full"):
        train(run, ToyConfig(checkpoint_every=every), body=reached.append)
    assert reached[-1] == at


def test_an_error_of_the_body_waits_for_what_is_on_its_way(new_run):
    run = SlowRun(new_run(0))

    def body(step: int) -> None:
        if step == 4:
            threading.Timer(0.2, run.go.set).start()
            raise FloatingPointError("not finite")

    with pytest.raises(FloatingPointError):
        train(run, ToyConfig(), body=body)
    assert list(run.inner.checkpoints) == ["checkpoint_step_3"]
