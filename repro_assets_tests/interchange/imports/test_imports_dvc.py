"""A DVC repository that DVC itself made, taken in: every version, every stage, and nothing that is not so."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from bundled import files_of
from dvc_command import dvc, git
from exported import World

from repro_assets.artifacts import names, repository
from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import show_run
from repro_assets.errors import InvalidInput
from repro_assets.interchange import formats
from repro_assets.interchange.dvc_objects import OBJECTS, object_path
from repro_assets.interchange.imports.foreign import run_id_of
from repro_assets.store.home import Home

FIRST, SECOND, THIRD, LAST = 1_600_000_000, 1_600_001_000, 1_600_002_000, 1_600_003_000
PIPELINE = """
stages:
  train:
    cmd: python code/train.py
    deps: [data/train.csv, code]
    params: [lr, "other.yaml:", {other.yaml: [deep]}]
    outs: [model.bin]
    metrics: [{metrics.json: {cache: false}}]
""".replace(', "other.yaml:"', "")
TRAIN = """
import json, pathlib
rows = pathlib.Path("data/train.csv").read_text()
pathlib.Path("model.bin").write_text(rows + pathlib.Path("params.yaml").read_text())
pathlib.Path("metrics.json").write_text(json.dumps({"loss": len(rows) / 4, "by": {"class": float("nan")}, "note": "x"}))
"""
ROWS = ("a,b\n1,2\n", "a,b\r\n3,4\r\n5,6\r\n")


def commit(folder: Path, message: str, time: int) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message, time=time)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two versions of data and of a training, and the first data again."""
    root = tmp_path_factory.mktemp("dvc") / "theirs"
    (root / "data" / "images" / "sub").mkdir(parents=True)
    (root / "code").mkdir()
    git(root, "init", "-q")
    dvc(root, "init", "-q")
    (root / "data" / "train.csv").write_text(ROWS[0], newline="")
    (root / "data" / "images" / "a.png").write_bytes(b"\x89PNG\0")
    (root / "data" / "images" / "sub" / "b.txt").write_text("b\n")
    dvc(root, "add", "-q", "data/train.csv", "data/images")
    commit(root, "Data\n\nas it came", FIRST)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "code" / "train.py").write_text(TRAIN)
    (root / "code" / "none.txt").touch()
    (root / "params.yaml").write_text("lr: 1e-05\nunused: 1\n")
    (root / "other.yaml").write_text("deep: {layers: [1, 2], on: yes}\n")
    dvc(root, "repro", "-q")
    commit(root, "Trained", SECOND)
    (root / "data" / "train.csv").write_text(ROWS[1], newline="")
    (root / "params.yaml").write_text("lr: 0.5\n")
    dvc(root, "repro", "-q")
    commit(root, "Trained on more", THIRD)
    (root / "data" / "train.csv.dvc").write_text(git(root, "show", "HEAD~2:data/train.csv.dvc") + "\n")
    commit(root, "The first data again", LAST)
    return root


@pytest.fixture
def theirs(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "theirs", symlinks=True))


def taken(home: Home, folder: Path, **options: Any) -> Any:
    return formats.take_in(folder, "dvc", home=home, **options)


def versions(home: Home, collection: str) -> list[Any]:
    return [repository.handle(home, version).load() for version in names.versions(home, collection)]


def object_of(folder: Path, path: str) -> Path:
    """Where the cache has what a ``.dvc`` file or the lock says of a path now."""
    lines = (folder / f"{path}.dvc").read_text().split()
    return object_path(folder / ".dvc" / "cache" / OBJECTS, lines[lines.index("md5:") + 1])


