"""What a run read that is on no record becomes a record of it, and one warning."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from planted_secrets import drawn
from recordings import Records, Script, finished

from repro_assets.artifacts import repository
from repro_assets.artifacts.kinds.tree import TreeFile
from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import show_run
from repro_assets.journal.run_records import RunEnded, RunStarted, UndeclaredInputs
from repro_assets.recording import undeclared
from repro_assets.recording.handed_up import SLOT_BYTES, HandedUp
from repro_assets.recording.lifetime import attached, begin
from repro_assets.store.home import Home

RUN = "0" * 16


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of old files outside of the project, which is the current folder."""
    (tmp_path / "far").mkdir()
    for number in range(4):
        (tmp_path / "far" / f"{number}.txt").write_text("x" * number)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "pyproject.toml").write_text("")
    monkeypatch.chdir(tmp_path / "theirs")
    monkeypatch.setenv("FAR", str(tmp_path / "far"))
    monkeypatch.delenv(undeclared.INPUTS, raising=False)
    time.sleep(0.03)
    return tmp_path / "far"


def test_the_end_of_a_run_has_it_on_record_with_one_warning(
    far: Path, script: Script, records_of: Records, home: Home
) -> None:
    finished(
        script(
            """
far = Path(os.environ["FAR"])
for number in (3, 1, 2, 0, 1):
    (far / f"{number}.txt").read_text()
open("/dev/urandom", "rb").read(1)
run.end()
(far / "late").exists()
"""
        )
    )
    (record,) = records_of(UndeclaredInputs)
    facts = (far / "3.txt").stat()
    first = {"kind": "file", "name": str(far / "3.txt"), "count": 1, "size": 3, "mtime_ns": facts.st_mtime_ns}
    assert record.inputs[0] == first
    assert [(item["name"], item["count"]) for item in record.inputs[1:]] == [
        *((str(far / f"{number}.txt"), count) for number, count in ((1, 2), (2, 1), (0, 1))),
        ("/dev/urandom", 1),
    ]
    (end,) = records_of(RunEnded)
    (warning,) = end.warnings
    assert warning.startswith(f"undeclared inputs, which are on no record: file {far / '3.txt'}, file")
    assert " and 2 more; " in warning
    assert all(remedy in warning for remedy in ("use_path", "--input", "commit"))
    rows = queries.rows(home, "SELECT * EXCLUDE (record, time) FROM undeclared_inputs WHERE size = 3")
    mtime = rows[0]["mtime"]
    assert rows == [{"run_id": RUN, "kind": "file", "name": first["name"], "size": 3, "mtime": mtime, "count": 1}]
    assert round(mtime.timestamp() * 1e6) - facts.st_mtime_ns // 1000 == -time.timezone * 1_000_000
    assert show_run(home, RUN)["undeclared_inputs"][0]["name"] == "/dev/urandom"


def test_a_run_that_fails_has_it_too_and_one_that_reads_nothing_has_none(
    far: Path, script: Script, records_of: Records
) -> None:
    finished(script("run.end()\n"))
    assert records_of(UndeclaredInputs) == []
    finished(script("open(os.environ['FAR'] + '/1.txt').read()\nrun.end('FAILED', ValueError('no'))\n"))
    assert [item["name"] for item in records_of(UndeclaredInputs)[0].inputs] == [str(far / "1.txt")]


def test_forked_workers_and_attached_processes_add_what_they_read(
    far: Path, script: Script, records_of: Records, home: Home
) -> None:
    finished(
        script(
            """
import multiprocessing, subprocess
far = Path(os.environ["FAR"])
def work(number):
    (far / f"{number}.txt").read_text()
workers = [multiprocessing.get_context("fork").Process(target=work, args=(number,)) for number in (1, 1, 2)]
for worker in workers:
    worker.start()
    worker.join()
assert [worker.exitcode for worker in workers] == [0, 0, 0]
attached = f'''
from pathlib import Path
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.handed_up import SLOT_BYTES, HandedUp
from repro_assets.recording.lifetime import attached
from repro_assets.store.home import open_store
run = attached(open_store(Path({sys.argv[1]!r})), RunStarted("0" * 16, "script", "one"))
Path({str(far)!r}, "3.txt").read_text()
'''
subprocess.run([sys.executable, "-c", attached], check=True)
run.end()
"""
        )
    )
    told = [[Path(item["name"]).name for item in record.inputs] for record in records_of(UndeclaredInputs)]
    assert sorted(told) == [["1.txt"], ["1.txt"], ["2.txt"], ["3.txt"]]
    # The process that ends the run has read nothing itself.
    (warning,) = records_of(RunEnded)[0].warnings
    assert f"no record: file {far / '1.txt'}, file {far / '2.txt'}; " in warning
    shown = show_run(home, RUN)["undeclared_inputs"]
    assert [(Path(row["name"]).name, row["count"]) for row in shown] == [
        ("1.txt", 2),
        ("2.txt", 1),
        ("3.txt", 1),
    ]


