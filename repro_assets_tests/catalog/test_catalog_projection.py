from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

import repro_assets
from repro_assets.catalog import publication
from repro_assets.catalog.projection import rebuild, refresh
from repro_assets.catalog.queries import rows
from repro_assets.catalog.refresh import refresh_detached
from repro_assets.identity.digest import Digest
from repro_assets.journal import artifact_records, run_records
from repro_assets.journal.segments import Journal
from repro_assets.store.opening import open_objects


def state_of(home, run):
    (row,) = rows(home, "SELECT state, state_source FROM runs WHERE run_id = $run", {"run": run})
    return row["state"], row["state_source"]


def test_refreshing_twice_changes_nothing(home, recorder, tables):
    recorder.run("run-one")
    assert refresh(home).changed
    before, facts = tables(home.catalog), publication.file_facts(home.catalog)
    again = refresh(home)
    assert (again.changed, again.records) == (False, 0)
    assert publication.file_facts(home.catalog) == facts
    assert tables(home.catalog) == before
    assert len(before["main.metrics"]) == 20
    # Without the note that says that nothing has happened, the journal is looked at again.
    (home.cache / "catalog" / "published.json").unlink()
    assert not refresh(home).changed
    assert tables(home.catalog) == before


def test_nothing_to_do_writes_nothing_and_needs_no_duckdb(home, recorder):
    recorder.run("run-one")
    recorder.journal.close()
    refresh(home)
    files = {path: path.stat() for path in home.root.rglob("*") if path.is_file()}
    code = "import sys; from pathlib import Path; from repro_assets.catalog.projection import refresh; "
    code += "from repro_assets.store.home import Home; assert not refresh(Home(Path(sys.argv[1]))).changed; "
    code += "print([name for name in ('duckdb', 'pyarrow', 'pandas', 'torch', 'numpy') if name in sys.modules])"
    env = {**os.environ, "PYTHONPATH": str(Path(repro_assets.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code, home.root], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    after = {path: path.stat() for path in home.root.rglob("*") if path.is_file()}
    assert {p: (s.st_ino, s.st_size, s.st_mtime_ns) for p, s in files.items()} == {
        p: (s.st_ino, s.st_size, s.st_mtime_ns) for p, s in after.items()
    }


def test_rebuild_gives_the_rows_of_many_small_refreshes(home, recorder, tables):
    for number in range(4):
        recorder.run(f"run-{number}", number)
        refresh(home)
    other = Journal(home.journal)
    other.append(
        run_records.Params("run-0", {"lr": 0.2}), run_records.RunEnded("run-3", "FAILED", {"type": "E", "message": "m"})
    )
    other.append(artifact_records.AliasMoved("model-sft", "best", 1, "sha256:" + "0" * 64))
    refresh(home)
    (move,) = other.append(
        artifact_records.AliasMoved("model-sft", "best", 2, "sha256:" + "1" * 64, replaces=f"{other.segment}:3")
    )
    other.append(run_records.ReplayMade("run-0", None, "identical"))
    other.close()
    assert move
    refresh(home)
    incremental = tables(home.catalog)
    rebuild(home)
    assert tables(home.catalog) == incremental
    assert [row[2] for row in incremental["main.aliases"]] == [2]
    assert [row[2] for row in incremental["main.params"] if row[0] == "run-0"].count("0.2") == 1


def test_every_order_of_segments_gives_the_same_rows(home, recorder, tables, tmp_path):
    recorder.run("run-one", end=None)
    late = Journal(home.journal)
    late.append(run_records.RunEnded("run-one", "FAILED", {"type": "ValueError", "message": "no", "trace": "t"}))
    recorder.journal.close()
    late.close()
    first, second = recorder.journal.segment, late.segment
    results = []
    for order in ([first, second], [second, first]):
        copy = tmp_path / f"copy-{order[0]}"
        shutil.copytree(home.root, copy, ignore=shutil.ignore_patterns("journal", "cache", "catalog.duckdb"))
        (copy / "journal").mkdir()
        elsewhere = type(home)(copy)
        for name in order:
            shutil.copy(home.journal / name, copy / "journal" / name)
            refresh(elsewhere)
        results.append(tables(elsewhere.catalog))
        assert state_of(elsewhere, "run-one") == ("FAILED", "record")
    # The processes of both copies are gone alike; only what the first refresh had to look at differs by nothing.
    assert results[0] == results[1]


def test_the_earliest_of_several_announcements_gives_the_row(home, recorder):
    recorder.run("run-one", seed=1, run_kind="parent", name="first", end=None)
    other = Journal(home.journal)
    other.append(run_records.RunStarted("run-one", "parent", "second", seed=2))
    other.close()
    found = rows(home, "SELECT name, seed FROM runs")
    assert found == [{"name": "first", "seed": 1}]
    assert rows(home, "SELECT count(*) AS n FROM sources") == [{"n": 1}]


def test_a_torn_last_line_waits_and_then_counts(home, recorder):
    recorder.run("run-one")
    recorder.journal.close()
    segment = home.journal / recorder.journal.segment
    whole = segment.read_bytes()
    lines = whole.splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:-1]) + lines[-1][:-20])
    assert state_of(home, "run-one")[0] == "INTERRUPTED"
    assert rows(home, "FROM damages") == []
    segment.write_bytes(whole)
    assert state_of(home, "run-one") == ("COMPLETED", "record")


