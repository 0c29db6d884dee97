"""A store is known by its marker, made once, and found from where one stands."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from repro_assets.errors import CorruptRecord, InvalidInput, InvalidValue, NoStore, UnsupportedFormat
from repro_assets.store.home import FORMAT, MARKER, Home, find_store, make_store, open_store, refuse_own


def test_making_a_store_twice_changes_nothing(tmp_path: Path) -> None:
    home = make_store(tmp_path / "any name")
    marker = (home.root / MARKER).read_bytes()
    assert make_store(home.root) == open_store(home.root) == home
    assert (home.root / MARKER).read_bytes() == marker


def test_of_many_that_make_one_store_the_firsts_id_stays(tmp_path: Path) -> None:
    def identity(_: int) -> str:
        home = make_store(tmp_path / "store")
        return str(json.loads((home.root / MARKER).read_text())["store_id"])

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(identity, range(16)))) == 1


@pytest.mark.parametrize("root", ["missing", "folder"])
def test_where_no_marker_is_there_is_no_store(tmp_path: Path, root: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "objects").mkdir()
    with pytest.raises(NoStore, match=root):
        open_store(tmp_path / root)


@pytest.mark.parametrize("opened", [make_store, open_store])
def test_a_store_cannot_be_a_file(tmp_path: Path, opened: Callable[[Path], Home]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="a file, not a folder"):
        opened(tmp_path / "file")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": "x"}', '{"format": null}'])
def test_a_damaged_marker_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / MARKER).write_text(content)
    with pytest.raises(CorruptRecord, match=MARKER):
        open_store(tmp_path)


def test_a_store_of_a_newer_format_is_refused_by_its_number(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(UnsupportedFormat, match=f"format {FORMAT + 1}"):
        open_store(tmp_path)


def test_the_variable_decides_and_then_the_nearest_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outer, inner = make_store(tmp_path / "data"), make_store(tmp_path / "project" / "data")
    below = tmp_path / "project" / "deep" / "down"
    below.mkdir(parents=True)
    assert find_store(below) == find_store(inner.root) == inner
    assert find_store(tmp_path) == outer
    monkeypatch.setenv("REPRO_HOME", str(outer.root))
    assert find_store(below) == outer


def test_a_store_that_the_variable_names_and_is_not_there_is_not_replaced_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(tmp_path / "data")
    monkeypatch.setenv("REPRO_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(NoStore, match="elsewhere"):
        find_store(tmp_path)
    assert find_store(tmp_path, make=True) == Home(tmp_path / "elsewhere")


def test_no_store_is_made_among_somebodys_files_unless_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    monkeypatch.setenv("REPRO_HOME", str(folder))
    with pytest.raises(NoStore, match=r"thesis\.txt") as refused:
        find_store(tmp_path, make=True)
    assert refused.value.remedy.endswith(f"repro init {folder}")
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    make_store(folder)
    assert find_store(tmp_path, make=True).root == folder
    # The data of a project is where its store belongs, whoever names it.
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    (project / "pyproject.toml").touch()
    (project / "data" / "loader.py").touch()
    monkeypatch.setenv("REPRO_HOME", str(project / "data"))
    assert find_store(tmp_path, make=True).root == project / "data"


def test_git_sees_nothing_of_a_store_and_all_that_is_beside_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    home = make_store(tmp_path / "data")
    for name in ("objects/ab/c", "journal/x.jsonl", "catalog.duckdb", "raw/in.csv", "loader.py", "sub/objects/x"):
        (home.root / name).parent.mkdir(parents=True, exist_ok=True)
        (home.root / name).touch()
    seen = subprocess.run(
        ["git", "-C", str(tmp_path), "ls-files", "-o", "--exclude-standard"], check=True, capture_output=True, text=True
    )
    assert seen.stdout.split() == ["data/loader.py", "data/raw/in.csv", "data/sub/objects/x"]


def test_a_persons_own_file_says_what_git_leaves_alone(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*\n")
    make_store(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("sign", ["workspace.yaml", "pyproject.toml", ".git"])
def test_a_new_store_is_made_at_the_projects_root_and_nowhere_else(tmp_path: Path, sign: str) -> None:
    below = tmp_path / "project" / "deep"
    below.mkdir(parents=True)
    for make in (False, True):
        with pytest.raises(NoStore, match="repro init"):
            find_store(below, make=make)
    (tmp_path / "project" / sign).touch()
    assert find_store(below, make=True).root == tmp_path / "project" / "data"


def test_a_persons_file_replaces_nothing_of_a_store(tmp_path: Path) -> None:
    root = make_store(tmp_path / "data").root
    (root / "raw").mkdir()
    for own in (
        "repro-store.json",
        "catalog.duckdb",
        "journal/x.jsonl",
        "objects/ab/c",
        "cache/x",
        "dagster/dagster.yaml",
        "remotes.json",
        "retention.json",
    ):
        with pytest.raises(InvalidValue, match="belongs to the store in"):
            refuse_own(root / own)
        with pytest.raises(InvalidValue):
            refuse_own(root / "raw" / ".." / own)
    for free in (
        root / "raw" / "x.csv",
        root / "report.json",
        tmp_path / "catalog.duckdb",
        tmp_path / "other" / "journal",
    ):
        refuse_own(free)
