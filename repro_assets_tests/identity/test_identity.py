"""Digests, the canonical encoding and manifests: one content, one digest."""

from __future__ import annotations

import enum
import hashlib
import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro_assets.errors import CorruptRecord, InvalidValue, UnsupportedFormat
from repro_assets.identity import canonical
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import FORMAT, Entry, Manifest

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = TEXT | st.sampled_from(["$", "$float", "$int", "$$", "$$float"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def bits(value: Any) -> Any:
    """Make values comparable bit by bit: NaN equals NaN, and -0.0 does not equal 0."""
    if isinstance(value, float) and not value.is_integer():
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, float):
        return "-0" if math.copysign(1, value) < 0 and value == 0 else value
    if isinstance(value, (list, tuple)):
        return [bits(item) for item in value]
    if isinstance(value, dict):
        return {name: bits(item) for name, item in value.items()}
    return value


@given(st.binary(max_size=200))
def test_a_digest_is_sha256_and_reads_back_from_its_text(data: bytes) -> None:
    digest = Digest.of(data)
    assert digest.hex == hashlib.sha256(data).hexdigest()
    assert Digest.parse(str(digest)) == digest
    assert Digest.of_chunks([data[:3], memoryview(data)[3:]]) == digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "a" * 64,
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "a" * 63 + "g",
        " sha256:" + "a" * 64,
        "sha256:" + "a" * 64 + "\n",
        "sha256" + "a" * 64,
        "md5:" + "a" * 64,
    ],
)
def test_a_malformed_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        Digest.parse(text)


@settings(max_examples=400)
@given(VALUES)
def test_every_value_comes_back_and_encodes_to_the_same_bytes_again(value: Any) -> None:
    encoded = canonical.encode(value)
    decoded = canonical.decode(encoded)
    assert bits(decoded) == bits(value)
    assert canonical.encode(decoded) == encoded


@given(st.dictionaries(TEXT, st.integers(), min_size=2, max_size=6))
def test_the_order_of_members_does_not_matter(value: dict[str, int]) -> None:
    assert canonical.encode(value) == canonical.encode(dict(reversed(value.items())))


@given(VALUES, VALUES)
def test_other_values_have_other_digests(one: Any, other: Any) -> None:
    assert (canonical.digest_of(one) == canonical.digest_of(other)) == (bits(one) == bits(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "bc"}, {"ab": "c"}),
        ([1, [2]], [[1], 2]),
        (0.0, -0.0),
        (math.nan, "nan"),
        (math.nan, {"$float": "nan"}),
        (2**60, {"$int": str(2**60)}),
        (2**60, float(2**60)),
        (math.inf, -math.inf),
        ("1", 1),
        (None, "null"),
        (True, 1),
        ({"$a": 1}, {"$$a": 1}),
        ([], {}),
    ],
)
def test_values_that_are_easily_mixed_up_differ(one: Any, other: Any) -> None:
    assert canonical.encode(one) != canonical.encode(other)


def test_a_tuple_is_a_list_and_an_enumeration_its_value() -> None:
    class Colour(enum.StrEnum):
        RED = "red"

    assert canonical.encode((1, (2,))) == canonical.encode([1, [2]])
    assert canonical.encode({Colour.RED: Colour.RED}) == canonical.encode({"red": "red"})


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, {2}]}, "value.a[1]"),
        ({"a": {"b": b"x"}}, "value.a.b"),
        ({"a": {3: 1}}, "value.a"),
        (["\ud800"], "value[0]"),
        ({"x": {"\ud800": 1}}, "value.x"),
    ],
)
def test_what_json_cannot_hold_is_named_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(InvalidValue, match=path.replace("[", r"\[")):
        canonical.encode(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidValue, match="deeply"):
        canonical.encode(endless)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 10**5,
        b"NaN",
        b"[-Infinity]",
        b'{"a":1,"a":2}',
        b'{"$float":"x"}',
        b'{"$float":"nan","a":1}',
        b'{"$int":"x"}',
        b'{"$int":[1]}',
        b'{"$other":1}',
        b'{"\\u0024other":1}',
        b'{"$$a":{"b":1,"b":2}}',
    ],
)
def test_bytes_that_are_not_canonical_json_are_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptRecord):
        canonical.decode(data)


ENTRIES = st.builds(
    Entry,
    TEXT,
    st.integers(0, 2**40),
    st.lists(st.binary(max_size=4).map(Digest.of), max_size=3).map(tuple),
    st.dictionaries(NAMES, st.integers() | TEXT | st.booleans(), max_size=3),
)


@given(st.builds(Manifest, st.just("tensors"), st.lists(ENTRIES, max_size=4).map(tuple)))
def test_a_manifest_reads_back_with_its_digest(manifest: Manifest) -> None:
    decoded = Manifest.decode(manifest.encode())
    assert decoded == manifest
    assert decoded.digest == manifest.digest == Digest.of(manifest.encode())
    assert list(decoded.objects()) == [digest for entry in manifest.entries for digest in entry.objects]


def test_a_manifest_of_a_newer_format_is_refused_by_its_number() -> None:
    newer = canonical.encode({"format": FORMAT + 1, "kind": "json", "facts": {}, "entries": []})
    with pytest.raises(UnsupportedFormat, match=str(FORMAT + 1)):
        Manifest.decode(newer)


@pytest.mark.parametrize(
    "value",
    [
        1,
        {},
        {"format": "1"},
        {"format": 1, "kind": "json", "facts": {}},
        {"format": 1, "kind": "json", "facts": {}, "entries": [1]},
        {"format": 1, "kind": "json", "facts": [], "entries": []},
        {"format": 1, "kind": 1, "facts": {}, "entries": []},
        *(
            {
                "format": 1,
                "kind": "json",
                "facts": {},
                "entries": [{"name": "a", "size": 1, "facts": {}, "objects": []} | wrong],
            }
            for wrong in ({"objects": ["x"]}, {"size": -1}, {"size": "1"}, {"name": 1}, {"facts": None})
        ),
    ],
)
def test_what_is_no_manifest_is_corrupt(value: Any) -> None:
    with pytest.raises(CorruptRecord):
        Manifest.decode(canonical.encode(value))
