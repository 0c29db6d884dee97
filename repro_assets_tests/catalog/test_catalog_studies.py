"""Studies and the leaderboard: which runs count, and intervals against another implementation."""

from __future__ import annotations

import math
import statistics

import duckdb
import pytest
from scipy import stats

from repro_assets.artifacts import repository
from repro_assets.catalog import publication, queries
from repro_assets.journal import run_records


def test_the_quantiles_are_those_of_students_t():
    with duckdb.connect(":memory:") as connection:
        connection.execute(publication.schema_text())
        found = dict(connection.execute("SELECT i, student_t(i) FROM range(0, 400) r(i)").fetchall())
    assert found.pop(0) is None
    for degrees, quantile in found.items():
        assert quantile == pytest.approx(stats.t.ppf(0.975, degrees), abs=1e-4)


def interval(values):
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values) - half, statistics.mean(values) + half


def parent(recorder, run_id, study):
    recorder.journal.append(run_records.RunStarted(run_id, "parent", run_id, tags=[f"study={study}"]))


def test_a_study_is_its_completed_runs_and_those_that_it_reused(home, recorder):
    accuracies = {0: 0.5, 1: 0.7, 2: 0.9}
    recorder.run("earlier", 2, asset="a")
    for seed in (0, 1):
        recorder.run(f"run{seed}", seed, asset="a", tags=["other", "study=s1"])
    recorder.run("failed", 3, asset="a", tags=["study=s1"], end="FAILED")
    recorder.run("replayed", 0, asset="a", tags=["study=s1"], replay_of="run0")
    recorder.run("elsewhere", 5, asset="a", tags=["study=s2"])
    for seed, run in enumerate(("run0", "run1", "earlier")):
        points = [["accuracy", None, accuracies[seed], 0.0], ["accuracy/low", None, 0.0, 0.0]]
        recorder.journal.append(run_records.Metrics.of(run, points))
    recorder.journal.append(run_records.Metrics.of("failed", [["accuracy", None, 0.0, 0.0]]))
    parent(recorder, "parent1", "s1")
    recorder.journal.append(run_records.WorkReused("parent1", "earlier", "a"))
    runs = queries.rows(home, "SELECT run_id, reused FROM study_runs WHERE study = 's1' ORDER BY run_id")
    assert runs == [
        {"run_id": "earlier", "reused": True},
        {"run_id": "failed", "reused": False},
        {"run_id": "run0", "reused": False},
        {"run_id": "run1", "reused": False},
    ]
    found = {row.pop("metric"): row for row in queries.rows(home, "SELECT * FROM study_metrics WHERE study = 's1'")}
    assert set(found) == {"accuracy", "loss"}
    row, values = found["accuracy"], list(accuracies.values())
    assert (row["n"], row["seeds"], row["asset"]) == (3, [0, 1, 2], "a")
    assert (row["mean"], row["sd"]) == pytest.approx((statistics.mean(values), statistics.stdev(values)))
    assert (row["low"], row["high"]) == pytest.approx(interval(values), abs=1e-4)
    (alone,) = queries.rows(home, "SELECT * FROM study_metrics WHERE study = 's2' AND metric = 'loss'")
    assert (alone["n"], alone["sd"], alone["low"], alone["high"]) == (1, None, None, None)


@pytest.fixture
def evaluated(home, recorder):
    """Models of three seeds and of another config, each evaluated on a split of its seed."""

    def evaluate(run_id, model, dataset, accuracy, **started):
        recorder.run(run_id, 0, asset="evaluations/any", **started)
        metrics = {"accuracy": accuracy, "accuracy/low": accuracy - 0.1, "accuracy/high": accuracy + 0.1, "n": 400}
        recorder.journal.append(
            run_records.EvaluationMade(run_id, f"eval-{run_id}", str(model), str(dataset), str(model), metrics)
        )

    def make(run_id, seed, steps):
        model = repository.put(home, {"weights": [seed, steps]})
        model = repository.claim(model, "model-new", run_id=run_id)
        recorder.journal.append(
            run_records.RunStarted(run_id, "asset", run_id, asset="models/new", seed=seed, config={"steps": steps}),
            run_records.RunOutput(run_id, "result", str(model.digest), f"model-{run_id}", collection="model-new"),
            run_records.RunEnded(run_id, "COMPLETED"),
        )
        split = repository.claim(repository.put(home, {"split": seed}), "dataset-test")
        return model.digest, split.digest

    for seed, accuracy in enumerate((0.6, 0.7, 0.95)):
        model, split = make(f"long{seed}", seed, 10)
        evaluate(f"e{seed}", model, split, accuracy)
        if seed == 0:
            evaluate("trial", model, split, 0.1, trial=True)
            evaluate("replay", model, split, 0.1, replay_of="e0")
            evaluate("failed", model, split, 0.1, end="FAILED")
            evaluate("deleted", model, split, 0.1)
            recorder.journal.append(run_records.RunDeleted("deleted"))
        if seed == 2:
            evaluate("again", model, split, 0.8)
    evaluate("short", *make("short0", 0, 1), 0.4)


def test_the_leaderboard_has_one_row_for_models_that_differ_in_the_seed_alone(home, evaluated):
    rows = queries.rows(
        home, "SELECT * FROM leaderboard WHERE dataset = 'dataset-test' AND metric = 'accuracy' ORDER BY mean DESC"
    )
    assert [(row["model"], row["n"], row["seeds"], row["config"]) for row in rows] == [
        ("model-new", 3, [0, 1, 2], '{"steps": 10}'),
        ("model-new", 1, [0], '{"steps": 1}'),
    ]
    values = [0.6, 0.7, 0.8]
    assert rows[0]["mean"] == pytest.approx(0.7)
    assert (rows[0]["low"], rows[0]["high"]) == pytest.approx(interval(values), abs=1e-4)
    assert (rows[0]["items_low"], rows[0]["items_high"]) == pytest.approx((0.6, 0.8))
    assert (rows[1]["low"], rows[1]["items_low"]) == (None, pytest.approx(0.3))
    names = {row["metric"] for row in queries.rows(home, "SELECT metric FROM leaderboard WHERE model = 'model-new'")}
    assert names == {"accuracy"}, "neither ends of intervals nor settings are on the board"
