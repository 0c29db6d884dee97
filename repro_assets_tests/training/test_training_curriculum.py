from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.training.curriculum import Mix, Stages, StagesConfig
from repro_assets.training.curriculum_strategies import (
    Competence,
    CompetenceConfig,
    LossConfig,
    LossProportional,
    make_curriculum,
)
from repro_assets.training.difficulty import trace_difficulty
from repro_assets.training.levels import LEVELS, levels, ranks

RANKED = ranks(np.linspace(0, 1, 12))
EASY, MIXED = {"simple": 1, "medium": 0, "hard": 0}, {"simple": 0.5, "medium": 0.3, "hard": 0.2}
HARD = {"simple": 0.2, "medium": 0.4, "hard": 0.4}


def config(*, exit_at=0.5, metric="accuracy", **changes):
    stages = [
        {"name": "easy", "mix": EASY, "exit": {metric: exit_at}},
        {"name": "mixed", "mix": MIXED, "exit": {metric: exit_at}},
        {"name": "hard", "mix": HARD},
    ]
    plain = {"stages": stages, "rollback_metric": metric, "advancement_interval": 0, "rollback_cooldown": 0}
    return StagesConfig.model_validate({**plain, "smoothing_window_size": 1, "patience_cycles": 1, **changes})


def watched(curriculum, values, metric="accuracy", every=10, first=10):
    """(step, reason, stage) of every change while the metric takes these values."""
    return [
        (change.step, change.reason, change.to_stage)
        for place, value in enumerate(values)
        for change in curriculum.observe(first + place * every, {metric: value})
    ]


def test_the_defaults_are_those_promised():
    made = StagesConfig.model_validate({"stages": [{"name": "all", "mix": MIXED}]})
    assert (made.smoothing_window_size, made.patience_cycles, made.cooldown_cycles) == (3, 2, 3)
    assert (made.advancement_interval, made.rollback_cooldown, made.rollback_factor) == (500, 1000, 2)
    assert (made.rollback_threshold, made.rollback_enabled) == (-0.05, True)


@pytest.mark.parametrize(
    ("changes", "values", "expected"),
    [
        ({"cooldown_cycles": 0}, [0.4, 0.6, 0.4, 0.7], [(20, "criteria", "mixed"), (40, "criteria", "hard")]),
        # Criteria that hold once, then fail, begin anew.
        ({"patience_cycles": 2, "rollback_enabled": False}, [0.6, 0.4, 0.6, 0.6], [(40, "criteria", "mixed")]),
        # The mean of three: one bad evaluation among good ones does not matter, one good one among bad does not help.
        ({"smoothing_window_size": 3}, [0.7, 0.3, 0.7, 0.1], [(30, "criteria", "mixed")]),
        ({"smoothing_window_size": 3}, [0.9, 0.2, 0.2], []),
        ({"smoothing_window_size": 3}, [0.9, 0.9], []),
        # Three evaluations after a change nothing changes.
        ({"cooldown_cycles": 3}, [0.6] * 6, [(10, "criteria", "mixed"), (50, "criteria", "hard")]),
        (
            {"cooldown_cycles": 3, "patience_cycles": 2},
            [0.6] * 8,
            [(20, "criteria", "mixed"), (70, "criteria", "hard")],
        ),
        (
            {"advancement_interval": 35, "cooldown_cycles": 0},
            [0.6] * 8,
            [(40, "criteria", "mixed"), (80, "criteria", "hard")],
        ),
        # The last stage is left by nothing.
        ({"cooldown_cycles": 0}, [0.6] * 20, [(10, "criteria", "mixed"), (20, "criteria", "hard")]),
    ],
)
def test_a_stage_ends_by_the_rules(changes, values, expected):
    assert watched(Stages(config(**{"rollback_enabled": False, **changes}), RANKED), values) == expected


