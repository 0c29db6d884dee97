"""``repro train``: its words, what it refuses, and a training that is stopped."""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from repro_assets.artifacts import repository
from repro_assets.cli import progress as shown
from repro_assets.cli.progress import told
from repro_assets.cli.run import without_option
from repro_assets.cli.run_options import read_words
from repro_assets.cli.training_words import MODES, TrainingWords, training_requests
from repro_assets.errors import InvalidValue
from repro_assets.journal.run_records import CheckpointSaved
from repro_assets.journal.segments import list_segments, read_segment
from repro_assets.recording import progress
from repro_assets.store.offline import VARIABLE, is_offline, offline
from repro_assets.store.opening import open_objects
from repro_assets.store.remote.configured import add_remote
from repro_assets.training.morphogenesis import MorphogenesisConfig
from repro_assets.training.rft import RftConfig
from repro_assets.training.sft import SftConfig

CONFIGS = Path(__file__).parents[2] / "configs"


def test_a_mode_is_an_asset_with_what_is_missing_upstream() -> None:
    words = TrainingWords(mode="sft", set={"steps": 3}, project="p", tags=["a"], resume="auto", seed=4)
    asset, (asked,), _ = training_requests(words)
    assert (asset, asked.selection, asked.with_missing, asked.resume) == ("models/sft", ["models/sft"], True, "auto")
    assert asked.assets == {"models/sft": {"steps": 3}}
    assert asked.settings == {"seed": 4, "tags": ["a", "project=p"]}
    assert asked.tags == {"project": "p"}
    _, (asked,), _ = training_requests(TrainingWords(mode="sft", nproc=2, set={"steps": 3}))
    assert asked.assets == {"models/sft": {"steps": 3, "processes": 2}}
    _, (asked,), _ = training_requests(TrainingWords(mode="morphogenesis", problem="moons"))
    assert (asked.selection, asked.partition) == (["models/morphogenesis"], "moons")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (TrainingWords(), "--mode is missing .one of sft, rft, ttrl, morphogenesis"),
        (TrainingWords(mode="sgd"), "'sgd' is no mode"),
        (TrainingWords(mode="sft", problem="moons"), "sft has no problems"),
        (TrainingWords(mode="morphogenesis"), "--problem is missing .one of spirals, moons"),
        (TrainingWords(mode="morphogenesis", problem="moons", partition="spirals"), "the same choice"),
        (TrainingWords(mode="sft", select=["rft"]), "chooses the assets by --mode"),
        (TrainingWords(mode="sft", seeds="0-1", resume="last"), "--resume last is of one seed"),
        (TrainingWords(mode="sft", nproc=0), "--nproc 0 is no number of processes"),
        (TrainingWords(mode="rft", nproc=2), "rft is trained by one process .leave --nproc out, or --mode sft"),
        (TrainingWords(mode="sft", nproc=2, set={"sft.processes": 3}), "are the same choice"),
    ],
)
def test_words_that_exclude_each_other_are_refused(words: TrainingWords, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        training_requests(words)


def test_each_seed_of_a_study_finds_its_own_unfinished_run() -> None:
    _, asked, _ = training_requests(TrainingWords(mode="sft", seeds="0-1", resume="auto"))
    assert [request.resume for request in asked] == ["auto", "auto"]


@pytest.mark.parametrize(
    ("name", "config"), [("sft", SftConfig), ("rft", RftConfig), ("morphogenesis", MorphogenesisConfig)]
)
def test_a_config_file_says_what_holds_without_it(name: str, config: Any) -> None:
    words = read_words(CONFIGS / f"{name}.yaml", TrainingWords, "repro train")
    assert (words.mode, words.seed) == (name, 0)
    defaults = config().model_dump()
    assert words.set == {field: defaults[field] for field in words.set}
    assert training_requests(words)[0] == MODES[name]


def test_every_config_file_names_the_command_that_reads_it() -> None:
    for path in CONFIGS.iterdir():
        found = re.search(rf"repro (\w+) --config configs/{path.name}", path.read_text())
        assert found is not None and found[1] in {"run", "train", "evaluate", "filter", "generate"}, path


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["train"], "--mode is missing"),
        (["train", "--mode", "sgd"], "morphogenesis"),
        (["train", "--mode", "sft", "--config", "nothing.yaml"], "path"),
        (["train", "--mode", "sft", "--resume", "nothing"], "there is no run or checkpoint 'nothing'"),
        (["train", "--mode", "sft", "--resume", "aaaaaaaa"], "saved no checkpoint"),
        (["train", "--mode", "sft", "--resume", "aaaaaaaa@2026-01-01"], "saved no checkpoint"),
        (["train", "--mode", "sft", "--resume", "model-small"], "model-small is no checkpoint of a run"),
        (["train", "--mode", "sft", "--nprocs", "2"], "--help"),
        (["run", "--resume", "aaaaaaaa/checkpoint_step_1"], "has no 'checkpoint_step_1'"),
    ],
)
def test_a_wrong_request_is_2_and_one_line_that_helps(repro: Any, home: Any, words: list[str], near: str) -> None:
    said = repro(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert near in said.err


def test_a_word_of_train_is_not_one_of_run(repro: Any, home: Any) -> None:
    said = repro("run", "--config", CONFIGS / "sft.yaml")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "has the word 'mode', which repro run does not know" in said.err


def test_an_option_is_taken_out_of_a_command_with_its_value() -> None:
    words = ["train", "--resume", "a", "--mode", "sft", "--resume=b", "--set", "x=--resume"]
    assert without_option(words, "--resume") == ["train", "--mode", "sft", "--set", "x=--resume"]


def test_offline_asks_no_remote_and_says_so(home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "remote").mkdir()
    add_remote(home, "there", f"{tmp_path}/remote", default=True)
    digest = repository.put(home, {"x": 1}).digest
    assert open_objects(home).places.fetch is not None
    with offline():
        assert is_offline()
        assert open_objects(home).places.fetch is None
        assert open_objects(home).has(digest)
        with pytest.raises(Exception, match="no remote was asked, because this is offline"):
            open_objects(home).read(type(digest).of(b"nobody has it"))
    assert not is_offline()


def test_where_a_training_begins_is_told() -> None:
    head = "2026-11-21 18:56:26 +0000 - dagster - INFO - job - bc3f2487 - models__sft - "
    lines = ["models/sft goes on from a/checkpoint_step_5, after step 5", "models/sft starts from the beginning: no"]
    assert list(told([head + line for line in lines], set())) == lines


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "there"), [(Terminal, True), (io.StringIO, False)])
def test_steps_are_shown_on_a_terminal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: Any, there: bool
) -> None:
    file = stream()
    monkeypatch.setattr(sys, "stderr", file)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(progress, "SECONDS", 0.01)
    monkeypatch.setattr(shown, "_SHOWN_EVERY_SECONDS", 0.01)
    place = tmp_path / "progress.json"
    monkeypatch.setenv(progress.VARIABLE, str(place))
    run: Any = SimpleNamespace(newest_step=30)
    with shown.steps_bar(place), progress.reported(run, "models/sft", 40):
        deadline = time.monotonic() + 20
        while there and "30/40" not in file.getvalue():
            assert time.monotonic() < deadline, file.getvalue()
            time.sleep(0.01)
    assert ("models/sft" in file.getvalue()) is there
    assert not place.exists()


