"""Segments whose writers are gone become few objects, and nobody who reads the journal can tell."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator

import pytest
import xxhash

from repro_assets.artifacts import aliases, names, repository
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.merged_points import open_segment
from repro_assets.artifacts.retention import read_ledger, roots_of
from repro_assets.artifacts.sharing import pull, push
from repro_assets.artifacts.soundness import check_store
from repro_assets.catalog import detached, merging
from repro_assets.catalog.checking import check_catalog
from repro_assets.catalog.merging import merge
from repro_assets.catalog.projection import rebuild, refresh
from repro_assets.errors import CorruptRecord
from repro_assets.journal import run_records
from repro_assets.journal.lines import write_line
from repro_assets.journal.merged import MetricLine, form_of, forms, list_merges, read_form, read_journal
from repro_assets.journal.segments import Journal, journal_at, list_segments
from repro_assets.store.collection import collect
from repro_assets.store.home import Home, make_store, open_store
from repro_assets.store.opening import open_objects

STRANGE = ["loss", "a 'quoted' \"name\"", "two\nlines", "😀", "", "\ud800"]


def sealed(members: dict[str, object]) -> bytes:
    body = json.dumps(members, separators=(",", ":")).encode()[:-1]
    return body + b',"xxh3":"' + xxhash.xxh3_64_hexdigest(body).encode() + b'"}\n'


def write_everything(home: Home) -> None:
    """Segments with all that a journal may hold, their writers gone."""
    journal = Journal(home.journal)
    journal.append(run_records.RunStarted("strange", "asset", "strange"))
    for name in STRANGE:
        values = [0.1, math.nan, math.inf, -math.inf, -0.0, 5e-324]
        journal.append(run_records.Metrics.of("strange", [[name, k, v, 10.0 - k] for k, v in enumerate(values)]))
    journal.append(
        run_records.Metrics.of("strange", [["loss", None, 1.0, 0.0]]),
        run_records.Metrics.of("strange", [["cpu_percent", 3, 2.0, time.time()]], system=True),
        run_records.Metrics.of("strange", []),
        run_records.Metrics.of("strange", [["loss", 1, "high", 0.0]]),
        run_records.Metrics.of("strange", [["loss", 2**70, 1.0, 0.0]]),
        run_records.Metrics.of("strange", [["loss", k, 1 / (k + 1), time.time()] for k in range(2_000)]),
    )
    journal.append(run_records.Metrics.of("strange", [["loss", 7, 1.0, 1.0]]), follows=("another:1",))
    path = home.journal / journal.segment
    journal.close()
    seq = 100
    old = {"run_id": "strange", "rows": [["old", 1, 1, 1.5], ["old", None, 2.5, 2]], "system": False}
    with path.open("ab") as file:
        file.write(sealed({"v": 1, "kind": "metrics", "seq": seq, "time": 1.0, "follows": [], "data": old}))
        file.write(sealed({"v": 99, "kind": "metrics", "seq": seq + 1, "time": 1.0, "follows": [], "data": {}}))
        file.write(sealed({"v": 1, "kind": "unknown", "seq": seq + 2, "time": 1.0, "follows": [], "data": {}}))
        whole = write_line(run_records.Metrics.of("strange", [["loss", 1, 0.5, 3.0]]), seq=seq + 3, time=3.0)
        file.write(whole.replace(b"0.5", b"0.6"))
        file.write(b'{"v":1,garbage' + whole)
        file.write(whole)
        file.write(whole)  # a duplicate
        file.write(write_line(run_records.Metrics.of("strange", [["loss", 2, 0.5, -5.0]]), seq=seq + 4, time=-1.0))
        file.write(write_line(run_records.RunEnded("strange", "COMPLETED"), seq=seq + 5, time=2.0))
        file.write(whole[:-30])  # torn
    shutil.copy(path, home.journal / "a copy of it.jsonl")


def let_go(home: Home, recorder: object) -> None:
    """End this process's segments."""
    recorder.journal.close()  # type: ignore[attr-defined]
    journal_at(home.journal).close()


@pytest.fixture
def full(home: Home, recorder) -> Iterator[Home]:
    for number in range(3):
        recorder.run(f"run-{number}", number, points=300)
        let_go(home, recorder)
    write_everything(home)
    yield home


def contents(home: Home) -> dict[str, bytes]:
    """The bytes of every segment, in whatever form."""
    found = {}
    for name, form in forms(home).items():
        with open_segment(home, form) as file:
            found[name] = file.read()
    return found


