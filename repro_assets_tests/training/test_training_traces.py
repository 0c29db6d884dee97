import numpy as np
import pandas as pd
import pytest

from repro_assets.errors import InvalidInput
from repro_assets.training import task
from repro_assets.training.filtering import REASONS, FilterConfig, filter_and_score
from repro_assets.training.teacher import fit_teacher
from repro_assets.training.traces import TracesConfig, generate_traces, read_thought, write_thought

FAULTLESS = {"fault_repeat": 0.0, "fault_answer": 0.0, "fault_endless": 0.0}


def make(new_run, split, seed=0, **settings):
    run = new_run(seed)
    return generate_traces(run, TracesConfig(**settings), split), run


def repeats(actions):
    return len(set(actions[:-1])) < len(actions) - 1


@pytest.fixture(scope="module")
def traces(new_run, splits):
    return generate_traces(new_run(0), TracesConfig(), splits["sft"])


def test_a_trace_is_looks_then_one_answer_with_a_thought_for_each(traces, splits):
    assert list(traces.columns) == ["image_id", "trace_id", "label", "actions", "thoughts"]
    assert len(traces) == 450 * 8
    assert set(traces["image_id"]) == set(splits["sft"]["image_ids"].tolist())
    for actions, thoughts in zip(traces["actions"], traces["thoughts"], strict=True):
        assert 1 <= len(actions) <= 9
        assert all(0 <= action < 16 for action in actions[:-1])
        assert 16 <= actions[-1] < 26
        assert len(thoughts) == len(actions)
        assert all(read_thought(thought) is not None for thought in thoughts)


def test_traces_are_a_function_of_the_seed(new_run, splits, traces):
    pd.testing.assert_frame_equal(traces, make(new_run, splits["sft"])[0])
    assert not traces["actions"].equals(make(new_run, splits["sft"], seed=1)[0]["actions"])


def test_a_faultless_teacher_never_repeats_and_answers_what_it_thinks(new_run, splits):
    traces, run = make(new_run, splits["sft"], **FAULTLESS)
    for actions, thoughts in zip(traces["actions"], traces["thoughts"], strict=True):
        assert not repeats(actions)
        believed = read_thought(thoughts[-1])
        assert actions[-1] - 16 == next(iter(believed))
        assert max(believed.values()) > 0.899 or len(actions) == 9
        assert all(max(read_thought(thought).values()) < 0.901 for thought in thoughts[:-1])
    assert (run.last("faults/repeated_look"), run.last("faults/random_answer"), run.last("faults/endless")) == (0, 0, 0)
    right = np.mean(
        [actions[-1] - 16 == label for actions, label in zip(traces["actions"], traces["label"], strict=True)]
    )
    assert right > 0.85


def test_each_fault_shows_in_the_traces_it_is_put_into(new_run, splits):
    endless, _ = make(new_run, splits["sft"], **{**FAULTLESS, "fault_endless": 1.0})
    assert all(len(actions) == 9 for actions in endless["actions"])
    random_answer, _ = make(new_run, splits["sft"], **{**FAULTLESS, "fault_answer": 1.0})
    answers = np.array([actions[-1] - 16 for actions in random_answer["actions"]])
    assert np.mean(answers == random_answer["label"]) == pytest.approx(0.1, abs=0.03)
    repeating, run = make(new_run, splits["sft"], **{**FAULTLESS, "fault_repeat": 1.0})
    assert all(repeats(actions) for actions in repeating["actions"] if len(actions) > 2)
    looks = sum(max(0, len(actions) - 2) for actions in repeating["actions"])
    assert run.last("faults/repeated_look") == looks


def test_a_repeated_look_teaches_the_teacher_nothing(new_run, splits):
    traces, _ = make(new_run, splits["sft"], **{**FAULTLESS, "fault_repeat": 1.0})
    for actions, thoughts in zip(traces["actions"], traces["thoughts"], strict=True):
        for place in range(1, len(actions) - 1):
            if actions[place] in actions[:place]:
                assert thoughts[place + 1] == thoughts[place]


def test_the_teacher_reads_the_split_it_was_given_and_no_other(splits):
    sft = splits["sft"]
    teacher = fit_teacher(sft["images"], sft["labels"])
    eights = sft["images"][sft["labels"] == 8] / 16
    assert np.allclose(teacher.region_mean[8, 0], eights[:, :2, :2].reshape(-1, 4).mean(0), atol=1e-6)
    assert np.allclose(teacher.region_variance[8, 5], eights[:, 2:4, 2:4].reshape(-1, 4).var(0) + 0.03, atol=1e-6)
    with pytest.raises(InvalidInput, match="digits only"):
        fit_teacher(sft["images"][sft["labels"] < 9], sft["labels"][sft["labels"] < 9])


