"""In IPython a cell that is executed again ends the run of its earlier execution, and a run shows itself."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from repro_assets.catalog import queries

ROOT = Path(__file__).parents[2]
SESSION = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
def cell(source):
    result = shell.run_cell(source, store_history=True)
    result.raise_error()
    return result.result
cell("from repro_assets import Experiment")
BEGIN = '''run = Experiment("cell", config={"lr": 0.1}, capture_environment=False, monitor=None).start()
ends = []
run.on_end(lambda state, reason: ends.append((state, reason)));'''
cell(BEGIN)
first = cell("run.log_metric('loss', 0.5, 0); run.run_id")
shell.user_ns["firsts"] = shell.user_ns["ends"]
cell('other = Experiment("another", capture_source=False, capture_environment=False, monitor=None).start()')
cell(BEGIN)
cell("run.log_metric('loss', 0.25, 0)")
cell("run.log_artifact({'w': [1]}, 'weights')")
shown = shell.display_formatter.format(cell("run"))[0]
second = cell("run.run_id")
cell("other.finish()")
cell("run.finish()")
ended = shell.display_formatter.format(cell("run"))[0]["text/html"]
waiting = shell.display_formatter.format(cell('Experiment("<later>")'))[0]["text/html"]
print(json.dumps({
    "first": first, "second": second, "ends": shell.user_ns["firsts"], "shown": shown, "ended": ended,
    "waiting": waiting,
}))
"""


@pytest.mark.skipif(importlib.util.find_spec("IPython") is None, reason="IPython, of the extra dev, is not installed")
def test_a_cell_that_is_executed_again_ends_its_earlier_run(project, runs, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SESSION],
        cwd=project.root.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    found = {row["run_id"]: row for row in runs()}
    first, second = found[said["first"]], found[said["second"]]
    assert (first["state"], first["error_message"]) == ("INTERRUPTED", "the cell was run again")
    assert said["ends"] == [["INTERRUPTED", "the cell was run again"]]
    assert (second["state"], second["error_message"]) == ("COMPLETED", None)
    # Of another name is another experiment, which is left alone.
    assert {row["name"]: row["state"] for row in found.values()}["another"] == "COMPLETED"
    assert {row["run_kind"] for row in found.values()} == {"notebook"}
    assert {row["plan"]["form"] for row in found.values()} == {"notebook"}
    points = queries.rows(project, "SELECT run_id, value FROM metrics")
    assert {(row["run_id"], row["value"]) for row in points} == {(said["first"], 0.5), (said["second"], 0.25)}

    table = said["shown"]["text/html"]
    assert table.startswith("<table>") and table.count("<tr>") <= 8
    for text in (said["second"], "cell", "RUNNING", "loss", "0.25", "weights"):
        assert text in table
    assert "COMPLETED" in said["ended"] and "RUNNING" not in said["ended"]
    assert "&lt;later&gt;" in said["waiting"] and "not begun" in said["waiting"]
