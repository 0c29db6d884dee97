from __future__ import annotations

import json

import pydantic
import pytest

from repro_assets.cli.progress import step_line, told
from repro_assets.cli.run import _answered
from repro_assets.cli.run_options import Words, listed, pairs, parsed, read_words, requests, seeds_of
from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.orchestration import refusals
from repro_assets.orchestration.code_locations import code_location
from repro_assets.orchestration.request import RunAnswer


def test_seeds_are_ranges_and_numbers_in_their_order():
    assert seeds_of("0-4") == [0, 1, 2, 3, 4]
    assert seeds_of("7, 1-2") == [7, 1, 2]


@pytest.mark.parametrize("text", ["", "4-1", "a", "1,1", "0-2,1", "-1", "0-999999999999", "1.5"])
def test_seeds_that_do_not_read_are_refused(text):
    with pytest.raises(InvalidValue, match="--seeds"):
        seeds_of(text)


def test_several_seeds_are_one_study():
    asked, _ = requests(Words(seeds="3,5", tags=["a"]))
    assert [request.settings["seed"] for request in asked] == [3, 5]
    (study,) = {request.tags["study"] for request in asked}
    assert all(request.settings["tags"] == ["a", f"study={study}"] for request in asked)
    other, _ = requests(Words(seeds="3,5"))
    assert other[0].tags["study"] != study


@pytest.mark.parametrize("as_json", [False, True])
def test_the_answer_for_several_seeds_says_which_is_whose_and_names_the_study(capsys, as_json):
    asked, _ = requests(Words(seeds="3,5"))
    products = [{"asset": "a", "partition": None, "name": "n", "digest": "sha256:1", "run_id": "r", "reused": False}]
    assert _answered(asked, [RunAnswer("p", "COMPLETED", products)] * 2, as_json, study=True) == 0
    said, study = capsys.readouterr(), asked[0].tags["study"]
    if as_json:
        assert [(item["seed"], item["study"]) for item in json.loads(said.out)] == [(3, study), (5, study)]
    else:
        assert [line.split()[0] for line in said.out.splitlines() if " n " in line] == ["3", "5"]
        assert f"study={study}" in said.err


def test_values_are_json_where_they_are_json():
    assert [parsed(text) for text in ("1", "0.5", "true", "null", "[1]", "adam", "1e-3")] == [
        1, 0.5, True, None, [1], "adam", 0.001,
    ]  # fmt: skip


def test_a_selection_keeps_the_commas_within_its_brackets():
    assert listed(["a,b", "roots(c,d),e"]) == ["a", "b", "roots(c,d)", "e"]


def test_pairs_need_a_name_and_a_value_once():
    assert pairs(["a=1", "b=x=y"], "--set") == {"a": "1", "b": "x=y"}
    for wrong in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(InvalidValue, match="--set"):
            pairs(wrong, "--set")


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("seed", "--seed"),
        ("capture_level", "--capture-level"),
        ("repro.threads", "--threads"),
        ("tags", "--tags"),
        ("mirrors", "--mirror"),
    ],
)
def test_a_run_wide_setting_has_a_flag_of_its_own(name, flag):
    with pytest.raises(InvalidValue, match=flag):
        requests(Words(set={name: 1}))


def test_mirrors_are_settings_of_the_run_and_wrong_ones_are_refused_before_it_starts():
    ((asked,), _) = requests(Words(mirror=["tensorboard:runs", "wandb"]))
    assert asked.settings == {"mirrors": ["tensorboard:runs", "wandb"]}
    with pytest.raises(InvalidValue, match="'tensorbord' is not a mirror"):
        requests(Words(mirror=["tensorbord"]))


def test_a_field_belongs_to_an_asset():
    asked, _ = requests(Words(set={"sft.steps": 3, "models/rft.steps": 4}))
    assert asked[0].assets == {"sft": {"steps": 3}, "models/rft": {"steps": 4}}
    alone, _ = requests(Words(select=["models/sft"], set={"steps": 3}))
    assert alone[0].assets == {"models/sft": {"steps": 3}}
    for select in ([], ["sft", "rft"], ["sft*"]):
        with pytest.raises(InvalidValue, match="which asset"):
            requests(Words(select=select, set={"steps": 3}))


