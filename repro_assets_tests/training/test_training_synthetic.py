"""The synthetic problems: deterministic, disjoint, stratified, and as they are said to be."""

from __future__ import annotations

import io

import numpy as np
import pytest
from pydantic import ValidationError

from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.training import synthetic
from repro_assets.training.synthetic import PROBLEMS, SyntheticConfig, generate_synthetic, split_of, to_npz


def made(new_run, problem, seed=0, **more):
    return generate_synthetic(new_run(seed), SyntheticConfig(problem=problem, **{"n_samples": 400, **more}))


def all_points(data):
    ids = np.concatenate([data[name]["ids"] for name in synthetic.SPLITS])
    order = np.argsort(ids)
    inputs = np.concatenate([data[name]["inputs"] for name in synthetic.SPLITS])[order]
    return inputs, np.concatenate([data[name]["labels"] for name in synthetic.SPLITS])[order]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_problem_has_equal_bytes_for_equal_words_and_others_for_another_seed(new_run, problem):
    one = to_npz(made(new_run, problem))
    assert one == to_npz(made(new_run, problem))
    assert one != to_npz(made(new_run, problem, seed=1))
    with np.load(io.BytesIO(one)) as file:
        assert sorted(file.files) == sorted(
            f"{split}_{name}" for split in synthetic.SPLITS for name in ("ids", "inputs", "labels")
        )
        assert file["train_inputs"].dtype == np.float32


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_splits_hold_every_point_once_and_each_class_by_its_share(new_run, problem):
    run = new_run(0)
    data = generate_synthetic(run, SyntheticConfig(problem=problem, n_samples=401))
    assert {name: len(data[name]["labels"]) for name in data} == {"train": 221, "validation": 60, "test": 120}
    assert run.last("split/train") == 221
    ids = np.concatenate([data[name]["ids"] for name in synthetic.SPLITS])
    assert sorted(ids) == list(range(401))
    share = all_points(data)[1].mean()
    for name in synthetic.SPLITS:
        labels = data[name]["labels"]
        assert abs(labels.sum() - share * len(labels)) <= 2
        assert np.array_equal(data[name]["ids"], np.sort(data[name]["ids"]))
        assert len(labels.tobytes()) == len(labels)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_inputs_beyond_the_problems_own_are_zero_and_the_others_do_not_depend_on_their_number(new_run, problem):
    own = 3 if problem == "spheres" else 2
    narrow = all_points(made(new_run, problem, input_dim=own))[0]
    wide = all_points(made(new_run, problem, input_dim=7))[0]
    assert np.array_equal(wide[:, :own], narrow)
    assert not wide[:, own:].any()
    assert wide[:, :own].std(axis=0).min() > 0.1


def test_another_division_moves_no_point(new_run):
    one = all_points(made(new_run, "spirals"))
    other = all_points(made(new_run, "spirals", test_share=0.1, validation_share=0.4))
    assert all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


def test_without_noise_every_point_lies_where_its_class_is(new_run):
    spiral, arm = all_points(made(new_run, "spirals", noise=0))
    radius = np.linalg.norm(spiral, axis=1)
    off = np.arctan2(spiral[:, 1], spiral[:, 0]) - radius - np.pi * arm
    assert np.abs(np.angle(np.exp(1j * off))).max() < 1e-4
    assert radius.max() < 4 * 2 * np.pi
    shells, label = all_points(made(new_run, "spheres", noise=0, shells=4))
    radius = np.linalg.norm(shells, axis=1)
    assert np.abs(radius - radius.round()).max() < 1e-5
    assert set(radius.round()) == {1, 2, 3, 4}
    assert np.array_equal((radius.round() - 1) % 2, label)
    clusters, label = all_points(made(new_run, "clusters", noise=0, clusters=5))
    assert len(np.unique(np.column_stack([clusters, label]), axis=0)) == 5
    moons, label = all_points(made(new_run, "moons", noise=0))
    centre = np.where(label[:, None] == 0, [0, 0], [1, 0.5])
    assert np.abs(np.linalg.norm(moons[:, :2] - centre, axis=1) - 1).max() < 1e-5
    assert ((moons[:, 1] >= 0) == (label == 0)).mean() > 0.6


def test_neighbouring_pairs_of_moons_have_their_classes_exchanged(new_run):
    points, label = all_points(made(new_run, "complex_moons", noise=0, pairs=2, n_samples=800))
    upper = points[:, 1] > 0.51
    left = points[:, 0] < 2
    assert set(label[upper & left]) == {0}
    assert set(label[upper & ~left]) == {1}


def test_noise_is_of_the_size_that_is_asked_for(new_run):
    still, loud = (all_points(made(new_run, "moons", noise=noise, n_samples=4000))[0] for noise in (0, 0.5))
    assert abs((loud - still)[:, :2].std() - 0.5) < 0.02


def test_what_cannot_be_made_is_refused_in_one_line(new_run):
    with pytest.raises(InvalidValue, match="there is no problem 'circles'"):
        made(new_run, "circles")
    with pytest.raises(InvalidValue, match="spheres has 3 dimensions and input_dim is 2"):
        made(new_run, "spheres", input_dim=2)
    with pytest.raises(InvalidValue, match="test split of 1 points does not hold both"):
        made(new_run, "moons", n_samples=50, test_share=0.02)
    for wrong in ({"n_samples": 3}, {"noise": -1}, {"rotation": 4}):
        with pytest.raises(ValidationError):
            SyntheticConfig(problem="moons", **wrong)


def test_a_malformed_data_set_is_refused_and_the_split_is_named(new_run):
    data = made(new_run, "moons")
    good = data["train"]
    cases = {
        "no train split": {"test": good},
        "shape": {"train": {**good, "labels": good["labels"][1:]}},
        "no numbers": {"train": {**good, "inputs": np.full_like(good["inputs"], np.nan)}},
        "other than 0 and 1": {"train": {**good, "labels": good["labels"] + 1}},
    }
    for message, wrong in cases.items():
        with pytest.raises(InvalidInput, match=message):
            split_of("train", wrong)
