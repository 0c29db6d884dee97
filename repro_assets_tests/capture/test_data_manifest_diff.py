from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from data_manifest_folders import made
from folders import write

from repro_assets.capture.data_manifest.comparison import compare_manifests, difference
from repro_assets.capture.data_manifest.listing import DataManifest, Item
from repro_assets.errors import CorruptRecord, InvalidValue


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    before = write(tmp_path / "before", {"same": "s", "gone": "g", "changed": "c", "old/name": "n", "x/1": "n"})
    after = write(tmp_path / "after", {"same": "s", "fresh": "w", "changed": "d", "new/1": "n", "y/name": "n"})
    (before / "link").symlink_to("same")
    (after / "link").symlink_to("changed")
    (before / "kind").mkdir()
    (after / "kind").write_text("")
    return made(before, tmp_path / "a.json"), made(after, tmp_path / "b.json", algorithms=["md5", "sha256"])


def test_a_comparison_says_what_became_of_every_entry(two):
    found = compare_manifests(*two)
    assert found.hash_algorithms == ["sha256"]
    assert (found.added, found.removed, found.unchanged) == (["fresh"], ["gone"], 1)
    assert [(entry["relative_path"], entry["type"]) for entry in found.modified] == [
        ("changed", "file"),
        ("kind", "folder to file"),
        ("link", "link"),
    ]
    assert found.renamed == [{"from": "old/name", "to": "y/name"}, {"from": "x/1", "to": "new/1"}]
    assert not found.identical


def test_a_comparison_turned_round_turns_its_answer_round(two):
    there, back = compare_manifests(*two), compare_manifests(*reversed(two))
    assert (there.added, there.removed, there.unchanged) == (back.removed, back.added, back.unchanged)
    assert {(e["from"], e["to"]) for e in there.renamed} == {(e["to"], e["from"]) for e in back.renamed}


def test_equal_data_compare_as_identical_wherever_and_whenever_they_were(tmp_path):
    manifests = []
    for name in ("one", "two"):
        data = write(tmp_path / name, {"a": "x", "b/c": "y"})
        os.utime(data / "a", (len(manifests), 1))
        manifests.append(made(data, tmp_path / f"{name}.json"))
    found = compare_manifests(*manifests)
    assert found.identical
    assert found.unchanged == 2


def test_permissions_are_listed_and_make_no_difference(tmp_path):
    data = write(tmp_path / "data", {"a": "x"})
    one = made(data, tmp_path / "one.json")
    (data / "a").chmod(0o600)
    found = compare_manifests(one, made(data, tmp_path / "two.json"))
    assert found.identical
    assert found.permissions == [{"relative_path": "a", "before": "0644", "after": "0600"}]


def test_a_differential_manifest_compares_as_the_whole_that_it_stands_for(tmp_path):
    data = write(tmp_path / "data", {"a": "x", "b": "y"})
    base = made(data, tmp_path / "base.json")
    write(data, {"c": "z"})
    (data / "a").unlink()
    whole, part = made(data, tmp_path / "whole.json"), made(data, tmp_path / "part.json", base=base)
    assert compare_manifests(whole, part).identical
    assert compare_manifests(base, part).added == ["c"]


def test_what_cannot_be_compared_is_never_called_equal(tmp_path):
    data = write(tmp_path / "data", {"a": "x", "b": "y"})
    one, cut = made(data, tmp_path / "one.json"), made(data, tmp_path / "cut.json", max_files=1)
    assert not compare_manifests(cut, cut).identical
    assert "truncated" in compare_manifests(one, cut).notes[0]
    with pytest.raises(InvalidValue, match="hash algorithm"):
        compare_manifests(one, made(data, tmp_path / "md5.json", algorithms=["md5"]))
    document = json.loads(one.read_text())
    one.write_text(json.dumps({**document, "files": []}))
    with pytest.raises(CorruptRecord, match="was changed"):
        compare_manifests(one, cut)


def test_an_error_of_either_is_not_judged():
    error, file = Item("a", "error", reason="unreadable"), Item("a", "file", 1, {"md5": "00"})
    sides = {item.type: DataManifest("/data", False, ("md5",), {"a": item}) for item in (error, file)}
    for one, other in (("error", "file"), ("file", "error"), ("error", "error")):
        found = difference(sides[one], sides[other])
        assert (found.not_judged, found.modified, found.added, found.removed) == (["a"], [], [], [])
        assert not found.identical
    assert difference(sides["file"], sides["file"]).identical
