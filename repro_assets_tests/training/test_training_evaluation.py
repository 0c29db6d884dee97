import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import precision_recall_fscore_support

from repro_assets.errors import CheckFailed, InvalidInput, UnknownName
from repro_assets.training import policy, rollout, scores, task
from repro_assets.training.evaluation import BaselinesConfig, EvaluationConfig, baselines, evaluate


@pytest.fixture
def reader():
    return policy.Policy(policy.Architecture(), torch.Generator().manual_seed(5))


@pytest.fixture
def model(reader):
    return policy.to_value(reader)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_figures_agree_with_scikit_learn(new_run, splits, reader, model):
    result = evaluate(new_run(), EvaluationConfig(), model, splits["test"])
    images, labels = task.labelled("test", splits["test"])
    episodes = rollout.play(reader, images)
    answers = episodes.answers.numpy()
    assert len(np.unique(answers)) < 10, "the case of a digit that is never answered is part of this test"
    precision, recall, f1, _ = precision_recall_fscore_support(labels, answers, average="macro", zero_division=0)
    assert result["precision_macro"] == pytest.approx(precision)
    assert result["recall_macro"] == pytest.approx(recall)
    assert result["f1_macro"] == pytest.approx(f1)
    assert result["confusion"] == sklearn_confusion(labels, answers, labels=range(10)).tolist()
    each = precision_recall_fscore_support(labels, answers, labels=range(10), zero_division=0)
    for place, name in enumerate(("precision", "recall", "f1", "support")):
        assert [entry[name] for entry in result["classes"]] == pytest.approx(each[place].tolist())


def test_accuracy_looks_and_reward_are_those_of_the_episodes(new_run, splits, reader, model):
    result = evaluate(new_run(), EvaluationConfig(look_cost=0.03), model, splits["test"])
    images, labels = task.labelled("test", splits["test"])
    episodes = rollout.play(reader, images)
    assert result["n"] == 400
    assert result["accuracy_greedy"] == np.mean((episodes.answers == labels).numpy())
    assert result["looks_greedy"] == np.mean(episodes.looks.numpy())
    for how in ("greedy", "sampled"):
        earned = result[f"accuracy_{how}"] - 0.03 * result[f"looks_{how}"]
        assert result[f"reward_{how}"] == pytest.approx(earned)


def test_a_reader_that_is_always_right_has_full_marks_and_a_blind_one_the_share_of_its_digit():
    labels = [0, 1, 2, 2, 5]

    def macro(answers):
        items = {"label": labels, "answer": answers}
        benchmark = scores.BENCHMARKS["classification"]
        return benchmark.compute(benchmark.columns(items).sum(axis=0, keepdims=True))[0].tolist()

    assert macro(labels) == [1, 1, 1]
    precision, recall, f1 = macro([2] * 5)
    assert (recall, precision, f1) == pytest.approx((0.25, 0.4 / 4, 2 * 0.4 / 1.4 / 4))


def test_sampled_figures_are_a_function_of_the_seed(new_run, splits, model):
    one, again, other = (evaluate(new_run(seed), EvaluationConfig(), model, splits["test"]) for seed in (0, 0, 1))
    assert one == again
    assert one["accuracy_sampled"] != other["accuracy_sampled"]
    assert one["accuracy_greedy"] == other["accuracy_greedy"]


def test_every_single_number_is_logged_and_the_result_is_json(new_run, splits, model):
    run = new_run()
    result = evaluate(run, EvaluationConfig(), model, splits["validation"])
    assert json.loads(json.dumps(result)) == result
    numbers = {name: value for name, value in result.items() if isinstance(value, int | float)}
    ends = {
        f"{name}/{end}": value
        for name, pair in result["intervals"].items()
        for end, value in zip(("low", "high"), pair, strict=True)
    }
    assert {name: run.last(name) for name in run.curves} == numbers | ends
    settings = {"n", "look_cost", "samples_per_image"}
    assert set(numbers) - settings == set(result["intervals"]), "every figure has an interval"
    for name, (low, high) in result["intervals"].items():
        assert low <= result[name] <= high


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": b"bytes"}, "the model is a bytes, not a policy"),
        ({"model": {"weights": [1]}}, "the model has no architecture"),
        ({"dataset": pd.DataFrame({"a": [1]})}, "the data is a DataFrame"),
        (
            {"dataset": {"images": np.zeros((2, 8, 8)), "labels": [1, 2], "image_ids": [3, 3]}},
            "2 image ids that differ",
        ),
    ],
)
def test_what_is_no_policy_or_no_split_is_named(new_run, splits, model, changed, said):
    given = {"model": model, "dataset": splits["validation"], **changed}
    with pytest.raises(InvalidInput, match=said):
        evaluate(new_run(), EvaluationConfig(), **given)


