import numpy as np
import pytest
import torch
from pydantic import ValidationError

from repro_assets.errors import InvalidInput
from repro_assets.training import optimization, policy, rollout, task
from repro_assets.training.filtering import FilterConfig, filter_and_score
from repro_assets.training.rft import RftConfig, group_advantages, grpo_loss, train_rft
from repro_assets.training.sft import SftConfig, train_sft
from repro_assets.training.traces import TracesConfig, generate_traces

SHORT_SFT = SftConfig(steps=40, warm_up=5, checkpoint_every=20, fingerprint_every=15, validate_every=20)
SHORT_RFT = RftConfig(
    steps=6, warm_up=2, images_per_step=8, group_size=8, checkpoint_every=3, fingerprint_every=4, validate_every=3
)


@pytest.fixture(scope="module")
def kept(new_run, splits):
    raw = generate_traces(new_run(0), TracesConfig(per_image=2), splits["sft"])
    return filter_and_score(new_run(0), FilterConfig(), raw)


@pytest.fixture(scope="module")
def trained(new_run, splits, kept):
    run = new_run(0)
    return run, train_sft(run, SHORT_SFT, kept, splits["sft"], splits["validation"])


@pytest.fixture(scope="module")
def tuned(new_run, splits, trained):
    run = new_run(0)
    return run, train_rft(run, SHORT_RFT, trained[1], splits["rft"], splits["validation"])


def test_imitation_learns_real_digits_in_a_few_steps(trained):
    run, _ = trained
    losses = [loss for _, loss in run.curves["train/loss"]]
    assert losses[-1] < losses[0] - 0.3
    assert run.last("validation/accuracy") > 0.3


def test_sft_records_its_curves_checkpoints_and_fingerprints(trained):
    run, model = trained
    assert [step for step, _ in run.curves["train/loss"]] == [10, 20, 30, 40]
    assert [step for step, _ in run.curves["validation/accuracy"]] == [20, 40]
    assert list(run.checkpoints) == ["checkpoint_step_20", "checkpoint_step_40"]
    assert (
        run.checkpoint_metrics["checkpoint_step_20"]["validation/accuracy"] == run.curves["validation/accuracy"][0][1]
    )
    assert list(run.fingerprints) == [15, 30, 40]
    assert set(run.fingerprints[40]) == set(model["state"])


def test_the_last_checkpoint_holds_the_model_that_is_returned(trained, tuned, equal_bits):
    for (run, model), last in ((trained, "checkpoint_step_40"), (tuned, "checkpoint_step_6")):
        equal_bits(model, {"state": run.checkpoints[last].load()["parts"]["model"]})


def as_a_store_returns_it(value):
    """Whole floats come back as integers, tensors perhaps as arrays: JSON and the tensor format know no better."""
    if isinstance(value, dict):
        return {name: as_a_store_returns_it(part) for name, part in value.items()}
    if isinstance(value, list):
        return [as_a_store_returns_it(part) for part in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def test_sft_resumed_from_a_checkpoint_has_the_bits_of_never_stopping(new_run, splits, kept, trained, equal_bits):
    run, model = trained
    state = as_a_store_returns_it(run.checkpoints["checkpoint_step_20"].load())
    later = new_run(0)
    again = train_sft(later, SHORT_SFT, kept, splits["sft"], splits["validation"], resume=state)
    equal_bits(model, again)
    assert later.fingerprints[40] == run.fingerprints[40]
    assert list(later.checkpoints) == ["checkpoint_step_40"]


def test_rft_resumed_from_a_checkpoint_has_the_bits_of_never_stopping(new_run, splits, trained, tuned, equal_bits):
    run, model = tuned
    state = as_a_store_returns_it(run.checkpoints["checkpoint_step_3"].load())
    again = train_rft(new_run(0), SHORT_RFT, trained[1], splits["rft"], splits["validation"], resume=state)
    equal_bits(model, again)


def test_another_seed_gives_other_weights(new_run, splits, kept, trained):
    quick = SHORT_SFT.model_copy(update={"steps": 2})
    one = train_sft(new_run(0), quick, kept, splits["sft"], splits["validation"])
    other = train_sft(new_run(1), quick, kept, splits["sft"], splits["validation"])
    assert all(not torch.equal(one["state"][name], other["state"][name]) for name in one["state"])


def test_a_recipe_neither_reads_nor_moves_the_global_generators(new_run, splits, kept, trained, equal_bits):
    quick = SHORT_SFT.model_copy(update={"steps": 2})
    models = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        model = train_sft(new_run(0), quick, kept, splits["sft"], splits["validation"])
        tuning = SHORT_RFT.model_copy(update={"steps": 1})
        models.append(train_rft(new_run(0), tuning, model, splits["rft"], splits["validation"]))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1])
    equal_bits(*models)


def without(value, name):
    return {key: part for key, part in value.items() if key != name}


def test_a_checkpoint_of_another_config_recipe_or_data_is_refused(new_run, splits, kept, trained, tuned):
    state = trained[0].checkpoints["checkpoint_step_20"].load()
    cases = [
        ("learning_rate", SHORT_SFT.model_copy(update={"learning_rate": 0.5}), kept, state),
        ("rft", SHORT_SFT, kept, tuned[0].checkpoints["checkpoint_step_3"].load()),
        ("examples", SHORT_SFT, kept.iloc[:-1], state),
        ("has no sampler", SHORT_SFT, kept, {**state, "parts": without(state["parts"], "sampler")}),
        ("has no globals", SHORT_SFT, kept, without(state, "globals")),
        ("model.blocks.*is missing", SHORT_SFT, kept, {**state, "parts": {**state["parts"], "model": {}}}),
    ]
    for message, config, traces, resume in cases:
        with pytest.raises(InvalidInput, match=message):
            train_sft(new_run(0), config, traces, splits["sft"], splits["validation"], resume=resume)


