"""Scripts, modules and code are replayed from their records, wherever their project has gone."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import pytest
from persons import QUICK, ROOT, verdicts

from repro_assets.catalog import queries
from repro_assets.replay.records import asked_for
from repro_assets.store.home import open_store

FIT = f"""
import random, sys
from pathlib import Path
from repro_assets import Experiment
import helper
with Experiment("fit", seed=3, config={{"lr": 0.1}}, {QUICK}) as run:
    rows = run.use_path("rows.csv").read_text()
    given = run.use_path(Path(__file__).parent.parent / "given.txt").read_text()
    extra = run.use_value([len(rows)], "extra")
    run.log_metric("loss", 0.5, 0)
    run.log_artifact({{"w": [random.random(), rows, given, helper.NUMBER, extra, sys.argv[1:]]}}, "weights")
    run.log_text("a text", "said")
"""


def test_a_script_replays_identical_with_its_checkout_gone(person):
    person.write("code/fit.py", FIT)
    person.write("code/helper.py", "NUMBER = 1\n")
    person.write("code/rows.csv", "a\nb\n")
    person.write("given.txt", "given")
    person.write(".reproignore", "*.csv\n")
    person.python("fit.py", "--flag", "x y", folder=person.root / "code")
    run = person.last()
    person.gone()
    report = person.replay(run)
    assert report.verdict == "identical", (report.document(), person.log.read_text())
    assert verdicts(report) == {"weights": "identical", "said.txt": "identical"}
    (again,) = (row for row in person.runs() if row["replay_of"] is not None)
    assert (again["run_id"], again["replay_of"], again["state"]) == (report.replay_run, run, "COMPLETED")
    assert queries.rows(person.home, "SELECT count(*) AS n FROM versions WHERE collection = 'weights'") == [{"n": 1}]
    assert [row["verdict"] for row in queries.rows(person.home, "SELECT verdict FROM replays")] == ["identical"]
    # A replay stands for what it executed again.
    assert [each.run_id for each in asked_for(person.home, str(report.replay_run)).runs] == [run]


def test_uncommitted_code_and_an_older_commit_replay_while_another_is_checked_out(person):
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=person.root, check=True)

    text = f"""
from repro_assets import Experiment
from pack.mod import VALUE
with Experiment("values", {QUICK}) as run:
    run.log_artifact([VALUE], "value")
"""
    git("init", "-q")
    person.write("src/pack/mod.py", "VALUE = 1\n")
    person.write("src/pack/__init__.py", "")
    person.write("src/pack/__main__.py", text)
    git("add", "-A")
    git("commit", "-qm", "one")
    path = f"{person.root / 'src'}:{ROOT}"
    person.python("-O", "-m", "pack", PYTHONPATH=path)
    old = person.last()
    person.write("src/pack/mod.py", "VALUE = 2\n")
    git("commit", "-qam", "two")
    person.write("src/pack/mod.py", "VALUE = 3\n")
    person.python("-m", "pack", PYTHONPATH=path)
    uncommitted = person.last()
    person.write("src/pack/mod.py", "VALUE = 4\n")
    for run in (old, uncommitted):
        report = person.replay(run)
        assert report.verdict == "identical", (report.document(), person.log.read_text())
    values = queries.rows(person.home, "SELECT DISTINCT digest FROM run_outputs")
    assert len(values) == 2


FAMILY = f"""
import multiprocessing, os, subprocess, sys
from repro_assets import Experiment, reproducible
@reproducible(capture_environment=False, monitor=None)
def score(x):
    return {{"score": x}}
def work(number):
    with Experiment("forked", config={{"n": number}}, {QUICK}) as run:
        run.log_artifact([number, run.use_value(os.getpid(), "pid")], f"forked-{{number}}")
if __name__ == "__main__":
    if len(sys.argv) > 1:
        with Experiment("own", {QUICK}) as run:
            run.log_artifact([sys.argv[1]], "own")
            with Experiment.attached() as above:
                pass
    else:
        for repeat in range(2):
            score(repeat)
        with Experiment("before", {QUICK}) as run:
            run.log_artifact([run.use_value([os.getpid()], "pid")[0]], "before")
        with Experiment("parent", {QUICK}) as run:
            run.log_artifact(["p"], "parent")
            # In another order the second time: they are told apart by their configurations.
            for method in ("spawn", "fork") if "REPRO_PINS" in os.environ else ("fork", "spawn"):
                process = multiprocessing.get_context(method).Process(target=work, args=(int(method == "fork"),))
                process.start()
                process.join()
            subprocess.run([sys.executable, __file__, "word"], check=True)
