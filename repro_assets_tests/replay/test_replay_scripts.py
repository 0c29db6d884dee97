"""Scripts, modules and code are replayed from their records, wherever their project has gone."""

from __future__ import annotations

import subprocess

import pytest
from persons import QUICK, verdicts

from repro_assets.catalog import queries
from repro_assets.errors import InvalidValue

FIT = f"""
import random, sys
from pathlib import Path
from repro_assets import Experiment
import helper
with Experiment("fit", seed=3, config={{"lr": 0.1}}, {QUICK}) as run:
    rows = run.use_path("rows.csv").read_text()
    given = run.use_path(Path(__file__).parent.parent / "given.txt").read_text()
    extra = run.use_value([len(rows)], "extra")
    run.log_metric("loss", 0.5, 0)
    run.log_artifact({{"w": [random.random(), rows, given, helper.NUMBER, extra, sys.argv[1:]]}}, "weights")
    run.log_text("a text", "said")
"""


def test_a_script_replays_identical_with_its_checkout_gone(person):
    person.write("code/fit.py", FIT)
    person.write("code/helper.py", "NUMBER = 1\n")
    person.write("code/rows.csv", "a\nb\n")
    person.write("given.txt", "given")
    person.write(".gitignore", "*.csv\n")
    person.python("fit.py", "--flag", "x y", folder=person.root / "code")
    run = person.last()
    person.gone()
    report = person.replay(run)
    assert report.verdict == "identical", (report.document(), person.log.read_text())
    assert verdicts(report) == {"weights": "identical", "said.txt": "identical"}
    (again,) = (row for row in person.runs() if row["replay_of"] is not None)
    assert (again["run_id"], again["replay_of"], again["state"]) == (report.replay_run, run, "COMPLETED")
    assert queries.rows(person.home, "SELECT count(*) AS n FROM versions WHERE collection = 'weights'") == [{"n": 1}]
    assert [row["verdict"] for row in queries.rows(person.home, "SELECT verdict FROM replays")] == ["identical"]
    # A replay stands for what it executed again.
    assert person.replay(str(report.replay_run)).records[0].original_run == run
