"""What a report is about, what it does to the folder, and how it follows a store."""

from __future__ import annotations

import html
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from report_store import ATTACK, run_id
from waiting import until

import repro_assets
from repro_assets.cli.app import main
from repro_assets.errors import (
    InvalidInput,
    MachineError,
    RequestError,
    ReusedElsewhere,
    UnknownName,
    UnsupportedFormat,
)
from repro_assets.journal import run_records
from repro_assets.journal.segments import Journal
from repro_assets.report import folder as folders
from repro_assets.report import watching
from repro_assets.report.folder import MARKER, Folder
from repro_assets.report.watching import watch_report
from repro_assets.report.writing import Options, Written, write_report
from repro_assets.store.home import Home, make_store


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_report_of_the_same_records_has_the_same_bytes(filled: Home, report: Path, tmp_path: Path) -> None:
    write_report(filled, [], Folder(tmp_path / "again"), Options(paper=True))
    one, other = contents(report), contents(tmp_path / "again")
    assert one.pop("data/stamp.js") != b"" and other.pop("data/stamp.js") != b""
    assert one == other


def test_a_parent_run_stands_for_the_runs_under_it(filled: Home, tmp_path: Path) -> None:
    written = write_report(filled, ["the-parent"], Folder(tmp_path / "some"))
    names = {path.stem for path in (tmp_path / "some" / "runs").iterdir()}
    assert names == {"d0" * 8, *(run_id(rate, seed) for rate in (0.1, 0.2) for seed in range(3))}
    assert written.runs == 7


def test_a_report_on_fewer_runs_takes_only_its_own_pages_away(filled: Home, tmp_path: Path) -> None:
    root = tmp_path / "pages"
    write_report(filled, [], Folder(root), Options(paper=True))
    (root / "runs" / "mine.html").write_text("a person's own")
    write_report(filled, [run_id(0.1, 1)], Folder(root))
    assert sorted(path.name for path in (root / "runs").iterdir()) == sorted(["mine.html", f"{run_id(0.1, 1)}.html"])
    assert not list((root / "paper").iterdir())
    assert set(json.loads((root / MARKER).read_text())["files"]) | {"runs/mine.html", MARKER} == set(contents(root))


def test_what_does_not_change_is_left_alone(filled: Home, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "pages")
    write_report(filled, [], folder)
    before = {path: path.stat().st_ino for path in folder.root.rglob("*.html")}
    write_report(filled, [], folder)
    assert {path: path.stat().st_ino for path in folder.root.rglob("*.html")} == before


def test_a_folder_with_anything_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ReusedElsewhere, match="holds something and is no report"):
        Folder(tmp_path)
    with pytest.raises(ReusedElsewhere, match="is no folder"):
        Folder(tmp_path / "notes.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt"]


@pytest.mark.parametrize(
    ("marker", "error"),
    [
        ("{", InvalidInput),
        ("[]", InvalidInput),
        ('{"format": 2, "files": []}', UnsupportedFormat),
        ('{"format": 1, "files": ["../victim"]}', InvalidInput),
        ('{"format": 1, "files": ["/etc/victim"]}', InvalidInput),
    ],
)
def test_a_marker_that_lies_is_refused(tmp_path: Path, marker: str, error: type[Exception]) -> None:
    (tmp_path / MARKER).write_text(marker)
    with pytest.raises(error):
        Folder(tmp_path)


def test_a_store_without_a_run_has_a_report(tmp_path: Path) -> None:
    written = write_report(make_store(tmp_path / "store"), [], Folder(tmp_path / "pages"))
    assert written.runs == 0 and written.path.is_file()


def test_an_unknown_run_is_named(filled: Home, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="nothing-like-it"):
        write_report(filled, ["nothing-like-it"], Folder(tmp_path / "pages"))


def test_a_report_that_is_refused_leaves_nothing(filled: Home, tmp_path: Path) -> None:
    for names, options in ((["nothing-like-it"], Options()), ([], Options(paper=True, metrics=("no such metric",)))):
        with pytest.raises(UnknownName):
            write_report(filled, names, Folder(tmp_path / "deep" / "pages"), options)
        assert not (tmp_path / "deep").exists()
    folder = Folder(tmp_path / "pages")
    write_report(filled, [run_id(0.1, 1)], folder)
    before = contents(tmp_path)
    with pytest.raises(UnknownName):
        write_report(filled, ["nothing-like-it"], Folder(folder.root))
    assert contents(tmp_path) == before


