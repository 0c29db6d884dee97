"""Looks and answers against reference traces: by brute force, and the teacher against itself."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import jaccard_score

from repro_assets.errors import InvalidInput
from repro_assets.training import policy, references, rollout, scores, task
from repro_assets.training.chains import chain_columns
from repro_assets.training.evaluation import EvaluationConfig, evaluate

BOTH = EvaluationConfig(benchmarks=["classification", "answer_and_chain"])
THOUGHT = "1 (0.600) or 4 (0.350)"


def random_trace(rng):
    return [*rng.integers(0, 5, rng.integers(0, 9)).tolist(), int(rng.integers(16, 26))]


def padded(traces):
    return np.array([trace + [-1] * (9 - len(trace)) for trace in traces])


@functools.cache
def distance(one, other):
    if not one or not other:
        return len(one) + len(other)
    return min(
        distance(one[1:], other) + 1, distance(one, other[1:]) + 1, distance(one[1:], other[1:]) + (one[0] != other[0])
    )


def test_each_measure_is_that_of_a_slow_and_plain_one():
    rng = np.random.default_rng(0)
    ours, theirs = ([random_trace(rng) for _ in range(60)] for _ in range(2))
    ours[:3] = [[16], [16], [3, 3, 17]]
    theirs[:3] = [[17], [3, 16], [3, 17]]
    found = chain_columns(padded(ours), theirs)
    for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        looks = one[:-1], other[:-1]
        left = list(looks[1])
        matched = [left.remove(look) for look in looks[0] if look in left]
        assert found["looks_matched"][place] == len(matched)
        assert found["edit_distance"][place] == distance(tuple(one), tuple(other)) / max(len(one), len(other))
        masks = np.zeros((2, 8, 8), dtype=bool)
        for mask, seen in zip(masks, looks, strict=True):
            for region in seen:
                row, column = divmod(region, 4)
                mask[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = True
        overlap = jaccard_score(masks[1].ravel(), masks[0].ravel(), zero_division=1)
        assert found["region_iou"][place] == pytest.approx(overlap)
    assert found["looks_matched"][2] == 1, "a look that is repeated is matched once"
    with pytest.raises(InvalidInput, match="60 episodes and 59"):
        chain_columns(padded(ours), theirs[1:])


def test_a_model_that_never_looks_has_no_tool_accuracy():
    items = {"label": [3, 4], "looks": [0, 0], **chain_columns(padded([[19], [20]]), [[1, 19], [20]])}
    benchmark = scores.BENCHMARKS["answer_and_chain"]
    tool, iou, edits = benchmark.compute(benchmark.columns(items).sum(axis=0, keepdims=True))[0]
    assert np.isnan(tool)
    assert (iou, edits) == (0.5, 0.25)


@pytest.fixture(scope="module")
def table(new_run, splits):
    run = new_run()
    table = references.reference_traces(
        run, references.ReferencesConfig(), splits["sft"], splits["validation"], splits["test"]
    )
    assert run.last("references") == len(table) == 497
    assert 0.85 < run.last("references/accuracy") < 0.97
    return table


def test_references_have_neither_faults_nor_chance(table, splits, new_run):
    again = references.reference_traces(
        new_run(9), references.ReferencesConfig(), splits["sft"], splits["validation"], splits["test"]
    )
    pd.testing.assert_frame_equal(table, again)
    assert table["trace_id"].is_unique
    assert set(table["image_id"]) == {*splits["validation"]["image_ids"], *splits["test"]["image_ids"]}
    assert all(len(set(actions)) == len(actions) for actions in table["actions"])


def test_the_teacher_itself_has_full_marks(table, splits):
    wanted = references.actions_for(table, splits["test"]["image_ids"], splits["test"]["labels"])
    found = chain_columns(padded(wanted), wanted)
    assert found["looks_matched"] == [len(actions) - 1 for actions in wanted]
    assert set(found["region_iou"]) == {1.0}
    assert set(found["edit_distance"]) == {0.0}


def test_an_evaluation_with_both_benchmarks_keeps_the_figures_of_each(table, new_run, splits):
    reader = policy.Policy(policy.Architecture(width=8, heads=2, layers=1), torch.Generator().manual_seed(5))
    model = policy.to_value(reader)
    both = evaluate(new_run(), BOTH, model, splits["validation"], table)
    plain = evaluate(new_run(), EvaluationConfig(), model, splits["validation"])
    different = {name for name in plain if plain[name] != both[name]}
    assert different == {"benchmarks", "intervals", "items"}
    assert set(plain["intervals"]) < set(both["intervals"])
    assert all(both["intervals"][name] == ends for name, ends in plain["intervals"].items())
    images, _ = task.labelled("validation", splits["validation"])
    episodes = rollout.play(reader, images)
    wanted = references.actions_for(table, splits["validation"]["image_ids"], splits["validation"]["labels"])
    items = chain_columns(episodes.actions.numpy(), wanted)
    assert both["region_iou_greedy"] == pytest.approx(np.mean(items["region_iou"]))
    assert both["edit_distance_greedy"] == pytest.approx(np.mean(items["edit_distance"]))
    looks = int(episodes.looks.sum())
    assert both.get("tool_accuracy_greedy") == (sum(items["looks_matched"]) / looks if looks else None)


def traces(*rows):
    return pd.DataFrame(
        {
            "image_id": [row[0] for row in rows],
            "trace_id": range(len(rows)),
            "label": [row[1] for row in rows],
            "actions": [row[2] for row in rows],
            "thoughts": [[row[3]] * len(row[2]) for row in rows],
        }
    )


def test_the_best_trace_is_right_then_sure_and_short_then_first():
    table = traces(
        (7, 4, [1, 2, 20], THOUGHT),
        (7, 4, [3, 20], THOUGHT),
        (7, 4, [5, 20], THOUGHT),
        (7, 4, [17], "1 (0.999) or 4 (0.001)"),
        (8, 4, [17], THOUGHT),
    )
    assert references.actions_for(table, [8, 7], [4, 4]) == [[17], [3, 20]]


@pytest.mark.parametrize(
    ("ids", "labels", "said"),
    [([1, 2, 3], [4, 4, 4], r"2 of 3 images have no reference trace \(image 2, 3\)"), ([1], [5], "another label")],
)
def test_references_that_do_not_fit_are_refused(ids, labels, said):
    with pytest.raises(InvalidInput, match=said):
        references.actions_for(traces((1, 4, [3, 20], THOUGHT)), ids, labels)


def test_chains_without_references_are_refused(new_run, splits):
    model = policy.to_value(policy.Policy(policy.Architecture(), torch.Generator().manual_seed(5)))
    with pytest.raises(InvalidInput, match="needs reference traces"):
        evaluate(new_run(), BOTH, model, splits["validation"])
