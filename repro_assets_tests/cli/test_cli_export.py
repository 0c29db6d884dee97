"""``repro export``: a card is written whole where it was asked for, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import repro_assets
from repro_assets.artifacts import repository
from repro_assets.artifacts.repository import by_name
from repro_assets.cli import export
from repro_assets.store.home import Home

Repro = Callable[..., Any]


def test_a_card_is_written_as_a_file_or_into_a_folder_under_the_name_that_others_link_to(
    repro: Repro, home: Home, tmp_path: Path
) -> None:
    model = by_name(home, "model-small")
    assert model is not None
    said = repro("export", "model-small", "--to", tmp_path, "--format", "card", "--json")
    path = tmp_path / "model-small-v2.md"
    assert said.code == 0, said.err
    assert said.document == {
        "kind": "model", "path": str(path), "format": "card", "name": "model-small:v2", "digest": str(model.digest),
        "verified": True, "notes": [],
    }  # fmt: skip
    assert path.read_text() == repro_assets.card("model-small", home)
    new = tmp_path / "cards"
    assert repro("export", "model-small", "--to", new, "--format", "card").code == 0
    assert [made.suffix for made in new.iterdir()] == [".md"]
    by_run = repro("export", "bbbbbbbb", "--to", tmp_path / "README.md", "--format", "card")
    assert by_run.code == 0 and (tmp_path / "README.md").read_bytes() == path.read_bytes()
    refused = repro("export", "model-small", "--to", path, "--format", "card")
    assert (refused.code, refused.out) == (2, "") and "is there already" in refused.err
    path.write_text("mine")
    assert repro("export", "model-small:v1", "--to", path, "--format", "card", "--force").code == 0
    assert "# model-small:v1" in path.read_text()
    assert sorted(item.name for item in tmp_path.iterdir() if item.suffix) == ["README.md", "model-small-v2.md"]


def test_what_cannot_be_exported_is_one_line_that_says_what_can(repro: Repro, home: Home, tmp_path: Path) -> None:
    given = repository.put(home, {"numbers": [1, 2, 3]})
    for words, said in (
        (("model-small", "--to", tmp_path / "a.md", "--format", "crad"), f"one of {', '.join(export.FORMATS)}"),
        ((str(given.digest), "--to", tmp_path / "a.md", "--format", "card"), "a card can be made of models"),
        (("nothing", "--to", tmp_path / "a.md", "--format", "card"), "there is no artifact or run 'nothing'"),
        (("cccccccc", "--to", tmp_path / "a.md", "--format", "card"), "made neither a model nor a data set"),
        (("model-small", "--to", tmp_path / "no" / "a.md", "--format", "card"), "its folder is not there"),
        (("model-small", "--to", tmp_path / "no" / "cards", "--format", "card"), "its folder is not there (make "),
    ):
        answer = repro("export", *words, "--json")
        assert (answer.code, answer.out) == (2, ""), words
        assert said in answer.err and answer.err.count("\n") == 1
    assert not (tmp_path / "a.md").exists()


def test_a_card_of_what_is_gone_is_written_and_says_so(repro: Repro, home: Home, tmp_path: Path) -> None:
    model: Any = by_name(home, "model-small")
    for digest in model.manifest.objects():
        (path,) = home.root.glob(f"objects/*/{digest.hex[2:]}")
        path.unlink()
    words = ("export", "model-small", "--to", tmp_path / "a.md", "--format", "card")
    said = repro(*words, "--json")
    assert (said.code, said.document["verified"]) == (1, False)
    assert said.document["notes"] == ["bytes of model-small:v2 are gone from the store"]
    assert "# model-small:v2" in (tmp_path / "a.md").read_text()
    again = repro(*words, "--force")
    assert again.code == 1 and again.err == "note: bytes of model-small:v2 are gone from the store\n"


def test_runs_are_written_as_a_crate_and_as_events(repro: Repro, home: Home, tmp_path: Path) -> None:
    said = repro("export", "bbbbbbbb", "model-small:v1", "--to", tmp_path / "a.zip", "--format", "rocrate", "--json")
    assert said.code == 0, said.err
    assert said.document == {
        "runs": ["aaaaaaaa11111111", "bbbbbbbb22222222"], "profiles": ["process"], "path": str(tmp_path / "a.zip"),
        "format": "rocrate", "name": "bbbbbbbb and 1 more", "digest": None, "verified": True,
        "notes": [],
    }  # fmt: skip
    said = repro(
        "export", "--where", "state = 'FAILED'", "--to", tmp_path / "a.jsonl", "--format", "openlineage", "--json"
    )
    assert said.code == 0, said.err
    assert said.document["events"] == len((tmp_path / "a.jsonl").read_text().splitlines()) == 2
    away = repro("export", "bbbbbbbb", "--to", "http://127.0.0.1:9", "--format", "openlineage")
    assert away.code == 3 and away.err.count("\n") == 1 and "did not take event 1 of 2" in away.err
