"""Intervals cover what they should, agree with another implementation, and are paired where they say so."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from repro_assets.errors import InvalidValue
from repro_assets.training.bootstrap import Interval, intervals


def means(sums):
    with np.errstate(invalid="ignore"):
        return sums[:, 1:] / sums[:, :1]


def with_ones(*columns):
    return np.stack([np.ones(len(columns[0])), *columns], axis=1).astype(np.float64)


def draws(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("name", "truth", "items", "sample"),
    [
        ("right answers", 0.9, 120, lambda rng, n: rng.random(n) < 0.9),
        ("skewed", 1.0, 60, lambda rng, n: rng.exponential(1.0, n)),
        ("normal", 0.0, 40, lambda rng, n: rng.normal(0.0, 3.0, n)),
    ],
)
def test_as_many_intervals_cover_the_truth_as_they_say(name, truth, items, sample):
    rng = np.random.default_rng(7)
    trials, confidence = 200, 0.9
    found = [
        intervals(with_ones(sample(rng, items)), means, draws(trial), resamples=250, confidence=confidence)[0]
        for trial in range(trials)
    ]
    covered = np.mean([interval.low <= truth <= interval.high for interval in found])
    # Within three standard errors of the nominal share, and a point for the size of the samples.
    assert abs(covered - confidence) <= 3 * (confidence * (1 - confidence) / trials) ** 0.5 + 0.01, (name, covered)


def test_resamples_that_equal_the_sample_count_half():
    """With 12 right of 14 a resample equals the sample in a quarter of the cases, which moves the ends by an item."""
    sample = np.array([1.0] * 12 + [0.0] * 2)
    (ours,) = intervals(with_ones(sample), means, draws(), resamples=20_000)
    theirs = stats.bootstrap(
        (sample,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_ends_are_those_of_scipys_bca():
    rng = np.random.default_rng(3)
    sample = rng.gamma(0.7, 2.0, 80)
    (ours,) = intervals(with_ones(sample), means, draws(), resamples=20_000)
    theirs = stats.bootstrap(
        (sample,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(sample.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)
    percentile = stats.bootstrap(
        (sample,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.high - percentile.high > 0.05 * width, "a skewed sample tells BCa from percentiles"


def test_a_difference_on_the_same_items_is_paired():
    rng = np.random.default_rng(5)
    hard = rng.random(300)
    one, other = hard < 0.70, hard < 0.75

    def difference(sums):
        return sums[:, 1:2] / sums[:, :1] - sums[:, 2:3] / sums[:, :1]

    (paired,) = intervals(with_ones(one, other), difference, draws())
    shuffled = rng.permutation(other)
    (unpaired,) = intervals(with_ones(one, shuffled), difference, draws())
    assert paired.value == unpaired.value == pytest.approx(one.mean() - other.mean())
    assert paired.high < 0, "the same items are read better by the other, and none worse"
    assert unpaired.high > 0
    assert paired.high - paired.low < 0.5 * (unpaired.high - unpaired.low)


def test_the_draws_are_a_function_of_the_generator_alone():
    rng = np.random.default_rng(11)
    one, other = rng.random(50), rng.random(50)
    together = intervals(with_ones(one, other), means, draws(4))
    assert together == intervals(with_ones(one, other), means, draws(4))
    assert together != intervals(with_ones(one, other), means, draws(5))
    assert [together[0]] == intervals(with_ones(one), means, draws(4))


def test_resamples_that_do_not_fit_into_one_block_are_drawn_all(monkeypatch):
    values = with_ones(np.random.default_rng(2).random(64))
    whole = intervals(values, means, draws(), resamples=101)
    monkeypatch.setattr("repro_assets.training.bootstrap._CELLS", 64 * 7)
    assert intervals(values, means, draws(), resamples=101) == whole


def test_items_that_agree_have_an_interval_without_width():
    assert intervals(with_ones(np.ones(30)), means, draws()) == [Interval(1.0, 1.0, 1.0)]
    assert intervals(with_ones(np.array([0.25])), means, draws()) == [Interval(0.25, 0.25, 0.25)]


def test_a_share_of_nothing_is_no_number():
    def share(sums):
        return np.divide(sums[:, :1], sums[:, 1:], out=np.full((len(sums), 1), np.nan), where=sums[:, 1:] > 0)

    assert intervals(np.zeros((20, 2)), share, draws()) == [Interval(None, None, None)]
    rare = np.zeros((20, 2))
    rare[0] = (1, 2)
    (found,) = intervals(rare, share, draws())
    assert found == Interval(0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("columns", "settings"),
    [
        (np.ones((0, 1)), {}),
        (np.ones(3), {}),
        (np.array([[1.0], [np.nan]]), {}),
        (np.ones((3, 2)), {"resamples": 0}),
        (np.ones((3, 2)), {"confidence": 1.0}),
    ],
)
def test_what_is_no_sample_is_refused(columns, settings):
    with pytest.raises(InvalidValue, match="bootstrap"):
        intervals(columns, means, draws(), **settings)
