"""Fingerprints of data: change one thing, and exactly that is named."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import Dataset, IterableDataset

from repro_assets.determinism.data_fingerprints import DataFingerprint, fingerprint_data
from repro_assets.determinism.fingerprint_differences import diff_fingerprints
from repro_assets.determinism.fingerprints import fingerprint_of, numbers_of
from repro_assets.determinism.leaves import encoded
from repro_assets.determinism.parts import changed_place, part_of
from repro_assets.errors import InvalidInput, InvalidValue, UnsupportedFormat


def said(before: Any, after: Any) -> list[str]:
    return [str(each) for each in diff_fingerprints(fingerprint_data(before), fingerprint_data(after))]


def large() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal((1200, 1000)).astype(np.float32)


def frame(rows: int = 20_000) -> pd.DataFrame:
    draw = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "price": draw.standard_normal(rows),
            "count": draw.integers(0, 9, rows),
            "name": [f"item {number}" for number in range(rows)],
            "bought": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows), unit="min"),
        }
    )


def test_one_element_of_a_large_array_is_named() -> None:
    before, after = large(), large()
    after[777, 333] = np.nextafter(after[777, 333], np.float32(9))
    assert said(before, after) == ["array: element [777, 333] differs, and no other"]
    after[5, 6] += 1
    assert said(before, after) == ["array: the content differs"]


def test_a_dtype_and_a_shape_are_named() -> None:
    array = np.zeros((4, 6), dtype=np.float32)
    assert said(array, array.astype(np.float64)) == ["array: dtype was float32, is float64"]
    assert said(array, array.reshape(6, 4)) == ["array: shape was [4, 6], is [6, 4]"]
    assert said(array, torch.from_numpy(array)) == []


def in_column(name: str, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(given: pd.DataFrame) -> pd.DataFrame:
        given.loc[12_345, name] = value
        return given

    return change


def in_whole_row(given: pd.DataFrame) -> pd.DataFrame:
    given.loc[12_345, ["price", "name"]] = [-1.0, "another"]
    return given


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (in_column("price", -1.0), ["column 'price': element [12345] differs, and no other"]),
        (in_column("count", 99), ["column 'count': element [12345] differs, and no other"]),
        (in_column("name", "another"), ["column 'name': element [12345] differs, and no other"]),
        (in_column("bought", pd.Timestamp("2020-01-01")), ["column 'bought': element [12345] differs, and no other"]),
        (
            in_whole_row,
            [
                "column 'price': element [12345] differs, and no other",
                "column 'name': element [12345] differs, and no other",
            ],
        ),
        (lambda given: given.astype({"count": "int32"}), ["column 'count': dtype was int64, is int32"]),
        (lambda given: given.drop(columns="name"), ["column 'name': removed"]),
        (lambda given: given[["count", "price", "name", "bought"]], ["frame columns: the content differs"]),
        (lambda given: given.set_index(given.index + 1), ["frame index: the content differs"]),
    ],
)
def test_one_change_of_a_large_frame_is_named(
    change: Callable[[pd.DataFrame], pd.DataFrame], expected: list[str]
) -> None:
    assert said(frame(), change(frame())) == expected


def test_a_dropped_row_is_seen_in_every_column() -> None:
    found = said(frame(50), frame(50).drop(index=17))
    assert [line for line in found if line.startswith("column")] == [
        f"column '{name}': shape was [50], is [49]" for name in ("price", "count", "name", "bought")
    ]


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "string", "category"])
def test_columns_with_missing_values_count_each_of_them(dtype: str) -> None:
    values = {"Int64": [1, None, 3], "boolean": [True, None, False], "string": ["a", None, "c"]}.get(dtype, ["a", "b"])
    before = pd.DataFrame({"x": pd.Series(values, dtype=dtype)})
    assert said(before, before.copy()) == []
    after = pd.DataFrame({"x": pd.Series([values[0], *values[:1], *values[2:]], dtype=before["x"].dtype)})
    assert said(before, after) == ["column 'x': element [1] differs, and no other"]


def samples() -> list[dict[str, Any]]:
    return [{"text": f"sentence {number}", "ids": np.arange(number % 5), "label": number % 2} for number in range(300)]


class Held(Dataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Streamed(IterableDataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


class HuggingFace:
    """Has the form of a `datasets.Dataset`."""

    def __init__(self, items: list[dict[str, Any]], label: str = "int64") -> None:
        self.items = items
        self.features = {"text": "string", "ids": "Sequence(int64)", "label": label}
        self.column_names = list(self.features)

    def iter(self, batch_size: int) -> Iterator[dict[str, list[Any]]]:
        for start in range(0, len(self.items), batch_size):
            batch = self.items[start : start + batch_size]
            yield {name: [item[name] for item in batch] for name in self.column_names}


@pytest.mark.parametrize("form", [list, Held, Streamed, HuggingFace, iter])
def test_one_field_of_one_sample_is_named_in_every_form_of_data(form: Callable[[list[Any]], Any]) -> None:
    changed = samples()
    changed[123]["ids"] = changed[123]["ids"] + 1
    assert said(form(samples()), form(samples())) == []
    assert said(form(samples()), form(changed)) == ["samples, field ids: element [123] differs, and no other"]
    # Form does not count but for what it declares.
    assert fingerprint_data(form(samples())).parts == fingerprint_data(samples()).parts


def test_the_number_the_order_and_the_features_of_samples_count() -> None:
    items = samples()
    shorter = said(items, items[:-1])
    assert len(shorter) == 4 and all("shape was [300], is [299]" in line for line in shorter)
    assert said(items, [items[1], items[0], *items[2:]]) == [
        f"samples, field {name}: the content differs" for name in ("ids", "label", "text")
    ]
    assert said(HuggingFace(items), HuggingFace(items, "int32")) == ["data features: label was int64, is int32"]
    without = [dict(item) for item in items]
    del without[7]["label"]
    assert "samples, field label: element [7] differs, and no other" in said(items, without)


def test_tensors_arrays_and_pictures_of_samples_count_whole() -> None:
    class Picture:
        mode, size = "L", (2, 2)

        def __init__(self, data: bytes) -> None:
            self.data = data

        def tobytes(self) -> bytes:
            return self.data

    before = [(torch.zeros(3), 1), (torch.ones(3), 0)]
    assert said(before, [(torch.zeros(3), 1), (torch.ones(3).double(), 0)]) == [
        "samples, field [0]: element [1] differs, and no other"
    ]
    assert said([Picture(b"abcd")], [Picture(b"abce")]) == ["samples: element [0] differs, and no other"]


def test_a_data_set_of_hugging_face_is_read_whole() -> None:
    datasets = pytest.importorskip("datasets", reason="the library datasets is not installed")
    data = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, 1]})
    changed = datasets.Dataset.from_dict({"text": ["a", "x", "c"], "label": [0, 1, 1]})
    assert said(data, changed) == ["samples, field text: element [1] differs, and no other"]


def folder(path: Path) -> Path:
    for name, content in {"a.csv": b"1,2\n", "below/b.bin": bytes(100_000), "below/c.txt": b"c"}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    (path / "empty").mkdir()
    (path / "link").symlink_to("a.csv")
    return path


def test_one_file_of_a_folder_is_named(tmp_path: Path) -> None:
    one = folder(tmp_path / "one")
    before = fingerprint_data(one)

    def now() -> list[str]:
        return [str(each) for each in diff_fingerprints(before, fingerprint_data(two))]

    two = folder(tmp_path / "two")
    assert now() == []
    with (two / "below/b.bin").open("r+b") as file:
        file.seek(50_000)
        file.write(b"x")
    assert now() == ["file below/b.bin: the content differs"]
    (two / "below/b.bin").write_bytes(bytes(100_000))
    (two / "a.csv").write_bytes(b"1,2")
    assert now() == ["file a.csv: shape was [4], is [3]"]
    (two / "a.csv").rename(two / "d.csv")
    assert now() == ["file a.csv: removed", "file d.csv: added"]
    (two / "d.csv").rename(two / "a.csv")
    (two / "a.csv").write_bytes(b"1,2\n")
    (two / "empty").rmdir()
    assert now() == ["folder empty: removed"]
    (two / "empty").mkdir()
    (two / "link").unlink()
    (two / "link").symlink_to("below/b.bin")
    assert now() == ["link link: the content differs"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nothing"):
        fingerprint_data(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match="pipe"):
        fingerprint_data(tmp_path)


def test_splits_are_named_before_what_they_hold() -> None:
    def splits(last: int) -> dict[str, Any]:
        return {"train": Held([1, 2, 3]), "test": frame(20).assign(count=[*range(19), last])}

    assert said(splits(1), splits(2)) == ["value test/['count']: element [19] differs, and no other"]
    nested = {"images": np.zeros((3, 2)), "labels": [1, 2, 3], "facts": {"source": "made"}}
    assert said(nested, {**nested, "facts": {"source": "found"}}) == ["value facts.source: the content differs"]
    assert said(nested, {**nested, "more": 1}) == ["value more: added"]


def test_preprocessing_counts_as_it_is_stated() -> None:
    steps = ["lower case", {"tokenize": {"length": 128}}]
    before = fingerprint_data([1], steps)
    assert before.digest != fingerprint_data([1]).digest
    after = fingerprint_data([1], ["lower case", {"tokenize": {"length": 256}}])
    (found,) = diff_fingerprints(before, after)
    assert (found.where, found.before, found.after) == (
        "preprocessing step 2",
        {"tokenize": {"length": 128}},
        {"tokenize": {"length": 256}},
    )
    for wrong in ("lower case", [len], [{1, 2}]):
        with pytest.raises(InvalidValue):
            fingerprint_data([1], wrong)


@pytest.mark.parametrize(
    "data", [3, "a text", b"bytes", [object()], [{"a": lambda: 0}], pd.DataFrame([[1, 2]], columns=["a", "a"])]
)
def test_what_is_no_data_is_refused(data: Any) -> None:
    with pytest.raises(InvalidValue):
        fingerprint_data(data)


def test_a_value_that_holds_itself_is_refused() -> None:
    value: dict[str, Any] = {}
    value["self"] = value
    with pytest.raises(InvalidValue, match="hold itself"):
        fingerprint_data(value)


def test_the_document_reads_back_and_one_of_another_form_is_refused() -> None:
    fingerprint = fingerprint_data(frame(30), ["as it came"])
    document = json.loads(json.dumps(fingerprint.document()))
    assert DataFingerprint.from_document(document) == fingerprint
    assert DataFingerprint.from_document(document).digest == fingerprint.digest
    assert "column" not in str(fingerprint) and "price" in str(fingerprint) and "as it came" in str(fingerprint)
    for other, remedy in {1: "take the fingerprint again", 3: "use a newer version"}.items():
        with pytest.raises(UnsupportedFormat, match=remedy):
            DataFingerprint.from_document({**document, "format": other})


def test_the_form_is_fixed_for_ever_and_the_same_in_every_process() -> None:
    program = (
        "from repro_assets.determinism.data_fingerprints import fingerprint_data\n"
        "print(fingerprint_data([{'a': {'x', 'y', 'z'}, 'b': 1.5, 'c': None, 'd': b'd', 'e': True}], ['none']).digest)"
    )
    # More than a row of the table in which places are summed.
    numbers = fingerprint_data(np.arange(600, dtype=np.float32).reshape(2, 300))
    assert str(numbers.digest) == "sha256:dbbd1b34b38b2ae306c549c10a4cd625fc37bc01f5ad9d6dce8c7bf0f21e174d"
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {"sha256:f892ca485e63ee60b0b5cbd7f19ed5f7d759c4bf5dde22acaa5e21d1c508588b"}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.sampled_from([np.float32(1), np.int64(1), torch.ones(1), datetime.date(2024, 1, 1), 1 + 0j]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 3), inner, max_size=3)
    ),
    max_leaves=6,
)


def described(value: Any) -> str:
    """Another injective form, to compare with."""
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{key!r}:{described(item)}" for key, item in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return type(value).__name__ + "(" + ",".join(map(described, value)) + ")"
    if isinstance(value, (np.generic, torch.Tensor)):
        numbers = numbers_of(value)
        return f"{numbers.dtype} {numbers.shape} {[bytes(piece) for piece in numbers.pieces()]}"
    if isinstance(value, float):
        return "float " + value.hex() if value == value else "float nan " + np.float64(value).tobytes().hex()
    return f"{type(value).__name__} {value!r}"


@settings(deadline=None, max_examples=300)
@given(VALUES, VALUES)
def test_encodings_are_equal_exactly_for_equal_values(one: Any, two: Any) -> None:
    assert (encoded(one) == encoded(two)) is (described(one) == described(two))


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(["?", "u1", "i2", "f2", "f4", "f8", "c8", "c16", "i8"]), st.integers(1, 70_000), st.data())
def test_any_single_change_is_found_and_no_other_is(dtype: str, count: int, data: st.DataObject) -> None:
    before = np.random.default_rng(count).integers(0, 2, count * np.dtype(dtype).itemsize).astype("u1").view(dtype)
    place = data.draw(st.integers(0, count - 1))
    bit = data.draw(st.integers(0, 0 if dtype == "?" else before.itemsize * 8 - 1))
    after = before.copy()
    after.view("u1")[place * before.itemsize + bit // 8] ^= 1 << bit % 8
    parts = [part_of(numbers_of(each)) for each in (before, after)]
    assert changed_place(*parts) == (place,)
    assert parts[0].digest == fingerprint_of(before)
    if count > 1:
        after.view("u1")[(place + 1) % count * before.itemsize] ^= 1
        assert changed_place(parts[0], part_of(numbers_of(after))) is None
