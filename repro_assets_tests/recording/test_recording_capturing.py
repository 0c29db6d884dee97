"""Captures are artifacts: unchanged ones are stored once, and what is not stored is named."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from repro_assets.capture.level import Level
from repro_assets.recording.capturing import capture, project_root
from repro_assets.store.home import Home

SECRET = "ghp_" + "q7Zt2LmX9vKp4Rw8Ys1Bd6Nf3Hg5Jc0aEuTi"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "project"
    (root / "pkg").mkdir(parents=True)
    (root / "pkg/a.py").write_text("A = 1\n")
    (root / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    return root


def test_the_nearest_folder_with_a_mark_is_the_project(project: Path, tmp_path: Path) -> None:
    assert project_root(project / "pkg") == project
    (tmp_path / "bare/deep").mkdir(parents=True)
    assert project_root(tmp_path / "bare/deep") == tmp_path / "bare/deep"


def test_an_unchanged_source_is_one_artifact_and_a_changed_one_another(home: Home, project: Path) -> None:
    first = capture(home, Level.STANDARD, project)
    again = capture(home, Level.STANDARD, project)
    assert first.source is not None
    assert first.source == again.source
    assert first.environment == again.environment
    assert first.warnings == []
    assert not first.source_facts["dirty"]
    (project / "pkg/a.py").write_text("A = 2\n")
    (project / "untracked.py").write_text("B = 1\n")
    changed = capture(home, Level.STANDARD, project)
    assert changed.source is not None
    assert changed.source != first.source
    assert changed.source.load()["pkg/a.py"] == b"A = 2\n"
    assert changed.source.load()["untracked.py"] == b"B = 1\n"
    assert any("uncommitted" in warning for warning in changed.warnings)
    assert changed.edited() == []


def test_the_basic_level_and_a_replay_store_no_source(home: Home, project: Path) -> None:
    basic = capture(home, Level.BASIC, project)
    assert basic.source is None
    assert basic.source_facts
    replay = capture(home, Level.STANDARD, project, with_source=False)
    assert replay.source is None
    assert replay.environment.is_whole(read=True)


def test_a_file_with_a_secret_is_named_and_not_stored(home: Home, project: Path) -> None:
    (project / "notes.txt").write_text(f"the key is {SECRET}\n")
    captured = capture(home, Level.STANDARD, project)
    assert captured.source is not None
    assert "notes.txt" not in captured.source.load()
    assert any(warning.startswith("notes.txt is not stored") for warning in captured.warnings)
    files = [path for path in home.root.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize(("pause", "others"), [(0.0, 0), (0.005, 400)], ids=["mostly in the scan", "mostly after it"])
def test_a_file_that_is_written_all_the_while_is_whole_or_named_and_the_rest_is_stored(
    home: Home, project: Path, pause: float, others: int
) -> None:
    # They are stored between the scan of the file and its own turn.
    for number in range(others):
        (project / f"other{number}").write_text(str(number))
    log, stop = project / "run.log", threading.Event()
    log.write_bytes(b"begin\n")

    def write() -> None:
        with log.open("ab") as file:
            while not stop.is_set():
                file.write(b"more\n")
                file.flush()
                time.sleep(pause)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        captured = capture(home, Level.STANDARD, project)
    finally:
        stop.set()
        thread.join()
    assert captured.source is not None
    assert captured.source.load()["pkg/a.py"] == b"A = 1\n"
    # Between two writes it may have been caught at rest; then it is stored as it was scanned.
    kept = captured.source.load().get("run.log")
    assert (kept is None) == any(warning.startswith("run.log is not stored") for warning in captured.warnings)
    assert kept is None or log.read_bytes().startswith(kept)
