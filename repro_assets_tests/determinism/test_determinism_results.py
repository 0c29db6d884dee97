"""Results of two processes: the first difference is named, to the element."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from repro_assets.artifacts.kinds.record_blocks import Records, StoredBlocks
from repro_assets.determinism.results import Written, first_difference, write_result
from repro_assets.errors import InvalidValue


@dataclasses.dataclass
class Point:
    x: float
    tags: set[str]


def result(**changed: Any) -> dict[str, Any]:
    return {
        "weights": [torch.zeros(100, 100), torch.zeros(2, dtype=torch.bfloat16)],
        "array": np.arange(12.0).reshape(3, 4),
        "frame": pd.DataFrame({"x": [1.0, 2.0, 3.0], "name": ["a", "b", "c"]}),
        "point": Point(1.5, {"one", "two"}),
        "when": datetime.date(2024, 1, 1),
        "text": "the same words",
        "number": 3,
        **changed,
    }


def compared(folder: Path, one: Any, two: Any) -> dict[str, Any] | None:
    written = []
    for name, value in (("one", one), ("two", two)):
        (folder / name).mkdir()
        write_result(value, folder / name)
        written.append(Written.read(folder / name))
    found = first_difference(*written)
    assert (found is None) is (written[0].digest == written[1].digest)
    return found


def with_changed(tensor: torch.Tensor, place: tuple[int, ...]) -> torch.Tensor:
    tensor = tensor.clone()
    tensor[place] = 1
    return tensor


FRAME = pd.DataFrame({"x": [1.0, 2.0, 3.0], "name": ["a", "b", "d"]})


@pytest.mark.parametrize(
    ("changed", "path", "what", "element", "values"),
    [
        ({"weights": [with_changed(torch.zeros(100, 100), (37, 5)), torch.zeros(2, dtype=torch.bfloat16)]},
         "weights[0]", "content", [37, 5], ["0.0", "1.0"]),
        ({"weights": [torch.zeros(100, 100), with_changed(torch.zeros(2, dtype=torch.bfloat16), (1,))]},
         "weights[1]", "content", [1], ["0x0000", "0x3f80"]),
        ({"array": np.arange(12.0).reshape(4, 3)}, "array", "shape", None, [[3, 4], [4, 3]]),
        ({"array": np.arange(12).reshape(3, 4)}, "array", "type", None, ["float64", "int64"]),
        ({"frame": FRAME}, "frame['name']", "content", [2], ["c", "d"]),
        ({"point": Point(1.5, {"one", "three"})}, "point.tags", "content", None, None),
        ({"text": "the same wards"}, "text", "content", None, ["the same words", "the same wards"]),
        ({"number": 3.0}, "number", "type", None, ["int", "float"]),
        ({"number": 4}, "number", "content", None, ["3", "4"]),
        ({"more": 1}, "", "members", None, [[], ["more"]]),
        ({"weights": [torch.zeros(100, 100)]}, "weights", "content", None, ["2", "1"]),
        ({"when": None}, "when", "type", None, ["date", "none"]),
    ],
)  # fmt: skip
def test_one_change_is_named(
    tmp_path: Path, changed: dict[str, Any], path: str, what: str, element: list[int] | None, values: Any
) -> None:
    found = compared(tmp_path, result(), result(**changed))
    assert found is not None
    assert (found["path"], found["what"], found["element"]) == (path, what, element)
    if values is not None:
        assert found["values"] == values


def test_equal_results_have_no_difference_whatever_the_order_of_keys(tmp_path: Path) -> None:
    assert compared(tmp_path, result(), dict(reversed(result().items()))) is None


def test_the_byte_is_that_of_the_leaf(tmp_path: Path) -> None:
    before = np.zeros(3_000_000, dtype=np.float64)  # more than a block of the comparison
    after = before.copy()
    after[2_000_001] = 1.0
    found = compared(tmp_path, before, after)
    # 1.0 has its first ones in the last two of its eight bytes.
    assert found == {
        "path": "", "what": "content", "element": [2_000_001], "byte": 8 * 2_000_001 + 6, "values": ["0.0", "1.0"],
    }  # fmt: skip


def test_a_path_stands_for_what_lies_there(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "below" / "file").write_bytes(b"same")
    assert compared(tmp_path / "a", {"made": tmp_path / "a" / "below"}, {"made": tmp_path / "b" / "below"}) is None
    (tmp_path / "b" / "below" / "file").write_bytes(b"sane")
    found = compared(tmp_path / "b", [tmp_path / "a" / "below"], [tmp_path / "b" / "below"])
    assert found is not None and found["path"] == "[0].file" and found["values"] == ["same", "sane"]


def test_what_cannot_be_compared_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"a\[1\]"):
        write_result({"a": [1, object()]}, tmp_path)


def test_what_is_stored_of_a_buffer_is_no_part_of_its_records(tmp_path: Path) -> None:
    columns = {"reward": np.arange(3.0)}
    plain, stored = Records(columns, 5), Records(columns, 5, StoredBlocks())
    for name in ("same", "other"):
        (tmp_path / name).mkdir()
    assert compared(tmp_path / "same", {"buffer": plain}, {"buffer": stored}) is None
    other = compared(tmp_path / "other", {"buffer": plain}, {"buffer": Records(columns, 6, StoredBlocks())})
    assert other is not None and other["path"] == "buffer.first"
