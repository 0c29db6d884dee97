"""Laying out and taking in: verified, whole or not at all, and never over what a person has."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pandas
import pytest

from repro_assets.artifacts import names, repository
from repro_assets.artifacts.checkout import check_out
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.intake import take_in
from repro_assets.errors import (
    CorruptObject,
    InvalidInput,
    InvalidValue,
    MachineError,
    MissingObject,
    ReusedElsewhere,
)
from repro_assets.store.home import Home, make_store, open_store
from repro_assets.store.opening import open_objects


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_store(tmp_path / "store")


@pytest.fixture
def tree(home: Home, tmp_path: Path) -> Artifact:
    root = tmp_path / "source"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"a")
    (root / "sub/b.txt").write_bytes(b"bb")
    return repository.put(home, root, name="source")


def holdings(root: Path) -> dict[str, bytes]:
    """Every file below a folder, those with a leading dot included."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_tree_is_laid_out_once_and_left_alone_when_equal(tree: Artifact, tmp_path: Path) -> None:
    target = tmp_path / "new/target"
    made = check_out(tree, target)
    assert (made.files, made.bytes, made.changed) == (2, 3, True)
    assert holdings(target) == {"a.txt": b"a", "sub/b.txt": b"bb"}
    before = target.stat().st_ino
    assert not check_out(tree, target).changed
    assert target.stat().st_ino == before
    assert set(target.parent.iterdir()) == {target}


def test_an_empty_folder_counts_as_nothing(tree: Artifact, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert check_out(tree, tmp_path / "empty").changed


@pytest.mark.parametrize("kind", ["tree", "bytes"])
@pytest.mark.parametrize("there", ["file", "folder", "link"])
def test_what_differs_is_replaced_only_when_asked(
    home: Home, tree: Artifact, tmp_path: Path, kind: str, there: str
) -> None:
    artifact = tree if kind == "tree" else repository.put(home, b"data")
    target, kept = tmp_path / "target", tmp_path / "kept"
    kept.write_bytes(b"mine")
    if there == "file":
        target.write_bytes(b"mine")
    elif there == "folder":
        (target / "a.txt").mkdir(parents=True)
        (target / "sub").mkdir()
        if kind == "tree":
            (target / "sub" / "b.txt").write_bytes(b"mine")
    else:
        target.symlink_to(kept)
    before = target.lstat().st_ino
    with pytest.raises(ReusedElsewhere, match="--force"):
        check_out(artifact, target)
    assert target.lstat().st_ino == before
    assert check_out(artifact, target, force=True).changed
    assert not target.is_symlink()
    assert (holdings(target) if kind == "tree" else target.read_bytes()) in (
        {"a.txt": b"a", "sub/b.txt": b"bb"},
        b"data",
    )
    assert kept.read_bytes() == b"mine"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".target")]