def test_a_report_that_cannot_be_written_to_its_end_leaves_no_folder_for_writing(filled: Home, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "pages")
    folder.write("index.html", b"")
    (tmp_path / "pages" / "data").write_bytes(b"in the way")
    with pytest.raises(MachineError):
        write_report(filled, [], folder)
    assert not (tmp_path / "pages" / ".writing").exists()


def test_without_the_plotting_library_the_error_says_how_to_get_it(
    filled: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    monkeypatch.setenv("REPRO_HOME", str(filled.root))
    with pytest.raises(RequestError, match=r"repro-assets\[report\]"):
        write_report(filled, [], Folder(tmp_path / "pages"))
    assert main(["report", "--output", str(tmp_path / "other")]) == 2
    assert "pip install 'repro-assets[report]'" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_the_newest_report_of_a_store_is_found_while_it_is_there(filled: Home, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "pages")
    write_report(filled, [], folder)
    assert folders.newest(filled) == folder.root / "index.html"
    (folder.root / MARKER).unlink()
    assert folders.newest(filled) is None
    assert folders.newest(make_store(tmp_path / "other")) is None


def test_a_watched_report_follows_the_store_and_no_file_is_ever_half_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SHARE", 0)
    home = make_store(tmp_path / "store")
    journal = Journal(home.journal)
    journal.append(run_records.RunStarted("aa" * 8, "asset", "first"))
    folder, stop, told = Folder(tmp_path / "pages"), threading.Event(), list[Written]()
    page, data = folder.root / "runs" / f"{'aa' * 8}.html", folder.root / "data" / "runs.js"
    torn: list[Path] = []

    def look() -> None:
        while not stop.is_set():
            for path, end in ((page, b"</html>\n"), (data, b");\n")):
                if path.exists() and not path.read_bytes().endswith(end):
                    torn.append(path)

    def follow() -> None:
        watch_report(home, [], folder, Options(watched=True), stop=stop, told=told.append, rests=0.05)

    threads = [threading.Thread(target=look), threading.Thread(target=follow)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(told) == 1)
        assert b'data-watched="yes"' in page.read_bytes() and b"RUNNING" in page.read_bytes()
        journal.append(run_records.Metrics.of("aa" * 8, [["loss", 0, 0.5, time.time()]]))
        until(lambda: len(told) == 2)
        journal.append(run_records.RunEnded("aa" * 8, "COMPLETED"), run_records.RunStarted("bb" * 8, "asset", ATTACK))
        until(lambda: told[-1].runs == 2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        journal.close()
    assert b"COMPLETED" in page.read_bytes()
    assert not torn
    assert len({written.revision for written in told}) == len(told)


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_a_signal_ends_watching_with_a_whole_report(filled: Home, tmp_path: Path, number: signal.Signals) -> None:
    root = tmp_path / "pages"
    process = subprocess.Popen(
        [sys.executable, "-m", "repro_assets.cli.app", "report", "--output", str(root), "--watch", "--json"],
        env={**os.environ, "REPRO_HOME": str(filled.root), "PYTHONPATH": str(Path(repro_assets.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: process.poll() is not None or (root / "data" / "stamp.js").exists())
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    answer: dict[str, Any] = json.loads(out)
    assert answer["path"] == str(root / "index.html") and answer["runs"] == 9
    assert set(json.loads((root / MARKER).read_text())["files"]) | {MARKER} == set(contents(root))
    assert b'"watched":false' in (root / "data" / "stamp.js").read_bytes()


def test_the_command_answers_with_the_page(
    filled: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REPRO_HOME", str(filled.root))
    words = ["report", run_id(0.1, 0), "--output", str(tmp_path / "pages")]
    assert main([*words, "--paper", "--metric", "accuracy", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["path"] == str(tmp_path / "pages" / "index.html") and answer["runs"] == 1
    assert sorted(path.name for path in Path(answer["paper"]).iterdir()) == [
        "curves.pdf",
        "reproduce.tex",
        "results.tex",
    ]
    assert main([*words, "--metric", "accuracy"]) == 2
    assert "--paper" in capsys.readouterr().err


def test_the_page_of_a_run_has_what_it_printed(report: Path) -> None:
    page = (report / "runs" / f"{run_id(0.1, 0)}.html").read_text()
    assert f"<pre>step 2\n{html.escape(ATTACK)}\n</pre>" in page
    assert "<h2>stderr</h2>" not in (report / "runs" / f"{run_id(0.1, 1)}.html").read_text()