def test_a_damaged_line_is_named_and_later_lines_count(home, recorder):
    recorder.run("run-one")
    segment = home.journal / recorder.journal.segment
    data = bytearray(segment.read_bytes())
    place = data.index(b'"metrics"')
    data[place + 1] ^= 1
    segment.write_bytes(data)
    assert refresh(home).damages == 1
    (damage,) = rows(home, "FROM damages")
    start = data.rfind(b"\n", 0, place) + 1
    assert (damage["kind"], damage["segment"], damage["byte_offset"]) == ("line", segment.name, start)
    assert rows(home, "SELECT count(*) AS n FROM metrics") == [{"n": 0}]
    assert state_of(home, "run-one")[0] == "COMPLETED"
    assert refresh(home).damages == 1


def test_impossible_values_are_named_and_the_next_record_counts(home, recorder):
    append = recorder.journal.append
    append(run_records.Metrics("run-one", [["loss", 1, "high", 0.0]]))
    append(run_records.Metrics("run-one", [["loss", 2**70, 1.0, 0.0]]))
    append(run_records.RunStarted("run-one", "asset", "name", config={"x": float("nan"), "s": "\udc80"}))
    append(run_records.Metrics("run-one", [["loss", None, float("nan"), 0.0]]))
    assert [row["kind"] for row in rows(home, "FROM damages")] == ["record", "record"]
    assert len(rows(home, "FROM metrics")) == 1
    (config,) = rows(home, "SELECT config ->> 'x' AS x, config ->> 's' AS s FROM runs")
    assert config == {"x": "nan", "s": "\\udc80"}


def test_a_copy_of_a_segment_counts_once(home, recorder, tables):
    recorder.run("run-one")
    refresh(home)
    before = tables(home.catalog)
    segment = home.journal / recorder.journal.segment
    shutil.copy(segment, home.journal / "a-backup.jsonl")
    refresh(home)
    recorder.run("run-two", 1)
    after_two = [row["run_id"] for row in rows(home, "SELECT run_id FROM runs ORDER BY run_id")]
    assert after_two == ["run-one", "run-two"]
    assert len(rows(home, "FROM metrics")) == 2 * len(before["main.metrics"])
    assert rows(home, "SELECT copy_of FROM segments WHERE segment = 'a-backup.jsonl'") == [{"copy_of": segment.name}]
    incremental = tables(home.catalog)
    rebuild(home)
    assert tables(home.catalog) == incremental


