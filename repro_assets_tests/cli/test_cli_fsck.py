"""``repro store fsck`` names damage with what it affects, and goes on where it was interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import xxhash
from typer.testing import CliRunner

from repro_assets.artifacts import names
from repro_assets.cli.store import app
from repro_assets.identity.digest import Digest
from repro_assets.store.home import VARIABLE, Home, make_store
from repro_assets.store.opening import open_objects
from repro_assets.store.staging import Part

CONTENTS = [b"content %d" % number for number in range(10)]


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = make_store(tmp_path / "store")
    monkeypatch.setenv(VARIABLE, str(home.root))
    with open_objects(home).batch() as batch:
        batch.put_all([Part(content) for content in CONTENTS])
    return home


def fsck(*words: str) -> dict[str, object]:
    said = CliRunner().invoke(app, ["fsck", "--json", *words], standalone_mode=False)
    assert said.exception is None, said.output
    document: dict[str, object] = json.loads(said.stdout)
    assert said.return_value == (0 if document["ok"] else 1)
    return document


def test_damage_of_a_pack_is_named_with_its_place(packed: Home) -> None:
    (pack,) = packed.packs.glob("*.pack")
    data = bytearray(pack.read_bytes())
    data[0] ^= 1
    pack.write_bytes(data)
    found = fsck()
    assert found["ok"] is False
    assert [(item["pack"], item["offset"], item["length"]) for item in found["packs"]] == [(pack.stem, 0, 8)]  # type: ignore[attr-defined]


def test_an_interrupted_full_check_goes_on_unless_it_is_told_to_begin_anew(packed: Home) -> None:
    row = bytes.fromhex(Digest.of(CONTENTS[0]).hex)
    packed.cache.mkdir()
    file = packed.cache / "fsck-full"
    file.write_bytes(row + xxhash.xxh3_64_digest(row))
    assert fsck("--full")["resumed"] == 1
    file.write_bytes(row + xxhash.xxh3_64_digest(row))
    assert fsck("--full", "--restart")["resumed"] == 0
    assert not file.exists()


@pytest.mark.parametrize("full", [False, True])
def test_a_cut_object_is_found_with_what_it_affects(repro, home, full):
    assert repro("store", "fsck", *["--full"] * full, "--json").document["ok"] is True
    digest = names.newest(home, "model-small").digest
    path = open_objects(home).path(digest)
    path.write_bytes(path.read_bytes()[:-10])
    said = repro("store", "fsck", *["--full"] * full, "--json")
    assert said.code == 1
    (bad,) = said.document["corrupt"]
    assert bad["digest"] == str(digest)
    assert bad["affects"] == ["model-bbbbbbbb22222222", "model-small:v2"]


def test_a_quick_check_says_that_it_is_one_and_damage_says_what_to_do(repro, home):
    assert "contents not hashed" in repro("store", "fsck").out
    assert "contents not hashed" not in repro("store", "fsck", "--full").out
    path = open_objects(home).path(names.newest(home, "model-small").digest)
    path.write_bytes(path.read_bytes()[:-10])
    said = repro("store", "fsck").out
    assert str(home.quarantine) in said and "repro replay" in said
    assert "repro store fsck --repair REMOTE" in said


def test_missing_objects_damaged_lines_and_claims_are_found_without_a_catalog(repro, home):
    digest = names.newest(home, "model-small").digest
    open_objects(home).path(digest).unlink()
    (home.names / "model-small" / "1").write_text("{")
    (segment,) = home.journal.iterdir()
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines[:2], lines[2].replace(b"1", b"2", 1), *lines[3:]]))
    home.catalog.unlink(missing_ok=True)
    home.catalog.mkdir()
    said = repro("store", "fsck", "--json")
    assert said.code == 1
    found = said.document
    assert [item["digest"] for item in found["missing"]] == [str(digest)]
    assert "model-small:v2" in found["missing"][0]["affects"]
    assert [item["claim"] for item in found["claims"]] == ["model-small/1"]
    assert [item["offset"] for item in found["journal"]] == [len(lines[0]) + len(lines[1])]
    assert "NOT OK" in repro("store", "fsck").out


def test_a_version_whose_claim_is_gone_is_a_finding(repro, home):
    (home.names / "model-small" / "2").unlink()
    said = repro("store", "fsck", "--json")
    assert (said.code, [item["claim"] for item in said.document["claims"]]) == (1, ["model-small/2"])
