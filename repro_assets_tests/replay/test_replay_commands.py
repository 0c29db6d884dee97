"""Commands of any kind are replayed from their records: pipelines, other programs, files in and out of the project."""

from __future__ import annotations

import json
import sys

import pytest
from persons import verdicts

from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import show_run as describe
from repro_assets.errors import InvalidValue

TRAIN = """
import os, sys
from pathlib import Path
rows = Path(sys.argv[1]).read_text()
Path("out").mkdir(exist_ok=True)
Path("out/model.bin").write_bytes(rows.encode() + os.environ["PYTHONHASHSEED"].encode())
"""


def test_commands_replay_with_files_wherever_they_lie(person, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    person.write("train.py", TRAIN)
    person.write("deep/rows.csv", "b\na\n")
    person.write(".reproignore", "*.csv\nout\n")
    given, kept = tmp_path / "given.csv", tmp_path / "kept.csv"
    given.write_text("c\n")
    kept.write_text("d\n")
    made = tmp_path / "elsewhere" / "made.txt"
    made.parent.mkdir()
    pipeline = 'sort "$1" "$2" "$3" | tee "$4" > sorted.txt; echo old >> "$1"'
    words = ["sh", "-c", pipeline, "sh", "rows.csv", str(given), str(kept), str(made)]
    person.repro("exec", "--output", "sorted.txt", "--", *words, folder=person.root / "deep")
    piped = person.last()
    person.repro("exec", "--output", "out/*", "--name", "training", "--", sys.executable, "train.py", "deep/rows.csv")
    trained = person.last()
    (outputs,) = queries.rows(
        person.home, "SELECT list(slot ORDER BY slot) AS s FROM run_outputs WHERE run_id = ?", [piped]
    )
    assert outputs["s"] == sorted([str(made), "deep/rows.csv", "deep/sorted.txt"])

    person.gone()
    made.write_text("theirs")
    given.write_text("changed")
    monkeypatch.setenv("PYTHONHASHSEED", "8")
    report = person.replay(piped)
    assert report.verdict == "identical", (report.document(), person.log.read_text())
    assert verdicts(report) == dict.fromkeys(outputs["s"], "identical")
    assert (made.read_text(), given.read_text()) == ("theirs", "changed")
    notes = report.document()["notes"]
    assert any(str(given) in note and "in another place" in note for note in notes)
    assert any(str(kept) in note and "is read there" in note for note in notes)
    assert any(str(made) in note and "made elsewhere" in note for note in notes)
    assert [row["replay_of"] for row in person.runs()] == [None, None, piped]

    # The command line says the same, and how the record says to do it.
    process = person.start("-m", "repro_assets.cli.app", "replay", trained, "--json", folder=tmp_path)
    out, err = process.communicate(timeout=120)
    answer = json.loads(out)
    assert (process.returncode, answer["verdict"], answer["environment_differences"]) == (0, "identical", []), err
    assert [product["slot"] for product in answer["products"]] == ["out/model.bin"]
    assert describe(person.home, trained)["command"] == f"repro replay {trained}"
    # What it read is on the replay's record too, as pinned.
    read = queries.rows(person.home, "SELECT slot, pinned FROM run_inputs WHERE run_id = ?", [answer["replay_run"]])
    assert read == [{"slot": "deep/rows.csv", "pinned": True}]


def test_a_script_within_a_command_is_a_child_of_its_replay_and_one_that_draws_diverges(person):
    person.write(
        "own.py",
        "import random\n"
        "from repro_assets import Experiment\n"
        "with Experiment('own', capture_environment=False, monitor=None) as run:\n"
        "    run.log_artifact([random.random()], 'drawn')\n",
    )
    person.repro("exec", "--output", "said", "--", "sh", "-c", "$0 own.py && echo hi > said", sys.executable)
    rows = {row["name"]: row["run_id"] for row in person.runs()}
    report = person.replay(rows["sh"])
    assert (report.verdict, verdicts(report)) == ("diverged", {"said": "identical", "drawn": "diverged"})
    again = {row["replay_of"]: row for row in person.runs()}
    assert again[rows["own"]]["parent_run_id"] == again[rows["sh"]]["run_id"]


def test_a_credential_among_the_words_stops_a_replay_before_it_starts(person):
    token = "ghp_" + "q7Rz2LmX9vTbK4sWcY8nHdP3gJf6AeU1oVxQ"
    person.repro("exec", "--output", "made", "--", "sh", "-c", f"echo {token} > made")
    with pytest.raises(InvalidValue, match="a credential among the words"):
        person.replay(person.last())
    assert len(person.runs()) == 1
