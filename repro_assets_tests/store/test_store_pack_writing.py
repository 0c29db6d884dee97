"""A pack shows whole or not at all."""

from __future__ import annotations

import xxhash
from packed import CONTENTS

from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home
from repro_assets.store.layout import Form
from repro_assets.store.pack_writing import PackWriter, encode_pack


def test_a_pack_that_was_abandoned_leaves_nothing(home: Home) -> None:
    writer = PackWriter(home)
    writer.add(Digest.of(b"x"), Form("raw", 1, 1, bytes(16)), b"x")
    writer.abandon()
    writer.abandon()
    assert list(home.temporary.iterdir()) == []
    assert not home.packs.exists()


def test_the_check_of_a_pack_is_over_every_byte_of_it(home: Home) -> None:
    entries = [
        (Digest.of(content), Form("raw", 64, 64, xxhash.xxh3_128_digest(content)), content) for content in CONTENTS
    ]
    writer = PackWriter(home)
    for entry in entries:
        writer.add(*entry)
    writer.close()
    data = (home.packs / f"{writer.pack}.pack").read_bytes()
    assert writer.check == xxhash.xxh3_128_digest(data)
    assert encode_pack(writer.pack, entries) == (data, (home.packs / f"{writer.pack}.idx").read_bytes())
