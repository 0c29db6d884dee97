"""A pack says itself what it holds, also past damage."""

from __future__ import annotations

import os

import pytest
from packed import CONTENTS, assert_reads, flip, fresh, packed

from repro_assets.errors import MissingObject
from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home
from repro_assets.store.layout import HEADER_SIZE
from repro_assets.store.pack_scanning import gaps, scan


def test_a_pack_describes_itself(home: Home) -> None:
    pack = packed(home, CONTENTS)
    assert [digest for digest, _, _ in scan(pack)] == [Digest.of(content) for content in CONTENTS]
    assert gaps(pack) == []


@pytest.mark.parametrize("place", [0, 9, 45, 60, 70, 90, HEADER_SIZE - 1])
def test_the_search_goes_on_behind_a_damaged_header(home: Home, place: int) -> None:
    pack = packed(home, CONTENTS)
    offset = list(scan(pack))[5][1]
    flip(pack, offset + place)
    pack.with_suffix(".idx").unlink()
    left = [digest for digest, _, _ in scan(pack)]
    assert left == [Digest.of(content) for content in CONTENTS if content != CONTENTS[5]]
    assert gaps(pack) == [(offset, offset + HEADER_SIZE + 64)]
    assert_reads(home, CONTENTS[:5] + CONTENTS[6:])
    with pytest.raises(MissingObject):
        fresh(home).read(Digest.of(CONTENTS[5]))


def test_content_that_looks_like_a_header_is_none(home: Home) -> None:
    inner = packed(home, CONTENTS).read_bytes()[8:300]
    false = [b"reproPE1" * 30, *(bytes([number]) + os.urandom(90) for number in range(8)), os.urandom(7) + inner]
    pack = packed(home, false)
    pack.with_suffix(".idx").unlink()
    assert [digest for digest, _, _ in scan(pack)] == [Digest.of(content) for content in false]
    flip(pack, next(scan(pack))[1])
    # The search meets the magic inside the damaged entry, and no header there.
    assert [digest for digest, _, _ in scan(pack)] == [Digest.of(content) for content in false[1:]]