def test_min_steps_hold_a_stage_and_max_steps_end_it():
    stages = [
        {"name": "easy", "mix": EASY, "exit": {"accuracy": 0.5}, "min_steps": 35},
        {"name": "mixed", "mix": MIXED, "exit": {"accuracy": 0.99}, "max_steps": 25},
        {"name": "hard", "mix": HARD},
    ]
    made = Stages(config(stages=stages, cooldown_cycles=0, smoothing_window_size=1), RANKED)
    assert watched(made, [0.6] * 9) == [(40, "criteria", "mixed"), (70, "max_steps", "hard")]


@pytest.mark.parametrize(("name", "lower"), [("validation/loss", True), ("reward", False)])
def test_a_criterion_is_met_from_the_side_that_the_name_says_is_better(name, lower):
    made = Stages(config(metric=name, exit_at=2.0, cooldown_cycles=0, rollback_enabled=False), RANKED)
    assert bool(watched(made, [1.9], name)) is lower
    assert bool(watched(made, [2.1], name, first=20)) is not lower


def test_an_explicit_direction_wins_over_the_name():
    stages = config().model_dump()["stages"]
    stages[0]["exit"] = {"accuracy": {"threshold": 0.5, "direction": "lower"}}
    made = Stages(config(stages=stages, rollback_enabled=False), RANKED)
    assert watched(made, [0.6, 0.4]) == [(20, "criteria", "mixed")]


@pytest.mark.parametrize(
    ("metric", "values", "changes"),
    [
        ("accuracy", [0.6, 0.62, 0.58, 0.56, 0.56], {}),
        ("perplexity", [0.4, 0.38, 0.42, 0.44, 0.44], {}),
        ("accuracy", [6.0, 6.2, 6.0, 5.8, 5.8], {"rollback_relative": True, "exit_at": 5}),
        ("perplexity", [4.0, 3.8, 3.9, 4.1, 4.1], {"rollback_relative": True, "exit_at": 5}),
    ],
)
def test_a_regression_rolls_back_once_and_then_cools_down(metric, values, changes):
    made = Stages(config(metric=metric, cooldown_cycles=0, rollback_cooldown=45, **changes), RANKED)
    assert watched(made, values[:2], metric) == [(10, "criteria", "mixed"), (20, "criteria", "hard")]
    assert watched(made, values[2:4], metric, first=30) == [(40, "rollback", "mixed")]
    assert made.mix(41) == pytest.approx({"simple": 0.6, "medium": 0.2, "hard": 0.2})
    # As bad as before, or worse: nothing changes in the cooldown.
    assert watched(made, [values[4]] * 3 + [values[4]], metric, first=50) == []
    # Then the stage's criteria count again; what it has become is the new measure.
    assert watched(made, [values[4]], metric, first=90) == [(90, "criteria", "hard")]
    assert made.mix(91) == HARD


def test_rollback_enabled_is_read():
    made = Stages(config(rollback_enabled=False, cooldown_cycles=0, exit_at=0.9), RANKED)
    assert watched(made, [0.6, 0.1, 0.1]) == []
    # A figure that nothing goes by need not be measured.
    assert made.config.metrics() == ["accuracy"]


def test_the_first_stage_is_eased_and_cannot_be_eased_beyond_simple():
    stages = [{"name": "one", "mix": MIXED, "exit": {"accuracy": 0.99}}, {"name": "two", "mix": HARD}]
    made = Stages(config(stages=stages, cooldown_cycles=0), RANKED)
    (change,) = made.observe(1, {"accuracy": 0.6}) + made.observe(2, {"accuracy": 0.5})
    assert (change.reason, change.from_stage, change.to_stage) == ("rollback", "one", "one")
    assert change.mix == pytest.approx({"simple": 0.75, "medium": 0.15, "hard": 0.1})
    simple = Stages(config(cooldown_cycles=0, exit_at=0.99), RANKED)
    assert watched(simple, [0.6, 0.1]) == []


def test_a_cooldown_ends_with_figures_of_the_new_stage_only():
    made = Stages(config(smoothing_window_size=3, exit_at=0.5), RANKED)
    assert watched(made, [0.9, 0.9, 0.9]) == [(30, "criteria", "mixed")]
    # Three poor evaluations in the cooldown, of which nothing comes; the fourth, with them, is a regression.
    assert watched(made, [0.8, 0.8, 0.8], first=40) == []
    (change,) = made.observe(70, {"accuracy": 0.8})
    assert (change.reason, change.metrics) == ("rollback", {"accuracy": pytest.approx(0.8)})


