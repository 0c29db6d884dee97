"""Runs are listed, shown and compared."""

from __future__ import annotations

from datetime import datetime, timedelta

from repro_assets import Experiment
from repro_assets.artifacts.repository import put
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin


def test_runs_are_listed_newest_first_and_chosen_by_sql(repro, home):
    rows = repro("runs", "list", "--json").document
    assert [row["run_id"][:8] for row in rows] == ["cccccccc", "bbbbbbbb", "aaaaaaaa"]
    assert rows[0]["state"] == "FAILED"
    assert datetime.fromisoformat(rows[0]["started_at"]).utcoffset() == timedelta(0)
    chosen = repro("runs", "list", "--where", "seed = 2", "--json").document
    assert [row["seed"] for row in chosen] == [2]
    assert len(repro("runs", "list", "--limit", 1, "--json").document) == 1


def test_a_run_shows_its_whole_record_and_its_command(repro, home):
    record = repro("runs", "show", "last", "--json").document
    assert record["run_id"] == "cccccccc33333333"
    assert record["error"]["message"] == "the loss became NaN"
    assert record["command"] is None
    assert [item["slot"] for item in record["inputs"]] == ["given"]
    (loss,) = record["metrics"]
    assert loss["value"] == "NaN"
    shown = repro("runs", "show", "last~1")
    assert "model-bbbbbbbb22222222" in shown.out


def test_the_best_run_has_the_smallest_loss(repro, home):
    rows = repro("runs", "best", "loss", "--json").document
    assert [(row["run_id"][:8], row["value"]) for row in rows] == [("bbbbbbbb", 0.125), ("aaaaaaaa", 0.25)]
    assert repro("runs", "best", "loss", "--mode", "max", "--limit", 1, "--json").document[0]["value"] == 0.25


def test_a_direction_that_no_word_says_is_told(repro, home):
    with Experiment("rewarded", capture_environment=False, monitor=None, home=home) as run:
        run.log_metrics({"reward": 0.5, "spread": 0.5})
    guessed = repro("runs", "best", "spread")
    assert guessed.err.endswith("the greatest spread is taken for the best; for the least: --mode min\n")
    for words in (("loss",), ("reward",), ("spread", "--mode", "max")):
        assert "--mode" not in repro("runs", "best", *words).err


def test_durations_are_shown_to_a_tenth_of_a_second(repro, home):
    exact = {row["run_id"]: row["seconds"] for row in repro("runs", "list", "--json").document}
    header, _, *lines = repro("runs", "list").out.splitlines()
    assert header.split()[-1] == "seconds"
    assert [float(line.split()[-1]) for line in lines] == [round(value, 1) for value in exact.values()]


def test_a_command_is_shown_only_where_something_can_be_replayed(repro, home):
    source, plan = "sha256:" + "1" * 64, {"code_location": {"module": "m"}}
    begin(home, RunStarted("parent1", "parent", "whole"))
    begin(home, RunStarted("whole1", "asset", "whole", parent_run_id="parent1", source=source, plan=plan)).end()
    begin(home, RunStarted("parent2", "parent", "part"))
    begin(home, RunStarted("basic1", "asset", "part", parent_run_id="parent2", plan=plan)).end()
    begin(home, RunStarted("script1", "script", "mine", source=source)).end()
    shown = {run: repro("runs", "show", run, "--json").document["command"] for run in (
        "whole1", "parent1", "basic1", "parent2", "script1",
    )}  # fmt: skip
    assert shown == {
        "whole1": "repro replay whole1", "parent1": "repro replay parent1",
        "basic1": None, "parent2": None, "script1": None,
    }  # fmt: skip
    for run, hint in {"script1": "name a run of an asset", "parent1": "name one of the runs that it groups"}.items():
        said = repro("env", "diff", run, "current")
        assert said.code == 2 and hint in said.err and ("parent" in said.err) is (run == "parent1")


def test_a_deleted_run_is_said_to_be_and_last_passes_over_it(repro, home):
    assert repro("runs", "delete", "last").code == 0
    assert repro("runs", "show", "last", "--json").document["run_id"] == "bbbbbbbb22222222"
    assert repro("runs", "show", "last~1", "--json").document["run_id"] == "aaaaaaaa11111111"
    assert "there is no run last~2" in repro("runs", "show", "last~2").err
    record = repro("runs", "show", "cccccccc", "--json").document
    again = repro("runs", "delete", "cccccccc33333333")
    assert again.code == 0 and again.out == ""
    assert f"cccccccc33333333 is deleted already, since {record['deleted_at'][:10]}" in again.err
    both = repro("runs", "delete", "cccccccc", "bbbbbbbb", "--json").document
    assert both["deleted_before"] == [{"run_id": "cccccccc33333333", "deleted_at": record["deleted_at"]}]
    assert [row["run_id"] for row in both["runs"]] == ["bbbbbbbb22222222"]


def test_on_a_terminal_what_is_long_is_shortened_and_nothing_is_wider(repro, home, monkeypatch):
    long, trace = {f"key{number}": "value" * 10 for number in range(20)}, "line of a trace\n" * 60
    run = begin(home, RunStarted("dddddddd44444444", "asset", "wide", asset="models/" + "wide" * 40, config=long))
    run.use("given", put(home, {"numbers": [4]}, name="given"))
    run.end("FAILED", ValueError(trace))
    digest = repro("runs", "show", "last", "--json").document["inputs"][0]["digest"]
    piped = repro("runs", "show", "last").out
    assert digest in piped and "key19" in piped and "whole with --json" not in piped
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    shown = repro("runs", "show", "last").out
    assert max(map(len, shown.splitlines())) <= 100
    flat, whole = ("".join(text.split()) for text in (shown, piped))
    assert "(wholewith--json)" in flat and '"key19":' in whole and '"key19":' not in flat
    assert digest.removeprefix("sha256:")[:10] in flat and digest not in flat
    assert flat.count("lineofatrace") == whole.count("lineofatrace") >= 60
    assert "--setkey19=" in flat, "a command is to be copied"
