"""Test-time reinforcement learning on a small stream, on real runs and a real store."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.catalog import queries
from repro_assets.catalog.naming import resolve_artifact
from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.experiences import ExperienceRecorder
from repro_assets.recording.lifetime import begin
from repro_assets.recording.run import Run, new_run_id
from repro_assets.store.home import Home, make_store
from repro_assets.training import policy, voting
from repro_assets.training.experience_rows import GONE, LEARNED, PASSED
from repro_assets.training.policy import Architecture, Policy
from repro_assets.training.ttrl import TtrlConfig, train_ttrl

SMALL: dict[str, Any] = {
    "steps": 4, "images_per_step": 6, "group_size": 4, "agreement": 0.3, "checkpoint_every": 2, "snapshot_every": 2,
    "neighbours": 3, "capacity": 20, "arrivals": 3, "checkpoint_in_background": False,
}  # fmt: skip
MODES = {"transductive": {}, "online": {"transductive": False}, "simple": {"vote": "simple", "neighbours": 0}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_store(tmp_path_factory.mktemp("ttrl") / "store")


def start(home: Home) -> Run:
    return begin(home, RunStarted(new_run_id(), "script", "adapt", seed=3))


def a_model() -> dict[str, Any]:
    shape = Architecture(width=16, layers=1, heads=2, feed_forward=16)
    return policy.to_value(Policy(shape, torch.Generator().manual_seed(0)))


def a_stream(labels_seed: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    random = np.random.default_rng(0)
    images = (16 * random.random((16, 8, 8))).astype(np.float32)
    labels = np.random.default_rng(labels_seed).integers(0, 10, 16)
    return {"images": images, "image_ids": np.arange(16)}, {"labels": labels, "image_ids": np.arange(16)}


def adapt(home: Home, mode: str, labels_seed: int = 0, resume: Any = None) -> tuple[str, Artifact, Artifact]:
    """Run id, model and buffer of a whole adaptation."""
    run = start(home)
    made = train_ttrl(run, TtrlConfig(**(SMALL | MODES[mode])), a_model(), *a_stream(labels_seed), resume=resume)
    run.end()
    return run.run_id, repository.put(home, made["model"]), repository.put(home, made["experience"])


def inserts(home: Home, run_id: str) -> dict[int, str]:
    """First id to digest of each insert."""
    rows = queries.rows(home, "SELECT first, digest FROM experience_inserts WHERE run_id = ? ORDER BY first", [run_id])
    return {int(row["first"]): str(row["digest"]) for row in rows}


def checkpoint(home: Home, run_id: str, name: str) -> Any:
    rows = queries.rows(home, "SELECT digest FROM checkpoints WHERE run_id = ? AND name = ?", [run_id, name])
    return repository.by_digest(home, Digest.parse(str(rows[0]["digest"]))).load()


@pytest.fixture(scope="module")
def adapted(home: Home) -> dict[str, tuple[str, Artifact, Artifact]]:
    return {mode: adapt(home, mode) for mode in MODES}


@pytest.mark.parametrize("mode", MODES)
def test_labels_change_no_bit_and_neither_does_doing_it_again(home: Home, adapted: Any, mode: str) -> None:
    run_id, model, buffer = adapted[mode]
    again, other_model, other_buffer = adapt(home, mode, labels_seed=1)
    assert (other_model.digest, other_buffer.digest) == (model.digest, buffer.digest)
    assert inserts(home, again) == inserts(home, run_id)
    aside = "SELECT name, value FROM metrics WHERE run_id = ? AND starts_with(name, 'aside/') ORDER BY ALL"
    assert queries.rows(home, aside, [again]) != queries.rows(home, aside, [run_id]), "they are measured against"
    assert len({digests[1].digest for digests in adapted.values()}) == 3


@pytest.mark.parametrize("mode", ["transductive", "online"])
def test_resumed_from_a_checkpoint_it_has_the_bits_of_never_stopping(home: Home, adapted: Any, mode: str) -> None:
    run_id, model, buffer = adapted[mode]
    resumed, other_model, other_buffer = adapt(home, mode, resume=checkpoint(home, run_id, "checkpoint_step_2"))
    assert (other_model.digest, other_buffer.digest) == (model.digest, buffer.digest)
    whole, part = inserts(home, run_id), inserts(home, resumed)
    assert part and part == {first: digest for first, digest in whole.items() if first in part}
    assert len(part) == 2 and set(part) == set(list(whole)[-2:])


def test_what_an_update_knows_is_on_record_and_in_the_buffer(home: Home, adapted: Any) -> None:
    run_id, _, buffer = adapted["transductive"]
    names = {row["name"] for row in queries.rows(home, "SELECT DISTINCT name FROM metrics WHERE run_id = ?", [run_id])}
    assert names >= {
        "train/reward", "train/confidence", "train/divergence", "train/updated",
        "aside/pseudo_label_accuracy", "aside/vote_accuracy", "aside/accuracy",
    }  # fmt: skip
    rows = buffer.load().columns
    held = rows["status"] != GONE
    assert sorted(rows["source"][held]) == list(range(16)), "an image has one experience, the newest"
    assert set(rows["status"][held]) <= {0, LEARNED, PASSED} and (rows["status"][held] == LEARNED).any()
    assert rows["retrievals"].sum() > 0 and (rows["successes"] <= rows["retrievals"]).all()
    shots = queries.rows(
        home,
        "SELECT name, step, position, held, new, reason FROM experience_snapshots WHERE run_id = ? ORDER BY step",
        [run_id],
    )
    assert [(shot["step"], shot["held"], shot["reason"]) for shot in shots] == [
        (2, 16, "interval"),
        (4, 16, "interval"),
    ]
    assert shots[0]["position"] == shots[0]["new"] == 16 + 12 and shots[1]["new"] == shots[1]["position"] - 28
    assert str(shots[0]["name"]).startswith("experience_buffer_2")


def test_a_stream_met_once_knows_of_nothing_that_comes_later(home: Home, adapted: Any) -> None:
    run_id = adapted["online"][0]
    parts = [
        repository.by_digest(home, Digest.parse(digest)).load().columns for digest in inserts(home, run_id).values()
    ]
    for number, part in enumerate(parts):
        assert part["source"].max() < 3 * (number + 1)
        assert set(range(3 * number, 3 * number + 3)) <= set(part["source"])


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
from repro_assets.store.home import open_store
from repro_assets.training import optimization
import test_training_ttrl as tests

rate, made = optimization.warmed_up_linear, []

def dies_before_the_third(*arguments):
    made.append(1)
    if len(made) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return rate(*arguments)

optimization.warmed_up_linear = dies_before_the_third
tests.adapt(open_store(Path(sys.argv[1])), "transductive")
"""


