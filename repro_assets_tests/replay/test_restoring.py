"""An environment is built again from its record and measured; what differs or could not be had is named."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from restorable import BACKEND, ONE, TWO, record, wheel
from waiting import alive, until

import repro_assets
from repro_assets.artifacts import repository
from repro_assets.capture.environment import capture_environment
from repro_assets.capture.software import describe_interpreter
from repro_assets.cli.app import main
from repro_assets.errors import InvalidInput, MachineError, ReusedElsewhere
from repro_assets.recording.environments import KnownEnvironment
from repro_assets.replay import interpreters, restoring
from repro_assets.replay.interpreters import Interpreter, find_interpreter
from repro_assets.replay.programs import run_program
from repro_assets.replay.restoring import restore_environment
from repro_assets.store.home import make_store


@pytest.fixture
def origin(tmp_path: Path) -> str:
    """A git repository with a project that builds itself, at a commit."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
        "[project]\nname = 'mine'\nversion = '0.1'\n"
    )
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    return f"git+file://{folder}@{commit}"


def test_what_can_be_had_is_equal_to_the_record_by_measurement(index: Path, origin: str, tmp_path: Path) -> None:
    target, seen = tmp_path / "new" / "env", []
    mine = {"name": "mine", "version": "0.1", "origin": origin}
    restored = restore_environment(record(mine, ONE, TWO), target, progress=lambda *count: seen.append(count))
    assert restored.equal and restored.missing == (), restored.document()
    assert seen[-1] == (3, 3)
    assert not (target / restoring.MARK).exists()
    assert json.loads((target / restoring.DONE).read_text())["equal"]
    program = f"{restored.command} && python -c 'import one, os; print(one.VALUE, os.environ[\"OMP_NUM_THREADS\"])'"
    ran = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "1 3\n"
    # Not by what was asked for: what is in the folder counts.
    (tmp_path / "new/env/lib").joinpath(f"python{sys.version_info.major}.{sys.version_info.minor}").joinpath(
        "site-packages/two-0.5.dist-info/METADATA"
    ).write_text("Metadata-Version: 2.1\nName: two\nVersion: 0.6\n")
    inside = interpreters.describe(str(target / "bin/python"), {})
    assert {"name": "two", "version": "0.6"} in inside["packages"]


def test_what_cannot_be_had_is_named_and_the_rest_is_there(index: Path, tmp_path: Path) -> None:
    wheel(index, "local", "3.0", {"local.py": ""})
    asked = record(
        ONE,
        {"name": "gone", "version": "9.9"},
        {"name": "local", "version": "3.0+cpu"},
        {"name": "far", "version": "1", "origin": "git+file:///no-such-folder/far.git@abc"},
        {"name": "mine", "version": "0.1", "editable": True},
        {"name": "unknown"},
    )
    restored = restore_environment(asked, tmp_path / "env")
    assert not restored.equal
    missing = {each.name: each for each in restored.missing}
    assert set(missing) == {"gone", "local", "far", "mine", "unknown"}
    assert "gone==9.9" in missing["gone"].reason
    assert missing["local"].instead == "3.0" and missing["gone"].instead is None
    assert "no source tree" in missing["mine"].reason
    assert "file:" not in missing["far"].reason
    diff = restored.differences
    assert {each.name for each in diff.removed} == {"gone", "far", "mine", "unknown"}
    assert [(each.name, each.a, each.b, each.how) for each in diff.changed] == [
        ("local", "3.0+cpu", "3.0", "other build")
    ]
    assert diff.added == ()


