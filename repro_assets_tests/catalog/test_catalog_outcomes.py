"""What became of a request."""

from __future__ import annotations

import time

from repro_assets.catalog import queries
from repro_assets.catalog.outcomes import begun_under, newest_made_from, of_filtering, of_training
from repro_assets.journal import run_records


def test_the_newest_run_under_a_parent_is_found_also_by_its_asset(home, recorder):
    recorder.run("a" * 16, parent_run_id="parent", asset="data/traces")
    recorder.run("b" * 16, parent_run_id="parent", asset="models/sft", end="FAILED")
    recorder.run("c" * 16, parent_run_id="another", asset="models/sft")
    assert begun_under(home, "parent") == "b" * 16
    assert begun_under(home, "parent", "data/traces") == "a" * 16
    assert begun_under(home, "parent", "models/rft") is None
    assert begun_under(home, None) is None


def test_a_training_tells_its_last_figures_and_what_it_goes_on_from(home, recorder):
    recorder.run("a" * 16, seed=3, points=6)
    recorder.run("b" * 16, seed=3, points=0)
    recorder.journal.append(
        run_records.RunResumed("b" * 16, "a" * 16, "checkpoint_step_10", output_of(home, "a" * 16), 5)
    )
    whole, resumed = of_training(home, "a" * 16), of_training(home, "b" * 16)
    assert whole == {"seed": 3, "metrics": {"loss": 1 / 6}, "resumed": None}
    assert resumed["metrics"] == whole["metrics"], "the curve of what it continued is its own up to there"
    assert resumed["resumed"] == {"run_id": "a" * 16, "checkpoint": "checkpoint_step_10", "step": 5}
    assert of_training(home, None) == {"seed": None, "metrics": {}, "resumed": None}


def test_a_filter_tells_what_it_kept_and_why_it_dropped_the_others(home, recorder):
    run = recorder.run("a" * 16)
    counted = {"kept": 7.0, "dropped/wrong answer": 2.0, "dropped/too long": 0.0, "quality": 0.5}
    rows = [[name, None, value, time.time()] for name, value in counted.items()]
    recorder.journal.append(run_records.Metrics.of(run, rows), run_records.Params(run, {"columns_left_out": ["note"]}))
    assert of_filtering(home, run) == {
        "kept": 7,
        "dropped": {"wrong answer": 2, "too long": 0},
        "columns_left_out": ["note"],
    }


def test_the_newest_product_made_from_a_data_set_is_found(home, recorder):
    recorder.run("a" * 16, seed=1)
    recorder.run("b" * 16, seed=2)
    of_first, of_second = (input_of(home, run) for run in ("a" * 16, "b" * 16))
    assert newest_made_from(home, "model-sft", of_first) != newest_made_from(home, "model-sft", of_second)
    recorder.run("c" * 16, seed=1)
    assert newest_made_from(home, "model-sft", of_first) == output_of(home, "c" * 16)
    assert newest_made_from(home, "model-rft", of_first) is None


def input_of(home, run):
    return queries.rows(home, "SELECT digest FROM run_inputs WHERE run_id = ?", [run])[0]["digest"]


def output_of(home, run):
    return queries.rows(home, "SELECT digest FROM run_outputs WHERE run_id = ?", [run])[0]["digest"]
