"""Codecs give back exactly what they were given, and refuse every other stored form."""

from __future__ import annotations

import contextlib
import os

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro_assets.store import codecs, planes
from repro_assets.store.layout import RAW

SIZES = (1, 2, 4, 8)


def decoded(codec: str, stored: bytes, size: int) -> bytes:
    out = bytearray(size)
    assert codecs.decode_into(codec, memoryview(stored), memoryview(out))
    return bytes(out)


def weights(count: int, dtype: str, seed: int = 0) -> bytes:
    return numpy.random.default_rng(seed).normal(0, 0.02, count).astype(dtype).tobytes()


CONTENTS = st.one_of(
    st.binary(max_size=600),
    st.builds(lambda block, times: block * times, st.binary(min_size=1, max_size=40), st.integers(1, 500)),
    st.builds(weights, st.integers(0, 3000), st.sampled_from(["float16", "float32", "float64"]), st.integers(0, 9)),
)


@given(data=CONTENTS, itemsize=st.sampled_from([*SIZES, 3, 16]))
@settings(max_examples=200, deadline=None)
def test_what_is_encoded_is_decoded_for_every_size_of_numbers(data: bytes, itemsize: int) -> None:
    codec, stored = codecs.encode(data, itemsize)
    assert decoded(codec, bytes(stored), len(data)) == data
    assert len(stored) <= len(data)
    assert codec in (RAW, codecs.ZSTD, codecs.PLANES)


@pytest.mark.parametrize("count", [0, 1, 31, 32, (1 << 15) - 1, 1 << 15, (1 << 17) - 1, (1 << 17) + 1, 400_001])
@pytest.mark.parametrize("itemsize", [2, 4, 8])
def test_planes_of_every_length_come_back(count: int, itemsize: int) -> None:
    data = weights(count, f"float{itemsize * 8}")
    assert decoded(codecs.PLANES, planes.split_planes(data, itemsize), len(data)) == data


def test_a_view_of_a_part_of_memory_is_taken_as_it_is() -> None:
    data = memoryview(weights(1000, "float32"))[8:-8]
    codec, stored = codecs.encode(data, 4)
    assert decoded(codec, bytes(stored), len(data)) == data


def test_nothing_is_kept_that_does_not_save_two_per_cent() -> None:
    for size in (0, 1, 127, 128, 5000, 3 << 20):
        data = os.urandom(size)
        for itemsize in SIZES:
            assert codecs.encode(data, itemsize) == (RAW, data)


def test_trained_numbers_and_text_shrink() -> None:
    data = weights(100_000, "float32")
    assert codecs.encode(data, 4)[0] == codecs.PLANES
    assert len(codecs.encode(data, 4)[1]) < 0.9 * len(data)
    text = b"the same words again and again, " * 999
    assert codecs.encode(text)[0] == codecs.ZSTD


FORMS = [
    (codec, bytes(stored), data)
    for data, itemsize in (
        (b"text that repeats " * 40, 1),
        (weights(700, "float16"), 2),
        (weights(700, "float32"), 4),
        (bytes(4000), 4),
        (weights(400, "float64"), 8),
    )
    for codec, stored in [codecs.encode(data, itemsize)]
]


def test_the_forms_below_are_of_all_codecs() -> None:
    assert {codec for codec, _, _ in FORMS} == {codecs.ZSTD, codecs.PLANES}


@given(form=st.sampled_from(FORMS), data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_stored_form_that_was_cut_off_or_added_to_is_refused(
    form: tuple[str, bytes, bytes], data: st.DataObject
) -> None:
    codec, stored, content = form
    size = data.draw(st.integers(0, len(stored) - 1))
    with pytest.raises(ValueError):
        decoded(codec, stored[:size], len(content))
    if codec == codecs.PLANES:
        with pytest.raises(ValueError):
            decoded(codec, stored + data.draw(st.binary(min_size=1, max_size=9)), len(content))


@given(form=st.sampled_from(FORMS), other=st.integers(-3, 5000))
@settings(max_examples=200, deadline=None)
def test_a_stored_form_of_another_size_is_refused(form: tuple[str, bytes, bytes], other: int) -> None:
    codec, stored, content = form
    size = max(0, len(content) + other)
    if size != len(content):
        with pytest.raises(ValueError):
            decoded(codec, stored, size)


@given(form=st.sampled_from(FORMS), place=st.integers(0), bit=st.integers(0, 7))
@settings(max_examples=1500, deadline=None)
def test_a_flipped_bit_never_crashes_the_decoder(form: tuple[str, bytes, bytes], place: int, bit: int) -> None:
    codec, stored, content = form
    changed = bytearray(stored)
    changed[place % len(stored)] ^= 1 << bit
    # Bits are checked before (XXH3 of the stored bytes); whatever comes here gives as many bytes, or a ValueError.
    with contextlib.suppress(ValueError):
        assert len(decoded(codec, bytes(changed), len(content))) == len(content)


@given(stored=st.binary(max_size=300), size=st.integers(0, 4096), codec=st.sampled_from([codecs.ZSTD, codecs.PLANES]))
@settings(max_examples=500, deadline=None)
def test_bytes_that_are_no_stored_form_never_crash_the_decoder(stored: bytes, size: int, codec: str) -> None:
    with contextlib.suppress(ValueError):
        assert len(decoded(codec, stored, size)) == size


def test_a_codec_that_is_not_known_is_not_decoded() -> None:
    assert not codecs.decode_into("unheard-of", memoryview(b"abc"), memoryview(bytearray(3)))
