"""Where an environment can be built, what a failure leaves behind, and the reason that is told."""

from __future__ import annotations

import subprocess
import sys
import time
import tomllib
from pathlib import Path

import psutil
import pytest
from restorable import ONE, record

from repro_assets.errors import InvalidInput, InvalidValue, MachineError
from repro_assets.replay import installing, restoring
from repro_assets.replay.interpreters import Interpreter
from repro_assets.replay.programs import Ended
from repro_assets.replay.restoring import restore_environment


def test_a_link_and_a_path_with_a_colon_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    for name, word in {"link": "is a link", "a:b": "':' in it"}.items():
        with pytest.raises(InvalidValue, match=word):
            restore_environment(record(ONE), tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "link"]


def test_what_fails_leaves_none_of_the_folders_that_it_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        assert (tmp_path / "a/b/c" / restoring.MARK).exists()
        raise MachineError("no interpreter")

    monkeypatch.setattr(restoring, "find_interpreter", fails)
    (tmp_path / "mine").mkdir()
    for name in ("a/b/c",):
        with pytest.raises(MachineError):
            restore_environment(record(ONE), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_interpreter_in_which_nothing_can_be_compared_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "find_interpreter", lambda *_: Interpreter("/bin/false", "CPython", "3.9.2"))
    with pytest.raises(InvalidInput, match=r"Python 3\.9\.2.*3\.11 and newer"):
        restore_environment(record(ONE), tmp_path / "env")
    assert not (tmp_path / "env").exists()
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["requires-python"].startswith(">=" + ".".join(map(str, restoring.OLDEST)))


BUILD = """Processing ./mine
  Installing build dependencies: started
  error: subprocess-exited-with-error
  × Getting requirements to build wheel did not run successfully.
  │ exit code: 1
  ╰─> [3 lines of output]
      Traceback (most recent call last):
        File "backend.py", line 3, in build
      ModuleNotFoundError: No module named 'numpy.distutils'
      [end of output]
  note: This error originates from a subprocess, and is likely not a problem with pip.
ERROR: Failed to build 'file:///mine' when getting requirements to build wheel
"""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (BUILD, "Getting requirements to build wheel did not run successfully: "
         "ModuleNotFoundError: No module named 'numpy.distutils'"),
        ("ERROR: No matching distribution found for gone==1\nnote: x\n", "No matching distribution found for gone==1"),
        ("it broke\nnote: This error originates from a subprocess\nhint: See above.\n", "it broke"),
        ("", "pip ended with code 1"),
    ],
)  # fmt: skip
def test_the_reason_is_the_line_that_says_what_failed(said: str, expected: str) -> None:
    assert installing._reason(Ended(1, said)) == expected


def test_pip_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    if not installing._dying_with_us():
        pytest.skip("setpriv is not installed")
    program = (
        "import subprocess, sys\n"
        "from repro_assets.replay.installing import _dying_with_us\n"
        "child = subprocess.Popen([*_dying_with_us(), 'sleep', '600'], start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    until = time.monotonic() + 30
    while child.name() != "sleep":
        assert time.monotonic() < until
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    child.wait(30)
