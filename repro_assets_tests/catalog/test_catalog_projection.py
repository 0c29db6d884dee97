"""The catalog has the rows that the journal gives, however it was made."""

from __future__ import annotations

import shutil
import signal

import duckdb
import pytest

from repro_assets.catalog import publication
from repro_assets.catalog.checking import check_catalog
from repro_assets.catalog.merging import merge
from repro_assets.catalog.projection import rebuild, refresh
from repro_assets.catalog.queries import rows
from repro_assets.identity.digest import Digest
from repro_assets.journal import artifact_records, run_records
from repro_assets.journal.segments import Journal, list_segments
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


def test_the_last_point_and_the_extremes_are_those_of_all_points_however_they_came(home, recorder, tables):
    recorder.run("run-one", points=3)
    refresh(home)
    later = Journal(home.journal)
    for number, value in enumerate((9.0, float("nan"), -1.0)):
        later.append(
            run_records.Metrics.of("run-one", [["loss", 3 + number, value, 0.0], ["new", None, value, number]])
        )
        refresh(home)
    later.append(run_records.Metrics.of("run-one", [["loss", 1, -1.0, 0.0]]))
    (loss, new) = rows(home, "SELECT * EXCLUDE (run_id) FROM metrics_last ORDER BY name")
    assert list(loss.values()) == ["loss", -1.0, 5, -1.0, 9.0, 1, 3, 7]
    assert list(new.values()) == ["new", -1.0, None, -1.0, 9.0, None, None, 3]
    before = tables(home.catalog)["main.metrics_last"]
    rebuild(home)
    assert tables(home.catalog)["main.metrics_last"] == before


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
    (torn,) = rows(home, "FROM damages")
    assert (torn["kind"], torn["segment"], torn["byte_offset"]) == ("torn", segment.name, len(b"".join(lines[:-1])))
    assert f"{len(lines[-1]) - 20} bytes" in torn["reason"]
    before = home.catalog.read_bytes()
    assert refresh(home).damages == 0
    assert home.catalog.read_bytes() == before
    assert check_catalog(home) == []
    segment.write_bytes(whole)
    assert state_of(home, "run-one") == ("COMPLETED", "record")
    assert rows(home, "FROM damages") == []


def test_a_line_that_is_being_written_is_no_damage_until_its_writer_is_gone(home, start):
    begun = (
        "import sys, time; from pathlib import Path; from repro_assets.journal.segments import Journal; "
        "from repro_assets.journal.run_records import RunStarted; journal = Journal(Path(sys.argv[1])); "
        "journal.append(RunStarted('run-one', 'asset', 'one')); "
        "file = (Path(sys.argv[1]) / journal.segment).open('ab', 0); file.write(b'{\"v\": 1, \"ki'); "
        "print(journal.segment, flush=True); time.sleep(600)"
    )
    process = start(begun, home.journal)
    segment = process.stdout.readline().strip()
    assert segment
    assert state_of(home, "run-one")[0] == "RUNNING"
    assert rows(home, "FROM damages") == []
    process.kill()
    process.wait()
    assert [(row["kind"], row["segment"]) for row in rows(home, "FROM damages")] == [("torn", segment)]
    again = [row["kind"] for row in rows(home, "FROM damages")]
    rebuild(home)
    assert [row["kind"] for row in rows(home, "FROM damages")] == again == ["torn"]
    merge(home)
    rebuild(home)
    assert [(row["kind"], row["segment"]) for row in rows(home, "FROM damages")] == [("torn", segment)]


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
    append(run_records.Metrics.of("run-one", [["loss", 1, "high", 0.0]]))
    append(run_records.Metrics.of("run-one", [["loss", 2**70, 1.0, 0.0]]))
    append(run_records.RunStarted("run-one", "asset", "name", config={"x": float("nan"), "s": "\udc80"}))
    append(run_records.Metrics.of("run-one", [["loss", None, float("nan"), 0.0]]))
    assert [row["kind"] for row in rows(home, "FROM damages")] == ["record", "record"]
    assert len(rows(home, "FROM metrics")) == 1
    (config,) = rows(home, "SELECT config ->> 'x' AS x, config ->> 's' AS s FROM runs")
    assert config == {"x": "nan", "s": "\\udc80"}


def test_points_that_are_neither_of_the_machine_nor_not_are_named(home, recorder):
    recorder.journal.append(run_records.Metrics("run-one", ["loss"], [0], [1], [1.0], [0], system=[]))
    recorder.journal.append(run_records.Metrics.of("run-one", [["loss", 1, 1.0, 0.0]]))
    assert [row["reason"] for row in rows(home, "FROM damages")] == ["metrics: [] is not true or false"]
    assert len(rows(home, "FROM metrics")) == 1


def test_a_record_that_is_there_twice_counts_once_and_is_named(home, recorder):
    recorder.run("run-one", points=5)
    recorder.journal.close()
    refresh(home)
    (path,) = (path for path in list_segments(home.journal) if path.name == recorder.journal.segment)
    lines = path.read_bytes().splitlines(keepends=True)
    again = [line for line in lines if b'"kind":"metrics"' in line or b'"kind":"run_input"' in line]
    with path.open("ab") as file:
        file.writelines(again)
    for make in (refresh, rebuild):
        assert make(home).damages == len(again) == 2
        counted = rows(home, "SELECT (SELECT count(*) FROM metrics) AS points, count(*) AS inputs FROM run_inputs")
        assert counted == [{"points": 5, "inputs": 1}]
    assert "it is there twice" in rows(home, "SELECT reason FROM damages")[0]["reason"]
    assert check_catalog(home) == []


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


def test_a_killed_run_is_interrupted_until_a_late_record_says_otherwise(home, start_writing):
    parent = Journal(home.journal)
    parent.append(run_records.RunStarted("the-parent", "parent", "job"))
    parent.close()
    writer = start_writing("run-killed")
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
