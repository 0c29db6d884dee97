"""What git says of a source tree is told in full, and not a byte is written into .git."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from folders import write
from source_trees import TOKEN, git, paths, reasons
from waiting import alive, until

from repro_assets.capture.git import Worktree
from repro_assets.capture.remembered import Remembered
from repro_assets.capture.source import capture_source
from repro_assets.identity.canonical import decode, encode


def bytes_below(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() + str(file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_the_commit_is_told_in_full(repository: Path) -> None:
    git(repository, "tag", "v1")
    git(repository, "tag", "-a", "v1.0", "-m", "x")
    git(repository, "remote", "add", "origin", "https" + "://me:" + TOKEN + "@host.org/a.git")
    document = capture_source(repository).document
    assert document["git"] is True
    assert document["commit"] == git(repository, "rev-parse", "HEAD")
    assert document["branch"] == "main"
    assert document["tags"] == ["v1", "v1.0"]
    assert document["message"] == "First\n\nbody"
    assert document["remote"] == "https://host.org/a.git"
    assert document["dirty"] is False
    assert decode(encode(document)) == document


@pytest.mark.parametrize("change", ["edit", "stage", "delete", "add"])
def test_every_kind_of_change_makes_the_tree_dirty(repository: Path, change: str) -> None:
    if change in ("edit", "stage"):
        write(repository, {"pkg/b.py": "y = 3\n"})
    if change == "stage":
        git(repository, "add", "-A")
    if change == "delete":
        (repository / "a.py").unlink()
    if change == "add":
        write(repository, {"c.py": ""})
    capture = capture_source(repository)
    assert capture.document["dirty"] is True
    if change == "delete":
        assert capture.document["deleted"] == ["a.py"]
    if change in ("edit", "stage"):
        assert "-y = 2\n+y = 3\n" in capture.diff
        assert dict(zip(paths(capture), capture.files, strict=True))["pkg/b.py"].read() == b"y = 3\n"


def test_nothing_is_written_into_git(repository: Path) -> None:
    write(
        repository, {"a.py": "x = 2\n", "new.bin": "n" * 100_000, "pkg/b.py": "y = 2\n"}
    )  # b.py: only its time changes
    git(repository, "add", "a.py")
    before = bytes_below(repository / ".git")
    capture_source(repository)
    capture_source(repository)
    assert bytes_below(repository / ".git") == before


def test_a_repository_without_git_installed_is_walked_and_says_so(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(repository))
    capture = capture_source(repository)
    assert paths(capture) == [".gitignore", "a.py", "pkg/b.py"]
    assert "cannot be started" in capture.document["unavailable"]["git"]


@pytest.mark.usefixtures("own_git_configuration")
def test_a_repository_without_commits_is_taken(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, {"a.py": "x = 1\n"})
    capture = capture_source(tmp_path)
    assert paths(capture) == ["a.py"]
    assert capture.document["commit"] is None
    assert capture.document["branch"] == "main"
    assert capture.document["dirty"] is True


def test_a_detached_head_has_a_commit_and_no_branch(repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    document = capture_source(repository).document
    assert document["branch"] is None
    assert document["detached"] is True
    assert document["commit"] == git(repository, "rev-parse", "HEAD")


def test_submodules_and_nested_repositories_are_taken_as_files(repository: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "-q")
    write(library, {"lib.py": "l = 1\n"})
    git(library, "add", "-A")
    git(library, "commit", "-q", "-m", "lib")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "vendor/lib")
    git(repository, "commit", "-q", "-m", "vendored")
    nested = repository / "nested"
    nested.mkdir()
    git(nested, "init", "-q")
    write(nested, {"n.py": "", "vendored.txt": ""})
    write(repository, {"vendor/lib/lib.py": "l = 2\n"})
    capture = capture_source(repository)
    assert {"vendor/lib/lib.py", "nested/n.py"} <= set(paths(capture))
    told = {each["path"]: each for each in capture.document["repositories"]}
    assert told["vendor/lib"]["commit"] == git(library, "rev-parse", "HEAD")
    assert told["vendor/lib"]["submodule"] is True
    assert told["vendor/lib"]["dirty"] is True
    assert told["nested"]["submodule"] is False


def test_a_submodule_that_is_not_checked_out_is_named(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{commit},vendor/gone")
    (repository / "vendor/gone").mkdir(parents=True)
    assert reasons(capture_source(repository))["vendor/gone/"] == "a submodule that is not checked out"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to another user")
def test_a_repository_of_another_user_is_read(repository: Path) -> None:
    for place in (repository, repository / ".git"):
        os.chown(place, 12345, 12345)
    refused = subprocess.run(["git", "status"], cwd=repository, capture_output=True, check=False)
    assert refused.returncode != 0
    assert capture_source(repository).document["branch"] == "main"


def test_variables_of_a_surrounding_git_process_do_not_redirect(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert capture_source(repository).document["branch"] == "main"


def test_a_subfolder_is_a_root_of_its_own(repository: Path) -> None:
    write(repository, {"a.py": "x = 9\n"})
    capture = capture_source(repository / "pkg")
    assert paths(capture) == ["b.py"]
    assert capture.document["subfolder"] == "pkg"
    assert capture.document["dirty"] is False
    assert capture.diff == ""


def test_a_folder_that_the_repository_around_it_ignores_is_walked(repository: Path) -> None:
    write(repository, {".gitignore": "scratch/\n", "scratch/laid/a.py": ""})
    capture = capture_source(repository / "scratch/laid")
    assert paths(capture) == ["a.py"]
    assert "ignores this folder" in capture.document["unavailable"]["git"]


def test_what_git_said_is_forgotten_as_soon_as_it_may_be_wrong(repository: Path, tmp_path: Path) -> None:
    remembered = Remembered(tmp_path / "cache", "git")

    def look() -> tuple[dict[str, object], list[str]]:
        capture = capture_source(repository, remembered=remembered)
        return capture.document, paths(capture)

    git(repository, "tag", "v1")
    git(repository, "remote", "add", "origin", "https://host.org/a.git")
    time.sleep(1.1)  # answers are remembered once the files that they are from have rested
    first = look()
    assert remembered.stamp_of(f"head {repository}") is not None
    assert look() == first
    git(repository, "tag", "v2")
    assert look()[0]["tags"] == ["v1", "v2"]
    git(repository, "tag", "-d", "v1")
    git(repository, "pack-refs", "--all")
    assert look()[0]["tags"] == ["v2"]
    git(repository, "remote", "set-url", "origin", "https://host.org/b.git")
    assert look()[0]["remote"] == "https://host.org/b.git"
    write(repository, {"c.py": ""})
    git(repository, "add", "c.py")
    document, listed = look()
    assert "c.py" in listed
    assert document["untracked"] == []
    git(repository, "commit", "-q", "-m", "Second")
    assert look()[0]["message"] == "Second"


def test_what_git_said_is_known_to_the_next_process(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time.sleep(1.1)
    remembered = Remembered(tmp_path / "cache", "git")
    document = capture_source(repository, remembered=remembered).document
    remembered.save()
    asked = []
    start = Worktree._start

    def count(self: Worktree, question: Sequence[str]) -> object:
        asked.append(question[0])
        return start(self, question)

    monkeypatch.setattr(Worktree, "_start", count)
    assert capture_source(repository, remembered=Remembered(tmp_path / "cache", "git")).document == document
    assert asked == ["status"]


def test_a_git_that_hangs_is_given_up_with_what_it_started(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text(f"#!/bin/sh\nsleep 60 &\necho $! >> {tmp_path}/started\nwait\n")
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr("repro_assets.capture.git._TIMEOUT", 0.5)
    capture = capture_source(repository)
    assert paths(capture) == [".gitignore", "a.py", "pkg/b.py"]
    assert "did not answer" in capture.document["unavailable"]["git"]
    for line in (tmp_path / "started").read_text().split():
        until(lambda process=int(line): not alive(process))
