"""A command is tracked as it is: its words, its streams, its files, and the way it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from repro_assets.artifacts import repository
from repro_assets.catalog import queries
from repro_assets.identity.digest import Digest
from repro_assets.tracking import command_files

ROOT = Path(__file__).parents[2]
TRAIN = """
import sys
words = dict(word.split("=") for word in sys.argv[2:])
rows = open(sys.argv[1]).read().splitlines()
print("rows", len(rows))
print("warned", file=sys.stderr)
open(words["--out"], "w").write(str(len(rows)))
open("model.bin", "wb").write(b"weights")
"""


@pytest.fixture
def start(project):
    folder = project.root.parent
    (folder / "train.py").write_text(TRAIN)
    (folder / "rows.csv").write_text("a\nb\n")

    def begin(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "repro_assets.cli.app", "exec", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


@pytest.fixture
def tracked(start):
    def execute(*words: str) -> tuple[int, str, str]:
        process = start(*words)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    return execute


def test_a_folder_is_no_product_beside_what_fits_in_it_and_what_is_not_known_is_said(project, tracked, runs):
    made = "import os; os.makedirs('outs/a/b'); open('outs/a/b/y', 'w').close(); open('outs/x', 'w').close()"
    (project.root.parent / "given").mkdir()
    options = ("--output", "outs/**", "--tag", "t1", "--tag", "t1")
    code, _, err = tracked(*options, "--", sys.executable, "-c", made, "given")
    assert code == 0, err
    slots = queries.rows(project, "SELECT slot FROM run_outputs ORDER BY slot")
    assert [row["slot"] for row in slots] == ["outs/a/b/y", "outs/x"]
    assert "given is no input of this record" in err
    (row,) = runs()
    assert row["tags"] == ["t1"]
    # What this process has imported says nothing of a command.
    assert queries.rows(project, "SELECT name FROM used_packages") == []


@pytest.mark.parametrize(
    ("mode", "text", "said"), [(0o644, "#!/bin/sh\n", "may not be executed"), (0o755, "", "cannot be executed")]
)
def test_a_file_that_cannot_be_executed_is_named_with_the_reason(project, tracked, mode, text, said):
    path = project.root.parent / "train.bin"
    path.write_text(text)
    path.chmod(mode)
    code, _, err = tracked("--", "./train.bin")
    lines = [line for line in err.splitlines() if "train.bin" in line]
    assert code == 2, err
    assert said in err
    assert len(lines) == 1
    assert "Traceback" not in err


def test_a_command_leaves_a_whole_record(project, tracked, runs):
    options = ("--output", "model.*", "--tag", "first", "--project", "p")
    code, out, err = tracked(*options, "--", sys.executable, "train.py", "rows.csv", "--out=n")
    assert (code, out) == (0, "rows 2\n"), err
    assert "warned\n" in err
    (row,) = runs()
    assert (row["name"], row["run_kind"], row["state"], row["tags"], row["experiment"]) == (
        "train", "command", "COMPLETED", ["first"], "p",
    )  # fmt: skip
    assert row["plan"]["command"] == [sys.executable, "train.py", "rows.csv", "--out=n"]
    assert (row["plan"]["working_folder"], row["plan"]["outputs"]) == (".", ["model.*"])
    assert row["source"] is not None and row["environment"] is not None
    console = queries.rows(project, "SELECT stream, text FROM consoles ORDER BY stream")
    assert [tuple(item.values()) for item in console] == [("stderr", "warned\n"), ("stdout", "rows 2\n")]
    inputs = queries.rows(project, "SELECT slot FROM run_inputs")
    assert [item["slot"] for item in inputs] == ["rows.csv"]
    products = {
        item["slot"]: repository.by_digest(project, Digest.parse(item["digest"])).load()
        for item in queries.rows(project, "SELECT slot, digest FROM run_outputs")
    }
    assert products == {"n": b"2", "model.bin": b"weights"}
    assert list((project.cache / "console").iterdir()) == []


def test_the_exit_code_is_passed_on_and_json_is_one_document(tracked, runs):
    code, out, err = tracked("--json", "--", "sh", "-c", "echo said; exit 3")
    found = json.loads(out)
    assert (code, found["exit_code"], found["state"], found["products"]) == (3, 3, "FAILED", [])
    assert "said\n" in err
    (row,) = runs()
    assert (row["run_id"], row["error_message"]) == (found["run_id"], "sh returned 3")


def test_a_command_that_kept_nothing_is_told_how_it_would(tracked):
    _, _, err = tracked("--", "sh", "-c", "echo 1 > n")
    assert "COMPLETED, 0 products; --output PATTERN keeps what it makes (see: repro runs show " in err
    _, _, err = tracked("--output", "m", "--", "sh", "-c", "echo 1 > m")
    assert "COMPLETED, 1 product (see: repro runs show " in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--", "no-such-program"), "there is no program 'no-such-program'"),
        (("--input", "gone.csv", "--", "true"), "the input gone.csv is not there"),
        (("--output", "data/journal/*", "--", "true"), "is in the store itself"),
        (("--capture-level", "all", "--", "true"), "is not a capture level"),
        (("--",), "Missing argument"),
    ],
)
def test_what_cannot_be_tracked_is_not_executed(tracked, runs, words, said):
    code, out, err = tracked(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert runs() == []


def test_an_output_that_nothing_fits_is_a_failure_and_what_there_is_is_kept(project, tracked, runs):
    code, _, err = tracked("--output", "gone*", "--output", "made", "--", "sh", "-c", "mkdir made; echo 1 > made/one")
    assert code == 1
    assert "nothing fits the output 'gone*' (name what the command makes, " in err
    (row,) = runs()
    assert row["state"] == "FAILED"
    assert [item["slot"] for item in queries.rows(project, "SELECT slot FROM run_outputs")] == ["made"]


def test_a_named_output_that_the_command_left_as_it_was_is_not_its_own(project, tracked, runs):
    folder = project.root.parent
    (folder / "kept").mkdir()
    for name in ("old.bin", "kept/old.bin"):
        (folder / name).write_text("from before")
    for pattern in ("old.*", "kept", "kept/**"):
        code, _, err = tracked("--output", pattern, "--", "true")
        assert code == 1
        assert f"the output {pattern!r} was there before, and the command left it as it was (remove it, " in err
    assert [run["state"] for run in runs()] == ["FAILED"] * 3
    assert queries.rows(project, "SELECT slot FROM run_outputs") == []
    words = ("--output", "*.bin", "--output", "kept", "--", "sh", "-c", "cp old.bin new.bin; touch kept/more")
    assert tracked(*words)[0] == 0
    assert [row["slot"] for row in queries.rows(project, "SELECT slot FROM run_outputs ORDER BY slot")] == [
        "kept",
        "new.bin",
    ]


def test_a_folder_that_was_there_is_an_output_where_something_in_it_changed(project, tracked, runs, tmp_path):
    folder = project.root.parent
    for name in ("out", "read", "named"):
        (folder / name / "deep").mkdir(parents=True)
        (folder / name / "deep" / "file").write_text("old")
    (folder / "elsewhere").symlink_to("/usr")
    text = "cat read/deep/file; mkdir -p read/__pycache__; touch read/__pycache__/a.pyc; echo new > out/deep/file"
    (folder / "act.sh").write_text(text)
    code, _, err = tracked("--input", "named", "--", "sh", "act.sh", "out", "read", "named", "elsewhere")
    assert code == 0, err
    (row,) = runs()
    products = queries.rows(project, "SELECT slot, digest FROM run_outputs")
    assert [item["slot"] for item in products] == ["out"]
    assert repository.by_digest(project, Digest.parse(products[0]["digest"])).load() == {"deep/file": b"new\n"}
    assert [item["slot"] for item in queries.rows(project, "SELECT slot FROM run_inputs")] == ["named"]
    said = [warning for warning in row["warnings"] if "folder" in warning]
    assert [warning.split("/")[-1].split(" ")[0] for warning in said] == ["out", "read", "elsewhere", "elsewhere"]
    assert ["--input" in warning for warning in said] == [True, True, True, False]


def test_a_folder_of_too_much_is_not_looked_at_and_that_is_said(tmp_path, project, monkeypatch):
    (tmp_path / "many").mkdir()
    for number in range(4):
        (tmp_path / "many" / str(number)).touch()
    monkeypatch.setattr(command_files, "_MOST", 3)
    watched = command_files.Watched(project, tmp_path, tmp_path, ["ls", "many"])
    (tmp_path / "many" / "0").write_text("changed")
    assert watched.changed() == []
    assert "is not noticed" in watched.warnings([tmp_path / "many"])[0]
    monkeypatch.setattr(command_files, "_MOST", 4)
    watched = command_files.Watched(project, tmp_path, tmp_path, ["ls", "many"])
    assert (watched.changed(), watched.warnings([tmp_path])) == ([], [])
    (tmp_path / "many" / "0").unlink()
    assert watched.changed() == [tmp_path / "many"]


def test_an_output_that_holds_the_store_is_refused(tracked, runs):
    code, _, err = tracked("--output", "dat*", "--", "true")
    assert (code, "holds the store" in err) == (2, True)
    assert runs() == [], "nothing was executed"


@pytest.mark.parametrize("words", [("-c", "echo {}"), ("-c", "true", "--token", "{}"), ("-c", "true", "--token={}")])
def test_a_credential_among_the_words_is_not_on_record_and_that_is_told_once(project, tracked, runs, words):
    token = "ghp_" + "q7Rz2LmX9vTbK4sWcY8nHdP3gJf6AeU1oVxQ"
    assert tracked("--", "sh", *(word.format(token) for word in words))[0] == 0
    assert token.encode() not in b"".join(path.read_bytes() for path in project.journal.glob("*.jsonl"))
    (row,) = runs()
    place = len(words)
    assert [line for line in row["warnings"] if "secret" in line] == [
        f"config.command[{place}] is not recorded: it looks like a secret (github-token)"
    ]
    assert row["plan"]["redacted"] is True


def test_what_a_tracked_script_begins_itself_is_a_child(tracked, runs, project):
    (project.root.parent / "own.py").write_text(
        "from repro_assets import Experiment\n"
        "with Experiment('own', capture_source=False, capture_environment=False, monitor=None) as run:\n"
        "    run.log_metric('loss', 1.0, 0)\n"
    )
    code, _, err = tracked("--", sys.executable, "own.py")
    assert code == 0, err
    found = {row["run_kind"]: row for row in runs()}
    assert found["script"]["parent_run_id"] == found["command"]["run_id"]


@pytest.mark.parametrize(
    ("number", "state", "code"),
    [(signal.SIGTERM, "INTERRUPTED", 143), (signal.SIGINT, "INTERRUPTED", 130), (signal.SIGKILL, "INTERRUPTED", -9)],
)
def test_one_that_is_stopped_is_interrupted(project, start, runs, number, state, code):
    process = start("--", sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(20)")
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    process.send_signal(number)
    if number != signal.SIGKILL:
        process.communicate(timeout=60)
    else:
        # Its child lives on and holds the pipe.
        process.wait(60)
        process.stdout.close()
    assert process.returncode == code
    until = time.monotonic() + 20
    while (found := runs()[0]["state"]) == "RUNNING":
        assert time.monotonic() < until
        time.sleep(0.1)
    assert found == state


def test_a_command_that_a_signal_ends_has_failed_and_names_it(tracked, runs):
    code, _, err = tracked("--", "sh", "-c", "kill -SEGV $$")
    assert (code, "SIGSEGV" in err) == (139, True)
    (row,) = runs()
    assert (row["state"], row["error_message"]) == ("FAILED", "sh was ended by SIGSEGV")
