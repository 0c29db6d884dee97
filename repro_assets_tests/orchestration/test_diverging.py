"""Where two runs part, from the records of assets and by executing them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from repro_assets.cli.app import main
from repro_assets.errors import InvalidValue
from repro_assets.replay.diverging import Divergence, diverge
from repro_assets.store.home import VARIABLE

pytestmark = pytest.mark.slow


@pytest.fixture
def log(tmp_path: Any) -> Any:
    with (tmp_path / "diverge.log").open("wb") as file:
        yield file


def made(project: Any, **config: Any) -> str:
    answer = project.run(module="small.looping", selection=["model"], assets={"model": config})
    assert answer["state"] == "COMPLETED", answer
    return str(answer["products"][0]["run_id"])


def place(found: Divergence) -> tuple[Any, ...]:
    line = (found.source_line or "").rpartition("/")[2]
    return found.verdict, found.first_step, found.first_quantity, found.tensor, found.op, line


def line_of(project: Any, text: str) -> str:
    lines = (project.root / "small" / "looping.py").read_text().splitlines()
    (number,) = (number for number, line in enumerate(lines, 1) if text in line)
    return f"looping.py:{number}"


def test_another_learning_rate_from_a_step_on_is_found_at_that_step_in_the_optimizer(
    project: Any, log: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = made(project), made(project, rate_from_six=0.05)
    coarse = diverge(project.home, one, other, execute=False)
    assert (coarse.first_step, coarse.last_equal_step, coarse.first_quantity) == (8, 4, "loss")
    monkeypatch.setenv(VARIABLE, str(project.home.root))
    assert main(["diverge", one, other, "--no-execute", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["first_step"] == 8
    found = diverge(project.home, one, other, log=log)
    assert place(found) == (
        "diverged", 6, "parameter", "inner.weight", "aten.add_.Tensor", line_of(project, "optimizer.step()"),
    )  # fmt: skip
    assert (found.found, found.argument, found.phase) == ("input", "alpha: -0.1 and -0.05", "optimizer")
    assert found.last_equal_step == 5
    assert found.max_abs_error and found.max_abs_error > 0
    assert {"part": "config", "name": "rate_from_six", "values": [0.1, 0.05]} in found.differences
    # The checkpoints of step 4 differ, because the configs do; the executions are on record and gave no version.
    again = project.rows("SELECT state, replay_of FROM runs WHERE replay_of IS NOT NULL")
    assert {row["replay_of"] for row in again} == {one, other}
    assert {row["state"] for row in again} == {"INTERRUPTED"}
    assert project.rows("SELECT count(*) AS n FROM replays") == [{"n": 0}]


def test_a_run_that_was_resumed_parts_from_the_one_whose_checkpoint_it_has_after_that_checkpoint(
    project: Any, log: Any
) -> None:
    whole = made(project, log_every=1)
    looping = project.root / "small" / "looping.py"
    looping.write_text(looping.read_text().replace("config.rate_from_six if", "0.05 if"))
    asked = {"module": "small.looping", "selection": ["model"], "resume": f"{whole}/checkpoint_step_4"}
    resumed = str(project.run(**asked, assets={"model": {"log_every": 1}})["products"][0]["run_id"])
    assert project.rows("SELECT run_id, step FROM resumes") == [{"run_id": resumed, "step": 4}]
    found = diverge(project.home, whole, resumed, log=log)
    assert place(found) == (
        "diverged", 6, "parameter", "inner.weight", "aten.add_.Tensor", line_of(project, "optimizer.step()"),
    )  # fmt: skip
    assert (found.last_equal_step, found.argument) == (5, "alpha: -0.1 and -0.05")
    # Both went on from the checkpoint, the one that had saved it too.
    began = project.rows(
        "SELECT r.replay_of, min(m.step) AS first FROM metrics m JOIN runs r USING (run_id) "
        "WHERE r.replay_of IS NOT NULL AND m.name = 'train/loss' GROUP BY ALL"
    )
    assert {row["replay_of"]: row["first"] for row in began} == dict.fromkeys((whole, resumed), 5)


@pytest.mark.soak
def test_an_op_that_breaks_its_promise_is_found_by_executing_one_run_twice(project: Any, log: Any) -> None:
    run = made(project, noisy_from=7)
    found = diverge(project.home, run, log=log)
    assert place(found) == (
        "diverged", 7, "loss", "loss", "small.noisy.default", line_of(project, "values = noisy(values)"),
    )  # fmt: skip
    assert (found.found, found.phase, found.module) == ("op", "forward", "Model")
    clean = made(project)
    assert diverge(project.home, clean, log=log).verdict == "identical"
    same = diverge(project.home, clean, made(project, force=True))
    assert (same.verdict, same.first_step) == ("identical", None)


def test_runs_without_fingerprints_in_common_are_compared_by_what_they_made(project: Any) -> None:
    one = made(project)
    other = project.run(selection=["plain/up"])["products"][0]["run_id"]
    found = diverge(project.home, one, other, execute=False)
    assert (found.verdict, found.first_quantity, found.again) == ("diverged", "product", None)
    with pytest.raises(InvalidValue, match="compared with itself by executing it"):
        diverge(project.home, one, execute=False)


@pytest.mark.soak
def test_within_a_tolerance_two_settings_are_equivalent_and_the_growth_is_drawn(
    project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = made(project), made(project, rate_from_six=0.1000001)
    monkeypatch.setenv(VARIABLE, str(project.home.root))
    plot = tmp_path / "growth.svg"
    assert main(["diverge", one, other, "--tolerance", "1e-3", "--plot", str(plot), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["verdict"], answer["first_step"], answer["op"]) == ("equivalent", 6, "aten.add_.Tensor")
    assert 0 < answer["max_relative_error"] < 1e-3
    assert {each["step"] for each in answer["growth"]} >= set(range(5, 13))
    assert plot.read_text().startswith("<?xml")