def test_names_are_bounded_and_pass_the_secret_scanner(far: Path, script: Script, records_of: Records) -> None:
    secret = "gh" + "p_" + drawn(36)
    for number in range(103):
        (far / f"{number}.txt").write_text("x")
    (far / f"{secret}.txt").write_text("x")
    time.sleep(0.03)
    finished(
        script(
            f"""
far = Path(os.environ["FAR"])
(far / "{secret}.txt").read_text()
for number in range(103):
    (far / f"{{number}}.txt").read_text()
run.end()
"""
        )
    )
    (record,) = records_of(UndeclaredInputs)
    assert len(record.inputs) == 101
    assert record.inputs[-1] == {"kind": "file", "name": None, "count": 4}
    assert secret not in json.dumps(record.inputs)
    assert record.inputs[0]["name"] == str(far / "<github-token>.txt")


def test_what_the_variable_names_is_declared(
    far: Path, script: Script, records_of: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in undeclared.variable([far / "1.txt"]).items():
        monkeypatch.setenv(name, value)
    finished(script("for n in (1, 2):\n    open(f\"{os.environ['FAR']}/{n}.txt\").read()\nrun.end()\n"))
    assert [item["name"] for item in records_of(UndeclaredInputs)[0].inputs] == [str(far / "2.txt")]


def test_what_is_a_stores_or_dagsters_is_not_noted(
    far: Path, home: Home, records_of: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(far))
    run = begin(home, RunStarted(RUN, "asset", "one"))
    (far / "1.txt").read_text()
    (home.root / "repro-store.json").read_text()
    run.end()
    assert records_of(UndeclaredInputs) == []


def test_a_run_that_begins_late_has_what_was_read_before(far: Path, home: Home, records_of: Records) -> None:
    undeclared.expect()
    try:
        for number in (1, 2):
            (far / f"{number}.txt").read_text()
            begin(home, RunStarted(str(number) * 16, "asset", "one"), late=True).end()
    finally:
        undeclared.expect(False)
    (far / "3.txt").read_text()
    begin(home, RunStarted("3" * 16, "asset", "one"), late=True).end()
    found = {
        record.run_id[0]: [Path(item["name"]).name for item in record.inputs] for record in records_of(UndeclaredInputs)
    }
    assert found == {"1": ["1.txt"], "2": ["2.txt"]}


def test_of_a_command_nothing_is_noted_in_the_process_that_waits_for_it(
    far: Path, home: Home, records_of: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undeclared, "_LOADED", time.time_ns())
    run = begin(home, RunStarted(RUN, "command", "one"))
    (far / "1.txt").read_text()
    run.end()
    assert records_of(UndeclaredInputs) == []


def test_a_rank_knows_the_source_tree_that_is_on_record(far: Path, home: Home, records_of: Records) -> None:
    root = far.parent / "theirs"
    (root / "config.json").write_text("{}")
    tree = repository.put(home, [TreeFile("config.json", root / "config.json")], "tree")
    (root / "stale.cache").write_text("old")
    time.sleep(0.03)
    started = RunStarted(RUN, "asset", "one", source=str(tree.digest), plan={"working_folder": str(root)})
    run = attached(home, started)
    for name in ("config.json", "stale.cache"):
        (root / name).read_text()
    run.end()
    assert [item["name"] for item in records_of(UndeclaredInputs)[0].inputs] == ["stale.cache"]
    # The owner of the run takes it over.
    assert [warning.partition(";")[0] for warning in run.warnings] == [
        "undeclared inputs, which are on no record: file stale.cache"
    ]


def test_that_noting_failed_is_said(far: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repro_assets.capture.undeclared.Window._judge", lambda *_: 1 / 0)
    run = begin(home, RunStarted(RUN, "asset", "one"))
    (far / "1.txt").read_text()
    run.end()
    assert run.warnings == ["undeclared inputs may be missing in the record: open: ZeroDivisionError: division by zero"]


def test_children_hand_up_as_much_as_a_slot_holds_and_a_child_of_a_child_nothing() -> None:
    handed_up = HandedUp()
    assert handed_up.heard("run") == []
    long = "x" * (SLOT_BYTES // 3)
    for items in ([1, 2], [long] * 9, [long * 9]):
        handed_up.give_slot()
        if os.fork() == 0:
            handed_up.become_child()
            handed_up.give_slot()
            handed_up.say("run", items)
            if os.fork() == 0:
                handed_up.become_child()
                handed_up.say("run", ["never"])
                os._exit(0)
            os.wait()
            os._exit(0)
        os.wait()
    assert handed_up.heard("run") == [1, 2, long, long]
    assert handed_up.heard("another") == []
