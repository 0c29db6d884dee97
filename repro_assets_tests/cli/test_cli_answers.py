"""Every command answers with one JSON document, or with one line that helps and an exit code."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from repro_assets.cli.answering import exit_code_of
from repro_assets.cli.rendering import plain
from repro_assets.errors import DiskFull, RequestError


def test_no_command_loads_a_heavy_library_before_it_is_called():
    program = (
        "import sys; from repro_assets.cli.app import program; program(); "
        "print([m for m in ('torch', 'dagster', 'pandas', 'pyarrow', 'duckdb', 'numpy', 'rich') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_a_command_loads_no_other_one():
    asked = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys; from repro_assets.cli.app import main; code = main(sys.argv[1:]); "
            "print([m for m in sys.modules if m.startswith('repro_assets.cli.')], code)",
            *("artifacts", "--help"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = asked.stdout.splitlines()[-1]
    assert "repro_assets.cli.artifacts" in loaded
    assert not any(f"cli.{other}'" in loaded for other in ("runs", "store", "doctor", "manifest"))


def test_putting_a_file_loads_no_heavy_library(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    program = (
        "import sys; from repro_assets.cli.app import main; code = main(sys.argv[1:]); "
        "print([m for m in ('torch', 'dagster', 'pandas', 'pyarrow', 'duckdb') if m in sys.modules], code)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, "artifacts", "put", str(tmp_path / "file"), "--name", "a"],
        env={**os.environ, "REPRO_HOME": str(tmp_path / "store")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines()[-1] == "[] 0"


def test_a_plot_that_cannot_be_written_is_refused_before_a_run_is_looked_up(repro, home, tmp_path):
    (tmp_path / "folder.png").mkdir()
    for name, reason in (("none/a.png", "its folder is not there"), ("folder.png", "is a folder"), ("a.txt", "end it")):
        said = repro("diverge", "no-such-run", "no-other", "--plot", tmp_path / name, "--json")
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert reason in said.err and "no-such-run" not in said.err


@pytest.mark.parametrize("words", [["init"], ["runs", "list"], ["store", "fsck"], ["lineage", "validate"]])
def test_every_command_answers_with_one_json_document(repro, home, words):
    said = repro(*words, "--json")
    assert said.code == 0
    assert said.out.count("\n") == 1
    json.loads(said.out)


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["runs", "show", "aaaaaaa"], "aaaaaaaa11111111"),
        (["runs", "show", "964"], "8 digits or more"),
        (["run", "--select", "models/sft", "--input", "cota_sft=nosuch"], "'nosuch'"),
        (["runs", "show", "small-seed4"], "small-seed3"),
        (["runs", "best", "lost"], "loss"),
        (["artifacts", "show", "small"], "model-small"),
        (["artifacts", "show", "model-small:v9"], "v2"),
        (["artifacts", "get", "nothing", "--to", "x"], "artifacts list"),
        (["lineage", "show", "nothing"], "runs list"),
        (["lineage", "export", "--format", "svg"], "mermaid"),
        (["replay", "small-seed4"], "small-seed3"),
        (["replay", "cccccccc"], "source tree"),
        (["sql", "SELECT nothing"], "nothing"),
        (["sql", "DROP TABLE runs"], "SELECT"),
        (["sql", "SELECT 1 AS a, 2 AS a"], "AS"),
        (["runs", "list", "--where", "sed = 1"], "seed"),
        (["runs", "list", "--limt", "1"], "--limit"),
        (["runs", "best", "loss", "--mode", "most"], "max"),
        (["runs"], "--help"),
        (["nothing"], "--help"),
        (["ui", "--port", "0"], "--help"),
        (["artifacts", "put", "nothing.csv", "--name", "a"], "path"),
        (["run", "--config", "nothing.yaml"], "path"),
    ],
)
def test_a_wrong_request_is_2_and_one_line_that_helps(repro, home, words, near):
    said = repro(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert near in said.err
    assert "Traceback" not in said.err


def test_json_has_what_json_cannot_hold():
    moment = datetime(2026, 1, 2, 3, 4, 5, 6)
    held = {
        "nan": float("nan"), "inf": [float("inf"), -float("inf")], "time": moment, "aware": moment.replace(tzinfo=UTC),
        "sum": Decimal(7), "part": Decimal("1.5"), "bytes": b"\xff", 3: {"a"},
    }  # fmt: skip
    assert json.loads(json.dumps(plain(held), allow_nan=False)) == {
        "nan": "NaN", "inf": ["Infinity", "-Infinity"], "time": "2026-01-02T03:04:05.000006+00:00",
        "aware": "2026-01-02T03:04:05.000006+00:00", "sum": 7, "part": 1.5, "bytes": "ff", "3": ["a"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (RequestError("wrong"), 2, "error: wrong\n"),
        (DiskFull("full"), 3, "error: full\n"),
        (OSError(errno.ENOSPC, "full", "file"), 3, "no space left while writing file"),
        (OSError(errno.EROFS, "read-only", "file"), 3, "cannot write file: read-only"),
        (RuntimeError("two\nlines"), 3, "RuntimeError: two lines (this was not foreseen"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_error_is_one_line_and_a_code(capsys, error, code, words):
    def fail() -> None:
        raise error

    assert exit_code_of(fail) == code
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert words in said.err


def test_an_interrupted_command_says_so(repro, home):
    interrupt = threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    said = repro("sql", "SELECT count(*) AS n FROM range(100000000000) a, range(100) b")
    interrupt.join()
    assert (said.code, said.out, said.err) == (130, "", "error: interrupted\n")


def test_a_traceback_is_shown_only_where_it_is_asked_for(repro, home, monkeypatch):
    (home.root / "repro-store.json").write_text("[]")
    assert "Traceback" not in repro("runs", "list").err
    monkeypatch.setenv("REPRO_DEBUG", "1")
    assert "Traceback" in repro("runs", "list").err


@pytest.mark.parametrize(
    "words",
    [
        ("artifacts", "put", "", "--name", "given"),
        ("artifacts", "put", " ", "--name", "given"),
        ("init", ""),
        ("manifest", "create", ""),
        ("env", "capture", "--output-dir="),
    ],
)
def test_an_empty_word_is_never_the_current_folder(repro, home, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    said = repro(*words)
    assert (said.code, said.out) == (2, "")
    assert "is empty" in said.err
    assert sorted(tmp_path.iterdir()) == before
