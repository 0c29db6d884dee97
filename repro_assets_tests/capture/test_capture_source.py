"""The source tree: all of it, as it is in the worktree, and what is left out is named."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from folders import write
from source_trees import git, paths, reasons

from repro_assets.capture.level import Level
from repro_assets.capture.scanned import ScanCache
from repro_assets.capture.source import capture_source
from repro_assets.errors import InvalidInput, InvalidValue, SourceChanged
from repro_assets.store.home import make_store
from repro_assets.store.sources import Stamp, read_stable

MARKER = "repro-store.json"


def test_tracked_and_untracked_files_are_taken_and_ignored_ones_are_not(repository: Path) -> None:
    write(repository, {"new.py": "z = 3\n", "noise.log": "..."})
    capture = capture_source(repository)
    assert paths(capture) == [".gitignore", "a.py", "new.py", "pkg/b.py"]
    assert capture.left_out == ()
    assert capture.document["untracked"] == ["new.py"]


def test_the_bytes_are_those_of_the_worktree(repository: Path) -> None:
    git(repository, "config", "core.autocrlf", "input")
    (repository / "a.py").write_bytes(b"x = 1\r\n")
    taken = {file.path: file for file in capture_source(repository).files}
    assert taken["a.py"].read() == b"x = 1\r\n"


def test_a_folder_without_git_is_walked(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a.py": "",
            "b/c.py": "",
            "b/__pycache__/c.pyc": "",
            ".venv/x.py": "",
            "wandb/r/log": "",
            "env/pyvenv.cfg": "",
        },
    )
    capture = capture_source(tmp_path)
    assert paths(capture) == ["a.py", "b/c.py"]
    assert set(reasons(capture)) == {".venv/", "b/__pycache__/", "wandb/", "env/"}
    assert capture.document["git"] is False
    assert capture.document["dirty"] is None
    assert capture.document["unavailable"] == {"git": "no repository here"}


@pytest.mark.parametrize("with_git", [True, False])
def test_a_store_is_left_out_but_for_its_raw_inputs(repository: Path, with_git: bool) -> None:
    write(
        repository,
        {f"data/{MARKER}": "{}", "data/objects/ab/cd": "o", "data/catalog.duckdb": "d", "data/raw/in.csv": "1"},
    )
    write(repository, {f"data/raw/deep/{MARKER}": "{}", "data/raw/deep/objects/x": "o", "data/objects/raw/y": "o"})
    if not with_git:
        (repository / ".git").rename(repository.parent / "elsewhere")
    capture = capture_source(repository)
    assert [path for path in paths(capture) if path.startswith("data/")] == ["data/raw/in.csv"]
    assert set(reasons(capture)) == {"data/", "data/raw/deep/"}


@pytest.mark.parametrize("with_git", [True, False])
def test_a_package_in_the_folder_of_a_store_is_source(repository: Path, with_git: bool) -> None:
    make_store(repository / "data")
    write(repository, {"data/__init__.py": "", "data/loader.py": "rows = 1\n", "data/sub/journal/x.py": ""})
    write(repository, {"data/journal/x.jsonl": "{}", "data/cache/x.py": ""})
    if not with_git:
        (repository / ".git").rename(repository.parent / "elsewhere")
    capture = capture_source(repository)
    found = [path for path in paths(capture) if path.startswith("data/")]
    assert found == ["data/__init__.py", "data/loader.py", "data/sub/journal/x.py"]


def test_tracked_outputs_and_packages_of_that_name_are_source(repository: Path) -> None:
    write(
        repository,
        {"outputs/run/log.txt": "", "pkg/wandb/__init__.py": "", "pkg/wandb/api.py": "", "mlruns/kept.txt": ""},
    )
    git(repository, "add", "mlruns/kept.txt")
    capture = capture_source(repository)
    assert {"pkg/wandb/api.py", "mlruns/kept.txt"} <= set(paths(capture))
    assert set(reasons(capture)) == {"outputs/"}


def test_reproignore_speaks_the_language_of_gitignore(repository: Path) -> None:
    write(
        repository,
        {".reproignore": "# big\n*.bin\n/notes/\n!keep.bin\n", "a/x.bin": "", "a/keep.bin": "", "notes/n.txt": ""},
    )
    write(repository, {"a/notes/m.txt": ""})
    capture = capture_source(repository)
    assert {"a/keep.bin", "a/notes/m.txt", ".reproignore"} <= set(paths(capture))
    assert reasons(capture) == {"a/x.bin": "named in .reproignore", "notes/n.txt": "named in .reproignore"}


def test_files_over_the_limit_are_named(repository: Path) -> None:
    write(repository, {"big.txt": "x" * 101})
    capture = capture_source(repository, limit=100)
    assert reasons(capture) == {"big.txt": "101 bytes, over the limit of 100"}
    with pytest.raises(InvalidValue):
        capture_source(repository, limit=-1)


def test_links_inside_the_root_are_kept_and_others_named(repository: Path, tmp_path: Path) -> None:
    (repository / "inside").symlink_to("pkg/b.py")
    (repository / "pkg/absolute").symlink_to(repository / "a.py")
    (repository / "folder").symlink_to("pkg")
    (repository / "outside").symlink_to(tmp_path)
    (repository / "escape").symlink_to("../x")
    capture = capture_source(repository)
    links = {file.path: file.link_target for file in capture.files if file.link_target}
    assert links == {"inside": "pkg/b.py", "pkg/absolute": "../a.py", "folder": "pkg"}
    assert set(reasons(capture)) == {"outside", "escape"}
    assert not [path for path in paths(capture) if path.startswith("folder/")]


def test_what_is_neither_file_nor_link_or_has_no_utf_8_name_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.py")).write_text("")
    (tmp_path / "run.sh").write_text("")
    (tmp_path / "run.sh").chmod(0o755)
    capture = capture_source(tmp_path)
    assert reasons(capture) == {"pipe": "neither a file nor a link", "\\xff.py": "its name is not UTF-8"}
    assert [(file.path, file.executable) for file in capture.files] == [("run.sh", True)]


def test_the_document_is_the_same_wherever_the_tree_lies(repository: Path) -> None:
    first = capture_source(repository).document
    moved = repository.rename(repository.parent / "moved")
    assert capture_source(moved).document == first
    assert str(repository.parent) not in json.dumps(first)


def test_the_basic_level_takes_facts_only(repository: Path) -> None:
    write(repository, {"a.py": "x = 2\n"})
    capture = capture_source(repository, Level.BASIC)
    assert capture.files == ()
    assert capture.diff == ""
    assert capture.document["dirty"] is True


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="missing"):
        capture_source(tmp_path / "missing")


def test_a_file_that_changes_between_capture_and_reading_is_an_error(repository: Path) -> None:
    capture = capture_source(repository)
    file = next(file for file in capture.files if file.path == "a.py")
    assert file.read() == b"x = 1\n"
    (repository / "a.py").write_text("x = 7\n")
    with pytest.raises(SourceChanged):
        file.read()


@pytest.fixture
def imported(repository: Path) -> Iterator[str]:
    spec = importlib.util.spec_from_file_location("captured_module_b", repository / "pkg/b.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["captured_module_b"] = module
    spec.loader.exec_module(module)
    yield "captured_module_b"
    del sys.modules["captured_module_b"]


def test_a_module_whose_file_is_newer_than_the_process_is_named(repository: Path, imported: str) -> None:
    assert capture_source(repository).edited_after_start() == {imported: "pkg/b.py"}


def test_a_module_older_than_the_process_is_not_named(repository: Path) -> None:
    time.sleep(0.1)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import pkg.b, time, pathlib\n"
        "from repro_assets.capture.source import capture_source\n"
        "print(capture_source(sys.argv[1]).edited_after_start())\n"
        "pathlib.Path(sys.argv[1], 'pkg/b.py').write_text('y = 5')\n"
        "print(capture_source(sys.argv[1]).edited_after_start())\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, str(repository)], check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines() == ["{}", "{'pkg.b': 'pkg/b.py'}"]


def test_a_module_that_is_imported_after_its_file_was_edited_is_named(repository: Path) -> None:
    for name in ("early", "late", "same"):
        (repository / f"{name}.py").write_text("x = 1\n")
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); import early\n"
        "from pathlib import Path\n"
        "from repro_assets.capture.source import capture_source\n"
        "root = Path(sys.argv[1])\n"
        "files = capture_source(root)\n"
        "for name in ('early', 'late'): (root / f'{name}.py').write_text('x = 2')\n"
        "import late, same\n"
        "print(files.edited_since())\n"
        "os.unlink(root / 'same.py')\n"
        "print(files.edited_since())\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, str(repository)], check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines() == ["{'late': 'late.py'}", "{'late': 'late.py', 'same': 'same.py'}"]


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_taken(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: str, expected: Stamp | None = None) -> bytes:
        if path.endswith("a.py"):
            raise PermissionError(13, "Permission denied")
        return read_stable(path, expected)

    # Not by its mode: who runs the tests may be allowed to read everything.
    monkeypatch.setattr("repro_assets.capture.scanned.read_stable", refused)
    capture = capture_source(repository, cache=ScanCache())
    assert reasons(capture) == {"a.py": "cannot be read: Permission denied"}
    assert paths(capture) == [".gitignore", "pkg/b.py"]