def test_after_kill_9_an_insert_is_found_and_who_resumes_repeats_it_to_the_bit(tmp_path: Path, adapted: Any) -> None:
    killed = make_store(tmp_path / "store")
    here = Path(__file__).parent
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(killed.root)],
        env={"PATH": "", "PYTHONPATH": f"{here.parents[1]}:{here}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    (row,) = queries.rows(killed, "SELECT run_id FROM runs")
    before = inserts(killed, str(row["run_id"]))
    # Three of the first pass, and of three updates, the last of which was never made.
    assert len(before) == 6
    found = repository.by_digest(killed, Digest.parse(list(before.values())[-1])).load().columns
    assert found["id"].tolist() == list(range(list(before)[-1], list(before)[-1] + len(found["id"])))
    state = checkpoint(killed, str(row["run_id"]), "checkpoint_step_2")
    resumed, model, buffer = adapt(killed, "transductive", resume=state)
    last = list(before)[-1]
    assert inserts(killed, resumed)[last] == before[last]
    assert (model.digest, buffer.digest) == (adapted["transductive"][1].digest, adapted["transductive"][2].digest)


def test_snapshots_by_count_and_on_demand_and_none_after_the_end(home: Home, adapted: Any) -> None:
    records = adapted["simple"][2].load()
    ids = records.columns["id"].tolist()
    run = start(home)
    recorder = ExperienceRecorder(run, lambda: records, count=len(records) + 1)
    recorder.inserted(records, 0, 1)
    assert recorder.after(1, held=1, position=1) is None
    recorder.inserted(records, len(records), 2)
    assert recorder.after(2, held=1, position=2) is not None and recorder.new == 0
    recorder.snapshot(2, held=1, position=2)
    run.end()
    rows = queries.rows(
        home, "SELECT name, reason, digest, new FROM experience_snapshots WHERE run_id = ? ORDER BY name", [run.run_id]
    )
    assert [(row["reason"], row["new"]) for row in rows] == [("count", 2 * len(records)), ("demand", 0)]
    assert resolve_artifact(home, f"{run.run_id}/{rows[0]['name']}").load().columns["id"].tolist() == ids
    with pytest.raises(InvalidValue, match="has ended"):
        recorder.snapshot(3, held=1, position=3)


def test_a_stream_with_labels_and_one_without_as_many_are_refused(home: Home) -> None:
    stream, labels = a_stream()
    run = start(home)
    with pytest.raises(InvalidInput, match="carries labels"):
        train_ttrl(run, TtrlConfig(**SMALL), a_model(), {**stream, **labels}, labels)
    with pytest.raises(InvalidInput, match="16 images and 3 labels"):
        train_ttrl(run, TtrlConfig(**SMALL), a_model(), stream, {"labels": labels["labels"][:3]})
    run.end()


def test_shares_count_the_answers_of_each_group() -> None:
    answers = torch.tensor([3, 3, 1, 3, 0, 0, 9, 9])
    assert voting.shares(answers, 4, 10)[:, [0, 1, 3, 9]].tolist() == [[0, 0.25, 0.75, 0], [0.5, 0, 0, 0.5]]


def test_neighbours_are_weighed_by_a_softmax_and_missing_ones_not_at_all() -> None:
    votes = np.array([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0]] * 3])
    distances = np.array([[0.1, 0.3, np.inf], [np.inf] * 3])
    made = voting.of_neighbours(votes, distances, 10.0)
    weight = 1 / (1 + np.exp(-2.0))
    assert made == pytest.approx(np.array([[weight, 1 - weight], [0, 0]]))
    own = np.array([[0.2, 0.8], [0.2, 0.8]])
    assert voting.mixed(own, made, 0.5) == pytest.approx(
        np.array([[(0.2 + weight) / 2, (1.8 - weight) / 2], [0.2, 0.8]])
    )


def test_balancing_divides_by_the_mean_vote_and_a_prior_tames_it() -> None:
    seen = np.array([[0.9, 0.1], [0.9, 0.1]])
    made = voting.balanced(np.array([[0.8, 0.2], [0.0, 1.0]]), seen, 0.0)
    assert made == pytest.approx(np.array([[8 / 26, 18 / 26], [0, 1]]))
    assert voting.balanced(np.array([[0.8, 0.2]]), seen, 1e9) == pytest.approx(np.array([[0.8, 0.2]]), abs=1e-6)
    assert voting.balanced(np.array([[1.0, 0.0]]), np.empty((0, 2)), 0.0).tolist() == [[1, 0]]
