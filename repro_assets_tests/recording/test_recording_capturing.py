"""Captures are artifacts: unchanged ones are stored once, and what is not stored is named."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from repro_assets.artifacts import repository
from repro_assets.artifacts.retention import dependence
from repro_assets.capture import environment
from repro_assets.capture.level import Level
from repro_assets.capture.project import project_root
from repro_assets.capture.source_tree import SourceFile
from repro_assets.catalog import queries
from repro_assets.catalog.projection import refresh
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording import capturing
from repro_assets.recording.capturing import capture, summarize
from repro_assets.recording.lifetime import begin
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
    assert changed.files is not None and changed.files.edited_after_start() == {}


def test_the_difference_from_the_commit_is_stored_and_kept_for_the_run(home: Home, project: Path) -> None:
    assert "diff" not in capture(home, Level.STANDARD, project).source_facts
    (project / "pkg/a.py").write_text("A = 2\n")
    (project / "untracked.py").write_text("B = 1\n")
    captured = capture(home, Level.STANDARD, project)
    diff = repository.by_digest(home, Digest.parse(captured.source_facts["diff"]))
    assert b"-A = 1\n+A = 2\n" in diff.load()
    assert b"+++ b/untracked.py\n@@ -0,0 +1 @@\n+B = 1\n" in diff.load()
    started = RunStarted("0" * 16, "script", "one", source_facts=captured.source_facts)
    assert (str(diff.digest), f"diff of run {'0' * 16}") in list(dependence(started))


def test_an_unchanged_file_is_not_read_again_unless_the_store_lost_it(
    home: Home, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time.sleep(1.1)  # what is known of a file is remembered once it has rested
    first = capture(home, Level.STANDARD, project)
    read: list[str] = []
    plain = SourceFile.read

    def watched(self: SourceFile) -> bytes:
        read.append(self.path)
        return plain(self)

    monkeypatch.setattr(SourceFile, "read", watched)
    capturing._caches.clear()  # as a new process does
    capturing._stored.clear()
    assert capture(home, Level.STANDARD, project).source == first.source
    assert read == []
    for path in (*home.packs.rglob("*"), *home.objects.rglob("*")):
        if path.is_file():
            path.unlink()
    again = capture(home, Level.STANDARD, project)
    assert again.source == first.source
    assert read == ["pkg/a.py", "pyproject.toml"]
    assert again.source is not None
    assert again.source.is_whole(read=True)


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


def test_a_machine_s_readings_and_the_complete_document_are_in_the_catalog(
    home: Home, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Comparing all installed files and starting numpy take seconds; both have tests of their own.
    monkeypatch.setattr(environment, "edited_packages", lambda remembered: ({"numpy": {"a.py": "missing"}}, {}))
    monkeypatch.setattr(environment, "processor_and_memory", lambda: {"benchmark_matmul_gflops": 12.5})
    captured = capture(home, Level.COMPLETE, project)
    assert "EDITED packages: numpy" in captured.summary()
    run = begin(home, RunStarted("0" * 16, "script", "one", environment=str(captured.environment.digest)))
    run.log_readings(captured.readings)
    run.end()
    refresh(home)
    read = queries.rows(home, "SELECT name, value FROM system_metrics WHERE name LIKE 'benchmark%' ORDER BY name")
    assert [row["name"] for row in read] == ["benchmark_matmul_gflops", "benchmark_store_write_mb_per_s"]
    assert read[0]["value"] == 12.5
    question = (
        "SELECT level, document->>'$.cloud.provider' AS cloud, document->'edited_packages' AS e FROM environments"
    )
    (row,) = queries.rows(home, question)
    assert (row["level"], json.loads(row["e"])) == ("complete", {"numpy": {"a.py": "missing"}})
    assert row["cloud"]


def test_what_one_process_stored_last_is_stored_again_only_if_it_changed(
    home: Home, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "untracked.py").write_text("B = 1\n")
    time.sleep(1.1)  # what is known of a file is remembered once it has rested
    first = capture(home, Level.STANDARD, project)
    stored: list[str] = []
    plain = repository.put

    def watched(*given: Any, **named: Any) -> Any:
        stored.append(named["name"])
        return plain(*given, **named)

    monkeypatch.setattr(repository, "put", watched)
    again = capture(home, Level.STANDARD, project)
    assert stored == []
    assert (again.environment, again.source, again.source_facts) == (
        first.environment, first.source, first.source_facts,
    )  # fmt: skip
    (project / "untracked.py").write_text("B = 2\n")
    changed = capture(home, Level.STANDARD, project)
    assert stored == ["source", "diff"]
    assert changed.source != first.source


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"git": True, "commit": "ab" * 20, "branch": "main", "dirty": False}, "commit abababababab on main · clean"),
        (
            {
                "git": True,
                "commit": "ab" * 20,
                "branch": None,
                "dirty": True,
                "changed": ["a"],
                "untracked": ["b", "c"],
            },
            "commit abababababab · dirty (1 changed, 2 untracked)",
        ),
        ({"git": True, "commit": None, "branch": "main", "dirty": True}, "no commit yet on main · dirty"),
        ({"git": False}, "no git repository"),
    ],
)
def test_the_summary_says_commit_changes_python_torch_and_processors(source: dict[str, Any], words: str) -> None:
    document = {
        "level": "standard", "python": {"version": "3.11.7"}, "packages": [1, 2],
        "torch": {"version": "2.13.0", "cuda": "12.6"},
        "hardware": {"cpu": {"model": "Fast", "logical_cores": 4}, "gpus": [{"name": "H100"}] * 2},
    }  # fmt: skip
    said = summarize(document, source, f"sha256:{'0' * 64}")
    assert said == (
        f"captured (standard) · {words} · Python 3.11.7 · torch 2.13.0 (CUDA 12.6) · 2 packages · Fast, 4 cores · "
        f"2 x H100 · environment sha256:{'0' * 12}"
    )
    assert "no GPU" in summarize({**document, "hardware": {"cpu": None, "gpus": []}}, {}, "sha256:0")
    assert "unknown" in summarize({"level": "basic", "python": None, "packages": []}, {}, "sha256:0")
