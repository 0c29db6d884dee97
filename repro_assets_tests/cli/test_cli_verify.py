"""``repro verify-determinism``: fresh processes, one answer, and the exit codes of the contract."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from repro_assets.determinism import verification
from repro_assets.determinism.verification import TargetFailed, name_of, verify_determinism
from repro_assets.errors import InvalidValue

MODULE = """
import os, random, time
import numpy, torch

def same(seed):
    return {"seed": seed, "drawn": [random.random(), numpy.random.rand(), torch.rand(3)], "set": {"a", "b", "c", "d"}}

def hashed():
    return {"equal": 1, "order": list({"a", "b", "c", "d", "e", "f"})}

def fails():
    raise KeyError("lost")

def leaves():
    print("no room is left", flush=True)
    os._exit(7)

def killed():
    os.kill(os.getpid(), 9)

def tells():
    raise ValueError("password=hunter2hunter2")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "targets.py").write_text(MODULE)
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_function_that_is_pinned_by_its_seed_is_deterministic(repro: Any, folder: Path) -> None:
    said = repro("verify-determinism", "targets:same", "--seed", "5", "--json")
    assert said.code == 0, said.err
    document = said.document
    assert document["deterministic"] is True and document["first_difference"] is None
    assert len(document["digests"]) == 2 and len(set(document["digests"])) == 1


def test_an_order_of_hashes_is_found_and_named(repro: Any, folder: Path) -> None:
    said = repro("verify-determinism", "targets:hashed", "--runs", "2", "--json")
    assert said.code == 1
    document = said.document
    assert document["deterministic"] is False and len(set(document["digests"])) == 2
    found = document["first_difference"]
    assert found["runs"] == [0, 1] and found["path"].startswith("order[") and found["what"] == "content"
    assert len(set(found["values"])) == 2


@pytest.mark.parametrize(
    ("words", "code", "word"),
    [
        (["targets:fails"], 1, "KeyError: 'lost'"),
        (["targets:nothing"], 2, "no 'nothing'"),
        (["targets:same", "--runs", "1"], 2, "--runs"),
        (["targets:same", "--seed", "-1"], 2, "--seed"),
    ],
)
def test_a_wrong_target_and_one_that_fails_are_said_in_a_line(
    repro: Any, folder: Path, words: list[str], code: int, word: str
) -> None:
    said = repro("verify-determinism", *words)
    assert (said.code, said.out) == (code, "")
    assert word in next(line for line in said.err.splitlines() if line.startswith("error:"))


@pytest.mark.parametrize(
    ("target", "said"), [("leaves", "ended with code 7"), ("killed", "was killed by signal 9 (Killed)")]
)
def test_a_target_that_ends_its_process_has_failed_and_the_machine_has_not(
    repro: Any, folder: Path, target: str, said: str
) -> None:
    answer = repro("verify-determinism", f"targets:{target}")
    assert (answer.code, answer.out) == (1, "")
    *before, error = answer.err.splitlines()
    assert f"targets:{target} did not return: the process that ran it {said} (" in error
    assert before == (["the executing process said last: no room is left"] if target == "leaves" else [])


def test_of_what_a_target_raised_only_the_error_is_said(repro: Any, folder: Path) -> None:
    (line,) = repro("verify-determinism", "targets:fails").err.splitlines()
    assert line.startswith("error: targets:fails raised KeyError: 'lost' (")


def test_what_a_target_raised_is_said_once_and_without_its_secrets(repro: Any, folder: Path) -> None:
    said = repro("verify-determinism", "targets:tells")
    assert said.code == 1 and "hunter2" not in said.err + said.out
    assert said.err.count("ValueError: ") == 1 and "targets.py" in said.err
    with (folder / "log").open("w+b") as log, pytest.raises(TargetFailed) as raised:
        verify_determinism("targets:tells", log=log)
    assert "hunter2" not in str(raised.value)
    told = (folder / "log").read_text()
    assert "in tells" in told and "hunter2" not in told and "ValueError: " not in told


def test_an_asset_that_is_not_there_is_a_wrong_target(repro: Any, home: Any) -> None:
    said = repro("verify-determinism", "models/nothing")
    assert (said.code, said.out) == (2, "") and "models/nothing" in said.err


def test_what_takes_too_long_is_ended_with_all_that_it_started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "hanging.py").write_text(
        "import os, time\nos.posix_spawn('/bin/sleep', ['sleep', '4242'], {})\n"
        "open(os.environ['STARTED'], 'w').close()\ntime.sleep(4242)\n"
    )
    monkeypatch.setenv("STARTED", str(folder / "started"))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    # In place of the process that loads torch and calls the target, which takes seconds to begin.
    monkeypatch.setattr(verification, "CHILD", "hanging")
    with pytest.raises(TargetFailed, match="more than 3 s"):
        verify_determinism("targets:same", timeout=3)
    assert (folder / "started").exists()
    deadline = time.monotonic() + 10
    while left := [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", "4242"]]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_only_what_another_process_can_import_has_a_name() -> None:
    assert name_of(Path.mkdir) == "pathlib:Path.mkdir"
    for wrong in (lambda: 0, repr_local()):
        with pytest.raises(InvalidValue, match="imported"):
            verify_determinism(wrong)
    for words in ({"runs": 1}, {"runs": 101}, {"seed": -1}, {"timeout": 0}):
        with pytest.raises(InvalidValue):
            verify_determinism("targets:same", **words)
    with pytest.raises(InvalidValue, match="module:function"):
        verify_determinism("targets")


def repr_local() -> Any:
    def local() -> int:
        return len(sys.argv)

    return local
