"""Runs, metrics and artifacts as a notebook has them."""

from __future__ import annotations

import math
import subprocess
import sys

import pandas
import pytest

import repro_assets
from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.journal import run_records
from repro_assets.journal.run_records import RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import make_store

GREATEST = 2**63 - 1


@pytest.fixture
def home(tmp_path, monkeypatch):
    home = make_store(tmp_path / "store")
    monkeypatch.setenv("REPRO_HOME", str(home.root))
    for number, name in enumerate(("first", "<b>'\"&|\n😀</b>")):
        config = {"lr": 0.1 / (number + 1), "model": {"width": 8}}
        run = begin(
            home, RunStarted(f"run-000{number}", "asset", name, asset="a", seed=GREATEST - number, config=config)
        )
        run.log_metric("loss", 1.0, 0)
        run.log_metric("loss", 0.5, 1)
        run.log_output("result", {"weights": [number]}, name=f"model-{number}", collection="model-a")
        run.end()
    return home


def test_a_question_in_sql_is_a_table_and_integers_stay_integers(home):
    frame = repro_assets.query("SELECT run_id, seed, params FROM runs_wide WHERE seed > ? ORDER BY 1", [0])
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["seed"]) == [GREATEST, GREATEST - 1]
    gap = repro_assets.query("SELECT * FROM (VALUES ($big), (NULL)) t(a)", {"big": GREATEST})["a"]
    assert gap[0] == GREATEST and gap.isna()[1] and str(gap.dtype) == "Int64"
    with pytest.raises(InvalidValue, match="DELETE"):
        repro_assets.query("DELETE FROM runs")


def test_runs_have_a_column_for_each_hyperparameter_and_metric(home):
    frame = repro_assets.runs(where="metrics['loss'] < 1")
    assert list(frame["run_id"]) == ["run-0001", "run-0000"]
    assert list(frame["config.lr"]) == [0.05, 0.1] and list(frame["config.model.width"]) == [8, 8]
    assert list(frame["metrics.loss"]) == [0.5, 0.5]
    assert len(repro_assets.runs(limit=1)) == 1 and repro_assets.runs("seed = 0").empty
    with pytest.raises(InvalidValue):
        repro_assets.runs("nothing = 1")


def test_a_run_leads_to_its_curves_artifacts_and_differences(home):
    run = repro_assets.run("last~1")
    assert run == repro_assets.run("first") and "run-0000" in repr(run)
    assert list(run.metrics("loss")["value"]) == [1.0, 0.5]
    assert run.config == {"lr": 0.1, "model": {"width": 8}} and run.params == {} and run.command is None
    assert list(run.outputs()["name"]) == ["model-0"] and run.inputs().empty
    assert run.artifact("result").load() == run.artifact("model-0").load() == {"weights": [0]}
    found = run.compare("last").set_index("name")
    assert found.loc["lr"].to_list() == ["config", 0.1, 0.05] and "width" not in found.index
    for ask in (lambda: run.metrics("los"), lambda: run.artifact("model-00"), lambda: repro_assets.run("frist")):
        with pytest.raises(UnknownName, match="did you mean"):
            ask()


def test_the_curve_of_a_continued_run_has_each_step_once(home):
    now = 0.0
    journal_at(home.journal).append(
        run_records.RunResumed("run-0001", "run-0000", "checkpoint_step_0", "sha256:" + "0" * 64, 0),
        run_records.Metrics.of("run-0001", [["other", 3, 3.0, now]]),
        run_records.Metrics.of("run-0000", [["other", 0, 0.0, now], ["other", 1, 9.0, now]]),
    )
    curve = repro_assets.run("last").metrics("other")
    assert list(zip(curve["step"], curve["value"], curve["logged_by"], strict=True)) == [
        (0, 0.0, "run-0000"), (3, 3.0, "run-0001"),
    ]  # fmt: skip
    whole = repro_assets.query("SELECT name, step, value, time, logged_by FROM curves WHERE run_id = 'run-0001'")
    same = repro_assets.query("FROM curve('run-0001')")
    assert sorted(whole.itertuples(index=False)) == sorted(same.itertuples(index=False))


def test_artifacts_are_reached_by_name_and_listed(home):
    assert repro_assets.artifact("model-a").load() == {"weights": [1]}
    assert list(repro_assets.list_artifacts("model")["name"]) == ["model-a:v2", "model-a:v1"]
    assert repro_assets.list_artifacts("nothing").empty


def test_a_run_shows_itself_as_html_and_no_name_becomes_markup(home):
    journal_at(home.journal).append(run_records.Metrics.of("run-0001", [["<i>nan</i>", 0, math.nan, 0.0]]))
    repro_assets.note_run(home, "run-0001", "<script>alert(1)</script>")
    shown = repro_assets.run("last")._repr_html_()
    assert "<script" not in shown and "<i>" not in shown and "<b>'" not in shown
    assert "&lt;script&gt;" in shown and "&lt;i&gt;nan&lt;/i&gt;" in shown and "0.5" in shown


def test_asking_loads_pandas_only_when_a_table_is_made():
    program = (
        "import sys, repro_assets; repro_assets.query, repro_assets.run, repro_assets.compare_runs; "
        "print([n for n in ('pandas', 'pyarrow', 'duckdb', 'torch', 'dagster', 'numpy') if n in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
