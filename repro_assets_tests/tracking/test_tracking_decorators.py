"""Decorated functions stay what they were, and their calls are runs."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass

import numpy
import pytest

from repro_assets import Experiment, checkpoint, reproducible, track_artifacts
from repro_assets.artifacts import repository
from repro_assets.catalog import queries
from repro_assets.errors import InvalidValue, UnknownName

QUICK = {"capture_source": False, "capture_environment": False, "monitor": None}


@dataclass
class Config:
    lr: float = 0.1
    seed: int = 3


class Model:
    """Something with a state, as torch's modules have it."""

    def __init__(self) -> None:
        self.weights = numpy.zeros(2)

    def state_dict(self) -> dict[str, object]:
        return {"weights": self.weights.copy()}


def test_a_call_is_a_run_with_its_arguments_and_its_result(project, runs):
    @reproducible("fit", capture_level=1, **QUICK)
    def fit(config: Config, *more: int, scale: float = 2.0, seed: int = 5) -> dict[str, float]:
        """Fit."""
        Experiment.current().log_metric("loss", 0.5, 0)
        return {"loss": 9.0, "accuracy": config.lr * scale}

    assert (fit.__name__, fit.__doc__) == ("fit", "Fit.")
    assert list(inspect.signature(fit).parameters) == ["config", "more", "scale", "seed"]
    assert fit(Config(0.25), 1, 2) == {"loss": 9.0, "accuracy": 0.5}
    (row,) = runs()
    assert (row["name"], row["state"], row["seed"]) == ("fit", "COMPLETED", 5)
    assert row["config"] == {"config": {"lr": 0.25, "seed": 3}, "more": [1, 2], "scale": 2.0, "seed": 5}
    assert row["plan"]["function"].endswith("fit")
    last = {item["name"]: item["value"] for item in queries.rows(project, "SELECT name, value FROM metrics_last")}
    assert last == {"loss": 0.5, "accuracy": 0.5}
    (kept,) = queries.rows(project, "SELECT slot, name FROM run_outputs")
    assert kept == {"slot": "result", "name": f"{row['run_id']}/result"}


def test_what_cannot_be_kept_is_described_whole(project, runs):
    @reproducible(**QUICK)
    def fit(thing: object, array: object) -> object:
        return thing

    class Thing:
        def __repr__(self) -> str:
            return "<Thing at 0x1234>"

    thing = Thing()
    assert fit(thing, array=numpy.arange(100_000)) is thing
    (row,) = runs()
    assert row["config"]["thing"]["type"].endswith("Thing") and len(row["config"]["thing"]["repr_sha256"]) == 64
    assert row["config"]["array"]["shape"] == [100_000] and len(row["config"]["array"]["sha256"]) == 64
    assert row["state"] == "COMPLETED"
    (param,) = queries.rows(project, "SELECT name FROM params WHERE name LIKE 'result%' LIMIT 1")
    assert param["name"].startswith("result")


def test_methods_coroutines_and_generators_are_recorded_whole(project, runs):
    class Trainer:
        @reproducible("method", **QUICK)
        def fit(self, steps: int) -> int:
            return steps

    @reproducible("coroutine", **QUICK)
    async def wait(steps: int) -> int:
        await asyncio.sleep(0)
        Experiment.current().log_metric("x", 1.0)
        return steps

    @reproducible("generator", **QUICK)
    def count(steps: int):
        got = []
        for number in range(steps):
            assert Experiment.current().name == "generator"
            got.append((yield number))
        return got

    @reproducible("stream", **QUICK)
    async def stream(steps: int):
        for number in range(steps):
            try:
                yield number
            except ValueError:
                yield -1

    assert Trainer().fit(3) == 3
    assert inspect.iscoroutinefunction(wait) and asyncio.run(wait(2)) == 2
    assert inspect.isgeneratorfunction(count)
    steps = count(2)
    assert next(steps) == 0
    # Between the steps the caller's code is not the experiment's.
    with Experiment("caller", **QUICK) as caller:
        assert Experiment.current() is caller
        assert steps.send("a") == 1
        assert Experiment.current() is caller
    with pytest.raises(StopIteration) as ended:
        steps.send("b")
    assert ended.value.value == ["a", "b"]

    async def collected() -> list[int]:
        made = stream(3)
        found = [await made.asend(None), await made.athrow(ValueError("x"))]
        return found + [number async for number in made]

    assert inspect.isasyncgenfunction(stream) and asyncio.run(collected()) == [0, -1, 1, 2]
    assert {row["name"]: row["state"] for row in runs()} == dict.fromkeys(
        ("method", "coroutine", "generator", "caller", "stream"), "COMPLETED"
    )


