"""The recipes on a real run and a real store, instead of values held in memory."""

import pytest
import torch

from repro_assets.artifacts import repository
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import make_store
from repro_assets.training.evaluation import EvaluationConfig, evaluate
from repro_assets.training.filtering import FilterConfig, filter_and_score
from repro_assets.training.rft import RftConfig, train_rft
from repro_assets.training.sft import SftConfig, train_sft
from repro_assets.training.traces import TracesConfig, generate_traces


@pytest.fixture
def home(tmp_path):
    return make_store(tmp_path / "store")


@pytest.fixture
def run(home):
    run = begin(home, RunStarted(run_id="0" * 16, run_kind="script", name="recipes", seed=0))
    yield run
    run.end()


def through_the_store(home, value):
    return repository.put(home, value).load()


def test_a_chain_of_stored_values_has_the_bits_of_one_in_memory(home, run, new_run, splits):
    sft_config = SftConfig(steps=4, checkpoint_every=2)
    rft_config = RftConfig(steps=2, images_per_step=8, checkpoint_every=1)
    digests = []
    for given, keep in ((new_run(0), lambda value: value), (run, lambda value: through_the_store(home, value))):
        raw = keep(generate_traces(given, TracesConfig(per_image=1), keep(splits["sft"])))
        kept = keep(filter_and_score(given, FilterConfig(), raw))
        model = keep(train_sft(given, sft_config, kept, keep(splits["sft"]), keep(splits["validation"])))
        tuned = keep(train_rft(given, rft_config, model, keep(splits["rft"]), keep(splits["validation"])))
        result = keep(evaluate(given, EvaluationConfig(), tuned, keep(splits["validation"])))
        digests.append([repository.put(home, value).digest for value in (raw, kept, model, tuned, result)])
    assert digests[0] == digests[1]


def test_training_goes_on_from_a_stored_checkpoint(home, run, new_run, splits, equal_bits):
    kept = filter_and_score(run, FilterConfig(), generate_traces(run, TracesConfig(per_image=1), splits["sft"]))
    config = SftConfig(steps=6, checkpoint_every=3)
    model = train_sft(run, config, kept, splits["sft"], splits["validation"])
    state = repository.by_digest(home, Digest.parse(run.checkpoints["checkpoint_step_3"])).load()
    assert state["step"] == 3
    assert state["parts"]["generators"]["batches"].dtype == torch.uint8
    again = train_sft(new_run(0), config, kept, splits["sft"], splits["validation"], resume=state)
    equal_bits(model, again)