def test_every_version_of_data_comes_in_the_order_of_the_history(made: Path, empty: Home) -> None:
    done = taken(empty, made)
    assert (done.ok, done.verified, done.left_out, done.notes) == (True, True, [], [])
    rows = [text.encode() for text in ROWS]
    assert versions(empty, "data__train.csv") == [rows[0], rows[1], rows[0]]
    (images,) = versions(empty, "data__images")
    assert dict(images) == {"a.png": b"\x89PNG\0", "sub/b.txt": b"b\n"}
    commits = git(made, "rev-list", "--reverse", "HEAD").split()
    first = show_run(empty, run_id_of("dvc", f"{commits[0]}:data/train.csv.dvc"))
    assert (first["run_kind"], first["state"], first["name"]) == ("imported", "COMPLETED", "data/train.csv.dvc")
    (origin,) = first["imported_from"]
    assert origin["details"]["commit"] == commits[0] and origin["details"]["message"] == "Data\n\nas it came"
    assert origin["details"]["outs"][0]["path"] == "data/train.csv"
    times = queries.rows(empty, "SELECT DISTINCT epoch(started_at)::BIGINT AS moment FROM runs ORDER BY 1")
    assert [row["moment"] for row in times] == [FIRST, SECOND, THIRD, LAST]
    assert [version.run_id for version in names.versions(empty, "data__train.csv")] == [
        run_id_of("dvc", f"{commits[number]}:data/train.csv.dvc") for number in (0, 2, 3)
    ]


def test_stages_are_runs_with_what_they_read_wrote_and_measured(made: Path, empty: Home) -> None:
    taken(empty, made)
    commits = git(made, "rev-list", "--reverse", "HEAD").split()
    runs = [show_run(empty, run_id_of("dvc", f"{commit}:dvc.lock:train")) for commit in commits[1:3]]
    assert [run["name"] for run in runs] == ["train", "train"]
    assert [run["params"] for run in runs] == [
        {"lr": 1e-05, "other.yaml:deep.layers": [1, 2], "other.yaml:deep.on": "yes"},
        {"lr": 0.5, "other.yaml:deep.layers": [1, 2], "other.yaml:deep.on": "yes"},
    ]
    assert [{row["name"]: row["value"] for row in run["metrics"]}["loss"] for run in runs] == [2.0, 3.0]
    assert {row["name"] for row in runs[0]["metrics"]} == {"loss", "by.class"}
    for number, run in enumerate(runs):
        read = {row["slot"]: row for row in run["inputs"]}
        assert set(read) == {"data/train.csv", "code"}
        maker = run_id_of("dvc", f"{commits[2 * number]}:data/train.csv.dvc")
        assert read["data/train.csv"]["made_by"] == maker and read["code"]["made_by"] is None
        code = repository.by_name(empty, read["code"]["digest"])
        assert code is not None and dict(code.load()) == {"train.py": TRAIN.encode(), "none.txt": b""}
        assert {row["collection"] for row in run["outputs"]} == {"model.bin", "metrics.json"}
        assert run["imported_from"][0]["details"]["command"] == "python code/train.py"
        assert (run["environment"], run["source"], run["seed"], run["command"]) == (None, None, None, None)
    assert versions(empty, "model.bin")[1] == (ROWS[1].replace("\r\n", "\n") + "lr: 0.5\n").encode()


def test_importing_again_changes_nothing_and_a_dry_run_says_the_same(made: Path, empty: Home) -> None:
    before = files_of(empty)
    told = taken(empty, made, dry_run=True)
    assert files_of(empty) == before
    done = taken(empty, made)
    assert (told.runs, told.versions, told.objects) == (done.runs, done.versions, done.objects)
    assert len(done.runs) == 6 and done.objects > 10
    after = files_of(empty)
    again = taken(empty, made)
    assert (again.runs, again.versions, again.records, again.objects) == ([], [], 0, 0)
    assert files_of(empty) == after


def test_a_damaged_object_refuses_the_whole_though_dvc_trusts_it(theirs: Path, empty: Home) -> None:
    path = object_of(theirs, "data/train.csv")
    path.chmod(0o644)
    path.write_text("a,b\n9,9\n")
    path.chmod(0o444)
    (theirs / "data" / "train.csv").unlink()
    dvc(theirs, "checkout", "-q", "data/train.csv.dvc")
    assert (theirs / "data" / "train.csv").read_text() == "a,b\n9,9\n"
    before = files_of(empty)
    with pytest.raises(InvalidInput, match=f"{path.name} is damaged"):
        taken(empty, theirs)
    assert files_of(empty) == before
    # A sound copy on a remote that is a folder counts instead.
    remote = theirs.parent / "remote"
    shutil.copytree(theirs / ".dvc" / "cache", remote)
    shutil.copyfile(theirs / "data" / "train.csv", theirs.parent / "bad")
    good = object_path(remote / OBJECTS, path.parent.name + path.name)
    good.chmod(0o644)
    good.write_text(ROWS[0], newline="")
    (theirs / ".dvc" / "config").write_text(
        "[core]\n    remote = there\n['remote \"there\"']\n    url = ../../remote\n"
    )
    assert taken(empty, theirs).left_out == []
    assert versions(empty, "data__train.csv")[0] == ROWS[0].encode()