"""


def test_a_parent_stands_for_its_children_and_one_of_several_is_compared_alone(person):
    person.write("family.py", FAMILY)
    person.python("family.py")
    runs = {row["name"]: row for row in person.runs()}
    scores = [row["run_id"] for row in person.runs() if row["name"] == "score"]
    report = person.replay(runs["parent"]["run_id"])
    assert report.verdict == "identical", (report.document(), person.log.read_text())
    assert verdicts(report) == dict.fromkeys(("parent", "forked-0", "forked-1", "own"), "identical")
    # All that the script began is a replay, each of its own run.
    again = [row["replay_of"] for row in person.runs() if row["replay_of"] is not None]
    assert sorted(again) == sorted(row["run_id"] for row in person.runs() if row["replay_of"] is None)
    # A child that was forked goes on with its parent; one of the script's own words is executed alone.
    report = person.replay(runs["own"]["run_id"])
    assert (verdicts(report), report.replay_run in again) == ({"own": "identical"}, False)
    assert len(person.runs()) == len(again) * 2 + 1
    second = person.replay(scores[1])
    assert [record.original_run for record in second.records] == [scores[1]]
    assert second.verdict == "identical", second.document()


@pytest.mark.slow
def test_several_ranks_of_a_launcher_are_started_again(person):
    text = f"""
import os
from repro_assets import Experiment
with Experiment("ranks", {QUICK}) as run:
    read = run.use_value([os.getpid()], "read")
    open(os.environ.get("SEEN", ".") + "/rank" + os.environ["RANK"], "w").write(str(read))
    run.log_artifact(read, "numbers")
"""
    person.write("ranks.py", text)
    ranks = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    person.python(*ranks, "ranks.py", "--epochs", "2", SEEN=str(person.home.root))
    first = (person.home.root / "rank0").read_text()
    assert (person.home.root / "rank1").read_text() != first
    run = person.last()
    os.environ["SEEN"] = str(person.home.root)
    try:
        report = person.replay(run)
    finally:
        del os.environ["SEEN"]
    assert report.verdict == "identical", (report.document(), person.log.read_text())
    # Every rank read what the first one had read.
    assert (person.home.root / "rank0").read_text() == (person.home.root / "rank1").read_text() == first
    assert len(person.runs()) == 2


def test_an_online_learner_is_compared_by_its_buffer(person):
    person.write(
        "learns.py",
        "from repro_assets import OnlineExperiment\n"
        "from repro_assets.store.home import make_store\n"
        "from pathlib import Path\n"
        f"with OnlineExperiment('learns', snapshot_every=2, home=make_store(Path('own')), {QUICK}) as run:\n"
        "    for number in range(4):\n"
        "        run.log_online_update(run.log_experience({'x': number}), 1.0, 0.5)\n",
    )
    person.write(".reproignore", "own\n")
    person.python("learns.py")
    own = replace(person, home=open_store(person.root / "own"))
    report = own.replay(own.last())
    assert verdicts(report) == {"experience_buffer@2": "identical", "experience_buffer@4": "identical"}


def test_a_script_that_was_started_outside_of_its_project_begins_in_an_empty_folder(person, tmp_path):
    person.write(
        "goes.py",
        "import os, sys\n"
        "from pathlib import Path\n"
        "from repro_assets import Experiment\n"
        "import repro_assets.tracking.program\n"
        "there = sorted(os.listdir())\n"
        "os.chdir(Path(__file__).parent)\n"
        f"with Experiment('goes', {QUICK}) as run:\n"
        "    run.log_artifact([there, sys.argv[1] == str(Path('goes.py').absolute())], 'there')\n",
    )
    (tmp_path / "elsewhere").mkdir()
    script = str(person.root / "goes.py")
    person.python(script, script, folder=tmp_path / "elsewhere")
    report = person.replay(person.last())
    assert report.verdict == "identical", (report.document(), person.log.read_text())
    assert any("outside of its project; an empty folder" in note for note in report.notes)


def test_code_that_was_edited_before_a_run_imported_it_shows_nothing(person, tmp_path):
    (tmp_path / "edit").touch()
    person.write("late.py", "VALUE = 1")
    person.write(
        "edits.py",
        "from pathlib import Path\n"
        "from repro_assets import Experiment\n"
        f"with Experiment('edits', {QUICK}) as run:\n"
        f"    if Path({str(tmp_path / 'edit')!r}).exists():\n"
        "        Path('late.py').write_text('VALUE = 22')\n"
        "    import late\n"
        "    run.log_artifact([late.VALUE], 'value')\n",
    )
    person.python("edits.py")
    (tmp_path / "edit").unlink()
    report = person.replay(person.last())
    assert (report.verdict, report.records[0].reason) == (
        "not_comparable",
        "wrong code: edited while the original ran: late",
    )
    (run,) = [row for row in person.runs() if row["replay_of"] is None]
    assert [said for said in run["warnings"] if "edited while the run went on" in said]


def test_what_dagster_did_not_execute_is_replayed_without_it(person):
    person.write(
        "plain.py",
        f"from repro_assets import Experiment\nwith Experiment('plain', {QUICK}) as run:\n"
        "    run.log_artifact([1], 'one')\n",
    )
    person.python("plain.py")
    replayed = (
        "import sys; sys.modules['dagster'] = None; from repro_assets.cli.app import main; "
        "sys.exit(main(['replay', 'last']))"
    )
    assert "identical" in person.python("-c", replayed)
