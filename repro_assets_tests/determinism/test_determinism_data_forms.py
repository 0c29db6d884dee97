"""Forms of data whose elements are no plain numbers: records, categories, batches of Arrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from repro_assets.determinism.data_fingerprints import fingerprint_data
from repro_assets.determinism.fingerprint_differences import diff_fingerprints
from repro_assets.determinism.results import Written, first_difference, write_result
from repro_assets.errors import InvalidValue


def said(before: Any, after: Any) -> list[str]:
    return [str(each) for each in diff_fingerprints(fingerprint_data(before), fingerprint_data(after))]


RECORD = [("a", "i4"), ("b", "f8")]


def test_the_record_that_differs_is_named_and_several_are_not() -> None:
    before = np.zeros((2, 3), dtype=RECORD)
    after = before.copy()
    after[1, 2]["b"] = 1
    assert said(before, after) == ["array: element [1, 2] differs, and no other"]
    assert said(before, np.ones((2, 3), dtype=RECORD)) == ["array: the content differs"]
    after["a"][0, 0] = 7
    assert said(before, after) == ["array: the content differs"]


def test_padding_and_byte_order_of_records_do_not_count() -> None:
    plain = np.array([(1, 2.0), (3, 4.0)], dtype=RECORD)
    padded = np.frombuffer(b"\xff" * 32, np.dtype(RECORD, align=True)).copy()
    padded["a"], padded["b"] = plain["a"], plain["b"]
    assert said(plain, padded) == []
    assert said(plain, plain.astype(np.dtype(RECORD).newbyteorder(">"))) == []


def test_two_runs_name_the_record_that_differs(tmp_path: Path) -> None:
    after = np.zeros(3, dtype=RECORD)
    after[2]["a"] = 5
    sides = []
    for name, value in {"one": np.zeros(3, dtype=RECORD), "two": after}.items():
        (tmp_path / name).mkdir()
        write_result(value, tmp_path / name)
        sides.append(Written.read(tmp_path / name))
    found = first_difference(*sides)
    assert found is not None and found["element"] == [2]
    assert found["values"] == ["0x" + "00" * 12, "0x05" + "00" * 11]


def test_categories_are_named() -> None:
    def of(categories: list[Any], ordered: bool = False) -> pd.Series:
        return pd.Series(pd.Categorical(categories[:1], categories=categories, ordered=ordered), name="x")

    assert said(of(["a", "b"]), of(["a", "c"])) == [
        "frame values: dtype was category ['a', 'b'], is category ['a', 'c']"
    ]
    assert "is ordered category ['a', 'b']" in said(of(["a", "b"]), of(["a", "b"], True))[0]
    (numbers,) = said(of([1, 2]), of(["1", "2"]))
    assert "was category [1, 2] " in numbers and "is category ['1', '2']" in numbers
    many = [str(number) for number in range(1000)]
    (found,) = said(of(many), of([*many[:-1], "last"]))
    assert "'7', … 1000 of them]" in found and len(found) < 300


def test_a_batch_of_arrow_is_a_table() -> None:
    columns = {"a": [1, 2, 3], "b": ["x", None, "z"]}
    batch = pa.RecordBatch.from_pydict(columns)
    assert fingerprint_data(batch).kind == "frame"
    assert said(batch, pa.table(columns)) == []
    assert said(batch, pa.RecordBatch.from_pydict({**columns, "b": ["x", None, "y"]})) == [
        "column 'b': element [2] differs, and no other"
    ]
    for form in (pa.table, pa.record_batch):
        with pytest.raises(InvalidValue, match="two columns of one name"):
            fingerprint_data(form([pa.array([1]), pa.array([2])], names=["a", "a"]))