def test_an_editable_project_is_installed_from_the_source_tree_of_the_run(index: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "mine").mkdir(parents=True)
    (tree / "mine/__init__.py").write_text("WHO = 'recorded'\n")
    (tree / "pyproject.toml").write_text(
        "[build-system]\nrequires = ['backend']\nbuild-backend = 'backend'\n[project]\nname = 'Mine'\nversion = '0.1'\n"
    )
    home = make_store(tmp_path / "store")
    source = repository.put(home, tree, "tree")
    mine = {"name": "mine", "version": "0.1", "editable": True}
    other = {"name": "other", "version": "0.1", "editable": True}
    known = KnownEnvironment(
        "run 1", record({"name": "backend", "version": "1"}, mine, other), "1", home, source.digest
    )
    restored = restore_environment(known, tmp_path / "env")
    assert [(each.name, each.reason) for each in restored.missing] == [
        ("other", "it was installed from a folder, and the recorded source tree is that of Mine")
    ]
    assert [each.name for each in restored.differences.removed] == ["other"]
    assert restored.differences.changed == ()
    program = [str(tmp_path / "env/bin/python"), "-c", "import mine; print(mine.WHO, mine.__file__)"]
    ran = subprocess.run(program, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ran.stdout.split() == ["recorded", str(tmp_path / "env/source/mine/__init__.py")]


def test_what_this_machine_has_otherwise_is_a_difference(index: Path, tmp_path: Path) -> None:
    document = record(ONE)
    changes = {"python": {**document["python"], "version": "3.1.4"}, "os": {**document["os"], "kernel": "older"}}
    restored = restore_environment({**document, **changes}, tmp_path / "env")
    assert {each.name for each in restored.differences.changed} == {"python.version", "os.kernel"}
    assert not restored.equal


def test_a_basic_record_is_compared_in_what_it_has(index: Path, tmp_path: Path) -> None:
    basic = capture_environment("basic").document
    asked = {**basic, "packages": [ONE], "shadowed_packages": [], "unavailable": {}}
    restored = restore_environment(asked, tmp_path / "env")
    assert restored.equal and not restored.differences.not_compared


def test_the_command_says_what_it_built_and_its_code_is_the_verdict(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = []
    for name, asked in {"whole": record(ONE), "part": record(ONE, {"name": "gone", "version": "1"})}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(asked))
        code = main(["env", "restore", str(tmp_path / f"{name}.json"), "--to", str(tmp_path / name), "--json"])
        answers.append((code, json.loads(capsys.readouterr().out)))
    (equal, whole), (unequal, part) = answers
    assert (equal, unequal) == (0, 1)
    assert whole["equal"] and whole["path"] == str(tmp_path / "whole") and not whole["missing"]
    assert [row["name"] for row in part["missing"]] == ["gone"]
    assert [row["name"] for row in part["differences"]["removed"]] == ["gone"]
    assert main(["env", "restore", str(tmp_path / "whole.json"), "--to", str(tmp_path / "whole")]) == 2
    assert "there is something at" in capsys.readouterr().err


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(index: Path, tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env/mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for taken in ("env", "file"):
        with pytest.raises(ReusedElsewhere, match="there is something at"):
            restore_environment(record(ONE), tmp_path / taken)
    assert [path.name for path in (tmp_path / "env").iterdir()] == ["mine.txt"]
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / restoring.MARK).write_text("{}")
    with pytest.raises(ReusedElsewhere, match="was not finished"):
        restore_environment(record(ONE), tmp_path / "killed")


@pytest.mark.parametrize("there", [True, False])
def test_a_restoration_that_fails_leaves_nothing(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        assert (tmp_path / "env" / restoring.MARK).exists() and (tmp_path / "env/bin/python").exists()
        raise KeyboardInterrupt

    if there:
        (tmp_path / "env").mkdir()
    monkeypatch.setattr(restoring, "describe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        restore_environment(record(ONE), tmp_path / "env")
    assert (tmp_path / "env").exists() == there
    assert not there or list((tmp_path / "env").iterdir()) == []


def test_an_index_that_cannot_be_reached_is_the_machines_failure(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(MachineError, match="index cannot be reached"):
        restore_environment(record({"name": "gone", "version": "1"}), tmp_path / "env")


def test_what_lists_no_packages_is_refused(tmp_path: Path) -> None:
    for document in ({"packages": []}, {"python": {"version": "3.11"}}, {"files": []}):
        with pytest.raises(InvalidInput):
            restore_environment(document, tmp_path / "env")
    assert not (tmp_path / "env").exists()


def test_an_interpreter_is_found_by_what_it_says_and_one_that_hangs_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in {
        "python3.10": "sleep 60",
        "python3.9": "echo CPython 3.9.2",
        "python3": "echo broken >&2; exit 1",
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path))
    monkeypatch.setattr(interpreters, "ANSWER_SECONDS", 2)
    assert find_interpreter("3.9.2") == Interpreter(str(folder / "python3.9"), "CPython", "3.9.2")
    assert find_interpreter("3.9.7").version == "3.9.2", "of the same minor version"
    own = platform.python_version()
    assert find_interpreter("3.10.1").version == own
    assert find_interpreter("3.9.2", "PyPy").version == own
    assert find_interpreter(own).version == find_interpreter(None).version == own


def test_a_program_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    program = "sleep 600 & echo $! > child; wait"
    with pytest.raises(MachineError, match="it took more than 2 s"):
        run_program(["sh", "-c", program], 2, os.environ, what="it", folder=tmp_path)
    child = int((tmp_path / "child").read_text())
    until(lambda: not alive(child))


def test_another_interpreter_is_asked_without_this_ones_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where this project is installed beside other packages.
    (tmp_path / "ours/ghost-1.dist-info").mkdir(parents=True)
    (tmp_path / "ours/ghost-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: ghost\nVersion: 1\n")
    (tmp_path / "ours/repro_assets").symlink_to(Path(repro_assets.__file__).parent)
    monkeypatch.setattr(repro_assets, "__file__", str(tmp_path / "ours/repro_assets/__init__.py"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    inside = interpreters.describe(str(tmp_path / "env/bin/python"), {"TZ": "UTC"})
    assert inside["packages"] == [] and inside["torch"] is None
    assert inside["variables"] == {"TZ": "UTC"}
    assert inside["python"] == describe_interpreter({})["python"]
    with pytest.raises(MachineError, match="did not say what it has"):
        interpreters.describe("/bin/false", {})
