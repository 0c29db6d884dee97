"""Stored bytes become the content that they stand for, or an error that names the object."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import pytest

from repro_assets.errors import CorruptObject, UnsupportedFormat
from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home, make_store
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects

CONTENT = hashlib.shake_128(b"content").digest(380)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_store(tmp_path / "store")


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
