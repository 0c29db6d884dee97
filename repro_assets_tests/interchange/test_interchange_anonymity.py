"""Anonymized bundles: nothing in records and environments names a host, a person, a home, a remote or a device."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest
from bundled import REMOTE, Pieces, Stored

from repro_assets.artifacts import repository
from repro_assets.catalog import queries
from repro_assets.identity.digest import Digest
from repro_assets.interchange.bundle import export_bundle
from repro_assets.interchange.importing import import_bundle
from repro_assets.journal.lines import write_line
from repro_assets.journal.records import Process
from repro_assets.journal.run_records import RunNoted, RunStarted
from repro_assets.journal.segments import journal_at, list_segments
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home, make_store

NAMES = ("sturdy-host", "GPU-12345678-aaaa", "erika", REMOTE, "/home/")


@pytest.fixture(scope="module")
def nobody(stored: Stored, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nobody") / "nobody.repro"
    export_bundle(stored.home, [stored.train], [], path, anonymous=True)
    return path


def known_of(home: Home) -> list[str]:
    """What the journal's processes say of this machine."""
    rows = queries.rows(home, "SELECT DISTINCT host, account, segment FROM processes")
    return [str(row[name]) for row in rows for name in ("host", "account", "segment") if str(row[name]) != "root"]


def test_names_and_places_are_in_no_record_and_no_environment(stored: Stored, nobody: Path, bundle: Path) -> None:
    plain, clean = Pieces.of(bundle), Pieces.of(nobody)
    for name in NAMES:
        assert name.encode() in b"".join(plain.segments), name
        assert name.encode() not in b"".join(clean.segments), name
    for word in known_of(stored.home):
        assert f'"{word}'.encode() not in b"".join(clean.segments)
        assert word not in json.dumps(clean.document)
    assert clean.document["anonymized"] is True and plain.document["anonymized"] is False


def test_what_was_made_is_the_same_and_the_environment_is_another_one(
    stored: Stored, nobody: Path, empty: Home
) -> None:
    done = import_bundle(empty, nobody)
    assert done.anonymized and done.ok
    rows = "SELECT run_id, slot, digest FROM run_outputs WHERE run_id IN ($a, $b) ORDER BY ALL"
    asked = {"a": stored.data, "b": stored.train}
    assert queries.rows(empty, rows, asked) == queries.rows(stored.home, rows, asked) != []
    one = "SELECT environment, source, host_facts, plan FROM runs WHERE run_id = $run"
    (ours,), (theirs,) = (queries.rows(home, one, {"run": stored.train}) for home in (empty, stored.home))
    assert ours["source"] == theirs["source"] and ours["environment"] != theirs["environment"]
    document = repository.by_digest(empty, Digest.parse(ours["environment"])).load()
    assert "host" not in document and document["packages"] == [{"name": "numpy", "version": "2.1.0"}]
    assert document["python"]["executable"] == "~/venv/bin/python"
    assert json.loads(ours["plan"])["folder"] == "~/work" and json.loads(ours["host_facts"]) == {
        "torch": {"threads": 1}
    }
    assert queries.rows(empty, "SELECT DISTINCT host, account, pid FROM processes") == [
        {"host": "anonymous", "account": None, "pid": 0}
    ]
    assert queries.rows(empty, "SELECT remote FROM sources WHERE remote IS NOT NULL") == []
    model = repository.by_name(empty, "model-small")
    assert model is not None and numpy.array_equal(model.load()["w"], numpy.arange(4000, dtype="float32"))


def test_where_the_records_are_already_none_comes_a_second_time(
    stored: Stored, nobody: Path, bundle: Path, empty: Home
) -> None:
    import_bundle(empty, bundle)
    again = import_bundle(empty, nobody)
    assert (again.records, again.runs) == (0, [])
    assert queries.rows(empty, "SELECT count(*) AS n FROM run_outputs") == [{"n": 2}]


def test_a_name_goes_where_it_is_a_word_and_stays_where_it_is_a_part_of_one(tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    begin(home, RunStarted("runs000011111111", "script", "erika's run on tower", config={"tower": "towers"})).end()
    journal_at(home.journal).append(RunNoted("runs000011111111", "seen on tower:/Users/erika/x by erika"))
    journal_at(home.journal).close()
    (path,) = list_segments(home.journal)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[0] = write_line(Process("tower", "id-of-tower", "boot", 7, ["python"], "erika"), seq=0, time=1.0)
    path.unlink()
    path.with_name(f"tower-7-{'0' * 32}.jsonl").write_bytes(b"".join(lines))
    export_bundle(home, ["runs000011111111"], [], tmp_path / "a.repro", anonymous=True)
    text = b"".join(Pieces.of(tmp_path / "a.repro").segments).decode()
    assert "erika" not in text and "id-of-tower" not in text and '"tower"' not in text
    assert "towers" in text and "anonymous's run on anonymous" in text and "seen on anonymous:~/x by anonymous" in text
