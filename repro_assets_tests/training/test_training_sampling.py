from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from pydantic import ValidationError

from repro_assets.errors import InvalidInput
from repro_assets.training import rollout
from repro_assets.training.curriculum_strategies import make_curriculum
from repro_assets.training.filtering import FilterConfig, filter_and_score
from repro_assets.training.sampling import CurriculumBatches
from repro_assets.training.sft import SftConfig, train_sft
from repro_assets.training.traces import TracesConfig, generate_traces

EASY = {"simple": 0.7, "medium": 0.2, "hard": 0.1}
HARD = {"simple": 0.1, "medium": 0.4, "hard": 0.5}
DIFFICULTIES = [(7 * place % 90) / 90 for place in range(90)]
SMALL = {"width": 16, "heads": 2, "feed_forward": 32, "layers": 1, "batch_size": 40, "warm_up": 2}


def stages(*mixes, metric="validation/accuracy", **changes):
    """The stages one, two, ..., each but the last left after one good evaluation."""
    made = [{"name": name, "mix": mix} for name, mix in zip(("one", "two", "three"), mixes, strict=False)]
    for stage in made[:-1]:
        stage["exit"] = {metric: {"train/loss": 4.0, "train/perplexity": 40.0}.get(metric, 0.02)}
    rules = {"smoothing_window_size": 1, "patience_cycles": 1, "cooldown_cycles": 0, "advancement_interval": 0}
    return {"stages": made, "rollback_metric": metric, **rules, **changes}


