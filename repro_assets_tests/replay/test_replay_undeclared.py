"""A replay says what a run had read that is on no record, and names it where the two diverge."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest
from persons import QUICK, verdicts

from repro_assets.catalog import queries
from repro_assets.replay.undeclared import lines

FIT = f"""
import random, sys
from pathlib import Path
from repro_assets import Experiment
import settings
with Experiment("fit", seed=3, {QUICK}) as run:
    scale = float(Path("scale.txt").read_text())
    features = Path(sys.argv[1]).read_text()
    run.log_artifact([scale, features, settings.stamp(), random.random()], "weights")
"""


@pytest.fixture
def cache(tmp_path):
    path = tmp_path / "features.cache"
    path.write_text("old")
    return path


def tracked(person, stamp: str = "0") -> None:
    """A project with a script, a module that it imports, one that nobody imports, and an input that is source."""
    person.write("fit.py", FIT)
    person.write("settings.py", f"from time import time as now\n\ndef stamp():\n    return {stamp}\n")
    person.write("other.py", "import time\nTHEN = time.time()\n")
    person.write("scale.txt", "0.5")
    time.sleep(0.03)


def test_a_stale_cache_that_changed_is_named_before_and_after(person, cache):
    tracked(person)
    person.python("fit.py", str(cache), PYTHONHASHSEED="0")
    run = person.last()
    cache.write_text("new one")
    told: list[str] = []
    report = person.replay(run, told=told.append)
    assert report.verdict == "diverged"
    assert f"undeclared input: file {cache}, changed since" in told
    document = json.loads(json.dumps(report.document()))
    assert [(row["execution"], row["name"], row["size"], row["now"]) for row in document["undeclared"]] == [
        ("original", str(cache), 3, "changed"),
        ("replay", str(cache), 7, None),
    ]
    why = "both read it, and it had another size or time"
    assert document["possible_causes"] == [{"kind": "file", "name": str(cache), "why": why}]


def test_what_is_as_it_was_is_said_and_an_identical_replay_names_no_cause(person, cache):
    tracked(person)
    person.python("fit.py", str(cache), PYTHONHASHSEED="0")
    told: list[str] = []
    report = person.replay(person.last(), told=told.append)
    assert (report.verdict, report.possible_causes) == ("identical", [])
    assert f"undeclared input: file {cache}, unchanged at its place" in told
    cache.unlink()
    told.clear()
    report = person.replay(person.last(), told=told.append)
    assert report.verdict == "diverged"
    assert f"undeclared input: file {cache}, gone from its place" in told
    # Of the replay, which could not open it, nothing is on record.
    assert [cause["why"] for cause in report.possible_causes] == ["only the original read it"]


def test_the_line_that_reads_the_clock_is_named_and_a_module_that_took_no_part_is_not(person, cache):
    tracked(person, "now()")
    person.python("fit.py", os.path.relpath(cache, person.root))
    report = person.replay(person.last())
    assert report.verdict == "diverged"
    calls = [cause["name"] for cause in report.possible_causes if cause["kind"] == "call"]
    assert calls == ["settings.py:4 time.time()"]


def test_the_command_line_shows_both(person, cache):
    tracked(person, "now()")
    person.python("fit.py", str(cache), PYTHONHASHSEED="0")
    shown = person.start("-m", "repro_assets.cli.app", "replay", "last")
    out, err = shown.communicate(timeout=120)
    assert shown.returncode == 1
    assert f"undeclared input: file {cache}, unchanged at its place" in err
    assert "possible causes" in out
    assert "settings.py:4 time.time()" in out
    assert json.loads(person.repro("runs", "show", person.last(), "--json"))["undeclared_inputs"][0]["name"] == str(
        cache
    )


def test_a_plain_script_has_no_undeclared_input(person, tmp_path):
    """It reads a tracked file, imports heavy packages, reads what it made, and declares the rest."""
    person.write(
        "plain.py",
        "import json, tempfile, warnings\n"
        "from pathlib import Path\n"
        "from repro_assets import Experiment\n"
        f"with Experiment('plain', {QUICK.replace('capture_environment=False, ', '')}) as run:\n"
        "    import duckdb, numpy, pandas, torch\n"
        "    import mine\n"
        "    rate = json.loads(Path('config.json').read_text())['lr']\n"
        "    Path('made.csv').write_text('a\\n1\\n')\n"
        "    frame = pandas.read_csv('made.csv')\n"
        "    torch.save({'w': torch.ones(2)}, 'weights.pt')\n"
        "    torch.load('weights.pt')\n"
        "    numpy.save('array.npy', numpy.ones(2)), numpy.load('array.npy')\n"
        "    with tempfile.NamedTemporaryFile('w+') as file:\n"
        "        file.write('x'), file.flush(), Path(file.name).read_text()\n"
        "    given = run.use_path(Path(__file__).parent.parent / 'given.csv')\n"
        "    pandas.read_csv(given)\n"
        "    folder = run.use_path(Path(__file__).parent.parent / 'given')\n"
        "    sorted(path.read_text() for path in folder.iterdir())\n"
        "    warnings.warn('a line of the source is shown')\n"
        "    run.log_artifact(frame, 'frame')\n"
        "    run.log_artifact(Path(__file__).parent.parent / 'kept.bin', 'kept')\n"
        "    run.track_dataset(Path('made.csv'), 'made')\n"
        "    torch.utils.data.DataLoader\n"
        "    list(torch.utils.data.DataLoader(mine.Rows(), num_workers=2))\n",
    )
    person.write(
        "mine.py",
        "class Rows:\n"
        "    def __len__(self):\n        return 4\n"
        "    def __getitem__(self, index):\n        return float(open('rows.txt').read().split()[index])\n",
    )
    person.write("rows.txt", "1 2 3 4")
    person.write("config.json", '{"lr": 1}')
    for name in ("given.csv", "kept.bin", "given/one.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a\n1\n")
    time.sleep(0.03)
    person.python("plain.py")
    person.python("plain.py")
    assert queries.rows(person.home, "SELECT kind, name FROM undeclared_inputs") == []
    (run, _) = person.runs()
    assert not any("undeclared" in warning for warning in run["warnings"])


def test_what_a_command_declares_its_script_has_declared(person, tmp_path):
    person.write(
        "within.py",
        "import sys\n"
        "from pathlib import Path\n"
        "from repro_assets import Experiment\n"
        f"with Experiment('within', {QUICK}) as run:\n"
        "    run.log_artifact([Path(word).read_text() for word in sys.argv[1:]], 'read')\n"
        "    run.log_artifact([Path('../named.txt').read_text()], 'named')\n",
    )
    for name in ("word.txt", "named.txt"):
        (tmp_path / name).write_text(name)
    time.sleep(0.03)
    person.repro("exec", "--input=../named.txt", "--", sys.executable, "within.py", "../word.txt")
    assert queries.rows(person.home, "SELECT name FROM undeclared_inputs") == []
    person.repro("exec", "--", sys.executable, "within.py", "../word.txt")
    found = queries.rows(
        person.home, "SELECT u.name, r.name AS run FROM undeclared_inputs u JOIN runs r USING (run_id)"
    )
    assert found == [{"name": str(tmp_path / "named.txt"), "run": "within"}]
    # What a command's script read is told of the replay of either.
    command = next(row["run_id"] for row in reversed(person.runs()) if row["run_kind"] == "command")
    report = person.replay(command)
    assert [row["name"] for row in report.undeclared if row["execution"] == "original"] == [str(tmp_path / "named.txt")]
    assert {
        "kind": "file",
        "name": str(tmp_path / "named.txt"),
        "why": "only the original read it",
    } in report.possible_causes


def test_values_from_elsewhere_that_are_given_to_the_record_are_declared(person):
    person.write(
        "asks.py",
        "import socket\n"
        "from repro_assets import Experiment\n"
        "def answer(port):\n"
        "    return [len(socket.getaddrinfo('127.0.0.1', port)) > 0]\n"
        f"with Experiment('asks', {QUICK}) as run:\n"
        "    run.log_artifact(run.use_value(answer(80), 'answer'), 'answered')\n"
        "    answer(81)\n",
    )
    person.python("asks.py")
    assert queries.rows(person.home, "SELECT kind, name FROM undeclared_inputs") == [
        {"kind": "network", "name": "127.0.0.1:81"}
    ]
    report = person.replay(person.last())
    assert verdicts(report) == {"answered": "identical"}
    assert {row["execution"] for row in report.undeclared} == {"original", "replay"}


def test_what_is_said_before_a_replay_is_bounded():
    rows = [{"kind": "file", "name": f"{number}", "now": None} for number in range(12)]
    said = lines([*rows, {"kind": "file", "name": None, "now": None}])
    assert (len(said), said[0], said[-1]) == (
        11,
        "undeclared input: file 0",
        "and 2 more undeclared inputs: see --json",
    )
