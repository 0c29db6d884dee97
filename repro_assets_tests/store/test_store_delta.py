"""Planes and differences: every number comes back, and no damage is taken for one."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from repro_assets.errors import CorruptObject, MissingObject
from repro_assets.identity.digest import Digest
from repro_assets.store import delta, planes
from repro_assets.store.layout import RAW, Form, trailer
from repro_assets.store.objects import LocalObjects

GENERATOR = numpy.random.default_rng(7)
OLD = (GENERATOR.standard_normal(40_000) * 0.02).astype(numpy.float32)
NEW = (OLD * (1 + 1e-4 * GENERATOR.standard_normal(OLD.size))).astype(numpy.float32)


def as_difference(objects: LocalObjects, data: bytes, base: bytes, base_digest: Digest | None = None) -> Digest:
    """Lay an object into the store as a difference from another one."""
    stored = delta.encode(memoryview(data), memoryview(bytearray(base)), base_digest or Digest.of(base), 4)
    return lay(objects, data, stored, delta.DELTA2)


def lay(objects: LocalObjects, data: bytes, stored: bytes, codec: str) -> Digest:
    form = Form(codec, len(data), len(stored), xxhash.xxh3_128_digest(stored))
    path = objects.path(Digest.of(data))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stored + trailer(Digest.of(data), form))
    return Digest.of(data)


def change(path: Path, place: int) -> None:
    stored = bytearray(path.read_bytes())
    stored[place] ^= 1
    path.write_bytes(stored)


arrays = st.builds(
    lambda dtype, count, scale, seed: (numpy.random.default_rng(seed).standard_normal(count) * scale).astype(dtype),
    st.sampled_from(["<f2", "<f4", "<f8", "<i2", "<i8"]),
    st.sampled_from([0, 1, 2, 63, 1000, (1 << 17) - 1, 1 << 17, (1 << 17) + 1]),
    st.sampled_from([0.0, 0.02, 100.0]),
    st.integers(0, 1000),
)


def numbers_of(size: int) -> st.SearchStrategy[list[int]]:
    """Bits of numbers of so many bytes: zeros, denormals, infinities and NaN of either sign among them."""
    top, exponent = 1 << (8 * size - 1), {2: 0x7C00, 4: 0x7F800000, 8: 0x7FF << 52}[size]
    special = [0, 1, exponent - 1, exponent, exponent + 1, top - 1]
    bits = st.one_of(st.integers(0, 2 * top - 1), st.sampled_from(special + [item | top for item in special]))
    return st.lists(bits, min_size=1, max_size=40)


@given(arrays)
def test_planes_come_back_as_they_were(array: numpy.ndarray) -> None:
    stored = planes.split_planes(memoryview(array.tobytes()), array.itemsize)
    out = bytearray(array.nbytes)
    planes.join_planes(planes.taking(memoryview(stored)), memoryview(out))
    assert bytes(out) == array.tobytes()


def assert_comes_back(data: bytes, base: bytes, itemsize: int) -> None:
    stored = delta.encode(memoryview(data), memoryview(bytearray(base)), Digest.of(base), itemsize)
    out = bytearray(base)
    delta.apply(delta.DELTA2, memoryview(stored), memoryview(out))
    assert bytes(out) == data
    assert delta.base_of(stored) == Digest.of(base)


@given(arrays, st.integers(0, 1000))
def test_a_difference_gives_the_object_back(array: numpy.ndarray, seed: int) -> None:
    assert_comes_back(array.tobytes(), numpy.random.default_rng(seed).bytes(array.nbytes), array.itemsize)


@given(st.sampled_from([2, 4, 8]).flatmap(lambda size: st.tuples(st.just(size), *[numbers_of(size)] * 2)))
def test_bits_of_every_meaning_come_back(drawn: tuple[int, list[int], list[int]]) -> None:
    size, numbers, others = drawn
    kind = f"<u{size}"
    array = numpy.array(numbers, kind)
    assert_comes_back(array.tobytes(), numpy.resize(numpy.array(others, kind), array.size).tobytes(), size)


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8"])
def test_a_difference_is_small_where_the_numbers_are_near_each_other_in_their_order(kind: str) -> None:
    bits = numpy.dtype(kind).itemsize * 8
    ones = numpy.array([-2.0, -1.0, -0.0, 0.0, 1.0, 2.0, numpy.inf], kind)
    for towards in (-numpy.inf, numpy.inf):
        others = numpy.nextafter(ones, numpy.array(towards, kind))
        more = delta._more(ones.view(f"<u{bits // 8}"), others.view(f"<u{bits // 8}"))
        assert more.max() <= 4, "one step, or two over the two zeros"


def test_the_first_form_is_read_for_ever(objects: LocalObjects) -> None:
    base = objects.put(NEW.tobytes())
    changed = (OLD.view("<u4") ^ NEW.view("<u4")).tobytes()
    name = bytes.fromhex(base.hex)
    stored = name + xxhash.xxh3_64_digest(name)[::-1] + planes.split_planes(changed, 4)
    digest = lay(objects, OLD.tobytes(), stored, delta.DELTA)
    assert objects.read(digest) == OLD.tobytes()
    assert list(objects.needs(digest)) == [base]
    objects.verify(digest)


@given(st.data())
def test_a_form_that_was_cut_or_lengthened_is_refused(data: st.DataObject) -> None:
    stored = planes.split_planes(memoryview(OLD.tobytes()), 4)
    cut = data.draw(st.integers(0, len(stored) - 1))
    for damaged in (stored[:cut], stored + b"\0"):
        with pytest.raises(ValueError, match=r"planes|byte|frame|bytes"):
            planes.join_planes(planes.taking(memoryview(damaged)), memoryview(bytearray(OLD.nbytes)))


def test_trained_weights_shrink_and_a_small_step_shrinks_more() -> None:
    whole = planes.split_planes(memoryview(OLD.tobytes()), 4)
    changed = planes.split_planes((OLD.view("<u4") ^ NEW.view("<u4")).tobytes(), 4)
    step = delta.encode(memoryview(OLD.tobytes()), memoryview(bytearray(NEW.tobytes())), Digest.of(b""), 4)
    assert len(whole) < 0.86 * OLD.nbytes
    assert len(step) < 0.6 * OLD.nbytes
    assert len(step) < 0.95 * len(changed)


def test_every_read_resolves_a_chain(objects: LocalObjects) -> None:
    versions = [(OLD + step).tobytes() for step in range(delta.LONGEST + 1)]
    newest = objects.put(versions[-1])
    digests = [as_difference(objects, older, newer) for older, newer in itertools.pairwise(versions)]
    for data, digest in zip(versions, [*digests, newest], strict=True):
        assert objects.read(digest) == b"".join(objects.stream(digest)) == data
        out = bytearray(len(data))
        objects.read_into(digest, memoryview(out))
        assert out == data
        assert objects.read_stored(digest)[0] == data or not delta.is_difference(objects.placement(digest).codec)
        objects.verify(digest)
    assert list(objects.needs(digests[0])) == [*digests[1:], newest]
    assert list(objects.needs(newest)) == []


def test_what_is_returned_as_stored_stands_alone(objects: LocalObjects) -> None:
    objects.put(NEW.tobytes())
    digest = as_difference(objects, OLD.tobytes(), NEW.tobytes())
    assert objects.read_stored(digest) == (OLD.tobytes(), RAW)


@pytest.mark.parametrize("place", [0, 33, 45, 5000, -70])
def test_a_changed_bit_of_a_difference_is_found(objects: LocalObjects, place: int) -> None:
    base = objects.put(NEW.tobytes())
    digest = as_difference(objects, OLD.tobytes(), NEW.tobytes())
    change(objects.path(digest), place)
    with pytest.raises(CorruptObject, match=digest.hex):
        objects.read(digest)
    assert not objects.path(digest).exists()
    assert objects.read(base) == NEW.tobytes()


def test_a_damaged_base_is_set_aside_and_its_difference_is_not(objects: LocalObjects) -> None:
    base = objects.put(NEW.tobytes())
    digest = as_difference(objects, OLD.tobytes(), NEW.tobytes())
    change(objects.path(base), 100)
    with pytest.raises(CorruptObject, match=f"{digest}.*{base}"):
        objects.read(digest)
    with pytest.raises(MissingObject, match=f"{digest}.*{base}"):
        objects.read(digest)
    assert objects.path(digest).exists()
    objects.put(NEW.tobytes())
    assert objects.read(digest) == OLD.tobytes()


def test_an_object_whose_base_is_gone_is_put_again_whole(objects: LocalObjects) -> None:
    base = objects.put(NEW.tobytes())
    digest = as_difference(objects, OLD.tobytes(), NEW.tobytes())
    objects.path(base).unlink()
    assert objects.put(OLD.tobytes()) == digest
    assert not delta.is_difference(objects.placement(digest).codec)
    assert objects.read(digest) == OLD.tobytes()


def test_an_object_that_is_a_sound_difference_is_not_put_again(objects: LocalObjects) -> None:
    objects.put(NEW.tobytes())
    digest = as_difference(objects, OLD.tobytes(), NEW.tobytes())
    assert objects.put(OLD.tobytes()) == digest
    assert objects.placement(digest).codec == delta.DELTA2


def test_a_difference_from_wrong_bytes_is_found_by_the_full_check(objects: LocalObjects) -> None:
    base = objects.put(NEW.tobytes())
    digest = as_difference(objects, OLD.tobytes(), (NEW + 1).tobytes(), base)
    with pytest.raises(CorruptObject, match=digest.hex):
        objects.verify(digest)


def test_differences_from_each_other_are_an_error_and_no_endless_loop(objects: LocalObjects) -> None:
    first = as_difference(objects, OLD.tobytes(), NEW.tobytes())
    as_difference(objects, NEW.tobytes(), OLD.tobytes())
    for look in (objects.read, lambda digest: list(objects.needs(digest))):
        with pytest.raises(CorruptObject, match=first.hex):
            look(first)
