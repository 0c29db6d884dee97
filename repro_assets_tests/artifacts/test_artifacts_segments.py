"""Records come back under their ids, and snapshots of one buffer share what did not change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro_assets.artifacts import repository
from repro_assets.artifacts.kinds import record_blocks
from repro_assets.artifacts.kinds.block_list import Segments
from repro_assets.artifacts.kinds.record_blocks import BLOCK, RecordBuffer, Records
from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.store import codecs
from repro_assets.store.home import Home, make_store, open_store

FIELDS = numpy.dtype([("state", "<f4", (3,)), ("action", "<i8"), ("done", "?"), ("half", "<f2")])


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_store(tmp_path / "store")


def some(start: int, stop: int) -> dict[str, Any]:
    """Records whose values tell their ids."""
    ids = numpy.arange(start, stop)
    return {
        "state": numpy.sin(0.01 * ids[:, None] + numpy.arange(3)).astype(numpy.float32),
        "action": ids,
        "done": ids % 7 == 0,
        "half": (ids % 100).astype(numpy.float16),
    }


def assert_equal(found: Any, expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert found[name].dtype == column.dtype
        assert numpy.array_equal(found[name], column)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 3 * BLOCK),
    st.lists(st.sampled_from([0, 1, 5, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3]), max_size=6),
)
def test_a_stored_snapshot_is_the_buffer(
    tmp_path_factory: pytest.TempPathFactory, capacity: int, lengths: list[int]
) -> None:
    home = make_store(tmp_path_factory.mktemp("ring") / "store")
    buffer, end = RecordBuffer(FIELDS, capacity), 0
    for length in lengths:
        assert buffer.append(some(end, end + length)) == range(end, end + length)
        end += length
        found = repository.put(home, buffer.snapshot()).load()
        assert found.ids == range(max(0, end - capacity), end)
        assert_equal(found.columns, some(found.ids.start, found.ids.stop))
        again = RecordBuffer.restored(found, capacity)
        assert again.append(some(end, end + 1)) == range(end, end + 1)
        assert_equal(again.take([end]), some(end, end + 1))


def test_ids_are_never_used_again(home: Home) -> None:
    buffer = RecordBuffer(FIELDS, 10)
    buffer.append(some(0, 25))
    assert (buffer.first, buffer.end, len(buffer)) == (15, 25, 10)
    assert_equal(buffer.take([24, 15]), {name: column[[24, 15]] for name, column in some(0, 25).items()})
    for gone in (14, 0, 25, -1):
        with pytest.raises(UnknownName, match=str(gone)):
            buffer.take([20, gone])


def test_a_snapshot_does_not_change_with_the_buffer() -> None:
    buffer = RecordBuffer(FIELDS, 10)
    buffer.append(some(0, 10))
    snapshot = buffer.snapshot()
    buffer.append(some(10, 15))
    assert_equal(snapshot.columns, some(0, 10))


def test_snapshots_share_every_block_that_is_full_in_both(home: Home) -> None:
    buffer = RecordBuffer(FIELDS, 10 * BLOCK)
    buffer.append(some(0, 10 * BLOCK + 100))
    before = repository.put(home, buffer.snapshot()).manifest.entries
    buffer.append(some(10 * BLOCK + 100, 12 * BLOCK))
    after = repository.put(home, buffer.snapshot()).manifest.entries
    # Blocks 2 to 9 are full in both; 1 lost its beginning before the second snapshot and 10 was not full in the first.
    assert sum(entry in before for entry in after) == 8 * len(FIELDS.names or ())


def test_equal_records_at_other_ids_are_another_artifact(home: Home) -> None:
    first = repository.put(home, Segments.of_records(some(0, 10)))
    assert repository.put(home, Segments.of_records(some(0, 10), 1)) != first
    structured = numpy.zeros(10, FIELDS)
    for name, column in some(0, 10).items():
        structured[name] = column
    assert repository.put(home, Segments.of_records(structured)) == first


def test_their_digest_stays_for_ever(home: Home) -> None:
    exact = {name: column for name, column in some(5000, 9000).items() if name != "state"}
    stored = repository.put(home, Segments.of_records(exact, 5000))
    assert [entry.name for entry in stored.manifest.entries][::3] == ["action/000000005000", "action/000000008192"]
    assert stored.digest.hex == "9900836fd3cf913232820f04b2e86c4987ed29564643025788b827c8674b6468"


def test_blocks_that_an_earlier_version_wrote_still_read(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[1] / "golden" / "store-v1", tmp_path / "old")
    digest = Digest("6ace1407ba23e7d42869530fd8d0d60f4fc437e68e2a2b606a5197bd824de533")
    assert repository.by_digest(open_store(tmp_path / "old"), digest).load() == Segments(
        (b"first block", b"", b"third")
    )


def test_wide_values_are_several_objects(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_blocks, "_PART_BYTES", 100_000)
    wide = numpy.random.default_rng(1).standard_normal((500, 100)).astype(numpy.float32)
    stored = repository.put(home, Records({"frame": wide}, 4000))
    assert [len(entry.objects) for entry in stored.manifest.entries] == [1, 2]
    assert numpy.array_equal(stored.load().columns["frame"], wide)


def test_a_laid_out_snapshot_is_a_file_for_each_field(home: Home, tmp_path: Path) -> None:
    stored = repository.put(home, Records(some(0, 10), 7))
    assert stored.lay_out(tmp_path / "out") == 5
    document = json.loads((tmp_path / "out" / "records.json").read_text())
    assert (document["first"], document["count"]) == (7, 10)
    for field in document["fields"]:
        assert numpy.array_equal(numpy.load(tmp_path / "out" / field["file"]), some(0, 10)[field["name"]])


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"a": numpy.zeros(2), "b": numpy.zeros(3)},
        {"a": numpy.array(["text"])},
        {"a": numpy.array(1.0)},
        {"": numpy.zeros(2)},
        {"a": numpy.zeros((2, 0))},
        {"a": numpy.zeros(2, numpy.longdouble)},
        {"a": numpy.zeros(2, object)},
    ],
)
def test_what_are_no_records_is_refused(columns: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        Records(columns)


@pytest.mark.parametrize("first", [-1, 1.5, True])
def test_ids_begin_at_zero_or_later(first: Any) -> None:
    with pytest.raises(InvalidValue, match="id"):
        Records(some(0, 1), first)


@pytest.mark.parametrize(
    "columns",
    [
        {**some(0, 2), "more": numpy.zeros(2)},
        {name: column for name, column in some(0, 2).items() if name != "done"},
        {**some(0, 2), "action": numpy.zeros(3, int)},
        {**some(0, 2), "action": numpy.zeros(2)},
        {**some(0, 2), "state": numpy.zeros((2, 4), numpy.float32)},
    ],
)
def test_a_buffer_refuses_other_records_and_stays_as_it_was(columns: dict[str, Any]) -> None:
    buffer = RecordBuffer(FIELDS, 10)
    buffer.append(some(0, 4))
    with pytest.raises(InvalidValue):
        buffer.append(columns)
    assert_equal(buffer.snapshot().columns, some(0, 4))


@settings(deadline=None)
@given(
    st.sampled_from(["<f2", "<f4", "<f8", "<i2", "<u4", "<i8"]),
    st.integers(0, 600),
    st.integers(1, 5),
    st.integers(0, 99),
    st.booleans(),
)
def test_rows_come_back_as_they_were(dtype: str, count: int, width: int, seed: int, smooth: bool) -> None:
    numbers = numpy.random.default_rng(seed).standard_normal((count, width)) * 1000
    with numpy.errstate(over="ignore", invalid="ignore"):
        rows = (numpy.cumsum(numbers, axis=0) if smooth else numbers).astype(dtype)
    if not count:
        return
    stored = codecs.split_rows(memoryview(rows.tobytes()), rows.itemsize, rows[:1].nbytes)
    out = bytearray(rows.nbytes)
    codecs.join_rows(memoryview(stored), memoryview(out))
    assert bytes(out) == rows.tobytes()


def test_what_changes_little_from_row_to_row_is_stored_as_rows() -> None:
    states = some(0, BLOCK)["state"]
    codec, stored = codecs.encode(memoryview(states.tobytes()), 4, 12)
    assert codec == codecs.ROWS
    assert len(stored) < 0.5 * states.nbytes
    assert codecs.encode(memoryview(numpy.random.default_rng(1).bytes(48_000)), 4, 12)[0] == "raw"


def test_blocks_known_as_stored_are_not_read_again_and_put_again_where_they_are_gone(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = some(0, 2 * BLOCK + 5)
    stored = record_blocks.StoredBlocks()
    first = repository.put(home, Records(columns, 0, stored))
    columns["action"][3] = -1
    stored.forget("action", [3])
    hashed: list[int] = []
    monkeypatch.setattr(Digest, "of", staticmethod(lambda data: hashed.append(len(data)) or Digest.of_chunks([data])))
    second = repository.put(home, Records(columns, 0, stored))
    assert len(hashed) == 2, "one block of one field, and the manifest"
    monkeypatch.undo()
    assert second.digest == repository.put(home, Records(columns)).digest != first.digest
    elsewhere = make_store(tmp_path / "elsewhere")
    assert_equal(repository.put(elsewhere, Records(columns, 0, stored)).load().columns, columns)
