"""A DVC repository that is imported in steps, or from several clones: nothing twice, and no name led astray."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from bundled import files_of
from dvc_by_hand import Theirs, md5, taken
from dvc_command import git

from repro_assets.artifacts import names, repository
from repro_assets.artifacts.kinds.tree import TreeFile
from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import show_run
from repro_assets.identity.digest import Digest
from repro_assets.interchange import formats
from repro_assets.interchange.imports import recording
from repro_assets.interchange.imports.foreign import run_id_of
from repro_assets.journal.run_records import RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home, make_store
from repro_assets.store.objects import LocalObjects

BEGAN = 1_600_000_000
PIPELINE = {"stages": {"train": {"cmd": "make", "deps": ["data.csv"], "outs": ["model.bin"], "metrics": ["m.json"]}}}


class Repository(Theirs):
    """A git repository of one stage, written by hand."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        git(root, "init", "-q", "-b", "main")
        (root / ".dvc" / "config").touch()
        (root / ".git" / "info" / "exclude").write_text(".dvc/cache\n")
        (root / "dvc.yaml").write_text(json.dumps(PIPELINE))
        self._time = BEGAN

    def write(self, model: bytes, figures: Any = None, data: bytes = b"rows") -> None:
        """Let the stage have made a model, and figures."""
        given = {"data.csv": data, "model.bin": model, "m.json": json.dumps(figures or {"loss": 1.0}).encode()}
        items = [{"path": path, "md5": self.keep(content), "hash": "md5"} for path, content in given.items()]
        stage = {"cmd": "make", "deps": items[:1], "outs": items[1:]}
        (self.root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"train": stage}}))

    def commit(self) -> str:
        self._time += 100
        git(self.root, "add", "-A")
        git(self.root, "commit", "-q", "-m", "more", time=self._time)
        return git(self.root, "rev-parse", "HEAD")


@pytest.fixture
def theirs(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "theirs")


def values(home: Home, collection: str) -> list[Any]:
    return [repository.handle(home, version).load() for version in names.versions(home, collection)]


def named(home: Home, name: str) -> Any:
    found = repository.by_name(home, name)
    assert found is not None
    return found.load()


def test_figures_that_json_does_not_have_come_back_from_their_texts(theirs: Repository, empty: Home) -> None:
    given = {"a": "NaN", "b": "Infinity", "by": {"c": "-Infinity", "d": 2}, "e": "nan", "f": True}
    theirs.write(b"model", given)
    theirs.commit()
    (run,) = taken(empty, theirs).runs
    found = {row["name"]: row["value"] for row in show_run(empty, run)["metrics"]}
    assert math.isnan(found.pop("a"))
    assert found == {"b": math.inf, "by.c": -math.inf, "by.d": 2.0}


def test_figures_that_we_exported_come_back_as_they_were(empty: Home, tmp_path: Path) -> None:
    home = make_store(tmp_path / "ours")
    source = repository.put(home, [TreeFile("code.py", Path(__file__))], "tree").digest
    run = begin(home, RunStarted("0" * 16, "script", "fit", source=str(source), plan={"form": "script"}))
    run.log_output("model", {"a": 1}, name="model")
    for name, value in (("loss", math.nan), ("most", math.inf), ("least", -math.inf), ("real", 0.5)):
        run.log_metric(name, value, 0)
    run.end()
    journal_at(home.journal).close()
    formats.export(run.run_id, to=tmp_path / "out", format="dvc", home=home)
    (came,) = formats.take_in(tmp_path / "out", "dvc", home=empty).runs
    found = {row["name"]: row["value"] for row in show_run(empty, came)["metrics"]}
    assert math.isnan(found.pop("loss"))
    assert found == {"most": math.inf, "least": -math.inf, "real": 0.5}


def history(theirs: Repository, *models: bytes) -> list[str]:
    """Commit a model after the other, each with figures of its own."""
    commits = []
    for number, model in enumerate(models):
        theirs.write(model, {"loss": number + 0.5})
        commits.append(theirs.commit())
    return commits


