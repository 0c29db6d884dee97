"""Artifacts are put, got back, listed and shown."""

from __future__ import annotations

import pytest

from repro_assets.artifacts import names
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.repository import by_digest
from repro_assets.identity.digest import Digest
from repro_assets.store.opening import open_objects


def test_the_same_content_is_the_same_version(repro, home, tmp_path):
    folder = tmp_path / "given"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_text("a")
    first = repro("artifacts", "put", folder, "--name", "given", "--json").document
    again = repro("artifacts", "put", folder, "--name", "given", "--json").document
    assert (first["version"], first["reused"], first["kind"]) == (1, False, "tree")
    assert again == {**first, "reused": True}
    (folder / "sub" / "a.txt").write_text("b")
    changed = repro("artifacts", "put", folder, "--name", "given", "--json").document
    assert (changed["version"], changed["reused"]) == (2, False)
    assert changed["digest"] != first["digest"]


def test_a_file_is_taken_in_as_what_it_is_said_to_be(repro, home, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a,b\n1,x\n2,y\n")
    assert repro("artifacts", "put", table, "--name", "raw", "--json").document["kind"] == "bytes"
    assert repro("artifacts", "put", table, "--name", "rows", "--type", "table", "--json").document["kind"] == "table"
    refused = repro("artifacts", "put", table, "--name", "value", "--type", "json")
    assert (refused.code, names.versions(home, "value")) == (2, [])
    assert str(table) in refused.err
    assert repro("artifacts", "put", table, "--name", "t", "--type", "tree").code == 2
    assert repro("artifacts", "put", table, "--name", "a/b").code == 2


def test_what_was_put_is_got_back_and_nothing_else_is_overwritten(repro, home, tmp_path):
    folder = tmp_path / "given"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_text("a")
    put = repro("artifacts", "put", folder, "--name", "given", "--json").document
    target = tmp_path / "got" / "here"
    got = repro("artifacts", "get", "given", "--to", target, "--json").document
    assert (got["digest"], got["files"], got["bytes"], got["changed"]) == (put["digest"], 1, 1, True)
    assert repro("artifacts", "get", "given", "--to", target, "--json").document["changed"] is False
    (target / "mine.txt").write_text("mine")
    refused = repro("artifacts", "get", "given", "--to", target)
    assert (refused.code, refused.out) == (2, "")
    assert "--force" in refused.err
    assert (target / "mine.txt").read_text() == "mine"
    kept = repro("artifacts", "get", "given", "--to", target, "--force")
    assert kept.code == 2
    assert "such as mine.txt" in kept.err
    (target / "mine.txt").unlink()
    (target / "sub" / "a.txt").write_text("changed")
    assert repro("artifacts", "get", "given", "--to", target, "--force").code == 0
    assert (target / "sub" / "a.txt").read_text() == "a"
    assert sorted(path.name for path in target.rglob("*")) == ["a.txt", "sub"]
    assert [path.name for path in target.parent.iterdir()] == ["here"]
    assert repro("artifacts", "get", "given", "--to", home.journal / "x").code == 2


@pytest.mark.parametrize("text", ["given", "given:v1", "given@latest", "{digest}"])
def test_what_the_folders_answer_is_got_without_a_catalog(repro, tmp_path, monkeypatch, text):
    monkeypatch.setenv("REPRO_HOME", str(tmp_path / "bare"))
    (tmp_path / "given").write_text("content")
    stored = repro("artifacts", "put", tmp_path / "given", "--name", "given", "--json").document
    got = repro("artifacts", "get", text.format(**stored), "--to", tmp_path / "got")
    assert got.code == 0, got.err
    assert (tmp_path / "got").read_text() == "content"
    assert not (tmp_path / "bare/catalog.duckdb").exists()


def test_nothing_is_laid_out_of_a_damaged_artifact(repro, home, tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "a.txt").write_text("a" * 100)
    (folder / "b.txt").write_text("b" * 100)
    digest = repro("artifacts", "put", folder, "--name", "given", "--json").document["digest"]
    objects = open_objects(home, DECODERS)
    path = objects.path(list(by_digest(home, Digest.parse(digest)).manifest.objects())[1])
    path.write_bytes(b"c" + path.read_bytes()[1:])
    target = tmp_path / "got"
    refused = repro("artifacts", "get", "given", "--to", target)
    assert refused.code == 1
    assert "given:v1" in refused.err
    assert [item.name for item in tmp_path.iterdir() if "got" in item.name] == []


def test_artifacts_are_listed_and_shown(repro, home):
    rows = repro("artifacts", "list", "--type", "model", "--json").document
    assert [row["name"] for row in rows] == ["model-small:v2", "model-small:v1"]
    record = repro("artifacts", "show", "model-small", "--json").document
    assert [item["version"] for item in record["versions"]] == [2]
    assert record["made_by"][0]["run_id"] == "bbbbbbbb22222222"
    assert record["digest"] == repro("artifacts", "show", record["digest"][7:19], "--json").document["digest"]


def test_long_facts_are_cut_for_a_person_and_whole_for_a_program(repro, home, tmp_path):
    table = tmp_path / "wide.csv"
    table.write_text(",".join(f"column_{number}" for number in range(60)) + "\n" + ",".join("1" * 60) + "\n")
    assert repro("artifacts", "put", table, "--name", "wide", "--type", "table").code == 0
    shown = repro("artifacts", "show", "wide").out
    assert "column_0" in shown and "column_59" not in shown and "whole with --json" in shown
    assert len(repro("artifacts", "show", "wide", "--json").document["facts"]["columns"]) == 60


def test_a_folder_is_shown_by_its_first_entries_and_whole_to_a_program(repro, home, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(23):
        (folder / f"{number:02}.txt").write_text(str(number))
    assert repro("artifacts", "put", folder, "--name", "many").code == 0
    shown = repro("artifacts", "show", "many").out
    assert "19.txt" in shown and "20.txt" not in shown and "3 more entries (all with --json)" in shown
    assert len(repro("artifacts", "show", "many", "--json").document["entries"]) == 23
    for name in ("20.txt", "21.txt", "22.txt"):
        (folder / name).unlink()
    assert repro("artifacts", "put", folder, "--name", "many").code == 0
    assert "more entries" not in repro("artifacts", "show", "many").out


def test_a_store_does_not_take_itself_in(repro, home):
    for folder in (home.root, home.root.parent):
        said = repro("artifacts", "put", folder, "--name", "given")
        assert said.code == 2
        assert "holds the store itself" in said.err
