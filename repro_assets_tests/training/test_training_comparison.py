"""Two evaluations on the same items: matched by id, paired, and refused where they are of other items."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from repro_assets.errors import InvalidInput
from repro_assets.training import scores
from repro_assets.training.comparison import compare_evaluations


def evaluation(right, looks, *, benchmarks=("classification",), ids=None):
    """What `evaluate` returns, as far as a comparison reads it."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, len(right))
    items = {
        "image_id": list(range(len(right))) if ids is None else list(ids),
        "label": labels.tolist(),
        "answer": np.where(right, labels, (labels + 1) % 10).tolist(),
        "looks": list(looks),
        "right_sampled": [float(one) for one in right],
        "looks_sampled": [float(one) for one in looks],
        "looks_matched": [0.0] * len(right),
        "region_iou": [0.5] * len(right),
        "edit_distance": [0.5] * len(right),
    }
    figures = scores.measure(items, benchmarks, 0.01, np.random.default_rng(0), resamples=50)
    values = {name: figure.value for name, figure in figures.items()}
    return {**values, "benchmarks": list(benchmarks), "look_cost": 0.01, "items": items}


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    hard = rng.random(200)
    looks = rng.integers(1, 5, 200)
    return evaluation(hard < 0.85, looks), evaluation(hard < 0.75, looks + 1)


def shuffled(value):
    order = np.random.default_rng(2).permutation(len(value["items"]["image_id"]))
    found = copy.deepcopy(value)
    found["items"] = {name: [column[place] for place in order] for name, column in found["items"].items()}
    return found


def test_differences_are_those_of_the_figures_and_their_intervals_are_paired(pair):
    one, other = pair
    found = compare_evaluations(one, other)
    assert (found["n"], found["benchmarks"]) == (200, ["classification"])
    for name, row in found["figures"].items():
        assert (row["one"], row["other"]) == (one[name], other[name])
        assert row["difference"] == pytest.approx(one[name] - other[name])
        assert row["low"] <= row["difference"] <= row["high"]
    accuracy = found["figures"]["accuracy_greedy"]
    assert accuracy["low"] > 0, "no item is read worse, and 20 of 200 better"
    assert found["figures"]["looks_greedy"]["low"] == found["figures"]["looks_greedy"]["high"] == -1
    back = compare_evaluations(other, one)["figures"]["accuracy_greedy"]
    assert back["difference"] == -accuracy["difference"]
    assert (back["low"], back["high"]) == pytest.approx((-accuracy["high"], -accuracy["low"]), abs=0.01)


def test_an_evaluation_is_no_better_than_itself_in_another_order(pair):
    one, _ = pair
    found = compare_evaluations(one, shuffled(one))
    assert {row["difference"] for row in found["figures"].values()} == {0.0}
    assert {row["low"] for row in found["figures"].values()} == {0.0}


def test_a_comparison_is_a_function_of_its_seed(pair):
    assert compare_evaluations(*pair) == compare_evaluations(*pair)
    assert compare_evaluations(*pair)["figures"] != compare_evaluations(*pair, seed=1)["figures"]


def test_only_benchmarks_of_both_are_compared_and_a_missing_figure_is_none():
    wide = evaluation([True, False], [0, 0], benchmarks=("classification", "answer_and_chain"))
    narrow = evaluation([True, True], [0, 0], benchmarks=("answer_and_chain",))
    found = compare_evaluations(wide, narrow)["figures"]
    assert "f1_macro" not in found
    assert found["tool_accuracy_greedy"] == {
        "one": None, "other": None, "difference": None, "low": None, "high": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda value: value["items"]["image_id"].__setitem__(0, 999), "they share 199"),
        (lambda value: value["items"]["label"].__setitem__(0, 99), "1 of 200 items have another label"),
        (lambda value: value.update(look_cost=0.02), "a look costs"),
        (lambda value: value.pop("items"), "the second of the two is no evaluation"),
        (lambda value: value["items"].pop("looks"), "the items have no looks"),
    ],
)
def test_what_cannot_be_compared_is_refused(pair, spoil, said):
    one, other = pair
    spoil(other)
    with pytest.raises(InvalidInput, match=said):
        compare_evaluations(one, other)