def batches(new_run, strategy, settings, size=20, seed=0):
    curriculum = make_curriculum(strategy, settings, DIFFICULTIES)
    return CurriculumBatches(new_run(), curriculum, DIFFICULTIES, size, torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def kept(new_run, splits):
    raw = generate_traces(new_run(0), TracesConfig(per_image=1), splits["sft"])
    return filter_and_score(new_run(0), FilterConfig(), raw)


@pytest.fixture
def train(new_run, splits, kept):
    def trained(resume=None, traces=kept, **config):
        run = new_run(0)
        made = SftConfig(**{**SMALL, "log_every": 1, "curriculum_every": 4, **config})
        return run, train_sft(run, made, traces, splits["sft"], splits["validation"], resume=resume)

    return trained


def test_every_batch_has_the_stages_mix(new_run):
    drawn = batches(new_run, "stages", stages(EASY, HARD))
    for step in range(1, 50):
        counts = drawn.counts(drawn.draw(step))
        for level, share in EASY.items():
            assert abs(counts[f"curriculum/{level}"] - 20 * share) <= 1
    drawn.observe(49, {"validation/accuracy": 0.5})
    means = dict.fromkeys(HARD, 0.0)
    for step in range(50, 100):
        for level, share in HARD.items():
            count = drawn.counts(drawn.draw(step))[f"curriculum/{level}"]
            assert abs(count - 20 * share) <= 1
            means[level] += count / 50
    assert means == pytest.approx({level: 20 * share for level, share in HARD.items()}, abs=0.3)


def test_a_batch_draws_each_example_once_and_all_examples_in_time(new_run):
    drawn = batches(new_run, "stages", stages(EASY, HARD))
    shown = [drawn.draw(step) for step in range(1, 200)]
    assert all(len(set(batch.tolist())) == 20 for batch in shown)
    assert set(torch.cat(shown).tolist()) == set(range(90))
    assert shown[0].tolist() != shown[1].tolist()
    # A batch beyond the number of examples draws some of them twice.
    many = batches(new_run, "competence", {"initial": 1}, size=180).draw(1)
    assert torch.bincount(many, minlength=90).tolist() == [2] * 90


def test_nothing_is_drawn_that_is_too_hard(new_run):
    drawn = batches(new_run, "competence", {"initial": 0.1, "steps": 100})
    hardest = [max(DIFFICULTIES[place] for place in drawn.draw(step).tolist()) for step in (1, 1, 26, 101)]
    assert hardest[0] == hardest[1] == 8 / 90
    assert hardest[2] < 0.52
    assert hardest[3] > 0.9


def test_batches_are_a_function_of_the_generator(new_run):
    one, same, other = (batches(new_run, "loss", {}, seed=seed) for seed in (3, 3, 4))
    drawn = [[sampler.draw(step).tolist() for step in range(1, 5)] for sampler in (one, same, other)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("metric", "threshold"), [("validation/accuracy", -0.25), ("train/loss", -1.0), ("train/perplexity", -50.0)]
)
def test_a_stage_advances_in_training_and_a_planted_regression_rolls_it_back(train, monkeypatch, metric, threshold):
    measure, calls = rollout.validate, []

    def spoil_the_model_then_measure(model, *arguments):
        calls.append(model)
        if len(calls) == 5:
            with torch.no_grad():
                # It answers 0 before it has looked.
                model.head.bias[16] += 100
        return measure(model, *arguments)

    monkeypatch.setattr("repro_assets.training.rollout.validate", spoil_the_model_then_measure)
    settings = stages(EASY, HARD, metric=metric, rollback_threshold=threshold)
    run, _ = train(
        steps=70,
        learning_rate=1e-2,
        width=32,
        feed_forward=64,
        validate_every=1000,
        curriculum="stages",
        curriculum_settings=settings,
        curriculum_every=10,
    )
    reasons = [(change["step"], change["from_stage"], change["to_stage"], change["reason"]) for change in run.changes]
    # The figures of the batch show the damage one evaluation later than those of the validation.
    back = 50 if metric.startswith("validation") else 60
    assert reasons == [(0, None, "one", "start"), (10, "one", "two", "criteria"), (back, "two", "one", "rollback")]
    assert run.changes[2]["mix"] == pytest.approx({"simple": 0.55, "medium": 0.2, "hard": 0.25})
    if metric == "train/loss":
        curve = dict(run.curves["train/loss"])
        assert [change["metrics"] for change in run.changes] == [{}, {metric: curve[10]}, {metric: curve[60]}]
    for change in run.changes:
        count = dict(run.curves["curriculum/hard"])[change["step"] + 1]
        assert abs(count - 40 * change["mix"]["hard"]) <= 1
    assert sum(run.last(f"curriculum/{level}") for level in EASY) == 40


STRATEGIES = [
    ("stages", stages(EASY, HARD, EASY)),
    ("competence", {"initial": 0.2, "steps": 10}),
    ("loss", {"momentum": 0.3}),
]


@pytest.mark.parametrize(("strategy", "settings"), STRATEGIES)
def test_a_curriculum_resumed_has_the_bits_and_the_changes_of_never_stopping(train, equal_bits, strategy, settings):
    config = {"steps": 9, "curriculum": strategy, "curriculum_settings": settings, "checkpoint_every": 5}
    whole, model = train(**config)
    assert len(whole.changes) > 2 or strategy == "loss"
    # How often the validation curve is drawn is not what the curriculum goes by.
    state = whole.checkpoints["checkpoint_step_5"].load()
    later, again = train(resume=state, validate_every=2, **config)
    equal_bits(model, again)
    assert later.changes == [change for change in whole.changes if change["step"] > 5]
    assert later.curves["curriculum/hard"] == whole.curves["curriculum/hard"][5:]


def test_a_curriculum_changes_what_is_learned(train):
    models = [train(steps=2)[1]]
    for strategy, settings in STRATEGIES:
        models.append(train(steps=2, curriculum=strategy, curriculum_settings=settings)[1])
    weights = [tuple(model["state"]["head.weight"].flatten().tolist()) for model in models]
    assert len(set(weights)) == 4


def test_traces_without_a_difficulty_are_refused_by_a_curriculum_only(train, kept):
    plain = kept.drop(columns="difficulty")
    train(steps=1, traces=plain)
    with pytest.raises(InvalidInput, match="no column difficulty"):
        train(steps=1, traces=plain, curriculum="loss")


def test_kept_traces_have_a_difficulty_between_0_and_1(new_run, kept):
    assert 0 <= kept["difficulty"].min() < kept["difficulty"].max() <= 1
    looks = kept["actions"].map(len)
    assert kept["difficulty"].corr(looks) > 0.5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"curriculum": "stages"}, "for stages, stages: Field required"),
        ({"curriculum": "loss", "curriculum_settings": {"uniform": 2}}, "for loss, uniform: Input should be less than"),
        ({"curriculum": "competence", "curriculum_settings": {"start": 1}}, "for competence, start: Extra inputs"),
        ({"curriculum_settings": {"uniform": 0.5}}, "no curriculum to set"),
        ({"curriculum": "harder"}, "'none', 'stages', 'competence' or 'loss'"),
    ],
)
def test_settings_that_fit_no_curriculum_are_refused(config, message):
    with pytest.raises(ValidationError, match=message):
        SftConfig(**config)


def test_a_curriculum_that_goes_by_an_unmeasured_figure_says_which_there_are(train):
    settings = stages(EASY, HARD, metric="validation/loss")
    with pytest.raises(InvalidInput, match=r"no figure validation/loss.*train/loss.*validation/accuracy"):
        train(steps=4, curriculum="stages", curriculum_settings=settings)


def test_the_file_with_stages_fits_the_recipe():
    words = yaml.safe_load((Path(__file__).parents[2] / "configs" / "sft_curriculum.yaml").read_text())
    fields = {name.removeprefix("models/sft."): value for name, value in words["set"].items()}
    config = SftConfig(**fields)
    assert config.curriculum == "stages"
    assert [stage["name"] for stage in config.curriculum_settings["stages"]] == ["easy", "mixed", "all"]
