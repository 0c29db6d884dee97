"""In IPython the executed cells are source: in order, as typed, marked where they failed, and executable again."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from repro_assets.capture import notebook
from repro_assets.capture.level import Level
from repro_assets.capture.notebook import Cell, capture_notebook, describe_cells
from repro_assets.recording.capturing import capture
from repro_assets.store.home import Home

TOKEN = "gh" + "p_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"

SESSION = """
import json, os, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
def cell(source, **options):
    return shell.run_cell(source, store_history=options.pop("store_history", True), **options)
CAPTURE = '''from pathlib import Path
from repro_assets.capture.level import Level
from repro_assets.recording.capturing import capture
from repro_assets.store.home import open_store
captured = capture(open_store(Path(store)), Level.STANDARD, Path(project))'''
shell.user_ns.update(store=sys.argv[1], project=sys.argv[2])
cell("x = 1")
cell("x += undefined")
cell("%env SETTING=of-a-magic")
cell("x += 1")
cell(CAPTURE)
first = shell.user_ns["captured"]
cell("x += 1")
cell("1 / 0")
cell("x += 10", store_history=False)
cell(CAPTURE)
second = shell.user_ns["captured"]
path = second.source_facts["notebook"]["path"]
print(json.dumps({
    "x": shell.user_ns["x"],
    "first": json.loads(first.source.load()[path]),
    "second": json.loads(second.source.load()[path]),
    "facts": second.source_facts["notebook"],
    "other": sorted(second.source.load()),
}))
"""

AGAIN = """
import json, os, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.user_ns.update(store=sys.argv[1], project=sys.argv[2])
for cell in json.loads(sys.stdin.read())["cells"]:
    if cell["cell_type"] == "code":
        shell.run_cell(cell["source"], store_history=True)
