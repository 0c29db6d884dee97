"""One record is one line, and a line that was changed is none."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from typing import Any

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from repro_assets.errors import CorruptRecord, InvalidValue, UnsupportedFormat
from repro_assets.journal import records
from repro_assets.journal.lines import SCHEMA_VERSION, read_line, write_line
from repro_assets.journal.payloads import PAYLOADS
from repro_assets.journal.records import Payload
from repro_assets.journal.run_records import Params

TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def strategy(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(strategy(item) for item in arguments))
    if origin is list:
        return st.lists(strategy(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(TEXT, strategy(arguments[1]), max_size=3)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        int: st.integers(),
        bool: st.booleans(),
        float: st.floats(allow_nan=False),
        type(None): st.none(),
        Any: JSON,
    }
    return simple[kind]


def payloads(kind: type[Payload]) -> st.SearchStrategy[Payload]:
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{field.name: strategy(hints[field.name]) for field in dataclasses.fields(kind)})


def sealed(raw: dict[str, Any]) -> bytes:
    body = json.dumps(raw, separators=(",", ":")).encode()[:-1]
    return body + b',"xxh3":"' + xxhash.xxh3_64_hexdigest(body).encode() + b'"}\n'


@pytest.mark.parametrize("kind", PAYLOADS.values(), ids=PAYLOADS)
def test_a_record_reads_back(kind: type[Payload]) -> None:
    @settings(max_examples=40)
    @given(payloads(kind), st.integers(0), st.floats(0, 1e11), st.lists(TEXT, max_size=2).map(tuple))
    def reads_back(payload: Payload, seq: int, time: float, follows: tuple[str, ...]) -> None:
        line = write_line(payload, seq=seq, time=time, follows=follows)
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        record = read_line(line, "segment")
        assert record == records.Record("segment", seq, time, follows, payload)
        assert record.id == f"segment:{seq}"

    reads_back()


@pytest.mark.parametrize("value", ["\ud800", "é\n\r\u2028\0", "😀", '{"v":1,"xxh3":"0000000000000000"}\n'])
def test_every_text_can_be_recorded(value: str) -> None:
    payload = Params("run", {value: value})
    line = write_line(payload, seq=0, time=0.0)
    assert line.count(b"\n") == 1
    assert read_line(line, "s").payload == payload


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_can_be_recorded(value: float) -> None:
    read = read_line(write_line(Params("run", {"x": value}), seq=0, time=0.0), "s").payload
    assert isinstance(read, Params)
    assert repr(read.params["x"]) == repr(value)


def test_what_json_cannot_hold_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["x"] = endless
    for value in ({1, 2}, b"x", object(), endless):
        with pytest.raises(InvalidValue, match="params"):
            write_line(Params("run", {"x": value}), seq=0, time=0.0)


@given(st.data())
def test_a_flipped_bit_anywhere_in_a_line_is_seen(data: st.DataObject) -> None:
    line = bytearray(write_line(Params("run", {"rate": 0.1, "name": "é"}), seq=3, time=1.5))
    line[data.draw(st.integers(0, len(line) - 2))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CorruptRecord):
        read_line(bytes(line), "segment")


def test_a_newer_record_is_refused_by_its_name() -> None:
    line = sealed({"v": SCHEMA_VERSION + 1, "kind": "new", "seq": 7, "time": 0, "follows": [], "data": {}})
    with pytest.raises(UnsupportedFormat, match=rf"host-1-2:7.*{SCHEMA_VERSION + 1}"):
        read_line(line, "host-1-2")


def test_an_unknown_kind_is_refused_by_its_name() -> None:
    line = sealed({"v": SCHEMA_VERSION, "kind": "dream", "seq": 7, "time": 0, "follows": [], "data": {}})
    with pytest.raises(UnsupportedFormat, match="dream"):
        read_line(line, "segment")


@pytest.mark.parametrize(
    "raw",
    [
        {"kind": "params", "seq": 0, "time": 0, "follows": [], "data": {}},
        {"v": SCHEMA_VERSION, "kind": "params", "seq": 0, "time": 0, "follows": [], "data": {"other": 1}},
        {"v": SCHEMA_VERSION, "kind": "params", "seq": 0, "time": 0, "follows": []},
        {"v": "1", "kind": "params", "seq": 0, "time": 0, "follows": [], "data": {}},
    ],
)
def test_a_sealed_line_that_is_no_record_is_corrupt(raw: dict[str, Any]) -> None:
    with pytest.raises(CorruptRecord):
        read_line(sealed(raw), "segment")
