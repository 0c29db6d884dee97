"""Columns, classes and shared items are those of the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from repro_assets.cards.measuring import Column, measure


def test_a_table_is_measured_column_by_column() -> None:
    frame = pd.DataFrame(
        {
            "image_id": [3, 1, 3],
            "label": pd.array([1, None, 7], dtype="Int64"),
            "quality": [0.5, float("nan"), -2.0],
            "actions": [[1], [2, 3], []],
            "word": ["a", None, "b"],
            "when": pd.to_datetime(["2026-01-02", "2026-01-01", "2026-01-03"]),
            "good": [True, False, True],
        }
    )
    found = measure(frame)
    assert found.rows == 3
    by_name = {column.name: column for column in found.columns}
    assert list(by_name) == list(frame.columns)
    assert by_name["label"] == Column("label", "Int64", (3,), 1, 1, 7, 2)
    assert by_name["quality"] == Column("quality", "float64", (3,), 1, -2.0, 0.5, 2)
    assert (by_name["actions"].type, by_name["actions"].distinct, by_name["actions"].low) == ("list", None, None)
    assert (by_name["word"].missing, by_name["word"].distinct) == (1, 2)
    assert by_name["when"].low == "2026-01-01 00:00:00"
    assert by_name["good"].low is None
    assert found.classes == {"label": {"1": 1, "7": 1}}
    assert found.ids == {"": {1, 3}}


def test_arrays_and_tensors_are_measured_wherever_they_are_nested() -> None:
    value = {
        "images": np.full((4, 2, 2), 3, np.uint8),
        "labels": torch.tensor([0, 1, 1, 1]),
        "more": [np.array([1.0, np.nan, 2.0, np.inf]), torch.ones(4, dtype=torch.bfloat16)],
        "note": "kept aside",
    }
    found = measure(value)
    assert found.rows == 4
    assert [(column.name, column.shape, column.missing) for column in found.columns] == [
        ("images", (4, 2, 2), 0), ("labels", (4,), 0), ("more.0", (4,), 1), ("more.1", (4,), 0),
    ]  # fmt: skip
    assert found.columns[2].high == np.inf
    assert found.classes == {"labels": {"0": 1, "1": 3}}
    assert found.ids == {}


def test_splits_within_a_value_are_compared_by_ids_or_else_by_all_values() -> None:
    def part(ids: list[int]) -> dict[str, np.ndarray]:
        return {"inputs": np.array([[float(one), 0.0] for one in ids]), "ids": np.array(ids)}

    with_ids = measure({"train": part([1, 2]), "test": part([2, 3])})
    assert with_ids.splits == {"train": 2, "test": 2}
    assert with_ids.ids == {"train": {1, 2}, "test": {2, 3}} and with_ids.rows == 2
    bare = measure({name: {"inputs": part(ids)["inputs"]} for name, ids in (("train", [1, 2]), ("test", [2, 3, 4]))})
    assert bare.splits == {"train": 2, "test": 3} and bare.rows is None
    assert len(bare.ids["train"] & bare.ids["test"]) == 1


def test_what_is_no_data_measures_as_nothing() -> None:
    for value in ({}, [], b"bytes", {"a": 1}, np.float64(1.0)):
        found = measure(value)
        assert (found.columns, found.classes, found.ids, found.splits) == ([], {}, {}, {})
    empty = measure({"images": np.zeros((0, 8)), "labels": np.zeros(0, int)})
    assert empty.rows == 0 and empty.columns[0].low is None
