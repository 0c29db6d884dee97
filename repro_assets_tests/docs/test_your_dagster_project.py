"""The example project and the page about it: every command of the page, in a copy of the project, does what it says."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from repro_assets.cli.app import main

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "your_dagster_project.md"
UNSEEDED = """

@reproducible_asset(seeded=False, group_name="harvest")
def guess(training_fields: pd.DataFrame) -> dict[str, float]:
    return {"tonnes": float(np.random.normal(training_fields["tonnes"].mean()))}
"""


def _blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_the_lines_of_the_page_are_a_code_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = _blocks("python")
    assert len([line for line in program.splitlines() if line]) == 5
    (tmp_path / "definitions_of_the_page.py").write_text(program)
    monkeypatch.syspath_prepend(tmp_path)
    dg.Definitions.validate_loadable(importlib.import_module("definitions_of_the_page").defs)


@pytest.mark.slow
def test_the_commands_of_the_page_do_what_it_says(
    tmp_path: Path, begun: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "project"
    shutil.copytree(DOCS / "example_project", root, ignore=shutil.ignore_patterns("__pycache__", "data"))
    # One more asset, whose draws nobody seeds: its replay must not be called identical.
    assets, definitions = root / "harvest" / "assets.py", root / "harvest" / "definitions.py"
    assets.write_text(assets.read_text() + UNSEEDED)
    definitions.write_text(definitions.read_text().replace("assets.evaluation]", "assets.evaluation, assets.guess]"))
    environment = {name: value for name, value in os.environ.items() if name not in ("REPRO_HOME", "DAGSTER_HOME")}

    def repro(*words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "repro_assets.cli.app", *words],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    commands = [shlex.split(line.removeprefix("$ "))[1:] for line in _blocks("console")[0].splitlines()]
    assert commands == [["run"], ["run"], ["replay", "model-harvest"]]

    code, out, err = repro(*commands[0], "--json")
    first = json.loads(out)
    made = {product["asset"]: product for product in first["products"]}
    assert code == 0 and len(made) == 6 and not any(product["reused"] for product in made.values()), err
    assert made["model"]["version"] == "model-harvest:v1"
    assert (root / "data" / "repro-store.json").is_file() and "made a store" in err

    # What is reused needs no interpreter of its own.
    monkeypatch.chdir(root)
    capsys.readouterr()
    code, (out, err) = main(commands[1]), capsys.readouterr()
    assert code == 0 and " no " not in out and "Everything was there already" in err, out + err

    # One replay of the whole run, because a process is dear; of its parts each has a verdict of its own.
    code, out, err = repro("replay", first["run_id"], "--json")
    answer = json.loads(out)
    verdicts = {product["name"]: product["verdict"] for product in answer["products"]}
    assert verdicts.pop("guess") == "diverged" and set(verdicts.values()) == {"identical"}, (answer, err)
    assert (code, answer["verdict"], len(verdicts)) == (1, "diverged", 5)