def test_older_bytes_that_come_later_do_not_become_what_the_name_means(theirs: Repository, empty: Home) -> None:
    commits = history(theirs, b"first", b"second", b"third")
    kept = theirs.root.parent / "kept"
    (theirs.root / ".dvc" / "cache").rename(kept)
    theirs.write(b"third", {"loss": 2.5})
    first = taken(empty, theirs)
    assert {item["name"] for item in first.left_out} == {"model.bin", "m.json"}
    assert values(empty, "model.bin") == [b"third"]
    (theirs.root / ".dvc" / "config").write_text(f"['remote \"there\"']\n    url = {kept}\n")
    told = formats.take_in(theirs.root, "dvc", home=empty, dry_run=True)
    done = taken(empty, theirs)
    assert told.document() == {**done.document(), "dry_run": True}
    # Numbers are what they were; the newest is the branch's newest, claimed by the run that made it.
    assert values(empty, "model.bin") == [b"third", b"first", b"second", b"third"]
    assert named(empty, "model.bin") == b"third" and named(empty, "m.json") == b'{"loss": 2.5}'
    last = names.newest(empty, "model.bin")
    assert last.run_id == run_id_of("dvc", f"{commits[2]}:dvc.lock:train")
    again = "so that the newest version is what is newest there"
    assert set(done.notes) == {f"{name}:v4 is {name}:v1 again, {again}" for name in ("model.bin", "m.json")}
    rows = queries.rows(empty, "SELECT run_id FROM versions WHERE collection = 'model.bin' ORDER BY version")
    assert [row["run_id"] for row in rows] == [
        run_id_of("dvc", f"{commits[number]}:dvc.lock:train") for number in (2, 0, 1, 2)
    ]
    assert (len(done.grown), done.left_out) == (2, [])
    nothing = taken(empty, theirs)
    assert (nothing.records, nothing.grown, nothing.versions, nothing.notes) == (0, [], [], [])