print(json.dumps({"x": shell.user_ns["x"], "setting": os.environ["SETTING"]}))
"""


def ipython(program: str, home: Home, project: Path, given: str = "") -> Any:
    ran = subprocess.run(
        [sys.executable, "-c", program, str(home.root), str(project)],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "IPYTHONDIR": str(project.parent / "ipython")},
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def told(document: dict[str, Any]) -> list[tuple[int | None, str, str]]:
    return [
        (cell["execution_count"], cell["source"].split("\n")[0], cell["metadata"]["repro"]["state"])
        for cell in document["cells"]
    ]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    return folder


@pytest.mark.skipif(importlib.util.find_spec("IPython") is None, reason="IPython, of the extra dev, is not installed")
def test_executed_cells_are_the_source_and_can_be_executed_again(home: Home, project: Path) -> None:
    said = ipython(SESSION, home, project)
    importing = "from pathlib import Path"
    assert [(count, source) for count, source, _ in told(said["first"])] == [
        (1, "x = 1"),
        (2, "x += undefined"),
        (3, "%env SETTING=of-a-magic"),
        (4, "x += 1"),
        (5, importing),
    ]
    # Whether a cell from before the first capture failed is known to IPython from version 9 on.
    assert [state for *_, state in told(said["first"])] in (
        ["done", "failed", "done", "done", "running"],
        ["unknown"] * 4 + ["running"],
    )
    assert told(said["second"])[4:] == [
        (5, importing, "done"),
        (6, "x += 1", "done"),
        (7, "1 / 0", "failed"),
        (None, "x += 10", "done"),
        (8, importing, "running"),
    ]
    assert said["facts"]["path"] == "notebook/cells.ipynb"
    assert said["facts"]["cells"] == 9 and 7 in said["facts"]["failed"]
    assert said["other"] == ["notebook/cells.ipynb", "pyproject.toml"]
    again = ipython(AGAIN, home, project, json.dumps(said["second"]))
    assert again == {"x": said["x"], "setting": "of-a-magic"} and said["x"] == 13


class Shell:
    """As much of a shell as is asked, so that the rules are tested where IPython is not installed."""

    def __init__(self, *sources: str) -> None:
        self.history_manager = SimpleNamespace(input_hist_raw=["", *sources])
        self.last_execution_result = SimpleNamespace(execution_count=len(sources))
        self.hooks: dict[str, Any] = {}
        self.events = SimpleNamespace(register=self.hooks.__setitem__)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    made = Shell("a = 1", "%matplotlib inline")
    monkeypatch.setattr(notebook, "_shell", lambda: made)
    monkeypatch.setattr(notebook, "_recorder", None)
    return made


def cells(captured: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(captured.data)["cells"]
    return found


def test_without_ipython_there_is_no_notebook(home: Home, project: Path) -> None:
    assert capture_notebook() is None
    captured = capture(home, Level.STANDARD, project)
    assert captured.source is not None and "notebook" not in captured.source_facts
    assert list(captured.source.load()) == ["pyproject.toml"]


def test_a_cell_with_a_secret_is_left_out_and_named_and_the_others_are_kept(
    shell: Shell, home: Home, project: Path
) -> None:
    shell.history_manager.input_hist_raw.append(f"token = '{TOKEN}'")
    captured = capture(home, Level.STANDARD, project)
    assert captured.source is not None
    written = json.loads(captured.source.load()["notebook/cells.ipynb"])["cells"]
    assert [cell["cell_type"] for cell in written] == ["code", "code", "raw"]
    assert written[2]["metadata"]["repro"]["left_out"].startswith("secret scanner: github-token in line 1")
    named = "notebook/cells.ipynb, cell 3"
    assert named in [item["path"] for item in captured.source_facts["left_out"]]
    assert any(warning.startswith(f"{named} is not stored: secret scanner") for warning in captured.warnings)
    assert not [path for path in home.root.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_equal_cells_are_equal_bytes_and_one_more_execution_is_another_source(
    shell: Shell, home: Home, project: Path
) -> None:
    first = capture(home, Level.STANDARD, project)
    assert capture(home, Level.STANDARD, project).source == first.source
    info = SimpleNamespace(raw_cell="a = 1", store_history=True)
    shell.hooks["pre_run_cell"](info)
    shell.history_manager.input_hist_raw.append("a = 1")
    running = capture_notebook()
    shell.hooks["post_run_cell"](SimpleNamespace(info=info, success=True, execution_count=3))
    done = capture_notebook()
    assert [cell["metadata"]["repro"]["state"] for cell in cells(running)] == ["unknown", "unknown", "running"]
    assert [cell["metadata"]["repro"]["state"] for cell in cells(done)] == ["unknown", "unknown", "done"]
    assert [cell["execution_count"] for cell in cells(running)] == [1, 2, 3]
    assert [cell["source"] for cell in cells(done)] == ["a = 1", "%matplotlib inline", "a = 1"]
    assert capture(home, Level.STANDARD, project).source != first.source


def test_a_file_of_the_project_keeps_its_name(shell: Shell, home: Home, project: Path) -> None:
    (project / "notebook").mkdir()
    (project / "notebook/cells.ipynb").write_text("mine")
    (project / "notebook-1").write_text("mine too")
    captured = capture(home, Level.STANDARD, project)
    assert captured.source is not None
    assert captured.source_facts["notebook"]["path"] == "notebook-2/cells.ipynb"
    assert captured.source.load()["notebook/cells.ipynb"] == b"mine"
    assert b"matplotlib" in captured.source.load()["notebook-2/cells.ipynb"]


def test_the_basic_level_takes_no_cells(shell: Shell, home: Home, project: Path) -> None:
    assert "notebook" not in capture(home, Level.BASIC, project).source_facts


def test_text_that_is_not_unicode_is_spelt_out() -> None:
    captured = describe_cells([Cell(1, "a = '\udcff'", "done")])
    assert cells(captured)[0]["source"] == "a = '\\udcff'"
