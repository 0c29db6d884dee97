"""Which file of a source tree is a run's workflow, and in which order steps stand."""

from __future__ import annotations

from typing import Any

import pytest

from repro_assets.interchange.exports.crate_workflow import module_file, positions, workflow_file

PATHS = {
    "small/definitions.py", "src/inside/__init__.py", "lib/deep/tool.py", "small/__main__.py", "train.py",
    "tools/run.sh", "notebook/cells.ipynb", "notebook-1/cells.ipynb", "program", "fit.R",
}  # fmt: skip


@pytest.mark.parametrize(
    ("plan", "path"),
    [
        ({"code_location": {"module": "small.definitions", "attribute": "defs"}}, "small/definitions.py"),
        ({"code_location": {"module": "inside", "attribute": "defs"}}, "src/inside/__init__.py"),
        ({"code_location": {"module": "not.there", "attribute": "defs"}}, None),
        ({"code_location": None}, None),
        ({"form": "script", "script": "train.py"}, "train.py"),
        ({"form": "script", "script": "/elsewhere/train.py"}, None),
        ({"form": "module", "module": "deep.tool", "path": ["lib", "/usr/lib"]}, "lib/deep/tool.py"),
        ({"form": "module", "module": "small"}, "small/__main__.py"),
        ({"form": "notebook"}, "notebook-1/cells.ipynb"),
        ({"form": "code"}, None),
        ({"form": "command", "command": ["python", "-B", "train.py"], "python": "python"}, "train.py"),
        ({"form": "command", "command": ["python", "-m", "small"], "python": "python"}, "small/__main__.py"),
        ({"form": "command", "command": ["python", "-c", "pass"], "python": "python"}, None),
        ({"form": "command", "command": ["sh", "run.sh"], "working_folder": "tools"}, "tools/run.sh"),
        ({"form": "command", "command": ["../train.py"], "working_folder": "tools"}, "train.py"),
        ({"form": "command", "command": ["../../train.py"], "working_folder": "tools"}, None),
        # What no ending tells the language of.
        ({"form": "command", "command": ["./program"]}, None),
        ({"form": "command", "command": ["Rscript", "fit.R"]}, None),
        ({"form": "command", "command": []}, None),
        (None, None),
    ],
)
def test_the_workflow_is_the_file_that_the_plan_names(plan: dict[str, Any] | None, path: str | None) -> None:
    assert workflow_file({"plan": plan}, PATHS) == path


def test_a_module_is_a_file_or_a_package() -> None:
    assert module_file("small.definitions", PATHS) == "small/definitions.py"
    assert module_file("deep.tool", PATHS) is None


def test_no_step_stands_before_one_that_it_needs() -> None:
    placed = positions({"evaluate": {"train", "split"}, "train": {"split"}, "split": set()})
    assert placed["split"] < placed["train"] < placed["evaluate"]
    assert positions({"a": {"b"}, "b": {"a"}}) == {}
