"""``repro store fsck`` says what is wrong with packs, and goes on where it was interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import xxhash
from typer.testing import CliRunner

from repro_assets.cli.store import app
from repro_assets.identity.digest import Digest
from repro_assets.store.home import VARIABLE, Home, make_store
from repro_assets.store.opening import open_objects
from repro_assets.store.staging import Part

CONTENTS = [b"content %d" % number for number in range(10)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
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


def test_damage_of_a_pack_is_named_with_its_place(home: Home) -> None:
    (pack,) = home.packs.glob("*.pack")
    data = bytearray(pack.read_bytes())
    data[0] ^= 1
    pack.write_bytes(data)
    found = fsck()
    assert found["ok"] is False
    assert [(item["pack"], item["offset"], item["length"]) for item in found["packs"]] == [(pack.stem, 0, 8)]  # type: ignore[attr-defined]


def test_an_interrupted_full_check_goes_on_unless_it_is_told_to_begin_anew(home: Home) -> None:
    row = bytes.fromhex(Digest.of(CONTENTS[0]).hex)
    home.cache.mkdir()
    file = home.cache / "fsck-full"
    file.write_bytes(row + xxhash.xxh3_64_digest(row))
    assert fsck("--full")["resumed"] == 1
    file.write_bytes(row + xxhash.xxh3_64_digest(row))
    assert fsck("--full", "--restart")["resumed"] == 0
    assert not file.exists()