def test_an_unknown_benchmark_is_refused_with_the_nearest():
    with pytest.raises(UnknownName, match=r"did you mean classification\?"):
        scores.check_benchmarks(["clasification"])
    with pytest.raises(ValueError, match="did you mean answer_and_chain"):
        EvaluationConfig(benchmarks=["answer_chain"])
    assert EvaluationConfig(benchmarks=["answer_and_chain", "classification"] * 2).benchmarks == list(scores.BENCHMARKS)


def test_items_give_the_figures_and_keep_the_order_of_the_split(new_run, splits, reader, model):
    result = evaluate(new_run(), EvaluationConfig(benchmarks=[]), model, splits["validation"])
    items = result["items"]
    assert items["image_id"] == splits["validation"]["image_ids"].tolist()
    assert items["label"] == splits["validation"]["labels"].tolist()
    images, _ = task.labelled("validation", splits["validation"])
    assert items["answer"] == rollout.play(reader, images).answers.tolist()
    assert result["accuracy_greedy"] == np.mean(np.equal(items["answer"], items["label"]))
    assert result["accuracy_sampled"] == pytest.approx(np.mean(items["right_sampled"]))
    assert result["looks_sampled"] == pytest.approx(np.mean(items["looks_sampled"]))
    assert "precision_macro" not in result and "classes" not in result
    unnamed = {name: value for name, value in splits["validation"].items() if name != "image_ids"}
    assert evaluate(new_run(), EvaluationConfig(), model, unnamed)["items"]["image_id"] == list(range(97))


def test_resamples_and_sampled_episodes_have_seeds_of_their_own(new_run, splits, model):
    few, many = (
        evaluate(new_run(), EvaluationConfig(samples_per_image=count), model, splits["test"]) for count in (2, 32)
    )
    assert few["intervals"]["accuracy_greedy"] == many["intervals"]["accuracy_greedy"]

    def width(result):
        low, high = result["intervals"]["accuracy_sampled"]
        return high - low

    assert width(many) < 0.6 * width(few)


def test_data_without_labels_or_a_broken_model_is_refused(new_run, splits, model):
    with pytest.raises(InvalidInput, match="no labels"):
        evaluate(new_run(), EvaluationConfig(), model, splits["stream"])
    with pytest.raises(InvalidInput, match="the model"):
        evaluate(new_run(), EvaluationConfig(), {"state": {}}, splits["test"])


def test_baselines_read_better_the_more_they_see(new_run, splits):
    run = new_run()
    result = baselines(run, BaselinesConfig(), splits["sft"], splits["test"])
    assert result["majority"] == pytest.approx(0.1, abs=0.01)
    assert result["untrained_sampled"] == pytest.approx(0.1, abs=0.05)
    assert 0.3 < result["logistic_coarse"] < result["logistic_whole"] < 1
    assert result["logistic_whole"] > 0.9
    assert run.last("baseline/logistic_whole") == result["logistic_whole"]
    assert result == baselines(new_run(), BaselinesConfig(), splits["sft"], splits["test"])


def test_baselines_learn_nothing_from_the_split_they_are_measured_on(new_run, splits):
    lying = {**splits["test"], "labels": (splits["test"]["labels"] + 1) % 10}
    result = baselines(new_run(), BaselinesConfig(), splits["sft"], lying)
    assert result["logistic_whole"] < 0.05


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_regression_that_has_not_converged_is_no_baseline(new_run, splits):
    with pytest.raises(CheckFailed, match="most_iterations"):
        baselines(new_run(), BaselinesConfig(most_iterations=2), splits["sft"], splits["test"])
