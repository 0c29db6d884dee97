"""The index of a pack is the home of no fact: whatever becomes of it, nothing is lost."""

from __future__ import annotations

import os

from packed import CONTENTS, assert_reads, flip, packed

from repro_assets.store.home import Home
from repro_assets.store.pack_index import PackIndex
from repro_assets.store.pack_scanning import scan


def test_a_lost_index_is_made_again_by_a_read(home: Home) -> None:
    index = packed(home, CONTENTS).with_suffix(".idx")
    written = index.read_bytes()
    index.unlink()
    assert_reads(home, CONTENTS)
    assert index.read_bytes() == written


def test_any_flipped_byte_of_an_index_costs_no_object(home: Home) -> None:
    index = packed(home, CONTENTS[:8]).with_suffix(".idx")
    written = index.read_bytes()
    for place in range(len(written)):
        flip(index, place)
        assert_reads(home, CONTENTS[:2])
        assert index.read_bytes() == written


def test_the_index_of_another_pack_of_the_same_size_is_not_believed(home: Home) -> None:
    first, second = packed(home, CONTENTS[:8]), packed(home, [os.urandom(64) for _ in range(8)])
    assert first.stat().st_size == second.stat().st_size
    index = first.with_suffix(".idx")
    index.write_bytes(second.with_suffix(".idx").read_bytes())
    assert_reads(home, CONTENTS[:8])
    assert not home.quarantine.exists()


def test_a_cut_off_index_is_made_again(home: Home) -> None:
    index = packed(home, CONTENTS).with_suffix(".idx")
    written = index.read_bytes()
    for size in (0, 3, 16, 24, len(written) - 48, len(written) - 1):
        index.write_bytes(written[:size])
        assert_reads(home, CONTENTS)


def test_an_index_finds_what_is_in_it_and_nothing_else(home: Home) -> None:
    pack = packed(home, CONTENTS)
    index = PackIndex(pack.with_suffix(".idx").read_bytes())
    for digest, offset, form in scan(pack):
        assert index.find(bytes.fromhex(digest.hex)) == (offset, form.stored_size)
    assert index.find(bytes(32)) is None
    assert index.find(b"\xff" * 32) is None
