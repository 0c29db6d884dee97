"""The source tree: all of it, nothing that must not enter, and not a byte written into .git."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from repro_assets.capture.git import Worktree
from repro_assets.capture.level import Level
from repro_assets.capture.remembered import Remembered
from repro_assets.capture.scanned import ScanCache, Stamp, read_stable
from repro_assets.capture.source import capture_source
from repro_assets.capture.source_tree import SourceCapture
from repro_assets.errors import InvalidInput, InvalidValue, SourceChanged
from repro_assets.identity.canonical import decode, encode

MARKER = "repro-store.json"
TOKEN = "gh" + "p_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


@pytest.fixture(autouse=True)
def _own_git_configuration(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text("[user]\n name = A\n email = a@b.c\n[init]\n defaultBranch = main\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q")
    write(root, {"a.py": "x = 1\n", "pkg/b.py": "y = 2\n", ".gitignore": "*.log\n"})
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "First\n\nbody")
    return root


def paths(capture: SourceCapture) -> list[str]:
    return [file.path for file in capture.files]


def reasons(capture: SourceCapture) -> dict[str, str]:
    return dict(capture.left_out)


def bytes_below(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() + str(file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_tracked_and_untracked_files_are_taken_and_ignored_ones_are_not(repository: Path) -> None:
    write(repository, {"new.py": "z = 3\n", "noise.log": "..."})
    capture = capture_source(repository)
    assert paths(capture) == [".gitignore", "a.py", "new.py", "pkg/b.py"]
    assert capture.left_out == ()
    assert capture.document["untracked"] == ["new.py"]


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


def test_a_repository_without_git_installed_is_walked_and_says_so(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(repository))
    capture = capture_source(repository)
    assert paths(capture) == [".gitignore", "a.py", "pkg/b.py"]
    assert "cannot be started" in capture.document["unavailable"]["git"]


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


def test_a_secret_is_in_neither_files_nor_diff_nor_document(repository: Path) -> None:
    write(
        repository, {"a.py": f"x = '{TOKEN}'\n", "new.py": f"t = '{TOKEN}'\n", "pkg/b.py": "y = 4\n", ".env": "K=v-w\n"}
    )
    capture = capture_source(repository)
    assert paths(capture) == [".gitignore", "pkg/b.py"]
    assert set(reasons(capture)) == {"a.py", "new.py", ".env"}
    assert reasons(capture)["a.py"] == "secret scanner: github-token in line 1"
    assert TOKEN not in capture.diff + json.dumps(capture.document)
    assert "+y = 4" in capture.diff
    assert [each["path"] for each in capture.document["diff_left_out"]] == ["a.py"]


def test_a_secret_that_was_removed_since_the_commit_is_not_in_the_diff(repository: Path) -> None:
    write(repository, {"odd name é\t.py": f"x = '{TOKEN}'\n"})
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", f"Use {TOKEN}")
    write(repository, {"odd name é\t.py": "x = 1\n"})
    capture = capture_source(repository)
    assert "odd name é\t.py" in paths(capture)
    assert capture.diff == ""
    assert [each["path"] for each in capture.document["diff_left_out"]] == ["odd name é\t.py"]
    assert capture.document["message"] is None
    assert TOKEN not in json.dumps(capture.document)


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


def test_a_file_that_grows_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"x" * (64 << 20))
    writer = subprocess.Popen(
        [sys.executable, "-c", "import sys\nwhile True:\n open(sys.argv[1], 'ab', 0).write(b'y')", str(file)]
    )
    try:
        with pytest.raises(SourceChanged):
            for _ in range(200):
                read_stable(file)
    finally:
        writer.kill()
        writer.wait()


def rested(file: Path) -> Stamp:
    time.sleep(1.1)
    return Stamp.of(file.stat())


def test_a_remembered_finding_falls_with_the_stamp(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x" * len(TOKEN))
    cache = ScanCache(tmp_path / "cache")
    assert cache.look(str(file), "a.py", rested(file))[0].findings == ()
    cache.save()
    times = file.stat()
    file.write_text(TOKEN)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as if untouched, but for the change time
    found, _ = ScanCache(tmp_path / "cache").look(str(file), "a.py", Stamp.of(file.stat()))
    assert [finding.kind for finding in found.findings] == ["github-token"]


def test_a_saved_finding_is_used_without_reading(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(TOKEN)
    cache = ScanCache(tmp_path / "cache")
    stamp = rested(file)
    found, kept = cache.look(str(file), "a.py", stamp)
    assert kept
    assert found.findings
    assert found.digest.hex == hashlib.sha256(TOKEN.encode()).hexdigest()
    cache.save()
    file.unlink()
    assert ScanCache(tmp_path / "cache").look(str(file), "a.py", stamp) == (found, True)


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


def test_the_diff_makes_the_tree_from_the_commit(repository: Path, tmp_path: Path) -> None:
    write(repository, {"a.py": "x = 2\n", "new file.py": "no end", "two.py": "1\n2\n", "empty": "", 'q"\t.py': "q\n"})
    (repository / "two.py").chmod(0o755)
    (repository / "linked").symlink_to("a.py")
    write(repository, {"staged.py": "s\n"})
    git(repository, "add", "staged.py")
    (repository / "pkg/b.py").unlink()
    capture = capture_source(repository)
    assert capture.document["staged"] == ["staged.py"]
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(repository), str(other))
    subprocess.run(["git", "apply", "-"], cwd=other, input=capture.diff.encode(), check=True)
    again = capture_source(other)
    assert [(f.path, f.read(), f.executable) for f in again.files] == [
        (f.path, f.read(), f.executable) for f in capture.files
    ]
    assert (other / "linked").readlink() == Path("a.py")


def test_a_large_new_file_is_in_the_tree_and_named_in_the_diff(repository: Path) -> None:
    write(repository, {"large.txt": "x\n" * 600_000, "binary.bin": "\0"})
    capture = capture_source(repository)
    assert "large.txt" in paths(capture)
    assert "large.txt" not in capture.diff
    assert "Binary files /dev/null and b/binary.bin differ" in capture.diff
    (dropped,) = capture.document["diff_left_out"]
    assert dropped["path"] == "large.txt"
    assert "1200000 bytes" in dropped["reason"]


def test_a_secret_in_the_name_of_a_file_a_branch_or_a_tag_is_told_by_its_kind(repository: Path) -> None:
    write(repository, {f"{TOKEN}.py": "", f"pkg/{TOKEN}": "x = 1\n"})
    git(repository, "add", f"pkg/{TOKEN}")
    git(repository, "checkout", "-q", "-b", f"try-{TOKEN}")
    git(repository, "tag", TOKEN)
    capture = capture_source(repository)
    assert TOKEN not in repr(capture)
    assert reasons(capture) == {
        "<github-token>.py": "its name holds a secret",
        "pkg/<github-token>": "its name holds a secret",
    }
    assert capture.document["branch"] == "try-<github-token>"
    assert capture.document["tags"] == ["<github-token>"]


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
        with pytest.raises(ProcessLookupError):
            _wait_until_gone(int(line))


def _wait_until_gone(process: int) -> None:
    for _ in range(500):
        os.kill(process, 0)
        if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            raise ProcessLookupError  # killed, and nobody has looked at it yet
        time.sleep(0.01)


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
