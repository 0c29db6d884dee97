"""Which checkpoints are saved and let go, decided without a run."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from repro_assets.training.checkpoint_policy import CheckpointPolicy, Mark


def policy(**given: Any) -> CheckpointPolicy:
    return CheckpointPolicy(**{"every": 0, "epochs": 0, "best": "", "mode": "max", "keep": 0, **given})


def follow(decides: CheckpointPolicy, figures: list[float], first: int = 1) -> tuple[list[str], list[str]]:
    """Give one figure a step; return the names of what was saved and of what was let go."""
    saved: list[str] = []
    dropped: list[str] = []
    for step, figure in enumerate(figures, first):
        decision = decides.decide(step, last=False, epochs=None, measured={"figure": figure})
        saved += [mark.name for mark in decision.save]
        dropped += [mark.name for mark in decision.drop]
    return saved, dropped


def test_the_best_is_saved_whenever_a_figure_is_better_and_not_where_it_is_equal_or_no_number():
    figures = [0.5, 0.5, 0.4, math.nan, 0.6, 0.6, 0.55]
    assert follow(policy(best="figure"), figures) == (["checkpoint_best_1", "checkpoint_best_5"], [])
    smaller = ["checkpoint_best_1", "checkpoint_best_3"]
    assert follow(policy(best="figure", mode="min"), figures) == (smaller, [])


def test_of_the_best_the_worst_falls_out():
    saved, dropped = follow(policy(best="figure", keep=2), [0.1, 0.3, 0.2, 0.05, 0.4, 0.3])
    assert saved == [f"checkpoint_best_{step}" for step in (1, 2, 3, 5)]
    assert dropped == ["checkpoint_best_1", "checkpoint_best_3"]


def test_of_the_periodic_ones_the_oldest_falls_out_and_two_of_one_step_go_together():
    decides = policy(every=2, epochs=1, keep=2)
    dropped = {}
    for step in range(1, 9):
        over = (step - 1) // 4, step // 4
        decision = decides.decide(step, last=step == 8, epochs=over, measured=None)
        dropped[step] = [mark.name for mark in decision.drop]
        if step == 4:
            assert decision.save == [Mark("step", 4), Mark("epoch", 1)]
    assert {step: names for step, names in dropped.items() if names} == {
        6: ["checkpoint_step_2"],
        8: ["checkpoint_step_4", "checkpoint_epoch_1"],
    }


def test_a_batch_that_ends_several_epochs_saves_the_last_of_them_that_is_due():
    assert policy(epochs=2).decide(1, last=False, epochs=(0, 5), measured=None).save == [Mark("epoch", 4)]
    assert policy(epochs=2).decide(1, last=False, epochs=(4, 5), measured=None).save == []


def test_what_was_best_by_another_figure_or_mode_is_no_measure():
    before = policy(best="figure")
    follow(before, [0.9])
    for other in (policy(best="figure", mode="min"), policy(best="another")):
        other.load_state_dict(before.state_dict())
        assert other.decide(2, last=False, epochs=None, measured={"figure": 0.95, "another": 0.1}).save
    same = policy(best="figure")
    same.load_state_dict(before.state_dict())
    assert not same.decide(2, last=False, epochs=None, measured={"figure": 0.8}).save


@settings(max_examples=150, deadline=None)
@given(
    figures=st.lists(st.one_of(st.integers(0, 4).map(float), st.just(math.nan)), min_size=1, max_size=25),
    every=st.integers(0, 4),
    keep=st.integers(0, 4),
    mode=st.sampled_from(["min", "max"]),
    stop=st.integers(0, 25),
)
def test_what_is_left_is_the_newest_and_the_best_also_after_a_resumption(
    figures: list[float], every: int, keep: int, mode: str, stop: int
) -> None:
    config = {"every": every, "best": "figure", "mode": mode, "keep": keep}
    whole = follow(policy(**config), figures)
    first = policy(**config)
    begun = follow(first, figures[:stop])
    later = policy(**config)
    # The memory goes through JSON, as it does in a manifest.
    later.load_state_dict(json.loads(json.dumps(first.state_dict())))
    rest = follow(later, figures[stop:], first=min(stop, len(figures)) + 1)
    assert (begun[0] + rest[0], begun[1] + rest[1]) == whole

    saved, dropped = whole
    assert set(dropped) <= set(saved)
    assert len(set(saved)) == len(saved)
    left = [name for name in saved if name not in dropped]
    periodic = [step for step in range(1, len(figures) + 1) if every and step % every == 0]
    assert [name for name in left if "step" in name] == [
        f"checkpoint_step_{step}" for step in (periodic[-keep:] if keep else periodic)
    ]
    numbers = [(figure, step) for step, figure in enumerate(figures, 1) if not math.isnan(figure)]
    ranked = sorted(numbers, key=lambda item: item[0] if mode == "min" else -item[0])[: max(1, keep)]
    best = {f"checkpoint_best_{step}" for _, step in ranked}
    assert best <= set(left)
    if keep:
        assert best == {name for name in left if "best" in name}