def test_what_raises_or_is_left_is_recorded_so(project, runs):
    @reproducible("fails", **QUICK)
    def fail() -> None:
        raise ValueError("bad")

    @reproducible("left", **QUICK)
    def count():
        yield 1
        yield 2

    @reproducible("cancelled", **QUICK)
    async def wait() -> None:
        await asyncio.sleep(60)

    with pytest.raises(ValueError, match="bad"):
        fail()
    left = count()
    next(left)
    left.close()

    async def cancel() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancel())
    assert {row["name"]: row["state"] for row in runs()} == {
        "fails": "FAILED", "left": "INTERRUPTED", "cancelled": "INTERRUPTED",
    }  # fmt: skip


def test_wrong_decorations_are_refused_at_once():
    for make in (
        lambda: reproducible(print),
        lambda: reproducible("x", colour="red"),
        lambda: reproducible("x", config={}),
        lambda: reproducible("x", capture_level="all"),
        lambda: checkpoint(0),
        lambda: checkpoint("day"),
        lambda: checkpoint(save_best=True),
        lambda: checkpoint(mode="best"),
        lambda: track_artifacts(inputs=["a", "b"])(lambda one: one),
        lambda: track_artifacts(inputs={"two": "a"})(lambda one: one),
        lambda: track_artifacts()(count_up),
    ):
        with pytest.raises(InvalidValue):
            make()


def count_up():
    yield 1


def test_artifacts_come_as_values_and_what_is_returned_is_kept(project, runs):
    repository.claim(repository.put(project, [1, 2, 3]), "dataset")
    repository.claim(repository.put(project, [9]), "dataset")

    @track_artifacts(inputs=["dataset:v1"], outputs=["model", "metrics"])
    def train(dataset: list[int], factor: int = 2) -> tuple[list[int], dict[str, float]]:
        return [factor * item for item in dataset], {"loss": 0.5}

    @track_artifacts(inputs={"model": "model"}, outputs=["scores"], capture_args=False, capture_source=False)
    def score(*, model: list[int]) -> int:
        return sum(model)

    assert train() == ([2, 4, 6], {"loss": 0.5})
    with Experiment("both", **QUICK) as both:
        assert train(factor=3)[0] == [3, 6, 9]
        assert train([5])[0] == [10]
        assert score() == 10
    assert repository.by_name(project, "model:v2").load() == [3, 6, 9]
    assert repository.by_name(project, "scores:v1").load() == 10
    rows = queries.rows(project, "SELECT DISTINCT slot FROM run_inputs WHERE run_id = ? ORDER BY 1", [both.run_id])
    assert [row["slot"] for row in rows] == ["dataset", "model"]
    assert [row["name"] for row in runs()] == ["train", "both"]
    source = queries.rows(project, "SELECT value FROM params WHERE name = 'train.source' LIMIT 1")
    assert "factor * item" in source[0]["value"]


def test_artifacts_that_are_not_there_or_do_not_fit_are_named(project, runs):
    @track_artifacts(inputs=["nowhere:v3"])
    def read(data: object) -> object:
        raise AssertionError("it was called")

    @track_artifacts(outputs=["one", "two"])
    def make() -> tuple[int, int, int]:
        return 1, 2, 3

    with pytest.raises(UnknownName, match="nowhere"):
        read()
    with pytest.raises(InvalidValue, match="one, two are to be kept"):
        make()
    assert {row["state"] for row in runs()} == {"FAILED"}
    with pytest.raises(TypeError):
        make(1)


def test_checkpoints_are_made_as_often_as_was_asked_and_the_best_is_kept(project):
    losses = [3.0, 1.0, 2.0, float("nan"), 0.5]

    @checkpoint(2, save_best=True, metric="loss")
    def epoch(model: Model, number: int) -> dict[str, float]:
        model.weights += 1
        return {"loss": losses[number]}

    for _ in range(2):
        with Experiment("train", **QUICK) as run:
            model = Model()
            for number in range(5):
                epoch(model, number)
        assert sorted(run.run.checkpoints) == ["checkpoint_best_5", "checkpoint_step_2", "checkpoint_step_4"]
    rows = queries.rows(
        project, "SELECT name, step, metrics FROM checkpoints WHERE run_id = ? ORDER BY name", [run.run_id]
    )
    assert ("checkpoint_step_2", 2) in {(row["name"], row["step"]) for row in rows}
    best = repository.by_digest(project, run.home and _digest(run.run.checkpoints["checkpoint_best_5"]))
    assert best.load()["model"]["weights"].tolist() == [5.0, 5.0]


def _digest(text: str):
    from repro_assets.identity.digest import Digest

    return Digest.parse(text)


def test_a_checkpoint_without_state_or_metric_says_so(project):
    @checkpoint("epoch", save_best=True, metric="loss")
    def epoch(model: object) -> dict[str, float]:
        return {"accuracy": 1.0}

    with Experiment("train", **QUICK):
        with pytest.raises(InvalidValue, match=r"no argument of .* has a state_dict"):
            epoch(3)
        with pytest.raises(InvalidValue, match=r"returned no number 'loss' .it returned: accuracy"):
            epoch(Model())
