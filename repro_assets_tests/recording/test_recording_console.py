"""What a run wrote to stdout and stderr."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from repro_assets.cli.app import main
from repro_assets.inspection.console import console_of
from repro_assets.journal.run_records import ConsoleKept
from repro_assets.recording import console
from repro_assets.store.home import Home, make_store

START = """
import os, sys
from pathlib import Path
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import open_store

home = open_store(Path(sys.argv[1]))
print("before the run")
run = begin(home, RunStarted("a" * 16, "script", "talking"))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = make_store(tmp_path / "store")
    monkeypatch.setenv("REPRO_HOME", str(home.root))
    return home


def execute(home: Home, code: str, out: Path, err: Path | None = None) -> int:
    """Execute a run in a process whose streams lead to files."""
    with out.open("ab") as stdout, (err or out).open("ab") as stderr:
        words = [sys.executable, "-c", START + code, str(home.root)]
        return subprocess.run(words, stdout=stdout, stderr=stderr, timeout=60, check=False).returncode


def written(home: Home, run: str = "a" * 16) -> dict[str, dict[str, Any]]:
    return {item["stream"]: item for item in console_of(home, run)}


def test_what_a_run_writes_is_kept_with_it_and_shown(home: Home, tmp_path: Path, capsys: Any) -> None:
    code = """
print("\\x1b[31mred\\x1b[0m\\x07 and\\ttabs", flush=True)
os.write(1, b"10 %\\r50 %\\r100 %\\n\\xff\\n")
os.system("echo a child; echo password=hunter2-and-more >&2")
print("said by Python", file=sys.stderr)
run.end()
print("after the run")
"""
    assert execute(home, code, tmp_path / "out", tmp_path / "err") == 0
    for file in ("out", "err"):
        (tmp_path / file).unlink()
    found = written(home)
    assert found["stdout"]["text"] == "\x1b[31mred\x1b[0m\x07 and\ttabs\n10 %\r50 %\r100 %\n\\xff\na child\n"
    assert found["stderr"]["text"] == "password=<redacted: named-secret>\nsaid by Python\n"
    assert {item["source"] for item in found.values()} == {"record"}
    assert main(["runs", "show", "last", "--console"]) == 0
    shown = capsys.readouterr().out
    assert "--- talking stdout (" in shown
    assert "red\N{REPLACEMENT CHARACTER} and        tabs\n100 %\n\\xff\na child\n" in shown
    assert "\x1b" not in shown
    assert "hunter2" not in shown
    assert main(["runs", "show", "last"]) == 0
    assert f"repro runs show {'a' * 16} --console" in capsys.readouterr().out
    assert main(["runs", "show", "last", "--console", "--json"]) == 0
    assert [item["stream"] for item in json.loads(capsys.readouterr().out)] == ["stderr", "stdout"]
    for path in home.journal.glob("*.jsonl"):
        assert b"hunter2" not in path.read_bytes()


def test_of_a_killed_run_the_files_are_shown_as_long_as_they_are_the_same(home: Home, tmp_path: Path) -> None:
    code = 'print("the last words, token=abcdefgh12345678", flush=True); os.kill(os.getpid(), 9)'
    assert execute(home, code, tmp_path / "out", tmp_path / "err") == -signal.SIGKILL
    found = written(home)
    assert found["stdout"]["source"] == "file"
    assert found["stdout"]["text"].startswith("the last words, token=")
    assert "stderr" not in found
    (tmp_path / "out").rename(tmp_path / "kept")
    (tmp_path / "out").write_text("x" * 10_000)
    assert written(home)["stdout"] | {"name": ""} == {
        "run_id": "a" * 16, "name": "", "stream": "stdout", "text": "", "size": 0, "left_out": 0, "source": "gone",
    }  # fmt: skip


def test_of_a_long_text_beginning_and_end_are_kept_and_no_part_of_a_secret(home: Home, tmp_path: Path) -> None:
    key = (
        "-----BEGIN RSA PRIVATE"
        + " KEY-----\\n"
        + "MIIEpAIBAAKCAQEA1234567890abcdef+/zyxwvutsrqponmlkjihgfedcba98765\\n" * 20
        + "-----END RSA PRIVATE KEY-----\\n"
    )
    code = f"""
line = "x" * 99 + "\\n"
fill = line * {(console.HEAD - 600) // 100}
tail = line * {(console.TAIL - 600) // 100}
print(fill + "{key}" + line * 3000 + "{key}" + tail + "the end", flush=True)
run.end()
"""
    assert execute(home, code, tmp_path / "both") == 0
    assert set(written(home)) == {"stdout"}
    found = written(home)["stdout"]
    text = found["text"]
    assert found["size"] > 300_000
    assert len(text) < console.HEAD + console.TAIL + 100
    assert f"[{found['left_out']} bytes left out]" in text
    assert text.startswith("x" * 99)
    assert text.endswith("the end\n")
    assert "MIIEpAIBAAKCAQEA" not in text


def test_a_run_that_begins_late_has_what_was_written_since_the_one_before(home: Home, tmp_path: Path) -> None:
    code = """
print("first")
run.end()
print("between")
later = begin(home, RunStarted("b" * 16, "script", "late"), late=True)
later.end()
silent = begin(home, RunStarted("c" * 16, "script", "silent"))
silent.end()
"""
    assert execute(home, code, tmp_path / "out") == 0
    assert written(home)["stdout"]["text"] == "first\n"
    assert written(home, "b" * 16)["stdout"]["text"] == "between\n"
    assert written(home, "c" * 16) == {}


def test_a_pipe_and_a_closed_stream_keep_nothing(home: Home) -> None:
    code = 'print("into the pipe"); os.close(2); run.end()'
    words = [sys.executable, "-c", START + code, str(home.root)]
    assert subprocess.run(words, capture_output=True, timeout=60, check=False).returncode == 0
    assert written(home) == {}


def test_a_file_that_does_not_read_is_named_and_the_run_ends(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(console, "read", denied)
    place = console.Place("out", 1, 2, 0)
    assert console.kept(home, "a", {"stdout": place}) == [
        ConsoleKept("a", "stdout", "[it could not be read: Permission denied]", 0, 0)
    ]


@pytest.mark.parametrize("fact", [None, [], {}, {"path": "x"}, {"path": 1, "device": "x", "inode": 2, "offset": 3}])
def test_what_is_no_place_is_none(fact: Any) -> None:
    assert console.recorded_place(fact) is None


def test_sequences_of_terminals_are_left_out() -> None:
    assert console.readable("\x1b]8;;http://x\x07link\x1b]8;;\x1b\\ \x1b[2J\x1b(Bdone\r\n\x1b[1A") == "link done\n"