def test_a_merged_journal_has_the_bytes_the_records_and_the_rows_that_it_had(full, tables):
    refresh(full)
    before, rows, said = contents(full), repr(tables(full.catalog)), [repr(item) for item in read_journal(full)]
    assert sum(len(path.read_bytes()) for path in list_segments(full.journal)) == sum(map(len, before.values()))
    intended = merge(full, dry_run=True)
    assert (intended.segments, intended.merges) == (8, [])
    assert contents(full) == before and not list_merges(full.journal)
    done = merge(full)
    assert (done.segments, done.left, len(done.merges)) == (8, 0, 1)
    assert list_segments(full.journal) == []
    assert [path.name for path in full.journal.iterdir()] == done.merges
    assert contents(full) == before
    # What the points are is in the rows; what cannot be made from rows again is still a line.
    assert done.points == 3 * 300 + 2 * (5 * 6 + 2 + 2_000 + 2 + 1)
    said_now = [repr(item) for item in read_journal(full)]
    assert [item for item in said if "Metrics(" not in item] == [item for item in said_now if "Metrics(" not in item]
    assert refresh(full).changed is False
    assert check_catalog(full) == []
    rebuild(full)
    assert repr(tables(full.catalog)) == rows
    assert check_catalog(full) == []


def test_the_points_lie_in_parquet_that_any_client_reads(full, tmp_path):
    import duckdb

    merge(full)
    (made,) = list_merges(full.journal)
    parquet = repository.Manifest.decode(open_objects(full).read(made.manifest)).entries[1].objects[0]
    (tmp_path / "points.parquet").write_bytes(open_objects(full).read(parquet))
    question = f"SELECT run, name, step, value, time, system, record FROM '{tmp_path}/points.parquet' WHERE step = 299"
    rows = duckdb.sql(f"{question} AND run = 'run-1'").fetchall()
    ((run, name, step, value, _, system, record),) = rows
    assert (run, name, step, value, system) == ("run-1", "loss", 299, 1 / 300, False)
    segment, seq = record.split(":")
    lines = [item for item, _ in read_form(full, forms(full)[segment]) if isinstance(item, MetricLine)]
    assert int(seq) in {line.seq for line in lines}


def test_a_later_merge_takes_small_ones_in_and_the_rows_stay(home, recorder, tables):
    for number in range(3):
        recorder.run(f"run-{number}", number, points=50)
        let_go(home, recorder)
        done = merge(home)
        assert (done.segments, len(done.merges), done.points) == (2, 1, 50 * (number + 1))
        assert len(done.taken_in) == min(number, 1)
        assert len(list_merges(home.journal)) == len(list(home.journal.iterdir())) == 1
        if number == 1:
            refresh(home)
    assert merge(home).merges == []
    refresh(home)
    rows = repr(tables(home.catalog))
    assert len(tables(home.catalog)["main.metrics"]) == 150
    rebuild(home)
    assert repr(tables(home.catalog)) == rows


def test_the_segment_of_a_living_writer_stays_and_goes_on(home, recorder, start_writing):
    recorder.run("run-one")
    let_go(home, recorder)
    writer = start_writing("living")
    (living,) = (path for path in list_segments(home.journal) if f"-{writer.pid}-" in path.name)
    done = merge(home)
    assert (done.segments, done.left) == (2, 1)
    assert list_segments(home.journal) == [living]
    time.sleep(0.05)
    assert refresh(home).damages == 0
    writer.kill()
    writer.wait()
    merge(home)
    assert list_segments(home.journal) == []


def test_what_a_merge_was_cut_off_from_removing_counts_once_and_goes_with_the_next(home, recorder, tables):
    for number in range(2):
        recorder.run(f"run-{number}", number)
        let_go(home, recorder)
        if number == 0:
            merge(home)
    kept = {path.name: path.read_bytes() for path in home.journal.iterdir()}
    refresh(home)
    rows = repr(tables(home.catalog))
    merge(home)
    for name, data in kept.items():
        (home.journal / name).write_bytes(data)
    rebuild(home)
    assert repr(tables(home.catalog)) == rows
    assert check_store(home).ok
    merge(home)
    assert len(list(home.journal.iterdir())) == 1
    rebuild(home)
    assert repr(tables(home.catalog)) == rows


def test_collection_deletion_aliases_and_checks_read_what_is_merged(home, recorder):
    for number in range(2):
        recorder.run(f"run-{number}", number)
    for version in names.versions(home, "model-sft"):
        aliases.move(home, version, "best")
    let_go(home, recorder)
    ledger = read_ledger(home)
    merge(home)
    assert read_ledger(home) == ledger
    made = list_merges(home.journal)[0].manifest
    assert made in roots_of(home).artifacts
    before = contents(home)
    collect(open_objects(home, DECODERS), lambda: roots_of(home), delete=True, now=True)
    assert contents(home) == before
    found = check_store(home, full=True)
    assert (found.ok, found.journal, found.missing) == (True, [], [])
    assert [move.version for _, move in aliases._moves(home)] == [1, 2]


