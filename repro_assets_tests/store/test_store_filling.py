"""Filling memory with an object: with helpers and without, the right bytes or an error."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator

import numpy
import pytest
import xxhash

from repro_assets.errors import CorruptObject
from repro_assets.identity.digest import Digest
from repro_assets.store import codecs, planes
from repro_assets.store.layout import Form, trailer
from repro_assets.store.objects import LocalObjects
from repro_assets.store.staging import Part

# So many blocks that some are waited for, and the last one is shorter.
WEIGHTS = numpy.random.default_rng(3).normal(0, 0.02, 9 * planes.BLOCK_ITEMS + 5).astype("<f4").tobytes()


@pytest.fixture(params=["alone", "with helpers"])
def helpers(request: pytest.FixtureRequest) -> Iterator[concurrent.futures.Executor | None]:
    if request.param == "alone":
        yield None
        return
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield pool


def put(objects: LocalObjects) -> Digest:
    with objects.batch() as batch:
        (digest,) = batch.put_all([Part(WEIGHTS, 4)])
    assert objects.placement(digest).codec == codecs.PLANES
    return digest


def test_the_bytes_are_those_that_were_put(objects: LocalObjects, helpers: concurrent.futures.Executor | None) -> None:
    digest = put(objects)
    out = bytearray(len(WEIGHTS))
    objects.read_into(digest, memoryview(out), helpers)
    assert out == WEIGHTS


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.9])
def test_a_changed_bit_is_found(
    objects: LocalObjects, helpers: concurrent.futures.Executor | None, part: float
) -> None:
    digest = put(objects)
    data = bytearray(objects.path(digest).read_bytes())
    data[int(part * len(data))] ^= 1
    objects.path(digest).write_bytes(data)
    with pytest.raises(CorruptObject, match=digest.hex):
        objects.read_into(digest, memoryview(bytearray(len(WEIGHTS))), helpers)
    assert not objects.path(digest).exists()


@pytest.mark.parametrize("block", [0, 1, 8])
def test_a_form_that_is_whole_and_yet_none_is_an_error(
    objects: LocalObjects, helpers: concurrent.futures.Executor | None, block: int
) -> None:
    # The last block of few is still with a helper when all have been read; of many, some have been done by then.
    weights = WEIGHTS if block > 1 else WEIGHTS[: 8 * planes.BLOCK_ITEMS]
    digest = objects.put(weights)
    stored = bytearray(planes.split_planes(weights, 4))
    number = stored[1]
    # The last plane of the block, which is a frame, is said to be none.
    stored[8 + number + 4 * (block + 1) * number - 1] ^= 0x80
    form = Form(codecs.PLANES, len(weights), len(stored), xxhash.xxh3_128_digest(stored))
    objects.path(digest).write_bytes(bytes(stored) + trailer(digest, form))
    with pytest.raises(CorruptObject, match="do not decode"):
        objects.read_into(digest, memoryview(bytearray(len(weights))), helpers)
    assert objects.path(digest).exists()
