"""Stored bytes become the content that they stand for, or an error that names the object."""

from __future__ import annotations

import hashlib
import zlib

import pytest

from repro_assets.errors import CorruptObject, UnsupportedFormat
from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects

TEXT = b"The quick brown fox" * 20
# Nothing makes these bytes smaller, so they are stored as they are.
CONTENT = hashlib.shake_128(b"content").digest(380)


@pytest.fixture
def objects(home: Home) -> LocalObjects:
    return open_objects(home, {"zlib": inflate})


def inflate(stored: bytes) -> bytes:
    try:
        return zlib.decompress(stored)
    except zlib.error as error:
        raise ValueError(str(error)) from error


def test_a_codec_that_is_not_known_here_is_named(home: Home, objects: LocalObjects) -> None:
    digest = objects.put_encoded(CONTENT, "zlib", zlib.compress(CONTENT))
    with pytest.raises(UnsupportedFormat, match="zlib"):
        open_objects(home).read(digest)
    assert objects.read(digest) == CONTENT


def test_a_stored_form_that_does_not_decode_is_corrupt(objects: LocalObjects) -> None:
    digest = objects.put_encoded(CONTENT, "zlib", b"not compressed")
    with pytest.raises(CorruptObject, match="zlib"):
        objects.read(digest)
    with pytest.raises(CorruptObject, match=str(digest)):
        objects.verify(digest)


def test_objects_in_packs_are_read_in_one_go_and_damaged_ones_left_out(home: Home, objects: LocalObjects) -> None:
    contents = [bytes([number]) * 200 for number in range(10)]
    with objects.batch() as batch:
        digests = [batch.put(content) for content in contents]
    damaged = objects.packs.find(digests[3])
    assert damaged is not None
    path = home.packs / f"{damaged.pack}.pack"
    data = bytearray(path.read_bytes())
    data[damaged.offset + 110] ^= 1
    path.write_bytes(data)
    found = dict(objects.read_packed([*digests, Digest.of(b"none")]))
    assert found == {digest: content for digest, content in zip(digests, contents, strict=True) if digest != digests[3]}


def test_a_codec_is_no_part_of_the_identity(objects: LocalObjects) -> None:
    digest = objects.put_encoded(TEXT, "zlib", zlib.compress(TEXT))
    assert digest == Digest.of(TEXT)
    assert objects.read(digest) == TEXT
    objects.verify(digest)
    placement = objects.placement(digest)
    assert (placement.codec, placement.size) == ("zlib", len(TEXT))
    assert placement.stored_size < len(TEXT)
    # The raw form can be had from any, so this writes nothing.
    objects.put(TEXT)
    assert objects.placement(digest) == placement


def test_who_asks_for_a_codec_gets_it_where_the_raw_form_is_stored_already(objects: LocalObjects) -> None:
    digest = objects.put(CONTENT)
    objects.put_encoded(CONTENT, "zlib", zlib.compress(CONTENT))
    assert objects.read_stored(digest) == (zlib.compress(CONTENT), "zlib")
    assert objects.read(digest) == CONTENT


def test_a_stored_form_of_other_bytes_is_found_by_verify(objects: LocalObjects) -> None:
    digest = objects.put_encoded(CONTENT, "zlib", zlib.compress(b"other"))
    with pytest.raises(CorruptObject, match="another digest"):
        objects.verify(digest)
