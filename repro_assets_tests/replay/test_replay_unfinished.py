"""Runs that did not complete are replayed up to where they came; what cannot be replayed is refused with the reason."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from persons import QUICK, ROOT, verdicts

from repro_assets.errors import InvalidValue
from repro_assets.replay.launch import ReplayFailed
from repro_assets.replay.plan import Replayed, Result
from repro_assets.replay.records import Recorded
from repro_assets.replay.report import verdict_on
from repro_assets.store.home import make_store

STOPS = f"""
import os, sys, time
from pathlib import Path
from repro_assets import Experiment
how = sys.argv[1]
with Experiment("stops", {QUICK}) as run:
    if how == "hangs" and "REPRO_PINS" in os.environ:
        time.sleep(600)
    if how != "nothing":
        run.log_artifact([1], "made")
        if how == "killed":
            with Experiment("inner", {QUICK}) as inner:
                inner.log_text("in", "inner")
        run.checkpoint({{"w": 2}}, step=10)
    run.flush()
    print("made", flush=True)
    if how == "fails" or how == "nothing":
        raise RuntimeError("as it is")
    if "REPRO_PINS" not in os.environ:
        time.sleep(600)
    assert how != "goes on"
    with Experiment("later", {QUICK}):
        pass
"""


def test_what_an_unfinished_run_had_made_is_compared(person):
    person.write("stops.py", STOPS)
    person.python("stops.py", "fails", code=1)
    report = person.replay(person.last())
    assert verdicts(report) == {"made": "identical", "checkpoint_step_10": "identical"}, person.log.read_text()
    assert (report.verdict, report.records[0].reason) == (
        "identical",
        "the run is FAILED (builtins.RuntimeError: as it is): what it had made until then was compared",
    )
    process = person.start("stops.py", "killed")
    assert process.stdout is not None and process.stdout.readline() == "made\n"
    with pytest.raises(InvalidValue, match="is RUNNING: it has not ended"):
        person.replay(person.last("stops"))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    until = time.monotonic() + 30
    while any(row["state"] == "RUNNING" for row in person.runs()):
        assert time.monotonic() < until
        time.sleep(0.1)
    report = person.replay(person.last("stops"))
    # The replay goes no further than the run that was killed: what it had not begun is refused there.
    assert verdicts(report) == dict.fromkeys(("made", "checkpoint_step_10", "inner.txt"), "identical")
    assert "is INTERRUPTED" in str(report.records[0].reason)
    assert "began no further run 'later' here" in person.log.read_text()
    assert {row["name"] for row in person.runs()} == {"stops", "inner"}


def test_a_replay_of_an_interrupted_run_ends_where_all_is_made_again(person):
    person.write("stops.py", STOPS)
    process = person.start("stops.py", "goes on")
    assert process.stdout is not None and process.stdout.readline() == "made\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    report = person.replay(person.last())
    assert verdicts(report) == {"made": "identical", "checkpoint_step_10": "identical"}, person.log.read_text()
    assert "is INTERRUPTED (repro_assets.tracking.opened.Signalled: SIGTERM)" in str(report.records[0].reason)
    again = person.runs()[-1]
    assert (again["run_id"], again["state"]) == (report.replay_run, "INTERRUPTED")
    assert "AssertionError" not in person.log.read_text()


def test_a_replay_that_does_not_come_as_far_says_so(tmp_path):
    run = Recorded(
        "a" * 16, "fit", "asset", None, "FAILED", "RuntimeError: as it is", 0, {}, None, {}, None, {}, {}, {}, [],
        {"checkpoint_step_4": ("checkpoint_step_4", "sha256:" + "1" * 64)},
    )  # fmt: skip
    again = Replayed(run.run_id, "b" * 16, "FAILED", {}, {}, None, {})
    error = {"type": "OSError", "message": "the disk is full", "trace": ""}
    found = verdict_on(make_store(tmp_path / "store"), run, Result([again], [], error), 1.0)
    assert (found.verdict, found.reason) == (
        "diverged",
        "the run is FAILED, and the replay did not come as far: OSError: the disk is full",
    )


def test_what_cannot_be_replayed_is_refused_before_anything_starts(person, tmp_path):
    person.write("stops.py", STOPS)
    person.python("stops.py", "nothing", code=1)
    (tmp_path / "outside.py").write_text(STOPS)
    person.python(str(tmp_path / "outside.py"), "fails", code=1)
    plain = f"from repro_assets import Experiment\nwith Experiment('typed', {QUICK}) as run: run.log_text('a', 'a')\n"
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "REPRO_HOME": str(person.home.root)}
    subprocess.run([sys.executable, "-"], input=plain, text=True, cwd=person.root, env=variables, check=True)
    person.write("ignored.py", plain.replace("typed", "ignored"))
    person.write(".reproignore", "ignored.py\n")
    person.python("ignored.py")
    person.python("-c", plain.replace("typed", "code"), "--word")
    found = person.runs()
    said = [
        "is FAILED (builtins.RuntimeError: as it is) and had made nothing that could be compared",
        "outside.py of run .* lies outside of its project",
        "was typed or piped, and is on record nowhere",
        "ignored.py is not in the source tree",
    ]
    assert len(found) == len(said) + 1
    for row, words in zip(found, said, strict=False):
        with pytest.raises(InvalidValue, match=words if ".*" in words else re.escape(words)):
            person.replay(row["run_id"])
    assert len(person.runs()) == len(found)
    # What was given with -c is on record.
    assert verdicts(person.replay(found[-1]["run_id"])) == {"a.txt": "identical"}


def test_a_replay_that_hangs_is_ended_and_what_it_did_stays_on_record(person):
    person.write("stops.py", STOPS)
    process = person.start("stops.py", "hangs")
    assert process.stdout is not None and process.stdout.readline() == "made\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    with pytest.raises(ReplayFailed, match="took more than 6 s") as raised:
        person.replay(person.last(), timeout=6)
    assert raised.value.exit_code == 1
    (again,) = (row for row in person.runs() if row["replay_of"] is not None)
    assert again["state"] == "INTERRUPTED"


def test_wrong_code_of_a_script_is_noticed(person, tmp_path, monkeypatch):
    text = f"""
import os, sys
if "REPRO_PINS" in os.environ:
    sys.path.insert(0, {str(tmp_path / "shadow")!r})
from repro_assets import Experiment
import helper
with Experiment("values", {QUICK}) as run:
    run.log_artifact([helper.VALUE], "value")
"""
    person.write("values.py", text)
    person.write("helper.py", "VALUE = 1\n")
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "helper.py").write_text("VALUE = 1\n")
    person.python("values.py")
    report = person.replay(person.last())
    assert (report.verdict, report.records[0].reason) == (
        "not_comparable",
        "wrong code: helper came from outside the recorded tree",
    )