def test_missing_and_corrupt_objects_are_named_and_stop_nothing(home, recorder):
    recorder.run("run-one")
    objects = open_objects(home)
    (environment,) = [
        Digest.parse(text) for text in {record["environment"] for record in rows(home, "SELECT environment FROM runs")}
    ]
    rebuild_home = home.cache
    (model,) = rows(home, "SELECT digest FROM run_outputs")
    kept = objects.path(environment).read_bytes()
    objects.path(environment).unlink()
    path = objects.path(Digest.parse(model["digest"]))
    damaged = bytearray(path.read_bytes())
    damaged[3] ^= 1
    path.write_bytes(damaged)
    shutil.rmtree(rebuild_home)
    refresh(home)
    # The environment's manifest is asked for twice, as an artifact and as a document, and named once.
    named = {row["subject"] for row in rows(home, "SELECT subject FROM damages WHERE kind = 'object'")}
    assert named == {str(environment), model["digest"]}
    assert state_of(home, "run-one")[0] == "COMPLETED"
    objects.path(environment).write_bytes(kept)
    recorder.run("run-two", 1)
    named = {row["subject"] for row in rows(home, "SELECT subject FROM damages WHERE kind = 'object'")}
    assert named == {model["digest"]}
    assert len(rows(home, "FROM packages")) == 2


@pytest.mark.parametrize("spoil", ["missing", "garbage", "cut", "schema", "published"])
def test_a_spoilt_work_file_is_rebuilt_from_the_journal(home, recorder, tables, spoil):
    recorder.run("run-one")
    refresh(home)
    before = tables(home.catalog)
    work = publication.work_file(home)
    if spoil == "missing":
        work.unlink()
    elif spoil == "garbage":
        work.write_bytes(b"not a database" * 1000)
    elif spoil == "cut":
        work.write_bytes(work.read_bytes()[:20_000])
    elif spoil == "schema":
        with duckdb.connect(str(work)) as connection:
            connection.execute("UPDATE catalog_info SET schema_version = 0")
    else:
        home.catalog.write_bytes(b"")
    recorder.run("run-two", 1)
    done = refresh(home)
    assert (done.rebuilt is None) == (spoil == "published")
    after = tables(home.catalog)
    assert all(row in after["main.runs"] for row in before["main.runs"])
    assert len(after["main.metrics"]) == 40


def test_a_segment_that_was_cut_leads_to_a_rebuild(home, recorder):
    recorder.run("run-one")
    recorder.run("run-two", 1)
    refresh(home)
    segment = home.journal / recorder.journal.segment
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(line for line in lines if b"run-two" not in line))
    assert "was cut" in (refresh(home).rebuilt or "")
    assert [row["run_id"] for row in rows(home, "SELECT run_id FROM runs")] == ["run-one"]


WRITER = """
import sys, time
from pathlib import Path
from repro_assets.journal import artifact_records, run_records
from repro_assets.journal.segments import Journal
journal = Journal(Path(sys.argv[1]) / "journal")
name = sys.argv[2]
journal.append(run_records.RunStarted(name, "asset", name, parent_run_id="the-parent"))
print("started", flush=True)
step = 0
while True:
    journal.append(run_records.Metrics(name, [["loss", step + k, 1.0, time.time()] for k in range(10)]))
    step += 10
    time.sleep(0.002)
"""


def test_a_killed_run_is_interrupted_until_a_late_record_says_otherwise(home, start):
    parent = Journal(home.journal)
    parent.append(run_records.RunStarted("the-parent", "parent", "job"))
    parent.close()
    writer = start(WRITER, home.root, "run-killed")
    assert writer.stdout.readline() == "started\n"
    assert state_of(home, "run-killed") == ("RUNNING", "process")
    # The process that announced the parent is gone, and a run under it still lives.
    assert state_of(home, "the-parent") == ("RUNNING", "process")
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert state_of(home, "run-killed") == ("INTERRUPTED", "process")
    assert state_of(home, "the-parent") == ("INTERRUPTED", "process")
    late = Journal(home.journal)
    late.append(run_records.RunEnded("run-killed", "COMPLETED"))
    late.append(run_records.ParentState("the-parent", "RUNNING", "STARTED", started=1_700_000_000.0))
    late.append(run_records.ParentState("the-parent", "FAILED", "FAILURE", "nightly", 1_700_000_000.0, 1_700_000_060.0))
    late.append(run_records.ParentState("the-parent", "RUNNING", "STARTED"))
    late.close()
    assert state_of(home, "run-killed") == ("COMPLETED", "record")
    assert state_of(home, "the-parent") == ("FAILED", "dagster")
    assert rows(home, "SELECT dagster_status, seconds, job FROM runs WHERE run_id = 'the-parent'") == [
        {"dagster_status": "FAILURE", "seconds": 60.0, "job": "nightly"}
    ]