def test_a_thought_reads_back_as_it_was_written():
    posterior = np.array([0.05, 0.6, 0.0, 0.0, 0.35, 0, 0, 0, 0, 0])
    assert write_thought(posterior) == "1 (0.600) or 4 (0.350)"
    assert read_thought("1 (0.600) or 4 (0.350)") == {1: 0.6, 4: 0.35}
    assert read_thought("it may be a 1") is None


def test_every_trace_is_kept_or_counted_under_one_reason(new_run, traces):
    run = new_run()
    kept = filter_and_score(run, FilterConfig(min_quality_score=0.7), traces)
    dropped = {reason: run.last(f"dropped/{reason}") for reason in REASONS}
    assert run.last("kept") == len(kept)
    assert sum(dropped.values()) + len(kept) == run.last("traces") == len(traces)
    assert all(count > 0 for count in dropped.values())
    assert 0.7 <= kept["quality"].min() <= kept["quality"].max() <= 1
    for actions, label in zip(kept["actions"], kept["label"], strict=True):
        assert actions[-1] - 16 == label
        assert not repeats(actions)
        assert len(actions) - 1 <= 7
    assert kept["trace_id"].is_monotonic_increasing


def test_a_rule_that_is_switched_off_drops_nothing(new_run, traces):
    run = new_run()
    settings = FilterConfig(drop_wrong_answers=False, drop_repeated_looks=False, max_looks=8)
    assert len(filter_and_score(run, settings, traces)) == len(traces)


def test_quality_is_half_confidence_and_half_thrift(new_run, traces):
    one = traces.iloc[:1].copy()
    one.at[one.index[0], "label"] = 3
    one.at[one.index[0], "actions"] = [4, 5, 19]
    for thought, expected in (
        ("3 (0.920) or 8 (0.050)", 0.46),
        ("8 (0.500) or 3 (0.400)", 0.2),
        ("8 (0.500) or 1 (0.400)", 0.0),
    ):
        one.at[one.index[0], "thoughts"] = ["8 (0.300) or 3 (0.200)"] * 2 + [thought]
        kept = filter_and_score(new_run(), FilterConfig(), one)
        assert kept["quality"].item() == pytest.approx(expected + 0.5 * (1 - 2 / 8))


def test_lists_that_come_back_as_arrays_filter_alike(new_run, traces):
    arrays = traces.copy()
    arrays["actions"] = [np.array(actions) for actions in traces["actions"]]
    arrays["thoughts"] = [np.array(thoughts, dtype=object) for thoughts in traces["thoughts"]]
    one = filter_and_score(new_run(), FilterConfig(), traces)
    other = filter_and_score(new_run(), FilterConfig(), arrays)
    assert one["trace_id"].equals(other["trace_id"])
    assert one["quality"].equals(other["quality"])


THOUGHT = "1 (0.600) or 4 (0.350)"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("actions", []),
        ("actions", [3, 26]),
        ("actions", [-1, 20]),
        ("actions", [3, 4]),
        ("actions", [20, 21]),
        ("actions", [3, 20.0]),
        ("actions", [True, 20]),
        ("actions", "3 20"),
        ("actions", None),
        ("actions", [1] * 9 + [20]),
        ("thoughts", [THOUGHT]),
        ("thoughts", [THOUGHT, 3]),
        ("thoughts", [THOUGHT, "no idea"]),
        ("thoughts", THOUGHT),
        ("thoughts", None),
        ("label", 10),
        ("label", -1),
        ("label", 1.5),
        ("label", "1"),
        ("image_id", -1),
        ("image_id", 2.5),
        ("trace_id", 0),
    ],
)
def test_a_malformed_trace_is_refused_by_name(new_run, traces, column, value):
    few = traces.iloc[:5].copy().astype({"label": object, "image_id": object, "trace_id": object})
    few.at[2, "actions"], few.at[2, "thoughts"] = [3, 20], [THOUGHT, THOUGHT]
    few.at[2, column] = value
    with pytest.raises(InvalidInput, match="trace 0" if column == "trace_id" else "trace 2") as caught:
        filter_and_score(new_run(), FilterConfig(), few)
    assert caught.value.remedy


def test_a_table_that_cannot_be_traces_is_refused(new_run, traces):
    for column in traces.columns:
        with pytest.raises(InvalidInput, match=f"no column {column}"):
            filter_and_score(new_run(), FilterConfig(), traces.drop(columns=column))
    with pytest.raises(InvalidInput, match="empty"):
        filter_and_score(new_run(), FilterConfig(), traces.iloc[:0])
    nameless = traces.iloc[:3].astype({"trace_id": object})
    nameless.iloc[1, 1] = "x"
    with pytest.raises(InvalidInput, match="row 1"):
        filter_and_score(new_run(), FilterConfig(), nameless)


def test_a_filter_that_keeps_nothing_says_so(new_run, traces):
    run = new_run()
    with pytest.raises(InvalidInput, match="none of 3600"):
        filter_and_score(run, FilterConfig(min_quality_score=1.0), traces)
    assert run.last("kept") == 0
    assert task.MAX_LOOKS == 8