def test_nothing_is_reported_where_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(progress.VARIABLE, raising=False)
    with progress.reported(SimpleNamespace(newest_step=1), "x", None):  # type: ignore[arg-type]
        assert progress.read(tmp_path / "progress.json") is None


@pytest.mark.slow
def test_a_training_that_is_stopped_saves_says_how_it_goes_on_and_does(
    project: Any, inside: Any, tmp_path: Path
) -> None:
    home = tmp_path / "store"
    tiny = {"steps": 300, "width": 8, "layers": 1, "heads": 2, "batch_size": 4, "validate_every": 300}
    words = [f"--set={name}={value}" for name, value in {**tiny, "checkpoint_every": 5}.items()]
    process = project.start("train", "--mode", "sft", *words, home=home)

    def saved() -> bool:
        items = (item for segment in list_segments(home / "journal") for item, _ in read_segment(segment))
        return any(isinstance(getattr(item, "payload", None), CheckpointSaved) for item in items)

    deadline = time.monotonic() + 200
    while not ((home / "journal").is_dir() and saved()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    (line,) = [line for line in err.splitlines() if line.startswith("go on from checkpoint_signal_")]
    command = shlex.split(line.partition("with: repro ")[2])
    assert command[:3] == ["train", "--mode", "sft"] and command[-2] == "--resume"
    done = inside(*command, "--json", home=home)
    assert done.code == 0, done.err
    answer = done.document
    stopped = int(line.partition("(step ")[2].partition(")")[0])
    assert (answer["state"], answer["reused"], answer["resumed"]["step"]) == ("COMPLETED", False, stopped)
    assert answer["model"]["name"] == f"model-{answer['run_id']}" and answer["model"]["version"] == 1
    assert answer["model"]["digest"].startswith("sha256:") and answer["parent_run_id"] != answer["run_id"]
    assert 0 < answer["metrics"]["train/loss"] < 10 and "validation/accuracy" in answer["metrics"]
    assert f"goes on from {answer['resumed']['run_id']}/checkpoint_signal_{stopped}" in done.err
    # What is there upstream is read as it is.
    assert [product["asset"] for product in answer["products"]] == ["models/sft"]