REFRESHER = """
import sys
from pathlib import Path
from repro_assets.catalog.projection import refresh
from repro_assets.store.home import Home
for _ in range(int(sys.argv[2])):
    refresh(Home(Path(sys.argv[1])))
"""


def test_concurrent_refreshers_take_turns(home, recorder, tables, start):
    for number in range(3):
        recorder.run(f"run-{number}", number)
    refreshers = [start(REFRESHER, home.root, 5) for _ in range(3)]
    for number in range(3, 8):
        recorder.run(f"run-{number}", number)
    for refresher in refreshers:
        _, err = refresher.communicate(timeout=120)
        assert refresher.returncode == 0, err
    refresh(home)
    concurrent = tables(home.catalog)
    assert len(concurrent["main.metrics"]) == 8 * 20
    rebuild(home)
    assert tables(home.catalog) == concurrent


def test_a_refresher_killed_at_any_instant_loses_and_repeats_nothing(home, recorder, tables, start):
    for number in range(10):
        recorder.run(f"run-{number}", number, points=200)
        refresher = start(REFRESHER, home.root, 1)
        time.sleep(0.15 + 0.11 * number)
        refresher.kill()
        refresher.wait()
        if home.catalog.exists():
            tables(home.catalog)
    refresh(home)
    after_kills = tables(home.catalog)
    assert len(after_kills["main.metrics"]) == 10 * 200
    assert list(home.temporary.glob("catalog-*")) == []
    rebuild(home)
    assert tables(home.catalog) == after_kills


def test_a_reader_is_never_refused_and_never_sees_half(home, recorder, start):
    command = Path(sys.executable).with_name("duckdb")
    if not command.exists():
        pytest.skip("the duckdb command is not installed")
    recorder.run("run-zero")
    refresh(home)
    writer = start(WRITER, home.root, "run-busy")
    assert writer.stdout.readline() == "started\n"
    refreshers = [start(REFRESHER, home.root, 1000) for _ in range(2)]
    # A batch of ten points is one line, so a reader that sees part of one has seen half.
    question = "SELECT count(*) % 10, count(*) FROM metrics WHERE run_id = 'run-busy'"
    seen = []
    begin = time.monotonic()
    while time.monotonic() - begin < 4 or (len(set(seen)) < 4 and time.monotonic() - begin < 60):
        done = subprocess.run(
            [command, "-readonly", "-noheader", "-list", str(home.catalog), question],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 and not done.stderr, done.stderr
        rest, count = map(int, done.stdout.strip().split("|"))
        assert rest == 0
        seen.append(count)
    assert seen == sorted(seen)
    assert len(set(seen)) >= 4
    assert all(refresher.poll() is None for refresher in refreshers)


def test_an_open_connection_keeps_its_file_and_a_new_one_sees_the_new_one(home, recorder):
    from repro_assets.catalog.queries import connect

    recorder.run("run-one")
    with connect(home) as old:
        recorder.run("run-two", 1)
        with connect(home) as new:
            assert new.execute("SELECT count(*) FROM runs").fetchall() == [(2,)]
        assert old.execute("SELECT count(*) FROM runs").fetchall() == [(1,)]


def test_a_detached_refresh_returns_at_once_and_publishes(home, recorder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(repro_assets.__file__).parents[1]))
    recorder.run("run-one")
    begin = time.perf_counter()
    refresh_detached(home)
    assert time.perf_counter() - begin < 0.5
    until = time.monotonic() + 30
    while publication.current_note(home) is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert not refresh(home).changed


LIMITED = """
import resource, sys
from pathlib import Path
from repro_assets.catalog.projection import refresh
from repro_assets.errors import MachineError
from repro_assets.store.home import Home
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    refresh(Home(Path(sys.argv[1])))
except MachineError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [4096, 300_000])
def test_a_catalog_that_cannot_be_written_says_so_and_stays(home, recorder, tables, start, limit):
    recorder.run("run-one")
    refresh(home)
    before = tables(home.catalog)
    recorder.run("run-two", 1)
    refresher = start(LIMITED, home.root, limit)
    out, err = refresher.communicate(timeout=60)
    assert "cannot write" in out, err
    assert tables(home.catalog) == before
    assert refresh(home).changed
    assert len(tables(home.catalog)["main.runs"]) == 2
