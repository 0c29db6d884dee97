"""Tables: identity is over names, types and values; the bytes come back from Parquet."""

from __future__ import annotations

import datetime
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repro_assets.artifacts import repository
from repro_assets.artifacts.kinds import DECODERS, table
from repro_assets.errors import InvalidValue
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.store.home import Home, make_store
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects


def written(value: Any, objects: LocalObjects) -> Manifest:
    with objects.batch() as batch:
        return table.write(value, batch)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["", "🙂\n", "null", "a\0b", '"']
)
COLUMNS: list[tuple[pyarrow.DataType, st.SearchStrategy[Any]]] = [
    (pyarrow.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pyarrow.uint8(), st.integers(0, 255)),
    (pyarrow.float64(), st.floats(allow_nan=False)),
    (pyarrow.float32(), st.floats(width=32, allow_nan=False)),
    (pyarrow.bool_(), st.booleans()),
    (pyarrow.string(), TEXT),
    (pyarrow.binary(), st.binary(max_size=6)),
    (
        pyarrow.timestamp("us", "Europe/Paris"),
        st.datetimes(timezones=st.just(datetime.UTC)).filter(lambda d: d.year > 1),
    ),
    (pyarrow.date32(), st.dates()),
    (pyarrow.list_(pyarrow.int32()), st.lists(st.none() | st.integers(-5, 5), max_size=3)),
    (
        pyarrow.list_(pyarrow.list_(pyarrow.string())),
        st.lists(st.none() | st.lists(st.none() | TEXT, max_size=2), max_size=3),
    ),
    (
        pyarrow.struct([("a", pyarrow.int16()), ("b", pyarrow.list_(pyarrow.string()))]),
        st.fixed_dictionaries({"a": st.none() | st.integers(-9, 9), "b": st.none() | st.lists(TEXT, max_size=2)}),
    ),
]


@st.composite
def tables(draw: st.DrawFn) -> pyarrow.Table:
    rows = draw(st.integers(0, 6))
    columns = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4))
    arrays = [
        pyarrow.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind)
        for kind, values in columns
    ]
    return pyarrow.table(arrays, [f"c{index} é" for index in range(len(columns))])


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalObjects]:
    yield open_objects(make_store(tmp_path_factory.mktemp("tables")), DECODERS)


RELAXED = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@RELAXED
@given(value=tables())
def test_a_table_comes_back_and_its_stored_form_decodes_to_its_digest(
    objects: LocalObjects, value: pyarrow.Table
) -> None:
    manifest = written(value, objects)
    digest = manifest.entries[0].objects[0]
    stored, codec = objects.read_stored(digest)
    assert codec == table.CODEC
    assert Digest.of(table.decode(stored)) == digest
    objects.verify(digest)
    assert manifest.size == len(objects.read(digest))
    back = table.read_arrow(manifest, objects)
    assert back.schema.equals(value.schema)
    assert back.to_pylist() == value.to_pylist()


@RELAXED
@given(value=tables(), at=st.integers(0, 6))
def test_chunks_slices_and_dictionaries_do_not_change_the_digest(
    objects: LocalObjects, value: pyarrow.Table, at: int
) -> None:
    digest = written(value, objects).digest
    chunked = pyarrow.concat_tables([value.slice(0, at), value.slice(at)])
    assert written(chunked, objects).digest == digest
    padded = pyarrow.concat_tables([value, value]).combine_chunks().slice(len(value))
    assert written(padded, objects).digest == digest
    encoded = value
    for index, field in enumerate(value.schema):
        if pyarrow.types.is_string(field.type) or pyarrow.types.is_integer(field.type):
            encoded = encoded.set_column(index, field.name, value.column(index).dictionary_encode())
    assert written(encoded, objects).digest == digest


@RELAXED
@given(value=tables(), data=st.data())
def test_one_other_cell_is_another_digest(objects: LocalObjects, value: pyarrow.Table, data: st.DataObject) -> None:
    if not value.num_rows:
        return
    column = data.draw(st.integers(0, value.num_columns - 1))
    row = data.draw(st.integers(0, value.num_rows - 1))
    values = value.column(column).to_pylist()
    strategy = next(s for kind, s in COLUMNS if kind == value.schema.field(column).type)
    other = data.draw((st.none() | strategy).filter(lambda cell: repr(cell) != repr(values[row])))
    changed = pyarrow.array([*values[:row], other, *values[row + 1 :]], value.schema.field(column).type)
    if changed.to_pylist() == values and repr(changed.to_pylist()) == repr(values):
        return
    edited = value.set_column(column, value.schema.field(column).name, changed)
    assert written(edited, objects).digest != written(value, objects).digest


