"""The growing network: nothing jumps, only what should is trained, the scaler sees train only, resuming is exact."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from repro_assets.errors import InvalidInput
from repro_assets.training import growing
from repro_assets.training.growing import ACTIVE, BLENDING, DORMANT, Germination, GrowingNetwork, GrowingShape
from repro_assets.training.growth_evaluation import GrowthEvaluationConfig, evaluate_growth
from repro_assets.training.morphogenesis import MorphogenesisConfig, train_morphogenesis
from repro_assets.training.synthetic import SyntheticConfig, generate_synthetic

# 110 points in the train split and 55 in a batch: an epoch is two updates.
SHORT = MorphogenesisConfig(
    steps=100,
    batch_size=55,
    patience=4,
    least_improvement=0.2,
    blending_epochs=6,
    seeds=2,
    log_every=10,
    checkpoint_every=1,
    validate_every=50,
    fingerprint_every=50,
    checkpoint_in_background=False,
)


def shortened(**more):
    return SHORT.model_copy(update={"checkpoint_every": 0, **more})


@pytest.fixture(scope="module")
def data(new_run):
    return generate_synthetic(new_run(0), SyntheticConfig(problem="spirals", n_samples=200))


@pytest.fixture(scope="module")
def grown(new_run, data):
    run = new_run(0)
    return run, train_morphogenesis(run, SHORT, data)


def state_after(run, step):
    return run.checkpoints[f"checkpoint_step_{step}"].load()["parts"]


def happened(run, event):
    return [(step, details) for step, kind, details in run.events if kind == event]


def test_a_seed_germinates_on_a_plateau_blends_in_and_is_active(grown):
    run, model = grown
    (start, first), (second, _) = happened(run, "germination")
    assert (first["seed"], first["epochs"]) == (0, 4)
    steps = [step for step, _ in run.curves["seed/0/alpha"]]
    alphas = dict(run.curves["seed/0/alpha"])
    stages = dict(run.curves["seed/0/stage"])
    assert steps == list(range(2, 101, 2))
    assert {alphas[step] for step in steps if step <= start} == {0.0}
    assert [alphas[start + 2 * epoch] for epoch in range(1, 8)] == [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0, 1.0]
    assert happened(run, "activation")[0][0] == start + 12
    assert (stages[start], stages[start + 2], stages[start + 12], stages[start + 14]) == (0, 1, 1, 2)
    assert second >= start + 12
    assert model["alphas"] == [1.0, 1.0]


def test_nothing_that_germinates_or_becomes_active_moves_an_output(grown):
    run, _ = grown
    transitions = happened(run, "germination") + happened(run, "activation")
    assert len(transitions) == 4
    assert [details["jump"] for _, details in transitions] == [0.0] * 4


def test_the_outputs_before_and_after_a_transition_are_equal_bit_for_bit(grown, data):
    run, _ = grown
    inputs = torch.tensor(data["validation"]["inputs"])
    germination, activation = happened(run, "germination")[0][0], happened(run, "activation")[0][0]
    for step, seed, before in ((germination, 0, 0.0), (activation, 0, 1.0)):
        network = network_of(state_after(run, step))
        assert network.alphas[seed] == (1 / 6 if before == 0 else 1.0)
        after = network(network.scaled(inputs))
        network.alphas[seed] = before
        assert torch.equal(after, network(network.scaled(inputs)))
    blended = network_of(state_after(run, activation))
    after = blended(blended.scaled(inputs))
    blended.alphas[0] = 0.0
    assert not torch.equal(after, blended(blended.scaled(inputs)))


def network_of(parts):
    network = GrowingNetwork(
        GrowingShape(inputs=3, width=10, seeds=2, seed_width=16, gain=3.0), torch.Generator().manual_seed(1)
    )
    network.load_state_dict(parts["network"])
    network.alphas = [done / 6 for done in parts["germination"]["blended"]]
    return network


def changed(one, other):
    return {name.rsplit(".", 2)[0] for name in one if not torch.equal(one[name], other[name])}


def test_warm_up_trains_the_base_and_adaptation_only_the_newest_seed_and_the_head(grown):
    run, model = grown
    (first, _), (second, _) = happened(run, "germination")
    start, grew, grew_again = (state_after(run, step)["network"] for step in (1, first, second))
    assert changed(start, grew) == {"base", "head"}
    assert changed(grew, grew_again) == {"head", "seeds.0.layers"}
    assert changed(grew_again, model["state"]) == {"head", "seeds.1.layers"}
    assert [(step, details["phase"]) for step, details in happened(run, "phase")] == [
        (0, "phase_1"),
        (first, "phase_2"),
    ]
    assert dict(run.curves["epoch/phase"])[first] == 1
    assert dict(run.curves["epoch/phase"])[first + 2] == 2


def test_adaptation_begins_with_a_new_optimizer(grown):
    run, _ = grown
    first = happened(run, "germination")[0][0]
    before, after, then = (state_after(run, step)["stage"] for step in (first - 1, first, first + 1))
    assert (before["trained"], after["trained"], after["since"]) == ("base", "0", first)
    assert len(before["optimizer"]["state"]) == 6
    assert after["optimizer"]["state"] == {}
    assert {float(part["step"]) for part in then["optimizer"]["state"].values()} == {1.0}
    assert len(then["optimizer"]["state"]) == 8


@pytest.mark.parametrize("where", ["warm-up", "at germination", "mid-blend", "at activation", "second seed"])
def test_resumed_in_any_phase_it_has_the_bits_of_never_having_stopped(new_run, data, grown, where, equal_bits):
    run, model = grown
    (first, _), (second, _) = happened(run, "germination")
    step = {
        "warm-up": 3,
        "at germination": first,
        "mid-blend": first + 5,
        "at activation": happened(run, "activation")[0][0],
        "second seed": second + 3,
    }[where]
    later = new_run(0)
    again = train_morphogenesis(later, shortened(), data, resume=run.checkpoints[f"checkpoint_step_{step}"].load())
    equal_bits(model, again)
    assert again["alphas"] == model["alphas"]
    assert later.events == [entry for entry in run.events if entry[0] > step]
    for name, points in later.curves.items():
        assert points == [point for point in run.curves[name] if point[0] > step], name
    last = "checkpoint_step_100"
    assert later.checkpoints[last].digest == run.checkpoints[last].digest


def test_a_checkpoint_of_other_settings_is_refused(new_run, data, grown):
    state = grown[0].checkpoints["checkpoint_step_50"].load()
    with pytest.raises(InvalidInput, match="another growth"):
        train_morphogenesis(new_run(0), shortened(growth="none"), data, resume=state)
    wrong = copy.deepcopy(state)
    wrong["parts"]["germination"]["stages"] = [DORMANT]
    with pytest.raises(InvalidInput, match="not those of 2 seeds"):
        train_morphogenesis(new_run(0), shortened(), data, resume=wrong)


def test_the_scaler_sees_the_train_split_alone_and_the_test_split_is_never_read(new_run, data, equal_bits):
    few = shortened(steps=6)
    model = train_morphogenesis(new_run(0), few, data)
    train = data["train"]["inputs"].astype(np.float64)
    assert np.allclose(model["state"]["mean"], train.mean(axis=0), atol=1e-6)
    assert np.allclose(model["state"]["scale"][:2], train.std(axis=0)[:2], rtol=1e-6)
    # The padded input is constant: it is centred and not divided by zero.
    assert float(model["state"]["scale"][2]) == 1.0
    moved = {**data, "validation": {**data["validation"], "inputs": data["validation"]["inputs"] * 50 + 7}}
    other = train_morphogenesis(new_run(0), few, moved)
    for name in ("mean", "scale"):
        assert torch.equal(model["state"][name], other["state"][name])
    equal_bits(model, train_morphogenesis(new_run(0), few, {name: data[name] for name in ("train", "validation")}))


def test_the_training_reads_the_data_that_it_is_given(new_run, data):
    few = shortened(steps=4)
    swapped = {**data, "train": {**data["train"], "labels": 1 - data["train"]["labels"]}}
    one, other = (train_morphogenesis(new_run(0), few, given) for given in (data, swapped))
    assert not torch.equal(one["state"]["head.weight"], other["state"]["head.weight"])


def test_the_controls_make_the_same_number_of_updates_on_the_same_batches_from_the_same_weights(new_run, data):
    runs = {growth: new_run(0) for growth in ("seeds", "none", "large")}
    for growth, run in runs.items():
        train_morphogenesis(run, SHORT.model_copy(update={"growth": growth, "steps": 8}), data)
        assert run.curves["train/loss"][-1][0] == 8
    first = {growth: state_after(run, 1) for growth, run in runs.items()}
    for growth in ("none", "large"):
        assert torch.equal(first["seeds"]["batches"]["order"], first[growth]["batches"]["order"])
    # One update at the peak rate, so equal weights after it were equal before it.
    for name, tensor in first["none"]["network"].items():
        assert torch.equal(tensor, first["seeds"]["network"][name]), name
    # What lies before a last layer that is zero gets no gradient from the first update.
    for name in ("seeds.0.layers.0.weight", "seeds.1.layers.1.bias"):
        assert torch.equal(first["large"]["network"][name], first["seeds"]["network"][name])
    assert happened(runs["none"], "germination") == happened(runs["large"], "germination") == []
    assert runs["large"].curves["seed/1/alpha"] == [(step, 1.0) for step in (2, 4, 6, 8)]
    assert "seed/0/alpha" not in runs["none"].curves
    large = [state_after(runs["large"], step)["network"] for step in (1, 8)]
    assert changed(*large) == {"base", "head", "seeds.0.layers", "seeds.1.layers"}


def test_growth_rescues_a_base_that_is_too_small(new_run):
    data = generate_synthetic(new_run(6), SyntheticConfig(problem="spheres", n_samples=600, shells=5))
    config = MorphogenesisConfig(steps=300, patience=4, blending_epochs=8, learning_rate=0.02, checkpoint_every=0)
    found = {}
    for growth in ("seeds", "none"):
        run = new_run(6)
        model = train_morphogenesis(run, config.model_copy(update={"growth": growth}), data)
        found[growth] = evaluate_growth(run, GrowthEvaluationConfig(), model, data)
    assert found["seeds"]["accuracy_test"] > found["none"]["accuracy_test"] + 0.1
    assert found["seeds"]["seeds_grown"] == 3
    assert found["none"]["seeds_grown"] == 0
    assert found["seeds"]["parameters"] > found["none"]["parameters"]


def test_an_evaluation_counts_what_the_model_answers(new_run, data, grown):
    run, model = grown
    found = evaluate_growth(run, GrowthEvaluationConfig(), model, data)
    assert found["accuracy_validation"] == pytest.approx(run.last("validation/accuracy"))
    assert found["accuracy_train"] == pytest.approx(run.last("train/accuracy"))
    flipped = {name: {**part, "labels": 1 - part["labels"]} for name, part in data.items()}
    other = evaluate_growth(run, GrowthEvaluationConfig(), model, flipped)
    assert other["accuracy_test"] == pytest.approx(1 - found["accuracy_test"])
    assert sum(one["support"] for one in found["classes"]) == len(data["test"]["labels"])
    right = sum(one["recall"] * one["support"] for one in found["classes"])
    assert right / len(data["test"]["labels"]) == pytest.approx(found["accuracy_test"])
    with pytest.raises(InvalidInput, match="takes 3 inputs"):
        narrow = {name: {**part, "inputs": part["inputs"][:, :2]} for name, part in data.items()}
        evaluate_growth(run, GrowthEvaluationConfig(), model, narrow)
    with pytest.raises(InvalidInput, match="no growing network"):
        evaluate_growth(run, GrowthEvaluationConfig(), {"state": {}}, data)
    assert growing.to_value(growing.from_value(model)).keys() == model.keys()


def watched(figures, **more):
    """Events of a germination that is shown these figures, epoch by epoch."""
    words = {"patience": 2, "least_improvement": 0.01, "enough": 0.95, "blending_epochs": 3, **more}
    germination = Germination(2, **words)
    return germination, [
        (epoch, *event) for epoch, pair in enumerate(figures) for event in germination.after_epoch(*pair)
    ]


def test_an_improvement_too_small_is_none_and_a_real_one_starts_the_wait_anew():
    assert watched([(1.0, 0.5), (0.995, 0.5), (0.98, 0.5), (0.975, 0.5)])[1] == []
    ((epoch, event, details),) = watched([(1.0, 0.5), (0.995, 0.5), (0.992, 0.5)])[1]
    assert (epoch, event, details["seed"], details["best_loss"]) == (2, "germination", 0, 1.0)


def test_nothing_germinates_where_the_accuracy_is_enough():
    flat = [(1.0, 0.95)] * 9
    assert watched(flat)[1] == []
    assert watched(flat, enough=0.96)[1] != []


def test_no_seed_germinates_while_another_blends_or_none_is_left():
    germination, events = watched([(1.0, 0.5)] * 40)
    epochs = [epoch for epoch, event, _ in events if event == "germination"]
    # The second one waits for the three epochs of blending and the one in which the first is called active.
    assert epochs == [2, 5]
    assert germination.stages == [ACTIVE, ACTIVE]
    middle, _ = watched([(1.0, 0.5)] * 4)
    assert middle.stages == [BLENDING, DORMANT]
    assert middle.alphas() == [2 / 3, 0.0]


def test_a_dip_and_the_time_to_recover_are_told_once_the_seed_is_active():
    before = [(1.0, 0.5)] * 3
    _, events = watched([*before, (0.9, 0.4), (0.8, 0.5), (0.7, 0.3), (0.6, 0.45), (0.5, 0.55), (0.4, 0.6)])
    ((epoch, _, details),) = [entry for entry in events if entry[1] == "recovery"]
    assert (epoch, details["recovered"], details["epochs"]) == (7, True, 5)
    assert details["dip"] == pytest.approx(0.2)
    _, events = watched([*before, *[(0.9 - epoch / 10, 0.6) for epoch in range(4)]])
    assert [(details["dip"], details["epochs"]) for _, event, details in events if event == "recovery"] == [(0, 0)]
    germination, events = watched([*before, *[(0.9 - epoch / 10, 0.2) for epoch in range(6)]])
    assert [entry for entry in events if entry[1] == "recovery"] == []
    assert germination.at_the_end()[0][1] == {"seed": 0, "recovered": False, "dip": pytest.approx(0.3), "epochs": None}
    assert germination.at_the_end() == []


def test_config_values_out_of_range_are_refused():
    for wrong in ({"growth": "some"}, {"patience": 0}, {"enough": 1.5}, {"warm_up": 3}):
        with pytest.raises(ValidationError):
            MorphogenesisConfig(**wrong)