@pytest.mark.parametrize(
    ("select", "said"),
    [
        (["sft"], {"steps": 20, "sft.steps": 30}),
        (["models/sft"], {"steps": 1, "sft.steps": 1}),
        ([], {"models/sft.k": 1, "sft.k": 2}),
    ],
)
def test_two_values_for_one_field_are_refused(select, said):
    with pytest.raises(InvalidValue, match="twice"):
        requests(Words(select=select, set=said))


def test_a_folder_without_definitions_is_no_project(tmp_path):
    with pytest.raises(InvalidInput, match="no project"):
        code_location(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    with pytest.raises(InvalidInput, match="no project"):
        code_location(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.dagster]\nmodule_name = 'mine'\n")
    assert code_location(tmp_path) == ("mine", "defs")
    (tmp_path / "pyproject.toml").write_text("[tool")
    with pytest.raises(InvalidInput, match=r"pyproject\.toml"):
        code_location(tmp_path)


def test_a_file_that_is_not_there_is_named_once(tmp_path):
    with pytest.raises(InvalidInput) as raised:
        read_words(tmp_path / "none.yaml", Words)
    assert str(raised.value).count("none.yaml") == 1


def test_what_is_not_said_is_left_to_the_definitions():
    (asked,), mode = requests(Words())
    assert (asked.settings, asked.tags, asked.assets, asked.selection) == ({}, {}, {}, [])
    assert mode.threads == 1
    (asked,), mode = requests(Words(seed=0, threads=2, deterministic=False, force=False, capture_level="3"))
    assert asked.settings == {
        "seed": 0, "threads": 2, "deterministic": False, "force": False, "capture_level": "complete",
    }  # fmt: skip
    assert (mode.threads, mode.deterministic) == (2, False)


@pytest.mark.parametrize(
    "words",
    [
        Words(seed=1, seeds="0-1"),
        Words(job="reference", select=["sft"]),
        Words(executor="ray"),
        Words(threads=0),
        Words(capture_level="all"),
        *(Words(monitor_interval=seconds) for seconds in (0.0, -1.0, 0.009, 3601.0, float("nan"), float("inf"))),
    ],
)
def test_words_that_exclude_each_other_or_mean_nothing_are_refused(words):
    with pytest.raises(InvalidValue):
        requests(words)


def test_a_trial_is_tagged_so():
    (asked,), _ = requests(Words(trial=True))
    assert asked.tags == {"trial": "true"}


@pytest.mark.parametrize("ending", ["yaml", "json"])
def test_a_flag_wins_over_the_file(tmp_path, ending):
    path = tmp_path / f"run.{ending}"
    said = {"seed": 3, "exp-name": "e", "tags": "a,b", "set": {"sft": {"steps": 3}, "rft.steps": 4}, "capture-level": 2}
    if ending == "json":
        path.write_text(json.dumps(said))
    else:
        path.write_text("seed: 3\nexp-name: e\ntags: a,b\nset:\n  sft: {steps: 3}\n  rft.steps: 4\ncapture-level: 2\n")
    file = read_words(path, Words)
    merged = Words(seed=4, set={"sft.steps": 5}).over(file)
    assert (merged.seed, merged.exp_name, merged.tags, merged.capture_level) == (4, "e", ["a", "b"], "2")
    assert merged.set == {"sft.steps": 5, "rft.steps": 4}
    assert Words(seeds="0-1").over(file).seed is None


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("sed: 3", InvalidValue, "seed"),
        ("seed: three", InvalidValue, "int"),
        ("trial: 1", InvalidValue, "bool"),
        ("- a", InvalidInput, "mapping"),
        ("a: [", InvalidInput, "YAML"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_its_name(tmp_path, text, error, said):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(error, match=said) as raised:
        read_words(path, Words)
    assert str(path) in str(raised.value)


def test_a_value_out_of_range_is_one_line_with_its_field_and_range():
    class Small(pydantic.BaseModel):
        steps: int = pydantic.Field(ge=1)
        rate: float = pydantic.Field(lt=1)
        parts: int = 1

        @pydantic.field_validator("parts")
        @classmethod
        def _whole(cls, value: int) -> int:
            raise ValueError("set it to fewer")

    with pytest.raises(pydantic.ValidationError) as raised:
        Small(steps=0, rate=2.5, parts=3)
    error = {"step": "sft", "type": "ValidationError", "message": str(raised.value), "exit_code": 2}
    (line,) = refusals.lines(RunAnswer("r", "FAILED", errors=[error]))
    assert line.startswith("sft: steps is 0: ")
    assert "greater than or equal to 1" in line
    assert "rate is 2.5" in line
    assert line.endswith("; parts is 3: set it to fewer")
    assert "http" not in line


def test_the_severest_failure_decides_the_exit_code():
    def failed(*codes: int) -> RunAnswer:
        return RunAnswer(
            "r", "FAILED", errors=[{"step": "", "type": "E", "message": "m", "exit_code": c} for c in codes]
        )

    done = RunAnswer("r", "COMPLETED")
    assert refusals.exit_code([done]) == 0
    assert refusals.exit_code([failed()]) == 1
    assert refusals.exit_code([done, failed(1, 2)]) == 2
    assert refusals.exit_code([failed(1, 2), failed(3), done]) == 3
    assert refusals.exit_code([failed(1), RunAnswer("r", "INTERRUPTED")]) == 130


def test_only_steps_are_told_of_dagsters_log():
    line = (
        "2026-01-01 00:00:00 +0000 - dagster - DEBUG - job - run - 1 - models__sft - STEP_SUCCESS - Finished in 2.5s."
    )
    assert step_line(line) == "  done    models__sft  2.5s"
    assert step_line(line.replace("STEP_SUCCESS", "STEP_OUTPUT")) is None
    assert step_line("STEP_START") is None


_LINE = "2026-01-01 00:00:00 +0000 - dagster - {level} - job - run - {rest}\n"


def test_a_stopped_step_is_interrupted_and_a_broken_one_has_failed():
    failure = _LINE.format(level="ERROR", rest='1 - held - STEP_FAILURE - Execution of step "held" failed.')
    stopped = ["\n", "dagster._core.errors.DagsterExecutionInterruptedError\n", "\n", "Stack Trace:\n"]
    broken = ["\n", "ValueError: DagsterExecutionInterruptedError\n", "\n"]
    assert list(told([failure, *stopped], set())) == ["  INTERRUPTED  held"]
    assert list(told([failure, *broken], set())) == ["  FAILED  held"]
    assert list(told([failure], set())) == ["  FAILED  held"]


def test_a_warning_of_a_run_is_told_once():
    warning = _LINE.format(level="WARNING", rest="held - the source tree has uncommitted changes")
    warned: set[str] = set()
    assert list(told([warning, warning], warned)) == ["warning: the source tree has uncommitted changes"]
    assert list(told([warning], warned)) == []
    ours = "2026-11-21 18:47:41,601 - repro_assets.tracing - WARNING - [-|tracing] - spans do not reach the disk\n"
    assert list(told([ours, ours.replace("WARNING", "INFO")], warned)) == ["warning: spans do not reach the disk"]


class _Failure:
    def __init__(self, name, cause=None):
        self.cls_name, self.cause = name, cause


def test_the_cause_of_a_failure_is_what_this_project_says_before_what_the_system_says():
    inner = _Failure("MissingObject", _Failure("FileNotFoundError"))
    assert refusals.root_cause(_Failure("DagsterExecutionLoadInputError", inner)) is inner
    plain = _Failure("ValueError")
    assert refusals.root_cause(_Failure("DagsterExecutionStepExecutionError", plain)) is plain
    assert refusals.root_cause(None) is None
