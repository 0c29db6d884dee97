"""Tracking works where neither dagster nor torch, nor the catalog's libraries, are installed."""

from __future__ import annotations

import os
import re
from pathlib import Path

from light import ROOT, execute, lay_out

from repro_assets.catalog import queries

SCRIPT = """
import os, sys
sys.path.insert(0, os.environ["SITE"])
from repro_assets import Experiment, OnlineExperiment, checkpoint, reproducible, track_artifacts
from repro_assets.errors import UnknownName
with Experiment("whole", config={"a": 1}, seed=3) as run:
    run.log_metric("x", 1.0, 0)
    run.use_path("data.csv")
    run.log_artifact({"a": 1}, "thing")
    assert run.use_artifact("thing").load() == {"a": 1}
    run.log_text("hello", "greeting")
    run.checkpoint({"step": 1}, step=1)
    run.set_seed(4)
    try:
        run.use_artifact("nothing")
    except UnknownName as error:
        assert "duckdb" in str(error), error
with OnlineExperiment("online") as run:
    run.log_online_update(run.log_experience({"a": 1}), 1.0, 0.5)
    run.snapshot()
@reproducible("decorated")
def decorated(a):
    return {"loss": 1.0}
decorated(3)
class Model:
    def state_dict(self):
        return {"w": [1.0]}
@checkpoint()
def epoch(model):
    return {"loss": 1.0}
@track_artifacts(inputs=["thing"], outputs=["other"])
def made(thing):
    epoch(Model())
    return thing
made()
found = [name for name in ("torch", "dagster", "pandas", "duckdb", "pyarrow", "numpy") if name in sys.modules]
assert not found, found
for name in ("torch", "dagster", "duckdb"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise AssertionError(name)
"""


def test_a_short_list_of_libraries_is_enough(project, tmp_path_factory):
    page = (ROOT / "docs" / "tracking.md").read_text()
    (words,) = re.findall(r"pip install --no-deps repro-assets\npip install ([^\n`]+)\n", page)
    needed = {"opentelemetry-sdk": ["opentelemetry-api", "opentelemetry-semantic-conventions", "typing-extensions"]}
    named = words.split()
    site = lay_out(
        tmp_path_factory.mktemp("light") / "site", [*named, *(n for name in named for n in needed.get(name, []))]
    )
    folder = project.root.parent
    (folder / "data.csv").write_text("a")
    (folder / "theirs.py").write_text(SCRIPT)
    done = execute(Path(folder / "theirs.py"), site, folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert os.fspath(site) not in done.stdout
    # What was recorded there is read here.
    states = queries.rows(project, "SELECT name, state FROM runs ORDER BY name")
    assert {row["name"]: row["state"] for row in states} == dict.fromkeys(
        ("decorated", "made", "online", "whole"), "COMPLETED"
    )