def test_figures_of_the_stage_before_do_not_count_without_a_cooldown_either():
    made = Stages(config(smoothing_window_size=3, cooldown_cycles=0, exit_at=0.5), RANKED)
    assert watched(made, [0.9] * 6) == [(30, "criteria", "mixed"), (60, "criteria", "hard")]


def test_a_change_says_what_was_measured_and_what_follows():
    made = Stages(config(smoothing_window_size=2), RANKED)
    assert made.start() == (0, None, "easy", "start", {}, EASY)
    made.observe(5, {"accuracy": 0.5, "other": 1.0})
    (change,) = made.observe(10, {"accuracy": 0.7})
    assert change == (10, "easy", "mixed", "criteria", {"accuracy": pytest.approx(0.6)}, MIXED)
    assert made.mix(11) == change.mix


@pytest.mark.parametrize(
    ("metrics", "message"),
    [({"loss": 1.0}, "no figure accuracy.*name one of loss"), ({}, "no figure"), ({"accuracy": float("nan")}, "nan")],
)
def test_a_figure_that_was_not_measured_is_an_error(metrics, message):
    with pytest.raises(InvalidInput, match=message):
        Stages(config(), RANKED).observe(10, metrics)


def test_evaluations_come_in_order():
    made = Stages(config(), RANKED)
    made.observe(10, {"accuracy": 0.1})
    with pytest.raises(InvalidValue, match="step 10 cannot follow the one at step 10"):
        made.observe(10, {"accuracy": 0.1})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": []}, "at least 1 item"),
        ({"stages": [{"name": "a", "mix": {"simple": 0.5, "medium": 0.2, "hard": 0.2}}]}, "sum to 0.9, not to 1"),
        ({"stages": [{"name": "a", "mix": {"simple": 1.5, "medium": -0.5, "hard": 0}}]}, "less than or equal to 1"),
        ({"stages": [{"name": "a", "mix": EASY}, {"name": "b", "mix": HARD}]}, "stage 'a' never ends"),
        ({"stages": [{"name": "a", "mix": EASY, "max_steps": 5}, {"name": "a", "mix": HARD}]}, "two stages are named"),
        ({"stages": [{"name": "a", "mix": EASY, "max_steps": 5}]}, "stage 'a' is the last"),
        ({"stages": [{"name": "a", "mix": EASY, "min_steps": 9, "max_steps": 5}]}, "max_steps 5 is below min_steps 9"),
        ({"stages": [{"name": "a", "mix": EASY, "exit": {"x": {"threshold": 1, "direction": "up"}}}]}, "direction"),
        ({"rollback_threshold": 0.05}, "less than 0"),
        ({"rollback_factor": 1}, "greater than 1"),
        ({"patience": 2}, "not permitted"),
    ],
)
def test_a_config_that_cannot_work_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        config(**changes)
    with pytest.raises(ValueError, match="for stages, ") as caught:
        make_curriculum("stages", {**config().model_dump(), **changes}, np.linspace(0, 1, 12))
    assert "\n" not in str(caught.value)


shares = st.tuples(*[st.integers(0, 100)] * 3).filter(any)
accuracies = st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.55, 0.7, 0.9]), max_size=40)
rules = st.fixed_dictionaries(
    {
        "smoothing_window_size": st.integers(1, 4),
        "patience_cycles": st.integers(1, 3),
        "cooldown_cycles": st.integers(0, 4),
        "advancement_interval": st.sampled_from([0, 25, 60]),
        "rollback_cooldown": st.sampled_from([0, 35, 90]),
        "rollback_factor": st.sampled_from([1.5, 2.0, 3.0]),
        "rollback_relative": st.booleans(),
    }
)


