"""What holds for every kind of artifact, whatever the value.

A value comes back as it was; the digest follows from the value alone, on any store; storing what came back changes
nothing; another value has another digest; every byte that was stored verifies, and a changed one is never returned.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.kinds.block_list import Segments
from repro_assets.errors import CorruptObject, MissingObject
from repro_assets.identity.manifest import Manifest
from repro_assets.store.home import Home, make_store
from repro_assets.store.opening import open_objects

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(
    ["$", "$int", "a.b", "a[0]", "é"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | NAMES
JSON = st.recursive(
    SCALARS.filter(lambda v: not isinstance(v, float) or not v.is_integer() or (v == 0 and math.copysign(1, v) < 0)),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(NAMES, items, max_size=3),
    max_leaves=10,
)
"""JSON has one number type: a float that is integral comes back as an integer, so there is none of them here."""
DTYPES = st.sampled_from(["u1", "i2", "i8", "f2", "f4", "f8", "c8", "?"])
ARRAYS = DTYPES.flatmap(lambda d: arrays.arrays(d, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)))
TENSORS = st.recursive(
    ARRAYS | SCALARS,
    lambda items: (
        st.lists(items, max_size=3)
        | st.lists(items, max_size=3).map(tuple)
        | st.dictionaries(NAMES | st.integers(-9, 9), items, max_size=3)
    ),
    max_leaves=6,
)
COLUMNS = st.sampled_from(
    [
        (pyarrow.int32(), st.integers(-(2**31), 2**31 - 1)),
        (pyarrow.float64(), st.floats(allow_nan=False)),
        (pyarrow.string(), NAMES),
        (pyarrow.bool_(), st.booleans()),
        (pyarrow.list_(pyarrow.string()), st.lists(st.none() | NAMES, max_size=2)),
    ]
)


@st.composite
def tables(draw: st.DrawFn) -> pyarrow.Table:
    rows = draw(st.integers(0, 4))
    columns = draw(st.dictionaries(NAMES, COLUMNS, min_size=1, max_size=3))
    return pyarrow.table(
        {
            name: pyarrow.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind)
            for name, (kind, values) in columns.items()
        }
    )


VALUES = st.one_of(
    st.tuples(st.just("json"), JSON),
    st.tuples(st.just("bytes"), st.binary(max_size=20)),
    st.tuples(st.just("tensors"), TENSORS),
    st.tuples(st.just("table"), tables()),
    st.tuples(st.just("segments"), st.lists(st.binary(max_size=5), max_size=4).map(lambda b: Segments(tuple(b)))),
)
RELAXED = settings(max_examples=120, deadline=None)


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Home]]:
    yield [make_store(tmp_path_factory.mktemp("one")), make_store(tmp_path_factory.mktemp("other"))]


def text_of(value: Any) -> str:
    """A form of a value that shows all that counts: types, order of lists, bits of numbers."""
    if isinstance(value, dict):
        members = sorted((repr(key), text_of(item)) for key, item in value.items())
        return f"dict{members}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}{[text_of(item) for item in value]}"
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        return f"array {value.dtype} {value.shape} {value.tobytes().hex()}"
    if isinstance(value, pyarrow.Table):
        return f"table {value.schema} {[text_of(column.to_pylist()) for column in value.columns]}"
    if isinstance(value, Segments):
        return f"segments {value.blocks}"
    return f"{type(value).__name__} {value!r}"


def value_of(artifact: Artifact) -> Any:
    if artifact.kind != "table":
        return artifact.load()
    from repro_assets.artifacts.kinds import table

    return table.read_arrow(artifact.manifest, open_objects(artifact.home, DECODERS))


@RELAXED
@given(given_value=VALUES)
def test_a_value_comes_back_and_stores_as_itself(homes: list[Home], given_value: tuple[str, Any]) -> None:
    kind, value = given_value
    before = text_of(value)
    artifact = repository.put(homes[0], value, kind)
    back = value_of(artifact)
    assert text_of(back) == before
    assert text_of(value) == before
    assert repository.put(homes[0], back, kind) == artifact
    assert repository.put(homes[1], copy.deepcopy(value), kind) == artifact
    manifest = artifact.manifest
    assert Manifest.decode(manifest.encode()) == manifest
    assert manifest.digest == artifact.digest
    objects = open_objects(homes[0], DECODERS)
    sizes = {digest: objects.placement(digest).size for digest in manifest.objects()}
    for entry in manifest.entries:
        assert entry.size == sum(sizes[digest] for digest in entry.objects)
    for digest in (artifact.digest, *sizes):
        objects.verify(digest)


@RELAXED
@given(one=VALUES, other=VALUES)
def test_two_artifacts_are_equal_exactly_if_kind_and_value_are(
    homes: list[Home], one: tuple[str, Any], other: tuple[str, Any]
) -> None:
    first, second = (repository.put(homes[0], value, kind) for kind, value in (one, other))
    assert (first == second) == (one[0] == other[0] and text_of(one[1]) == text_of(other[1]))


@RELAXED
@given(value=st.dictionaries(NAMES, JSON, min_size=2, max_size=4), seed=st.randoms(use_true_random=False))
def test_the_order_of_members_does_not_matter(homes: list[Home], value: dict[str, Any], seed: Any) -> None:
    names = list(value)
    seed.shuffle(names)
    shuffled = {name: value[name] for name in names}
    for kind in ("json", "tensors"):
        assert repository.put(homes[0], value, kind) == repository.put(homes[0], shuffled, kind)


@settings(max_examples=60, deadline=None)
@given(given_value=VALUES, at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), which=st.integers(0, 50))
def test_a_changed_bit_of_any_object_is_never_returned(
    homes: list[Home], given_value: tuple[str, Any], at: float, bit: int, which: int
) -> None:
    kind, value = given_value
    artifact = repository.put(homes[0], value, kind)
    digests = [artifact.digest, *dict.fromkeys(artifact.manifest.objects())]
    digest = digests[which % len(digests)]
    path = open_objects(homes[0]).path(digest)
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(CorruptObject, match=str(digest)):
        artifact.load()
    with pytest.raises(MissingObject, match=str(digest)):
        artifact.load()
    assert not artifact.is_whole()
    assert repository.put(homes[0], value, kind) == artifact
    assert text_of(value_of(artifact)) == text_of(value)


ALIKE: list[tuple[str, Any]] = [
    ("json", {"a": "bc"}),
    ("json", {"ab": "c"}),
    ("json", ["a", "bc"]),
    ("json", ["ab", "c"]),
    ("json", [["a"], "b"]),
    ("json", [["a", "b"]]),
    ("json", {"$float": "nan"}),
    ("json", math.nan),
    ("json", {"$int": "9007199254740993"}),
    ("json", 9007199254740993),
    ("json", 9007199254740992),
    ("json", 0),
    ("json", -0.0),
    ("json", False),
    ("json", None),
    ("json", "null"),
    ("json", "0"),
    ("json", ""),
    ("json", []),
    ("json", {}),
    ("json", "é"),
    ("json", "e\u0301"),
    ("bytes", b"null"),
    ("bytes", b""),
    ("segments", Segments(())),
    ("segments", Segments((b"",))),
    ("segments", Segments((b"", b""))),
    ("tensors", {}),
    ("tensors", numpy.zeros(10, "f4")),
    ("tensors", numpy.ones(10, "f4")),
    ("tensors", numpy.zeros(10, "f8")),
    ("tensors", numpy.zeros(10, "i4")),
    ("tensors", numpy.zeros((2, 5), "f4")),
    ("tensors", numpy.zeros((5, 2), "f4")),
    ("tensors", [numpy.zeros(10, "f4")]),
    ("tensors", (numpy.zeros(10, "f4"),)),
    ("table", pyarrow.table({"a": pyarrow.array([0], "int32")})),
    ("table", pyarrow.table({"a": pyarrow.array([None], "int32")})),
    ("table", pyarrow.table({"a": pyarrow.array([0], "float32")})),
    ("table", pyarrow.table({"b": pyarrow.array([0], "int32")})),
    ("table", pyarrow.table({"a": pyarrow.array([""], "string")})),
    ("table", pyarrow.table({"a": pyarrow.array([b""], "binary")})),
    ("table", pyarrow.table({"a": pyarrow.array([None], "string")})),
    ("table", pyarrow.table({"a": pyarrow.array([], "string")})),
    ("table", pyarrow.table({"a": pyarrow.array(["a", "bc"])})),
    ("table", pyarrow.table({"a": pyarrow.array(["ab", "c"])})),
    ("table", pyarrow.table({"a": pyarrow.array(["", "abc"])})),
    ("table", pyarrow.table({"a": pyarrow.array([None, "abc"])})),
    ("table", pyarrow.table({"a": pyarrow.array([["a", "b"], []])})),
    ("table", pyarrow.table({"a": pyarrow.array([["a"], ["b"]])})),
    ("table", pyarrow.table({"a": pyarrow.array([["ab"], []])})),
]


def test_values_that_are_easily_taken_for_each_other_have_digests_of_their_own(homes: list[Home]) -> None:
    digests = [repository.put(homes[0], value, kind).digest for kind, value in ALIKE]
    for (index, one), (place, other) in itertools.combinations(enumerate(digests), 2):
        assert one != other, (ALIKE[index], ALIKE[place])


def test_the_digest_of_a_folder_is_that_of_its_bytes_on_every_store(homes: list[Home], tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/a").write_bytes(b"1")
    assert repository.put(homes[0], tmp_path / "x") == repository.put(homes[1], tmp_path / "x")