@pytest.mark.parametrize("kind", ["tree", "bytes"])
def test_what_the_artifact_does_not_have_never_goes(
    home: Home, tree: Artifact, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = tree if kind == "tree" else repository.put(home, b"data")
    target = tmp_path / "target"
    (target / "sub" / "deep").mkdir(parents=True)
    (target / "sub" / "deep" / "thesis.txt").write_bytes(b"mine")
    (target / "link").symlink_to("nowhere")
    with pytest.raises(ReusedElsewhere, match=r"holds 2 that the artifact does not have, such as link"):
        check_out(artifact, target, force=True)
    assert (target / "sub" / "deep" / "thesis.txt").read_bytes() == b"mine"
    for folder in (home.root, home.root.parent):
        with pytest.raises((ReusedElsewhere, InvalidValue)):
            check_out(artifact, folder, force=True)
    assert open_store(home.root) == home
    empty = tmp_path / "empty" / "here"
    empty.mkdir(parents=True)
    monkeypatch.chdir(empty)
    for folder in (empty, empty.parent):
        with pytest.raises(InvalidValue, match="current folder"):
            check_out(artifact, folder, force=True)


def test_one_more_file_or_another_bit_is_a_difference(tree: Artifact, tmp_path: Path) -> None:
    target = tmp_path / "target"
    check_out(tree, target)
    (target / "extra").touch()
    with pytest.raises(ReusedElsewhere):
        check_out(tree, target)
    (target / "extra").unlink()
    (target / "a.txt").write_bytes(b"b")
    with pytest.raises(ReusedElsewhere):
        check_out(tree, target)


@pytest.mark.parametrize("lost", [True, False])
def test_a_damaged_artifact_is_named_and_leaves_the_target_alone(
    home: Home, tree: Artifact, tmp_path: Path, lost: bool
) -> None:
    path = open_objects(home).path(tree.manifest.entries[1].objects[0])
    if lost:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    target = tmp_path / "target"
    target.mkdir()
    (target / "mine").write_bytes(b"mine")
    with pytest.raises(MissingObject if lost else CorruptObject, match="source cannot be read"):
        check_out(tree, target, force=True)
    assert holdings(target) == {"mine": b"mine"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_changing_a_laid_out_file_changes_nothing_in_the_store(home: Home, tree: Artifact, tmp_path: Path) -> None:
    check_out(tree, tmp_path / "target")
    with (tmp_path / "target/a.txt").open("r+b") as file:
        file.write(b"X")
    assert tree.is_whole(read=True)
    assert tree.load()["a.txt"] == b"a"


def test_the_store_itself_is_no_target(home: Home, tree: Artifact, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(home.objects)
    for target in (home.objects, home.objects / "x", home.journal / "deep/er", tmp_path / "way/x"):
        with pytest.raises(InvalidValue, match="lies in the store"):
            check_out(tree, target)


def test_a_target_that_cannot_be_made_is_the_machines_error(tree: Artifact, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="target"):
        check_out(tree, tmp_path / "file" / "target")


def test_of_two_that_lay_out_different_things_one_wins_whole(home: Home, tmp_path: Path) -> None:
    artifacts = [repository.put(home, Path(folder)) for folder in (make(tmp_path, "x"), make(tmp_path, "y"))]
    results: list[Any] = []
    barrier = threading.Barrier(2)

    def lay(artifact: Artifact) -> None:
        barrier.wait()
        try:
            results.append(check_out(artifact, tmp_path / "target"))
        except ReusedElsewhere as error:
            results.append(error)

    threads = [threading.Thread(target=lay, args=(artifact,)) for artifact in artifacts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(result).__name__ for result in results) == ["CheckedOut", "ReusedElsewhere"]
    assert len(set(holdings(tmp_path / "target").values())) == 1


def make(tmp_path: Path, letter: str) -> Path:
    root = tmp_path / letter
    root.mkdir()
    for number in range(20):
        (root / str(number)).write_text(letter)
    return root


def test_equal_content_under_one_name_is_one_version(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text('{"a": 1}')
    first = take_in(home, path, "numbers")
    again = take_in(home, path, "numbers")
    assert (first.artifact.version, first.reused) == (1, False)
    assert (again.artifact.version, again.reused) == (1, True)
    path.write_text('{"a": 2}')
    assert take_in(home, path, "numbers").artifact.version == 2
    assert first.artifact.kind == "bytes"


def test_a_named_kind_reads_the_file(home: Home, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,\n")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", None]})
    frame.to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text(frame.to_json(orient="records", lines=True))
    digests = {
        str(take_in(home, tmp_path / f"t.{end}", f"t-{end}", "table").artifact.digest) for end in ("csv", "parquet")
    }
    assert len(digests) == 1
    assert take_in(home, tmp_path / "t.jsonl", "t-jsonl", "table").artifact.load()["a"].tolist() == [1, 2]
    (tmp_path / "v.json").write_text(json.dumps({"é": [1, None]}))
    assert take_in(home, tmp_path / "v.json", "v", "json").artifact.load() == {"é": [1, None]}


@pytest.mark.parametrize(
    ("name", "content", "kind", "error"),
    [
        ("bad.json", b"{", "json", InvalidInput),
        ("bad.json", b"\xff\xfe{", "json", InvalidInput),
        ("bad.parquet", b"PAR1", "table", InvalidInput),
        ("bad.csv", b"", "table", InvalidInput),
        ("bad.csv", b"a,b\n1,2,3\n4,5,6,7\n", "table", InvalidInput),
        ("bad.jsonl", b'{"a": 1}\n{', "table", InvalidInput),
        ("bad.txt", b"x", "table", InvalidInput),
        ("bad.txt", b"x", "tree", InvalidValue),
        ("bad.txt", b"x", "tensors", InvalidValue),
        (".", None, "bytes", InvalidValue),
        ("nowhere", None, None, InvalidInput),
    ],
)
def test_what_does_not_read_is_refused_by_name_and_nothing_is_stored(
    home: Home, tmp_path: Path, name: str, content: bytes | None, kind: str | None, error: type[Exception]
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(error) as raised:
        take_in(home, folder / name, "thing", kind)
    assert os.fspath(folder) in str(raised.value) or "tensors" in str(raised.value)
    assert not names.versions(home, "thing")
    assert not list(open_objects(home).digests())