@st.composite
def curricula(draw):
    count = draw(st.integers(1, 4))
    stages = []
    for place in range(count):
        parts = draw(shares)
        mix = {level: part / sum(parts) for level, part in zip(LEVELS, parts, strict=True)}
        stage = {"name": f"stage {place}", "mix": mix, "min_steps": draw(st.integers(0, 50))}
        if place < count - 1:
            stage["exit"] = {"accuracy": draw(st.sampled_from([0.2, 0.5, 0.7]))}
            stage["max_steps"] = draw(st.sampled_from([None, 60, 200]))
        stages.append(stage)
    return config(stages=stages, **draw(rules))


@settings(max_examples=80, deadline=None)
@given(curricula(), accuracies)
def test_whatever_is_measured_the_laws_hold(made, values):
    curriculum = Stages(made, RANKED)
    since, quiet, last = 0, 0, None
    for place, value in enumerate(values):
        step = 10 * (place + 1)
        stage, mix = curriculum.stage, curriculum.mix(step)
        changes = curriculum.observe(step, {"accuracy": value})
        assert sum(curriculum.mix(step).values()) == pytest.approx(1, abs=1e-9)
        assert curriculum.weights(step).sum() == pytest.approx(1, abs=1e-9)
        if not changes:
            assert (curriculum.stage, curriculum.mix(step)) == (stage, mix)
            continue
        (change,) = changes
        assert step >= quiet
        assert last is None or place - last > made.cooldown_cycles
        if change.reason == "criteria":
            assert step - since >= max(stage.min_steps, made.advancement_interval)
            assert change.metrics["accuracy"] >= stage.exit["accuracy"].threshold
        elif change.reason == "max_steps":
            assert step - since >= stage.max_steps
        else:
            assert change.mix["hard"] == mix["hard"] / made.rollback_factor
            assert change.mix["simple"] >= mix["simple"]
            quiet = step + made.rollback_cooldown
        since, last = step, place


@settings(max_examples=60, deadline=None)
@given(curricula(), accuracies, st.data())
def test_a_state_loaded_at_any_point_goes_on_as_if_never_stopped(made, values, data):
    whole, cut = Stages(made, RANKED), data.draw(st.integers(0, len(values)))
    expected = watched(whole, values)
    one = Stages(made, RANKED)
    first = watched(one, values[:cut])
    other = Stages(made, RANKED)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert first + watched(other, values[cut:], first=10 * (cut + 1)) == expected
    assert other._state == whole._state


