"""An experiment and the process that it is in: its end, its signals, its children, its ranks, its replay."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import partial

import pytest

from repro_assets import Experiment
from repro_assets.artifacts import repository
from repro_assets.catalog import queries

HELD = """
import sys, time
from repro_assets import Experiment
run = Experiment("held", capture_source=False, capture_environment=False, monitor=None)
{begin}
run.log_metric("loss", 1.0, 0)
run.flush()
print("begun", flush=True)
{work}
"""
WITH = "run.__enter__()"


@pytest.mark.parametrize(
    ("work", "state", "error"),
    [
        ("pass", "COMPLETED", None),
        ("raise ValueError('bad')", "FAILED", "builtins.ValueError"),
        ("sys.exit(0)", "COMPLETED", None),
    ],
)
def test_one_that_nobody_finished_ends_with_its_process(script, runs, work, state, error):
    process = script(HELD.format(begin="run.start()", work=work))
    process.communicate(timeout=60)
    (row,) = runs()
    assert (row["state"], row["error_type"]) == (state, error)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("begin", ["run.start()", "run.__enter__()"])
def test_a_signal_interrupts(project, script, runs, number, begin):
    process = script(HELD.format(begin=begin, work="time.sleep(60)"))
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    process.send_signal(number)
    process.communicate(timeout=60)
    (row,) = runs()
    assert row["state"] == "INTERRUPTED"
    if number == signal.SIGTERM:
        assert process.returncode == 128 + signal.SIGTERM
        assert (row["error_type"], row["error_message"]) == ("repro_assets.tracking.opened.Signalled", "SIGTERM")
    assert queries.rows(project, "SELECT count(*) AS n FROM metrics") == [{"n": 1}]


FAMILY = """
import os, subprocess, sys
from repro_assets import Experiment
options = dict(capture_source=False, capture_environment=False, monitor=None)
if sys.argv[1:] == ["child"]:
    Experiment.attached().log_metric("from a spawned child", 1.0, 0)
    with Experiment("spawned", **options) as run:
        run.log_metric("x", 1.0, 0)
    sys.exit()
with Experiment("parent", **options) as parent:
    child = os.fork()
    if child == 0:
        parent.log_metric("from a forked child", 1.0, 0)
        with Experiment("forked", **options) as run:
            run.log_metric("x", 2.0, 0)
        sys.exit()
    os.waitpid(child, 0)
    subprocess.run([sys.executable, __file__, "child"], check=True)
    parent.log_metric("own", 1.0, 0)
print(os.environ.get("REPRO_RUN"))
"""


def test_children_are_children_and_end_nothing_of_their_parents(project, script, runs):
    process = script(FAMILY)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.splitlines()[-1]) == (0, "None"), err
    found = {row["name"]: row for row in runs()}
    assert {name: row["state"] for name, row in found.items()} == dict.fromkeys(
        ("parent", "forked", "spawned"), "COMPLETED"
    )
    parent = found["parent"]["run_id"]
    assert {found[name]["parent_run_id"] for name in ("forked", "spawned")} == {parent}
    names = queries.rows(project, "SELECT name FROM metrics WHERE run_id = ? ORDER BY 1", [parent])
    assert [row["name"] for row in names] == ["from a forked child", "from a spawned child", "own"]


def test_of_several_ranks_the_first_records(project, script, runs):
    text = """
from repro_assets import Experiment
with Experiment("ranks", capture_source=False, capture_environment=False, monitor=None) as run:
    run.log_metric("loss", 1.0, 0)
    run.log_artifact([1], "numbers")
    print(run.use_value([2], "read"))
"""
    started: list[subprocess.Popen[str]] = [script(text, RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
    for process in started:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "[2]\n"), err
    assert [row["name"] for row in runs()] == ["ranks"]
    assert len(queries.rows(project, "SELECT * FROM versions WHERE collection = 'numbers'")) == 1


def test_under_a_replay_what_was_read_then_is_read(project, script, runs, tmp_path):
    from repro_assets.tracking.pinned import Pinned, PinnedRun

    text = """
import random
from repro_assets import Experiment
with Experiment("read", capture_source=False, capture_environment=False, monitor=None) as run:
    print(run.use_path("data.csv").read_text(), run.use_value([random.random()], "drawn"), run.use_artifact("given"))
    run.log_artifact(run.use_artifact("given").load(), "product")
"""
    given = repository.claim(repository.put(project, ["old"]), "given")
    (project.root.parent / "data.csv").write_text("old")
    first = script(text)
    said, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    (row,) = runs()
    read = queries.rows(project, "SELECT slot, digest FROM run_inputs")
    repository.claim(repository.put(project, ["new"]), "given")
    (project.root.parent / "data.csv").write_text("new")
    inputs = {item["slot"]: item["digest"] for item in read}
    pins = Pinned((PinnedRun(row["run_id"], "read", inputs=inputs),), tmp_path / "laid")
    again = script(text, **pins.written(tmp_path / "pins.json"))
    resaid, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert resaid.split(" ")[:2] == said.split(" ")[:2]
    replay = runs()[-1]
    assert (replay["replay_of"], replay["state"]) == (row["run_id"], "COMPLETED")
    products = queries.rows(project, "SELECT DISTINCT digest FROM run_outputs")
    assert len(products) == 1
    assert len(queries.rows(project, "SELECT * FROM versions WHERE collection = 'product'")) == 1
    assert given.digest
    (tmp_path / "pins.json").write_text("{")
    broken = script(text, REPRO_PINS=str(tmp_path / "pins.json"))
    assert "do not read" in broken.communicate(timeout=60)[1]


def test_what_signals_did_before_holds_again_after_and_a_handler_of_theirs_stays(project, request):
    # Dagster leaves a handler of its own in a process that has executed something.
    for number in (signal.SIGTERM, signal.SIGHUP):
        request.addfinalizer(partial(signal.signal, number, signal.signal(number, signal.SIG_DFL)))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    with Experiment("fit", capture_source=False, capture_environment=False, monitor=None):
        assert signal.getsignal(signal.SIGTERM) is not before[signal.SIGTERM]
    assert {number: signal.getsignal(number) for number in before} == before
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Experiment("fit", capture_source=False, capture_environment=False, monitor=None):
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    assert "REPRO_RUN" not in os.environ