@pytest.mark.parametrize(
    "kind",
    [pyarrow.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC")]
    + [pyarrow.duration(unit) for unit in ("s", "ms", "us", "ns")]
    + [pyarrow.time32("s"), pyarrow.time32("ms"), pyarrow.time64("us"), pyarrow.time64("ns")]
    + [pyarrow.date32(), pyarrow.date64(), pyarrow.float16(), pyarrow.null(), pyarrow.uint64(), pyarrow.uint32()]
    + [pyarrow.large_list(pyarrow.large_string()), pyarrow.list_(pyarrow.struct([("x", pyarrow.timestamp("s"))]))],
    ids=str,
)
def test_every_type_verifies_after_it_went_through_parquet(objects: LocalObjects, kind: pyarrow.DataType) -> None:
    value = pyarrow.table({"column": pyarrow.nulls(3, kind)})
    if not isinstance(kind, pyarrow.ListType | pyarrow.LargeListType) and kind != pyarrow.null():
        numbers = pyarrow.array([86_400_000, None, 0], pyarrow.int64())
        width = {16: pyarrow.int16(), 32: pyarrow.int32(), 64: pyarrow.int64()}[kind.bit_width]
        small = numbers if kind.bit_width == 64 else pyarrow.array([1, None, 0], width)
        value = pyarrow.table({"column": small.cast(width).view(kind)})
    manifest = written(value, objects)
    objects.verify(manifest.entries[0].objects[0])
    assert written(table.read_arrow(manifest, objects), objects).digest == manifest.digest


def test_tables_of_equal_values_and_other_names_or_types_keep_their_own(objects: LocalObjects) -> None:
    frames = [
        pandas.DataFrame({"a": numpy.zeros(5, "int64")}),
        pandas.DataFrame({"b": numpy.zeros(5, "int64")}),
        pandas.DataFrame({"a": numpy.zeros(5, "float64")}),
        pandas.DataFrame({"a": numpy.zeros(5, "uint64")}),
    ]
    manifests = [written(frame, objects) for frame in frames]
    assert len({manifest.digest for manifest in manifests}) == len(frames)
    for frame, manifest in zip(frames, manifests, strict=True):
        pandas.testing.assert_frame_equal(table.read(manifest, objects), frame)


def test_a_table_reads_where_its_canonical_bytes_were_stored_as_plain_bytes_before(tmp_path: Path) -> None:
    home = make_store(tmp_path)
    frame = pandas.DataFrame({"a": [1, 2]})
    first = repository.put(home, frame)
    data = open_objects(home, DECODERS).read(first.manifest.entries[0].objects[0])
    other = make_store(tmp_path / "other")
    as_bytes = repository.put(other, data)
    again = repository.put(other, frame)
    pandas.testing.assert_frame_equal(again.load(), frame)
    assert as_bytes.load() == data
    assert repository.put(other, data).load() == data
    pandas.testing.assert_frame_equal(again.load(), frame)


def test_whole_numbers_with_nulls_are_not_rounded(objects: LocalObjects) -> None:
    frame = pandas.DataFrame({"a": pandas.array([2**53 + 1, None, -1], "Int64"), "b": [True, None, False]})
    back = table.read(written(frame, objects), objects)
    assert back["a"].tolist()[0] == 2**53 + 1
    assert back["a"].isna().tolist() == [False, True, False]
    assert written(back, objects).digest == written(frame, objects).digest


def test_text_of_any_width_is_one_type(objects: LocalObjects) -> None:
    values = ["a", None, "🙂"]
    digests = {
        written(pyarrow.table({"t": pyarrow.array(values, kind)}), objects).digest
        for kind in (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view())
    }
    assert len(digests) == 1


@pytest.mark.parametrize("frame", [pandas.DataFrame(), pandas.DataFrame({"a": []})])
def test_an_empty_table_comes_back_with_its_shape(objects: LocalObjects, frame: pandas.DataFrame) -> None:
    manifest = written(frame, objects)
    objects.verify(manifest.entries[0].objects[0])
    assert table.read(manifest, objects).shape == frame.shape


@pytest.mark.parametrize(
    "value",
    [
        pandas.DataFrame({"a": [1, 2]}, index=[1, 2]),
        pandas.DataFrame([[1, 2]], columns=["a", "a"]),
        pandas.DataFrame({1: [1]}),
        pandas.DataFrame(index=range(3)),
        pyarrow.table({"a": [1, 2]}).select([]),
        pyarrow.table({"a": pyarrow.array([5], pyarrow.int64()).view(pyarrow.date64())}),
        pandas.DataFrame({"a": [1, "x"]}),
        pandas.DataFrame({"a": [object()]}),
        pandas.DataFrame({"a": pandas.Series(["\ud800"], dtype=object)}),
        pyarrow.table({"a": pyarrow.array([1], pyarrow.decimal128(5, 1))}),
        pyarrow.table({"a": pyarrow.array([{}], pyarrow.struct([]))}),
        pyarrow.table({"a": pyarrow.array([[("k", 1)]], pyarrow.map_(pyarrow.string(), pyarrow.int8()))}),
        [1],
    ],
    ids=range(13),
)
def test_what_a_table_does_not_hold_is_refused(objects: LocalObjects, value: Any) -> None:
    with pytest.raises(InvalidValue):
        written(value, objects)


def test_one_row_of_twenty_thousand_changes_the_digest(objects: LocalObjects) -> None:
    generator = numpy.random.default_rng(0)
    frame = pandas.DataFrame({"a": generator.normal(size=20_000), "b": generator.integers(0, 9, 20_000)})
    digest = written(frame, objects).digest
    edited = frame.copy()
    edited.loc[9_999, "b"] += 1
    assert written(edited, objects).digest != digest
    assert written(frame.copy(), objects).digest == digest


def test_a_laid_out_table_is_parquet(tmp_path: Path) -> None:
    home: Home = make_store(tmp_path)
    frame = pandas.DataFrame({"a": [1, 2], "t": ["x", None]})
    repository.put(home, frame).lay_out(tmp_path / "out.parquet")
    assert pandas.read_parquet(tmp_path / "out.parquet").to_dict() == frame.to_dict()


def test_nothing_of_python_is_left_to_the_threads_that_read_parquet() -> None:
    """Such a thread aborted one process of ten at its end, where the machine was busy."""
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"x": range(10)}), file)
    data = file.getvalue()
    before = sys.getrefcount(data)
    reader = table.parquet_file(data)
    assert sys.getrefcount(data) == before
    assert reader.read().num_rows == 10