def test_nothing_that_counts_is_left_out_of_the_state():
    rules = config(smoothing_window_size=2, patience_cycles=3, cooldown_cycles=1, rollback_cooldown=45)
    values = [0.4, 0.6, 0.6, 0.6, 0.6, 0.7, 0.7, 0.7, 0.7, 0.3, 0.3, 0.3, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
    whole = Stages(rules, RANKED)
    expected = watched(whole, values)
    assert [reason for _, reason, _ in expected] == ["criteria", "criteria", "rollback", "criteria"]
    for cut in range(len(values)):
        one, other = Stages(rules, RANKED), Stages(rules, RANKED)
        first = watched(one, values[:cut])
        other.load_state_dict(json.loads(json.dumps(one.state_dict())))
        assert other._state == one._state, cut
        assert first + watched(other, values[cut:], first=10 * (cut + 1)) == expected, cut


def test_competence_grows_as_in_the_paper():
    pacing = Competence(CompetenceConfig(initial=0.1, steps=100), RANKED)
    assert pacing.competence(0) == pytest.approx(0.1)
    assert pacing.competence(25) == pytest.approx((25 * 0.99 / 100 + 0.01) ** 0.5)
    assert pacing.competence(100) == pacing.competence(1000) == 1
    # The easiest may always be drawn, then those below the competence, all alike.
    assert pacing.weights(1).tolist() == [1.0] + [0.0] * 11
    assert pacing.weights(26).tolist() == [1 / 6] * 6 + [0.0] * 6
    assert pacing.weights(101).tolist() == [1 / 12] * 12
    assert pacing.start().metrics == {"competence": pytest.approx(0.1)}
    reasons = [change.reason for step in (25, 50, 75, 100, 125, 150) for change in pacing.observe(step, {})]
    assert reasons == ["pace"] * 4


def test_examples_are_drawn_in_proportion_to_their_loss():
    sampling = LossProportional(LossConfig(uniform=0.25, momentum=0.5), ranks([0.1, 0.2, 0.3, 0.4]))
    assert sampling.weights(1).tolist() == [0.25] * 4
    sampling.learn(np.array([0, 3]), np.array([1.0, 3.0]))
    # Those never seen count with the mean, 2.
    assert sampling.weights(2).tolist() == pytest.approx([0.0625 + 0.75 * loss / 8 for loss in (1, 2, 2, 3)])
    sampling.learn(np.array([3]), np.array([1.0]))
    assert sampling.weights(3).tolist() == pytest.approx([0.0625 + 0.75 * loss / 6 for loss in (1, 1.5, 1.5, 2)])
    (change,) = sampling.observe(10, {})
    assert (change.reason, change.metrics["sampled_share"]) == ("losses", 0.5)
    assert sum(change.mix.values()) == pytest.approx(1)
    assert sampling.observe(20, {}) == []
    other = LossProportional(sampling.config, ranks([0.1, 0.2, 0.3, 0.4]))
    other.load_state_dict(json.loads(json.dumps(sampling.state_dict())))
    assert other.weights(4).tolist() == sampling.weights(4).tolist()
    assert other.observe(20, {}) == []
    with pytest.raises(InvalidInput, match="not finite"):
        sampling.learn(np.array([0]), np.array([np.nan]))


def test_a_state_of_something_else_is_refused():
    stages = make_curriculum("stages", config().model_dump(), np.linspace(0, 1, 12))
    loss = make_curriculum("loss", {}, np.linspace(0, 1, 12))
    with pytest.raises(InvalidInput, match="not one of this strategy"):
        stages.load_state_dict(loss.state_dict())
    with pytest.raises(InvalidInput, match="stage 4, of 3 stages"):
        stages.load_state_dict({**stages.state_dict(), "stage": 3})
    with pytest.raises(InvalidInput, match="12 examples, not of 9"):
        make_curriculum("loss", {}, np.linspace(0, 1, 9)).load_state_dict(loss.state_dict())


def test_thirds_are_by_rank_and_ties_keep_their_order():
    assert levels(ranks([0.9, 0.1, 0.5, 0.5, 0.2, 0.95])).tolist() == [2, 0, 1, 1, 0, 2]
    assert levels(ranks([0.5] * 7)).tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert np.bincount(levels(ranks(np.random.default_rng(0).random(100)))).tolist() == [34, 33, 33]
    for wrong, message in (([0.1, 0.2], "2 examples"), ([0.1, 0.2, 1.5], "row 2 is 1.5"), ([0, 1, np.nan], "row 2")):
        with pytest.raises(InvalidInput, match=message):
            ranks(wrong)


def test_a_trace_is_harder_the_more_its_teacher_had_to_look_and_the_less_it_knew():
    first = "3 (0.600) or 8 (0.300)"
    assert trace_difficulty(3, [19], [first]) == pytest.approx(0.5 * 0.4)
    assert trace_difficulty(8, [24], [first]) == pytest.approx(0.5 * 0.7)
    assert trace_difficulty(1, [17], [first]) == pytest.approx(0.5)
    assert trace_difficulty(3, [1, 2, 19], [first, first, "3 (0.950) or 8 (0.010)"]) == pytest.approx(0.5 * 2 / 8 + 0.2)


def test_the_logic_needs_no_torch():
    code = "import sys, repro_assets.training.curriculum_strategies; sys.exit('torch' in sys.modules)"
    probe = subprocess.run([sys.executable, "-c", code], check=False)
    assert probe.returncode == 0


def test_an_eased_mix_is_a_mix():
    assert Mix(simple=0, medium=0.1, hard=0.9).eased(3).model_dump() == pytest.approx(
        {"simple": 2 / 3, "medium": 0.1 / 3, "hard": 0.3}
    )