def test_a_merged_journal_travels_as_the_segments_that_it_was(full, tmp_path, tables):
    (full.journal / "a copy of it.jsonl").unlink()
    before = contents(full)
    remote = tmp_path / "remote"
    remote.mkdir()
    push(full, str(remote))
    refresh(full)
    merge(full)
    assert push(full, str(remote)).segments == 0
    other = make_store(tmp_path / "other")
    pull(other, str(remote))
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    push(full, str(fresh))
    third = make_store(tmp_path / "third")
    pull(third, str(fresh))
    whole = {
        name: data[: data.rfind(b"\n") + 1] for name, data in before.items() if name[0].isalnum() and " " not in name
    }
    assert contents(other) == whole
    assert contents(third) == whole


def test_a_segment_that_grew_elsewhere_grows_here_though_it_is_merged(home, recorder, tmp_path):
    recorder.run("run-one")
    let_go(home, recorder)
    remote = tmp_path / "remote"
    remote.mkdir()
    other = Home(tmp_path / "other")
    shutil.copytree(home.root, other.root)
    merge(home)
    path = max(list_segments(other.journal), key=lambda path: path.stat().st_size)
    with path.open("ab") as file:
        file.write(write_line(run_records.RunNoted("run-one", "later"), seq=900, time=time.time()))
    push(other, str(remote))
    assert pull(home, str(remote)).segments == 1
    assert contents(home)[path.name] == path.read_bytes()
    assert refresh(home).damages == 0
    merge(home)
    assert list_segments(home.journal) == []
    assert contents(home)[path.name] == path.read_bytes()


def test_reading_goes_on_in_the_new_form_when_a_segment_is_merged_meanwhile(home, recorder):
    recorder.run("run-one", points=30)
    let_go(home, recorder)
    name = max(forms(home).values(), key=lambda form: form.size).name
    expected = [end for _, end in read_form(home, forms(home)[name])]
    reader = read_form(home, forms(home)[name])
    ends = [next(reader)[1] for _ in range(3)]
    stale = forms(home)[name]
    merge(home)
    items = list(read_form(home, stale, ends[-1]))
    assert ends + [end for _, end in items] == expected
    assert sum(isinstance(item, MetricLine) for item, _ in items) == 1


def test_an_object_of_a_merge_that_is_missing_is_named_and_stops_nothing(home, recorder, tables):
    recorder.run("run-one")
    let_go(home, recorder)
    merge(home)
    recorder.run("run-two")
    made = list_merges(home.journal)[0]
    for digest in repository.Manifest.decode(open_objects(home).read(made.manifest)).objects():
        path = home.objects / digest.hex[:2] / digest.hex[2:]
        if path.exists():
            path.unlink()
    for pack in home.packs.glob("*"):
        pack.unlink()
    found = check_store(home)
    assert not found.ok
    assert any(part.name in {line["segment"] for line in found.journal} for part in made.parts)
    rebuild(home)
    rows = tables(home.catalog)
    assert {row[0] for row in rows["main.runs"]} == {"run-two"}
    assert sum(row[3] == str(made.manifest) for row in rows["main.damages"]) == 2


def test_a_merge_whose_file_is_damaged_stops_who_reads_the_journal_and_says_what_to_do(home, recorder):
    recorder.run("run-one")
    let_go(home, recorder)
    merge(home)
    (path,) = home.journal.iterdir()
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with pytest.raises(CorruptRecord, match=r"\.merged is damaged"):
            list_merges(home.journal)
    for read in (lambda: list(read_journal(home)), lambda: refresh(home), lambda: roots_of(home)):
        with pytest.raises(CorruptRecord, match="is damaged") as raised:
            read()
        assert raised.value.remedy
    assert "is damaged" in check_store(home).journal[0]["reason"]


def test_an_older_version_is_told_that_it_must_not_touch_a_merged_store(home, recorder):
    assert b'"format":1,' in (home.root / "repro-store.json").read_bytes()
    recorder.run("run-one")
    let_go(home, recorder)
    merge(home)
    assert b'"format":2,' in (home.root / "repro-store.json").read_bytes()
    assert open_store(home.root) == home


def test_many_segments_are_merged_by_a_process_of_its_own(home, recorder, monkeypatch):
    monkeypatch.setattr(merging, "MANY", 3)
    for number in range(2):
        recorder.run(f"run-{number}", number)
        let_go(home, recorder)
    refresh(home)
    started = [process.args[-1] for process in detached._started]
    assert str(home.root) in started
    for process in detached._started:
        process.wait(60)
    assert list_segments(home.journal) == []
    assert merging.merge_when_many(home, 2) is None


def test_segments_that_cannot_be_merged_start_no_process_again_and_again(home, recorder, monkeypatch):
    monkeypatch.setattr(merging, "MANY", 2)
    others = [Journal(home.journal) for _ in range(3)]
    for journal in others:
        journal.append(run_records.RunNoted("run", "text"))
    recorder.run("run-one")
    let_go(home, recorder)
    merge(home)
    assert len(list_segments(home.journal)) == 3
    assert merging.merge_when_many(home, 4) is None
    assert form_of(home, others[0].segment) is not None