def test_what_is_nowhere_is_named_left_out_and_comes_later(theirs: Path, empty: Home) -> None:
    path = object_of(theirs, "data/train.csv")
    aside = path.rename(theirs.parent / "aside")
    image = next(
        p for p in (theirs / ".dvc" / "cache" / OBJECTS).rglob("*") if p.is_file() and p.read_bytes() == b"b\n"
    )
    image.unlink()
    (theirs / ".dvc" / "config").write_text("['remote \"far\"']\n    url = https://u:secret@far.example/x?sig=1\n")
    done = taken(empty, theirs)
    assert done.ok
    by_path = {item["name"]: item["reason"] for item in done.left_out}
    assert set(by_path) == {"data/train.csv", "data/images"}
    assert "1 of its 2 files, such as 'sub/b.txt'" in by_path["data/images"]
    assert "it may be in https://far.example/x?sig=: dvc pull" in by_path["data/train.csv"]
    assert versions(empty, "data__train.csv") == [ROWS[1].encode()]
    run = show_run(empty, next(item["run"] for item in [{"run": run} for run in done.runs]))
    assert run["state"] == "COMPLETED"
    path.parent.mkdir(exist_ok=True)
    aside.rename(path)
    later = taken(empty, theirs)
    assert later.runs == [] and len(later.grown) == 3
    assert [item["name"] for item in later.left_out] == ["data/images"]
    assert sorted(versions(empty, "data__train.csv")) == sorted([ROWS[1].encode(), ROWS[0].encode()])


