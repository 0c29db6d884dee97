"""Bundles: all that a run came from and nothing else, the same bytes each time, and an import that can be repeated."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy
import pytest
from bundled import Pieces, Stored, files_of, fill

from repro_assets.artifacts import names, repository, sharing
from repro_assets.artifacts.soundness import check_store
from repro_assets.catalog import projection, queries
from repro_assets.catalog.merging import merge
from repro_assets.errors import InvalidValue, MissingObject, UnknownName
from repro_assets.inspection.recorded import RecordedRun
from repro_assets.interchange.bundle import export_bundle
from repro_assets.interchange.importing import import_bundle
from repro_assets.journal.run_records import RunDeleted, RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home, make_store

RUN = "SELECT * EXCLUDE (segment) FROM runs WHERE run_id = $run"
TABLES = ("run_inputs", "run_outputs", "metrics", "metrics_last", "params", "consoles", "used_packages", "sources")


def facts(home: Home, run: str) -> dict[str, list[dict[str, object]]]:
    """All that the catalog says of a run, but for the file that its records lie in."""
    found = {"runs": queries.rows(home, RUN, {"run": run})}
    for table in TABLES:
        found[table] = queries.rows(home, f"SELECT * FROM {table} WHERE run_id = $run ORDER BY ALL", {"run": run})
    return found


def test_a_run_and_all_that_it_came_from_answer_as_where_they_were_made(
    stored: Stored, bundle: Path, empty: Home
) -> None:
    done = import_bundle(empty, bundle)
    assert done.runs == sorted([stored.data, stored.train, "pare000000000000"])
    assert done.versions == ["dataset-small:v1", "model-small:v1"] and done.ok
    for run in (stored.data, stored.train):
        assert facts(empty, run) == facts(stored.home, run)
        assert facts(empty, run)["run_outputs"]
    ours, theirs = RecordedRun(empty, stored.train), RecordedRun(stored.home, stored.train)
    assert ours.metrics().equals(theirs.metrics()) and len(ours.metrics()) >= 50
    replays = "SELECT * FROM replays"
    assert queries.rows(empty, replays) == queries.rows(stored.home, replays) != []
    model = repository.by_name(empty, "model-small")
    assert model is not None and numpy.array_equal(model.load()["w"], numpy.arange(4000, dtype="float32"))
    assert list(repository.by_name(empty, "dataset-small").load()["word"][:3]) == ["a", "b", "c"]  # type: ignore[union-attr]
    assert (
        queries.rows(empty, "SELECT run_id FROM runs WHERE run_id IN ($a, $b)", {"a": stored.later, "b": stored.other})
        == []
    )
    assert not queries.rows(empty, "SELECT * FROM damages")
    sound = check_store(empty, full=True)
    assert sound.ok and not sound.rebuilt


def test_the_same_export_has_the_same_bytes_also_from_the_store_that_imported_it(
    stored: Stored, bundle: Path, empty: Home, tmp_path: Path
) -> None:
    export_bundle(stored.home, [stored.train, stored.train], [], tmp_path / "again.repro")
    assert (tmp_path / "again.repro").read_bytes() == bundle.read_bytes()
    import_bundle(empty, bundle)
    export_bundle(empty, [stored.train], [], tmp_path / "back.repro")
    assert (tmp_path / "back.repro").read_bytes() == bundle.read_bytes()


def test_importing_again_or_where_it_was_made_changes_nothing_and_a_dry_run_writes_nothing(
    stored: Stored, bundle: Path, empty: Home
) -> None:
    before = files_of(empty)
    told = import_bundle(empty, bundle, dry_run=True)
    assert files_of(empty) == before
    nowhere = import_bundle(None, bundle)
    done = import_bundle(empty, bundle)
    told.dry_run = nowhere.dry_run = False
    assert told.document() == done.document() == nowhere.document()
    for home in (empty, stored.home):
        before = files_of(home)
        again = import_bundle(home, bundle)
        assert (again.objects, again.records, again.runs, again.versions) == (0, 0, [], [])
        assert files_of(home) == before


def test_two_bundles_and_a_pull_that_overlap_count_each_record_once(
    stored: Stored, bundle: Path, empty: Home, tmp_path: Path
) -> None:
    """Whichever comes first: a part, a larger part, the whole segment from a remote, a merge of all."""
    import_bundle(empty, bundle)
    assert queries.rows(empty, "SELECT count(*) AS n FROM run_outputs") == [{"n": 2}]
    export_bundle(stored.home, [stored.later], [], tmp_path / "later.repro")
    done = import_bundle(empty, tmp_path / "later.repro")
    assert done.runs == [stored.later]
    assert queries.rows(empty, "SELECT count(*) AS n FROM run_outputs") == [{"n": 3}]
    assert facts(empty, stored.train) == facts(stored.home, stored.train)
    journal_at(stored.home.journal).close()
    (tmp_path / "remote").mkdir()
    assert sharing.push(stored.home, str(tmp_path / "remote")).ok
    assert sharing.pull(empty, str(tmp_path / "remote")).ok
    tables = ("runs", "run_inputs", "run_outputs", "metrics", "replays", "versions", "processes")
    for _ in range(2):
        for table in tables:
            count = f"SELECT count(*) AS n FROM {table}"
            assert queries.rows(empty, count) == queries.rows(stored.home, count), table
        assert facts(empty, stored.train) == facts(stored.home, stored.train)
        assert not queries.rows(empty, "SELECT * FROM damages") and check_store(empty).ok
        projection.rebuild(empty)


def test_what_is_there_as_another_artifact_stays_and_both_are_named(stored: Stored, bundle: Path, empty: Home) -> None:
    mine = repository.claim(repository.put(empty, {"mine": True}), "model-small")
    done = import_bundle(empty, bundle)
    theirs = str(names.version(stored.home, "model-small", 1).digest)
    assert done.conflicts == [{"name": "model-small:v1", "local": str(mine.digest), "remote": theirs}] and not done.ok
    assert names.version(empty, "model-small", 1).digest == mine.digest
    assert queries.rows(empty, "SELECT digest FROM versions WHERE collection = 'model-small'") == [
        {"digest": str(mine.digest)}
    ]
    assert done.versions == ["dataset-small:v1"] and stored.train in done.runs
    assert repository.by_name(empty, theirs) is not None
    assert check_store(empty).ok


def test_an_artifact_alone_comes_with_the_run_that_made_it_and_one_that_nobody_made_by_itself(
    stored: Stored, empty: Home, tmp_path: Path
) -> None:
    table = names.version(stored.home, "dataset-small", 1).digest
    export_bundle(stored.home, [], [table], tmp_path / "table.repro")
    assert import_bundle(empty, tmp_path / "table.repro").runs == sorted([stored.data, "pare000000000000"])
    other = make_store(tmp_path / "other")
    put = repository.put(other, b"by hand" * 100)
    export_bundle(other, [], [put.digest], tmp_path / "put.repro")
    import_bundle(empty, tmp_path / "put.repro")
    assert repository.by_digest(empty, put.digest).load() == b"by hand" * 100


def test_a_run_without_an_end_is_interrupted_where_it_came(tmp_path: Path, empty: Home) -> None:
    home = make_store(tmp_path / "store")
    begin(home, RunStarted("goes000011111111", "script", "goes"))
    # A process of another host is thought to live while its segment is new.
    export_bundle(home, ["goes000011111111"], [], tmp_path / "a.repro", anonymous=True)
    import_bundle(empty, tmp_path / "a.repro")
    assert queries.rows(empty, "SELECT state FROM runs") == [{"state": "INTERRUPTED"}]
    assert queries.rows(home, "SELECT state FROM runs") == [{"state": "RUNNING"}]


def test_what_cannot_be_exported_whole_is_not_exported(tmp_path: Path) -> None:
    stored = fill(tmp_path / "store")
    to = tmp_path / "a.repro"
    with pytest.raises(UnknownName, match="has no run nothing"):
        export_bundle(stored.home, ["nothing"], [], to)
    with pytest.raises(InvalidValue, match="belongs to the store"):
        export_bundle(stored.home, [stored.train], [], stored.home.journal / "a.repro")
    digest = names.version(stored.home, "dataset-small", 1).digest
    (part,) = repository.by_digest(stored.home, digest).manifest.objects()
    path = stored.home.objects / part.hex[:2] / part.hex[2:]
    data = path.read_bytes()
    path.write_bytes(bytes(100) + data[100:])
    with pytest.raises(Exception, match=part.hex):
        export_bundle(stored.home, [stored.train], [], to)
    path.unlink(missing_ok=True)
    with pytest.raises(MissingObject):
        export_bundle(stored.home, [stored.later], [], to)
    assert not to.exists() and not list(tmp_path.glob("*.repro"))
    journal_at(stored.home.journal).append(RunDeleted(stored.other))
    with pytest.raises(InvalidValue, match="was deleted"):
        export_bundle(stored.home, [stored.other], [], to)


def test_a_store_with_a_merged_journal_gives_a_bundle_with_the_same_contents(tmp_path: Path, empty: Home) -> None:
    stored = fill(tmp_path / "store")
    export_bundle(stored.home, [stored.train], [], tmp_path / "before.repro")
    journal_at(stored.home.journal).close()
    assert merge(stored.home).segments >= 1
    export_bundle(stored.home, [stored.train], [], tmp_path / "after.repro")
    assert (tmp_path / "before.repro").read_bytes() == (tmp_path / "after.repro").read_bytes()
    import_bundle(empty, tmp_path / "after.repro")
    assert merge(empty).segments >= 1
    before = files_of(empty)
    shutil.rmtree(empty.root / "cache")
    assert import_bundle(empty, tmp_path / "before.repro").records == 0 and files_of(empty) == before
    assert facts(empty, stored.train) == facts(stored.home, stored.train)


def test_a_bundle_holds_no_record_of_another_run(stored: Stored, bundle: Path) -> None:
    text = b"".join(Pieces.of(bundle).segments)
    assert stored.train.encode() in text and stored.data.encode() in text
    assert stored.other.encode() not in text and stored.later.encode() not in text
