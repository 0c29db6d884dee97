"""What an experiment cannot take is refused in one line that names it, and what was not done is said."""

from __future__ import annotations

import json

import numpy
import pytest
import torch

from repro_assets import Experiment, OnlineExperiment, checkpoint, reproducible, track_artifacts
from repro_assets.catalog import queries
from repro_assets.errors import InvalidValue

QUICK = {"capture_source": False, "capture_environment": False, "monitor": None}


@pytest.mark.parametrize("decorator", [checkpoint, track_artifacts, reproducible])
def test_a_decorator_without_parentheses_is_refused_where_it_stands(decorator):
    with pytest.raises(InvalidValue, match="without parentheses") as refused:

        @decorator
        def train(model):
            return {}

    assert refused.value.remedy == f"write: @{decorator.__name__}()"


@pytest.mark.parametrize("frequency", [1.5, 0, True, None])
def test_a_frequency_is_a_word_or_a_whole_number(frequency):
    with pytest.raises(InvalidValue, match="cannot be made every"):
        checkpoint(frequency)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("", 1, "has no name"),
        ("\ud800", 1, "no text of UTF-8"),
        ("\ud800", 1.0, "no text of UTF-8"),
        ("big", 10**400, "an integer of 1329 bits"),
        ("big", 10**5000, "an integer of 16610 bits"),
        ("text", "x" * 1000, "cannot be 'xxx"),
    ],
    ids=["empty", "not text", "not text, quick", "large", "larger", "long"],
)
def test_a_point_that_cannot_be_one_is_named_in_a_short_line(project, name, value, said):
    with Experiment("fit", **QUICK) as run:
        with pytest.raises(InvalidValue, match=said) as refused:
            run.log_metric(name, value, 1)
        assert len(str(refused.value)) < 200


def test_values_of_the_wrong_form_are_named_with_what_to_do(project):
    with pytest.raises(InvalidValue, match="cannot be called 5"):
        Experiment(5)
    with Experiment("fit", **QUICK) as run:
        with pytest.raises(InvalidValue, match="metrics cannot be a list"):
            run.log_metrics([1, 2])
        with pytest.raises(InvalidValue, match="'b' at step 1 cannot be 'x'"):
            run.log_metrics({"a": 1, "b": "x"}, 1)
        run.run.flush()
        assert queries.rows(project, "SELECT * FROM metrics") == [], "none of several is recorded where one is refused"
        with pytest.raises(InvalidValue, match="a str is no model to watch"):
            run.watch("model")
        with pytest.raises(InvalidValue, match="an int is no optimizer"):
            run.watch(torch.nn.Linear(1, 1), 3)
        for text in (b"abc", None):
            with pytest.raises(InvalidValue, match=r"a text cannot be (a bytes|None)"):
                run.log_text(text, "t")
        with pytest.raises(InvalidValue, match="cannot be a Linear") as refused:
            run.log_artifact(torch.nn.Linear(1, 1), "m")
        assert "track_model" in refused.value.remedy and "state_dict()" in refused.value.remedy


def test_what_a_file_system_calls_a_file_can_be_written(project, tmp_path):
    with Experiment("fit", config={"file": "caf\udce9.csv"}, **QUICK) as run:
        written = run.write(tmp_path / "run.json")
        run.write(tmp_path / "run.yaml")
    assert json.loads(written.read_text())["config"]["file"] == "caf\udce9.csv"


@pytest.mark.parametrize(
    ("identifier", "reward", "confidence", "divergence"),
    [
        ("nope", 0.5, 0.5, None),
        (0, "much", 0.5, None),
        (0, 0.5, None, None),
        (0, 0.5, 0.5, "far"),
        (1.0, 0.5, 0.5, None),
    ],
)
def test_an_update_takes_numbers(project, identifier, reward, confidence, divergence):
    with OnlineExperiment("learn", **QUICK) as run:
        run.log_experience({"label": 1})
        with pytest.raises(InvalidValue, match="cannot be"):
            run.log_online_update(identifier, reward, confidence, divergence)
        run.log_online_update(numpy.int64(0), numpy.float32(0.5), torch.tensor(0.5))


@pytest.mark.parametrize("every", [-1, 1.5, True])
def test_snapshots_are_made_every_whole_number(every):
    with pytest.raises(InvalidValue, match="every"):
        OnlineExperiment("learn", snapshot_every=every)


def test_one_name_of_a_run_stands_for_one_thing(project):
    with Experiment("fit", **QUICK) as run:
        for _ in range(2):
            run.log_text("same", "notes")
            run.checkpoint({"w": 1}, step=1)
        with pytest.raises(InvalidValue, match=r"another 'notes\.txt' already"):
            run.log_text("other", "notes")
        with pytest.raises(InvalidValue, match="another checkpoint_step_1 already"):
            run.checkpoint({"w": 2}, step=1)
        run.log_text("other", "notes", step=2)
    assert len(queries.rows(project, "SELECT name FROM run_outputs")) == 2
    assert len(queries.rows(project, "SELECT name FROM checkpoints")) == 1


def test_an_argument_that_the_caller_gives_is_said_to_be_no_input(project, runs):
    @track_artifacts(inputs=["dataset-digits:v1"])
    def train(dataset):
        return len(dataset)

    with Experiment("fit", **QUICK):
        assert train([7]) == 1
    (row,) = runs()
    assert any("dataset-digits:v1 was not read" in line for line in row["warnings"])


def test_a_result_that_looks_like_a_credential_is_not_kept(project, runs):
    token = "xoxb-" + "17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqygy"

    @reproducible("login", **QUICK)
    def login():
        return {"token": token, "user": "somebody"}

    assert login()["token"] == token
    (row,) = runs()
    assert any("the result is not kept" in line for line in row["warnings"])
    assert queries.rows(project, "SELECT name FROM run_outputs") == []
    (param,) = queries.rows(project, "SELECT value FROM params WHERE name = 'result'")
    assert "redacted" in param["value"] and token not in param["value"]
    assert not any(token.encode() in path.read_bytes() for path in project.root.rglob("*") if path.is_file())


def test_a_terminal_shows_what_an_experiment_is(project):
    run = Experiment("fit", tags=["a", "b", "a"], **QUICK)
    assert (repr(run), run.tags) == ("<experiment 'fit', not begun>", ["a", "b"])
    with run:
        assert repr(run) == f"<experiment 'fit', run {run.run_id}: RUNNING>"
    assert str(run).endswith("COMPLETED>")
