import numpy as np
import pytest
import torch

from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.training import rollout, task
from repro_assets.training.policy import Architecture, Policy, from_value, to_value


@pytest.fixture
def policy():
    return Policy(Architecture(), torch.Generator().manual_seed(5))


@pytest.fixture
def images(splits):
    return task.scale(splits["test"]["images"][:60])


def test_views_agree_with_plain_loops(images):
    coarse, regions = task.coarse_view(images), task.region_pixels(images)
    for region in range(16):
        row, column = 2 * (region // 4), 2 * (region % 4)
        assert torch.equal(regions[:, region], images[:, row : row + 2, column : column + 2].reshape(-1, 4))
    for block in range(4):
        row, column = 4 * (block // 2), 4 * (block % 2)
        expected = images[:, row : row + 4, column : column + 4].mean(dim=(1, 2))
        assert torch.allclose(coarse[:, block], expected)


def test_reward_is_the_right_answer_less_the_price_of_the_looks():
    earned = task.reward(torch.tensor([3, 4]), torch.tensor([3, 3]), torch.tensor([2, 8]), 0.01)
    assert torch.allclose(earned, torch.tensor([0.98, -0.08]))


def test_the_policy_has_the_stated_size(policy):
    assert sum(parameter.numel() for parameter in policy.parameters()) == 108_122


def test_building_a_policy_leaves_the_global_generator_alone(policy):
    before = torch.get_rng_state()
    again = Policy(Architecture(), torch.Generator().manual_seed(5))
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(policy.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
        assert torch.isfinite(one).all()


def test_later_looks_do_not_change_earlier_predictions(policy, images):
    regions = torch.randint(16, (60, 8), generator=torch.Generator().manual_seed(1))
    changed = regions.clone()
    changed[:, 3:] = (changed[:, 3:] + 5) % 16
    before, after = policy(images, regions), policy(images, changed)
    assert torch.allclose(before[:, :4], after[:, :4], atol=1e-6)
    assert not torch.allclose(before[:, 4], after[:, 4], atol=1e-3)


def test_pixels_that_were_not_looked_at_are_not_seen(policy, images):
    regions = torch.tensor([[0, 1, 6]]).expand(60, -1)
    hidden = images.clone()
    # Regions 10 and 11 lie in one block, so exchanging them leaves the coarse view as it is.
    hidden[:, 4:6, 4:6], hidden[:, 4:6, 6:8] = images[:, 4:6, 6:8], images[:, 4:6, 4:6]
    assert torch.allclose(policy(images, regions), policy(hidden, regions), atol=1e-5)
    seen = torch.tensor([[0, 1, 10]]).expand(60, -1)
    assert not torch.allclose(policy(images, seen), policy(hidden, seen), atol=1e-3)


def test_step_by_step_predictions_are_those_of_the_whole_sequence(policy, images):
    episodes = rollout.play(policy, images, torch.Generator().manual_seed(3))
    whole = policy(images, episodes.regions())
    pixels, cache, token = task.region_pixels(images), None, policy.coarse_token(images)
    for taken in range(whole.shape[1]):
        logits, cache = policy.step(token, cache)
        assert torch.allclose(task.allow(logits, taken), whole[:, taken], atol=1e-4)
        if taken < episodes.regions().shape[1]:
            token = policy.look_tokens(pixels, episodes.regions()[:, taken : taken + 1], taken)


def test_episodes_are_looks_and_then_one_answer_within_the_limit(policy, images):
    # A policy that hardly ever wants to answer meets the limit.
    with torch.no_grad():
        policy.head.bias[16:] -= 8
    episodes = rollout.play(policy, images, torch.Generator().manual_seed(3))
    assert int(episodes.looks.max()) == 8
    for actions, looks, answer in zip(*(part.tolist() for part in episodes), strict=True):
        assert all(0 <= action < 16 for action in actions[:looks])
        assert actions[looks] == 16 + answer
        assert actions[looks + 1 :] == [-1] * (8 - looks)


def test_sampled_actions_follow_the_policys_distribution(policy, images):
    many = 20_000
    episodes = rollout.play(policy, images[:1].expand(many, -1, -1), torch.Generator().manual_seed(3))
    observed = torch.bincount(episodes.actions[:, 0], minlength=26) / many
    expected = policy(images[:1], torch.empty(1, 0, dtype=torch.int64))[0, 0].detach().softmax(0)
    assert float((observed - expected).abs().max()) < 4 * (0.25 / many) ** 0.5


def test_gumbel_noise_has_the_mean_and_variance_of_its_distribution():
    noise = rollout.gumbel((400_000,), torch.Generator().manual_seed(0))
    assert torch.isfinite(noise).all()
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.01)
    assert float(noise.var()) == pytest.approx(np.pi**2 / 6, abs=0.02)


def test_a_policy_survives_its_value(policy, images, equal_bits):
    value = to_value(policy)
    again = from_value(value)
    equal_bits(value, to_value(again))
    regions = torch.zeros(60, 2, dtype=torch.int64)
    assert torch.equal(policy(images, regions), again(images, regions))
    with torch.no_grad():
        policy.head.bias += 1
    equal_bits(value, to_value(again))


def spoilt(value, **changes):
    return {**value, "state": {**value["state"], **changes}}


def test_a_value_that_is_no_policy_is_refused(policy):
    value = to_value(policy)
    without = {**value, "state": {name: value["state"][name] for name in list(value["state"])[1:]}}
    bad = [
        {},
        {"state": value["state"]},
        without,
        spoilt(value, unknown=torch.zeros(1)),
        spoilt(value, **{"head.bias": torch.zeros(25)}),
        spoilt(value, **{"head.bias": torch.zeros(26, dtype=torch.float64)}),
        spoilt(value, **{"head.bias": torch.full((26,), torch.nan)}),
        {**value, "architecture": {**value["architecture"], "width": 0}},
        {**value, "architecture": {**value["architecture"], "depth": 3}},
    ]
    for wrong in bad:
        with pytest.raises(InvalidInput):
            from_value(wrong)


def test_heads_must_divide_the_width():
    with pytest.raises(InvalidValue, match="5 heads"):
        Policy(Architecture(heads=5), None)


def test_a_split_without_labels_or_with_wrong_ones_is_refused(splits):
    good = splits["test"]
    bad = [
        splits["stream"],
        {"labels": good["labels"]},
        {**good, "labels": good["labels"][:-1]},
        {**good, "labels": good["labels"] + 10},
        {**good, "images": good["images"][:, :4]},
        {"images": good["images"][:0], "labels": good["labels"][:0]},
    ]
    for wrong in bad:
        with pytest.raises(InvalidInput, match="test"):
            task.labelled("test", wrong)