def test_a_trace_about_another_split_or_label_is_refused(new_run, splits, kept):
    with pytest.raises(InvalidInput, match="does not hold"):
        train_sft(new_run(0), SHORT_SFT, kept, splits["rft"], splits["validation"])
    wrong = kept.copy()
    wrong.loc[3, "label"] = (wrong.loc[3, "label"] + 1) % 10
    with pytest.raises(InvalidInput, match=f"trace {wrong.loc[3, 'trace_id']} has the label"):
        train_sft(new_run(0), SHORT_SFT, wrong, splits["sft"], splits["validation"])
    with pytest.raises(InvalidInput, match="validation data has no labels"):
        train_sft(new_run(0), SHORT_SFT, kept, splits["sft"], splits["stream"])


def test_config_values_out_of_range_are_refused():
    for config, wrong in (
        (SftConfig, {"steps": 0}),
        (SftConfig, {"learning_rate": -1}),
        (RftConfig, {"group_size": 1}),
    ):
        with pytest.raises(ValidationError):
            config(**wrong)


def test_rft_starts_from_the_model_it_is_given_and_moves_it(tuned, trained):
    run, model = tuned
    assert run.curves["validation/accuracy"][0] == (0, trained[0].last("validation/accuracy"))
    assert [step for step, _ in run.curves["validation/accuracy"]] == [0, 3, 6]
    assert not torch.equal(model["state"]["head.bias"], trained[1]["state"]["head.bias"])
    assert run.curves["train/divergence"][-1][1] > 0


def test_advantages_are_centred_in_each_group_and_zero_where_rewards_agree():
    rewards = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.5, 0.5, 0.5, 0.5])
    advantages = group_advantages(rewards, 4, 0.01)
    assert torch.allclose(advantages[:4], torch.tensor([1.0, -1.0, 1.0, -1.0]) * 0.5 / 0.51)
    assert torch.equal(advantages[4:], torch.zeros(4))


def loss_parts(splits, trained, advantages_of, weight):
    reference, learner = policy.from_value(trained[1]), policy.from_value(trained[1])
    with torch.no_grad():
        learner.head.weight.mul_(1.5)
    images = task.scale(splits["rft"]["images"][:40])
    episodes = rollout.play(learner, images, torch.Generator().manual_seed(1))
    return (
        learner,
        reference,
        images,
        episodes,
        grpo_loss(learner, reference, images, episodes, advantages_of(episodes), weight),
    )


def test_the_loss_is_that_of_a_plain_loop_over_episodes(splits, trained):
    weigh = lambda episodes: torch.linspace(-1, 1, len(episodes.looks))  # noqa: E731
    learner, reference, images, episodes, (loss, divergence, entropy) = loss_parts(splits, trained, weigh, 0.3)
    pushed = diverged = spread = states = 0.0
    for row, advantage in enumerate(weigh(episodes).tolist()):
        looks = int(episodes.looks[row])
        actions = episodes.actions[row, : looks + 1]
        ours = learner(images[row : row + 1], actions[None, :looks])[0].log_softmax(1).detach().double()
        theirs = reference(images[row : row + 1], actions[None, :looks])[0].log_softmax(1).detach().double()
        pushed += advantage * float(ours[range(looks + 1), actions].sum())
        diverged += float((ours.exp() * (ours - theirs)).sum())
        spread -= float((ours.exp() * ours).sum())
        states += looks + 1
    assert float(loss.detach()) == pytest.approx((0.3 * diverged - pushed) / states, abs=1e-5)
    assert divergence == pytest.approx(diverged / states, abs=1e-5)
    assert entropy == pytest.approx(spread / states, abs=1e-5)


def test_one_step_on_the_loss_makes_praised_episodes_likelier(splits, trained):
    praise = lambda episodes: (episodes.answers == 3).float() - 0.5  # noqa: E731
    learner, _, images, episodes, (loss, _, _) = loss_parts(splits, trained, praise, 0.0)
    loss.backward()
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.sub_(0.01 * parameter.grad)
    after = grpo_loss(learner, learner, images, episodes, praise(episodes), 0.0)[0]
    assert float(after.detach()) < float(loss.detach())


def test_batches_show_every_example_once_before_any_twice():
    batches = optimization.Batches(10, 4, torch.Generator().manual_seed(0))
    shown = torch.cat([batches.next() for _ in range(5)])
    assert sorted(shown[:10].tolist()) == sorted(shown[10:].tolist()) == list(range(10))
    assert shown[:10].tolist() != shown[10:].tolist()
    assert len(optimization.Batches(3, 8, torch.Generator().manual_seed(0)).next()) == 8


def test_learning_rates_rise_to_one_and_end_as_stated():
    cosine = [optimization.warmed_up_cosine(step, 100, 10) for step in range(1, 101)]
    linear = [optimization.warmed_up_linear(step, 100, 10, 0.1) for step in range(1, 101)]
    for rates in (cosine, linear):
        assert rates[0] == 0.1
        assert max(rates) == rates[9] == 1
        assert rates[9:] == sorted(rates[9:], reverse=True)
    assert cosine[-1] == pytest.approx(0)
    assert linear[-1] == pytest.approx(0.1)


def test_an_update_that_is_not_finite_changes_nothing(trained, equal_bits):
    learner = policy.from_value(trained[1])
    optimizer = optimization.adamw(learner, 0.0)
    with pytest.raises(FloatingPointError):
        optimization.update(learner, optimizer, learner.head.bias.sum() * torch.inf, 0.1, 1.0)
    equal_bits(policy.to_value(learner), trained[1])
