"""A run is laid out whole, or not at all, and what is laid out runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from persons import ROOT, verdicts

from repro_assets.artifacts import repository
from repro_assets.artifacts.retention import read_ledger
from repro_assets.catalog import queries
from repro_assets.errors import MissingObject, ReusedElsewhere
from repro_assets.identity.digest import Digest
from repro_assets.journal.artifact_records import ArtifactEvicted
from repro_assets.journal.segments import journal_at
from repro_assets.replay.checkout import check_out_run

FIT = """
import sys
from repro_assets import Experiment
with Experiment("fit", config={"lr": 0.1}, monitor=None) as run:
    rows = run.use_path("rows.csv").read_text()
    read = run.use_artifact("given").load()
    run.log_text(rows + str(read) + sys.argv[1], "made")
open("made.txt", "w").write(rows + sys.argv[1])
"""


def execute(command: str, home: Path | None = None) -> None:
    variables = {**os.environ, "PYTHON": sys.executable}
    if home is not None:
        variables["REPRO_HOME"] = str(home)
    done = subprocess.run(["sh", "-c", command], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_script_is_laid_out_whole_and_runs_there(person, tmp_path, monkeypatch):
    person.write("rows.csv", "a\n")
    person.write(".reproignore", "*.csv")
    person.write("fit.py", FIT)
    repository.claim(repository.put(person.home, [7]), "given")
    person.python("fit.py", 'it\'s "x"')
    run = person.last()
    person.gone()
    to = tmp_path / "with space" / "there"
    answer = json.loads(person.repro("checkout", run[:8], "--to", str(to), "--json", folder=tmp_path))
    assert (answer["path"], answer["run_id"]) == (str(to), run)
    assert (to / "source/fit.py").read_text() == FIT
    assert answer["inputs"] == {"rows.csv": "inputs/rows.csv", "given": "inputs/given"}
    assert (to / "inputs/rows.csv").read_text() == (to / "source/rows.csv").read_text() == "a\n"
    assert (to / "products/made.txt").read_text() == 'a\n[7]it\'s "x"'
    assert json.loads((to / "run.json").read_text())["config"] == {"lr": 0.1}
    assert {"python", "packages"} <= set(json.loads((to / "environment.json").read_text()))
    assert "xxhash==" in (to / "requirements.txt").read_text()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    text = (to / "run.sh").read_text()
    assert str(person.root) not in text and str(to) not in text
    (to / "run.sh").write_text(text.replace('PYTHONPATH="$here"/source', f'PYTHONPATH="$here"/source:{ROOT}'))
    monkeypatch.delenv("REPRO_HOME", raising=False)
    execute(answer["command"])
    assert len(person.runs()) == 2, "it makes a run in the store that it came from"
    assert (to / "source/made.txt").read_text() == 'a\nit\'s "x"'

    with pytest.raises(ReusedElsewhere, match="there is something at"):
        check_out_run(person.home, run, to)
    with pytest.raises(ReusedElsewhere):
        check_out_run(person.home, run, to / "run.sh")


def test_a_command_is_laid_out_and_what_the_store_lacks_is_said(person, tmp_path):
    person.write(".reproignore", "*.csv\n")
    person.write("deep/rows.csv", "a\nb\n")
    person.repro("exec", "--output", "n", "--", "sh", "-c", "wc -l < $0 > n", "rows.csv", folder=person.root / "deep")
    run = person.last()
    to = tmp_path / "there"
    made = check_out_run(person.home, run, to)
    assert (made.inputs, made.products) == ({"deep/rows.csv": "inputs/deep/rows.csv"}, {"deep/n": "products/deep/n"})
    assert " exec --name=sh --output=n -- sh -c 'wc -l < $0 > n' rows.csv" in (to / "run.sh").read_text()
    assert verdicts(person.replay(run)) == {"deep/n": "identical"}
    rows = queries.rows(person.home, "SELECT digest FROM run_inputs WHERE run_id = ?", [run])
    manifest = repository.by_digest(person.home, Digest.parse(rows[0]["digest"])).manifest
    for digest in list(manifest.objects()):
        (person.home.objects / digest.hex[:2] / digest.hex[2:]).unlink()
    for words in (["checkout", run, "--to", str(tmp_path / "other")], ["replay", run]):
        process = person.start("-m", "repro_assets.cli.app", *words)
        said = process.communicate(timeout=120)[1]
        assert process.returncode == 1, said
        assert f"input deep/rows.csv of run {run} (sh) is not in the store" in said and "repro store pull" in said
    stored = read_ledger(person.home).stored[Digest.parse(rows[0]["digest"])]
    journal_at(person.home.journal).append(ArtifactEvicted(rows[0]["digest"], "f" * 16, "record", sorted(stored)))
    with pytest.raises(MissingObject, match=r"it was evicted; make it again: repro artifacts get sha256:"):
        person.replay(run)
    assert not (tmp_path / "other").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