def test_a_cache_of_another_place_and_what_is_not_committed(theirs: Path, empty: Home) -> None:
    shutil.move(theirs / ".dvc" / "cache", theirs.parent / "shared")
    (theirs / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {theirs.parent / 'shared'}\n")
    taken(empty, theirs)
    text = (theirs / "data" / "images.dvc").read_text()
    other = (theirs / "data" / "train.csv.dvc").read_text()
    (theirs / "data" / "more.csv.dvc").write_text(other.replace("train.csv", "more.csv"))
    (theirs / "data" / "images.dvc").write_text(text + "desc: by hand\n")
    lock = (theirs / "dvc.lock").read_text()
    (theirs / "dvc.lock").write_text(f"{lock}  second:\n    cmd: 'true'\n")
    done = taken(empty, theirs)
    assert done.versions == ["data__more.csv:v1"]
    runs = {run["name"]: run for run in (show_run(empty, run) for run in done.runs)}
    # Of a file that changed, only the entries that did.
    assert set(runs) == {"data/images.dvc", "data/more.csv.dvc", "second"}
    more = runs["data/more.csv.dvc"]
    assert more["imported_from"][0]["details"].get("commit") is None
    assert more["imported_from"][0]["foreign_id"].startswith("uncommitted:data/more.csv.dvc:")
    assert taken(empty, theirs).runs == []


def test_without_git_it_is_what_lies_there(theirs: Path, empty: Home) -> None:
    shutil.rmtree(theirs / ".git")
    # What looks like a file of DVC's within tracked data is data.
    (theirs / "data" / "images" / "x.dvc").write_text("outs: [{path: ../../../../etc/passwd, md5: 0}]")
    (theirs / "below" / ".dvc").mkdir(parents=True)
    (theirs / "below" / "y.dvc").write_text("not: [this")
    done = taken(empty, theirs)
    assert len(done.runs) == 3 and len(done.versions) == 4
    # What a stage depended on is the file that lies there, if it is the same.
    stage = next(show_run(empty, run) for run in done.runs if show_run(empty, run)["name"] == "train")
    assert {row["slot"] for row in stage["inputs"]} == {"data/train.csv", "code"}
    assert taken(empty, theirs).records == 0


def test_a_branch_comes_in_its_place_and_a_repository_in_a_folder_of_gits_is_found(theirs: Path, empty: Home) -> None:
    top = theirs.parent / "top"
    (top / "team").mkdir(parents=True)
    git(top, "init", "-q", "-b", "main")
    root = top / "team" / "pro[j]ect"
    shutil.copytree(theirs / ".dvc", root / ".dvc")
    text = (theirs / "data" / "train.csv.dvc").read_text()
    (top / "team" / "not-ours.dvc").write_text(text)

    def track(name: str, time: int) -> None:
        (root / f"{name}.dvc").write_text(text.replace("train.csv", name))
        commit(top, name, time)

    track("a.csv", FIRST)
    git(top, "checkout", "-q", "-b", "side")
    track("b.csv", SECOND)
    git(top, "checkout", "-q", "main")
    track("c.csv", THIRD)
    git(top, "merge", "-q", "--no-ff", "-m", "both", "side")
    done = taken(empty, root)
    assert sorted(done.versions) == ["a.csv:v1", "b.csv:v1", "c.csv:v1"] and done.versions[0] == "a.csv:v1"
    assert len(done.runs) == 3
    (root / "d.csv.dvc").write_text(text.replace("train.csv", "d.csv"))
    assert taken(empty, root).versions == ["d.csv:v1"]


def test_a_broken_file_is_named_where_it_is_history_and_refused_where_it_is_now(theirs: Path, empty: Home) -> None:
    path = theirs / "data" / "train.csv.dvc"
    text = path.read_text()
    path.write_text("<<<<<<< HEAD\n" + text)
    with pytest.raises(InvalidInput, match=r"data/train\.csv\.dvc is not YAML"):
        taken(empty, theirs)
    broken = commit(theirs, "broken", LAST + 1)
    path.write_text(text)
    commit(theirs, "mended", LAST + 2)
    done = taken(empty, theirs)
    assert [(item["run"], item["name"]) for item in done.left_out] == [
        (f"{broken}:data/train.csv.dvc", "data/train.csv.dvc")
    ]
    assert len(versions(empty, "data__train.csv")) == 3


def test_nothing_of_theirs_is_executed(theirs: Path, empty: Home) -> None:
    trap = theirs.parent / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {theirs.parent}/sprung\n")
    trap.chmod(0o755)
    for name in ("core.fsmonitor", "core.sshCommand", "core.pager", "diff.external", "gpg.program", "core.hooksPath"):
        git(theirs, "config", name, str(trap))
    git(theirs, "config", "log.showSignature", "true")
    git(theirs, "config", "extensions.partialClone", "origin")
    git(theirs, "config", "remote.origin.url", f"ext::{trap}")
    git(theirs, "config", "remote.origin.promisor", "true")
    git(theirs, "config", "protocol.ext.allow", "always")
    blob = git(theirs, "rev-parse", "HEAD~2:code/train.py")
    (theirs / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    done = taken(empty, theirs)
    assert not (theirs.parent / "sprung").exists()
    assert {item["name"] for item in done.left_out} == {"code"}


def test_what_was_exported_comes_back_as_it_was(world: World, empty: Home, tmp_path: Path) -> None:
    formats.export("dataset-files", "raw-flowers.csv", to=tmp_path / "out", format="dvc", home=world.home)
    done = taken(empty, tmp_path / "out")
    for name in ("dataset-files", "raw-flowers.csv"):
        (version,) = names.versions(empty, f"data__{name}-v1")
        assert version.digest == world.made[name].digest
    assert len(done.runs) == 2


def test_a_folder_without_dvc_is_refused(tmp_path: Path, empty: Home) -> None:
    with pytest.raises(InvalidInput, match="it has no folder"):
        taken(empty, tmp_path)
    (tmp_path / ".dvc").mkdir()
    done = taken(empty, tmp_path)
    assert (done.runs, done.notes) == ([], ["it tracks nothing"])
