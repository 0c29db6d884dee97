"""A store is made by `repro init`, or on the way within a project, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_without_a_store_the_remedy_is_to_make_one(repro, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = repro("runs", "list")
    assert said.code == 2
    assert "repro init" in said.err
    assert repro("init", tmp_path / "data").code == 0
    assert repro("runs", "list", "--json").document == []


def test_a_store_that_is_made_on_the_way_is_named(repro, tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_HOME", str(tmp_path / "s"))
    (tmp_path / "file").write_bytes(b"a")
    assert f"made a store in {tmp_path / 's'}" in repro("artifacts", "put", tmp_path / "file", "--name", "a").err
    assert repro("artifacts", "put", tmp_path / "file", "--name", "b").err == ""


def test_a_folder_without_a_project_is_left_as_it_is(repro, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPRO_HOME", raising=False)
    for words in (["run", "--select", "data/digits"], ["ui", "--port", 3999]):
        said = repro(*words)
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert "is no project" in said.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["runs", "list"], ["store", "stats"], ["artifacts", "put", "x", "--name", "x"]])
def test_a_store_cannot_be_a_file(repro, tmp_path, monkeypatch, words):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("REPRO_HOME", str(tmp_path / "file"))
    for said in (repro(*words), repro("init", tmp_path / "file")):
        assert said.code == 2
        assert "is a file, not a folder" in said.err


def test_a_store_among_somebodys_files_is_made_by_init_alone(repro, tmp_path, monkeypatch):
    (tmp_path / "thesis.txt").write_text("mine")
    monkeypatch.setenv("REPRO_HOME", str(tmp_path))
    said = repro("artifacts", "put", tmp_path / "thesis.txt", "--name", "thesis")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert f"repro init {tmp_path}" in said.err
    assert repro("init").code == 0
    assert repro("artifacts", "put", tmp_path / "thesis.txt", "--name", "thesis").code == 0


def test_init_twice_changes_nothing(repro, tmp_path):
    first = repro("init", tmp_path / "s", "--json")
    marker = Path(first.document["marker"])
    before = marker.read_bytes()
    assert repro("init", tmp_path / "s", "--json").document == first.document
    assert marker.read_bytes() == before


def test_a_store_is_made_where_a_project_is_and_elsewhere_only_by_init(repro, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("text")
    monkeypatch.chdir(tmp_path)
    said = repro("artifacts", "put", "file", "--name", "given")
    assert said.code == 2
    assert "repro init" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert repro("init").code == 0
    assert repro("artifacts", "put", "file", "--name", "given").code == 0