def test_a_kill_between_older_versions_and_the_last_is_mended_by_importing_again(
    theirs: Repository, empty: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    history(theirs, b"first", b"second")
    place = theirs.place(md5(b"first"))
    aside = place.rename(theirs.root.parent / "aside")
    taken(empty, theirs)
    aside.rename(place)

    def killed(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("repro_assets.interchange.imports.versions._Collection.meant_again", killed)
        with pytest.raises(KeyboardInterrupt):
            taken(empty, theirs)
    assert named(empty, "model.bin") == b"first"
    assert taken(empty, theirs).versions == ["model.bin:v3"]
    assert values(empty, "model.bin") == [b"second", b"first", b"second"]


def test_what_a_run_read_comes_later_too(theirs: Repository, empty: Home) -> None:
    theirs.write(b"model", data=b"rows")
    theirs.commit()
    place = theirs.place(md5(b"rows"))
    aside = place.rename(theirs.root.parent / "aside")
    (run,) = taken(empty, theirs).runs
    assert show_run(empty, run)["inputs"] == []
    aside.rename(place)
    assert taken(empty, theirs).grown == [run]
    (read,) = show_run(empty, run)["inputs"]
    assert read["slot"] == "data.csv" and named(empty, read["digest"]) == b"rows"


def test_an_import_that_was_cut_off_after_its_claims_claims_none_again(
    theirs: Repository, empty: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    history(theirs, b"first", b"second", b"second", b"third", b"first")

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(recording, "keep_whole", cut_off)
        with pytest.raises(KeyboardInterrupt):
            taken(empty, theirs)
    done = taken(empty, theirs)
    assert (len(done.runs), done.versions) == (5, [])
    assert values(empty, "model.bin") == [b"first", b"second", b"third", b"first"]


@pytest.mark.parametrize("side_wins", [False, True])
@pytest.mark.parametrize("in_steps", [False, True])
def test_of_merged_branches_the_name_means_what_the_merge_kept(
    theirs: Repository, empty: Home, side_wins: bool, in_steps: bool
) -> None:
    history(theirs, b"base")
    git(theirs.root, "checkout", "-q", "-b", "side")
    history(theirs, b"side")
    git(theirs.root, "checkout", "-q", "main")
    history(theirs, b"main")
    if in_steps:
        taken(empty, theirs)
    how = "theirs" if side_wins else "ours"
    git(theirs.root, "merge", "-q", "--no-ff", "-X", how, "-m", "both", "side", time=BEGAN + 10_000)
    taken(empty, theirs)
    assert named(empty, "model.bin") == (b"side" if side_wins else b"main")
    assert {b"base", b"side", b"main"} == set(values(empty, "model.bin"))
    assert taken(empty, theirs).records == 0


def test_older_bytes_leave_the_name_to_another_repository_that_claimed_last(
    theirs: Repository, empty: Home, tmp_path: Path
) -> None:
    history(theirs, b"first", b"second")
    place = theirs.place(md5(b"first"))
    aside = place.rename(tmp_path / "aside")
    taken(empty, theirs)
    other = Repository(tmp_path / "other")
    history(other, b"other")
    taken(empty, other)
    aside.rename(place)
    taken(empty, theirs)
    assert values(empty, "model.bin") == [b"second", b"other", b"first", b"other"]


def test_two_clones_are_one_source_and_one_that_knows_less_adds_nothing(theirs: Repository, empty: Home) -> None:
    history(theirs, b"first", b"second", b"first")
    clone = theirs.root.parent / "clone"
    git(theirs.root.parent, "clone", "-q", str(theirs.root), str(clone))
    taken(empty, theirs)
    before = files_of(empty)
    for root in (clone, theirs.root, clone):
        done = formats.take_in(root, "dvc", home=empty)
        assert (done.records, done.runs, done.grown, done.left_out, done.versions) == (0, [], [], [], [])
    assert files_of(empty) == before
    # A commit of the clone's whose bytes the store has, but not under this run.
    lock = json.loads((clone / "dvc.lock").read_text())
    lock["stages"]["train"]["cmd"] = "make again"
    (clone / "dvc.lock").write_text(json.dumps(lock))
    git(clone, "commit", "-q", "-a", "-m", "again", time=BEGAN + 10_000)
    done = formats.take_in(clone, "dvc", home=empty)
    assert (len(done.runs), done.versions, done.left_out) == (1, [], [])
    shown = show_run(empty, done.runs[0])
    assert {row["slot"] for row in (*shown["inputs"], *shown["outputs"])} == {"data.csv", "model.bin", "m.json"}
    assert [row["value"] for row in shown["metrics"]] == [2.5] and len(shown["imported_from"]) == 1


def test_a_clone_adds_nothing_where_the_store_has_lost_its_bytes(theirs: Repository, empty: Home) -> None:
    history(theirs, b"first", b"second")
    clone = theirs.root.parent / "clone"
    git(theirs.root.parent, "clone", "-q", str(theirs.root), str(clone))
    (run, *_) = taken(empty, theirs).runs
    LocalObjects(empty).path(Digest.of(b"first")).unlink()
    before = files_of(empty)
    for _ in range(2):
        done = formats.take_in(clone, "dvc", home=empty)
        assert [item["name"] for item in done.left_out] == ["model.bin"]
        assert (done.records, done.grown, done.runs) == (0, [], [])
        assert taken(empty, theirs).records == 0
    assert files_of(empty) == before
    assert len(show_run(empty, run)["imported_from"]) == 1


def test_what_was_imported_uncommitted_is_that_version_once_it_is_committed(theirs: Repository, empty: Home) -> None:
    history(theirs, b"first")
    theirs.write(b"second")
    taken(empty, theirs)
    assert values(empty, "model.bin") == [b"first", b"second"]
    theirs.commit()
    clone = theirs.root.parent / "clone"
    git(theirs.root.parent, "clone", "-q", str(theirs.root), str(clone))
    taken(empty, theirs)
    history(theirs, b"third")
    for root in (theirs.root, clone, theirs.root, clone):
        formats.take_in(root, "dvc", home=empty)
    assert values(empty, "model.bin") == [b"first", b"second", b"third"]
    # A commit that takes an uncommitted one back is what the name means.
    theirs.write(b"fourth")
    taken(empty, theirs)
    theirs.write(b"third", {"loss": 9.0})
    theirs.commit()
    taken(empty, theirs)
    assert named(empty, "model.bin") == b"third"
