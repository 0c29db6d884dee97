"""A configuration of any form is one dictionary; nothing of it is dropped or cut."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import uuid
from pathlib import Path

import numpy
import pandas
import pydantic
import pytest
import torch

from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.tracking.configuration import config_of, plain_argument


@dataclasses.dataclass
class Inner:
    depth: int = 2


@dataclasses.dataclass
class Outer:
    lr: float = 0.1
    inner: Inner = dataclasses.field(default_factory=Inner)


class Model(pydantic.BaseModel):
    lr: float = 0.1
    path: Path = Path("data")


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, {}),
        ({"a": (1, 2), 3: None}, {"a": [1, 2], "3": None}),
        (Outer(), {"lr": 0.1, "inner": {"depth": 2}}),
        (Model(), {"lr": 0.1, "path": "data"}),
        (argparse.Namespace(lr=0.1, colour=Colour.RED), {"lr": 0.1, "colour": "red"}),
        ({"n": numpy.float64(0.5), "t": "x" * 100_000}, {"n": 0.5, "t": "x" * 100_000}),
    ],
)
def test_every_form_is_a_dictionary(given, expected):
    assert config_of(given) == expected
    json.dumps(config_of(given))


def test_files_are_read(tmp_path):
    (tmp_path / "c.yaml").write_text("lr: 0.1\nlayers: [1, 2]\n")
    (tmp_path / "c.json").write_text('{"lr": 0.1, "layers": [1, 2]}')
    assert config_of(tmp_path / "c.yaml") == config_of(str(tmp_path / "c.json")) == {"lr": 0.1, "layers": [1, 2]}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("c.yaml", "a: [", "does not read"),
        ("c.json", "{", "does not read"),
        ("c.yaml", "- 1", "holds no mapping"),
        ("c.toml", "a = 1", "neither .yaml"),
        ("gone.yaml", None, "cannot be read"),
        ("c.json", b"\xff", "cannot be read"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path, name, text, said):
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInput, match=said) as error:
        config_of(path)
    assert name in str(error.value)


def test_what_is_no_configuration_is_refused():
    with pytest.raises(InvalidValue, match="a configuration cannot be an int"):
        config_of(3)


def test_what_json_cannot_hold_is_described_by_what_it_is():
    first, second = torch.arange(4.0), torch.arange(4.0)
    assert plain_argument(first) == plain_argument(second)
    second[3] = 0
    assert plain_argument(first) != plain_argument(second)
    assert plain_argument(first)["shape"] == [4]
    assert plain_argument(numpy.zeros((2, 0)))["shape"] == [2, 0]
    # Where an object lies in memory is no part of what it is.
    assert plain_argument(object()) == plain_argument(object())
    assert plain_argument(numpy.longdouble(1))["type"].endswith("longdouble")

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert plain_argument(Broken())["repr_failed"] == "RuntimeError: no"


def test_a_configuration_that_holds_itself_ends():
    held: dict[str, object] = {}
    held["self"] = held
    assert "repr_sha256" in json.dumps(config_of(held))


def _frame() -> pandas.DataFrame:
    return pandas.DataFrame({"x": range(1000), "y": ["a"] * 1000})


def test_one_cell_in_the_middle_of_a_table_is_another_description():
    changed = _frame()
    changed.loc[500, "x"] = -1
    assert plain_argument(_frame()) == plain_argument(_frame()) != plain_argument(changed)
    assert plain_argument(_frame()["x"]) == plain_argument(_frame()["x"]) != plain_argument(changed["x"])
    assert plain_argument(_frame()).keys() == {"type", "sha256"}


def test_one_weight_or_another_dropout_is_another_module():
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    second.load_state_dict(first.state_dict())
    assert plain_argument(first) == plain_argument(second)
    with torch.no_grad():
        second.weight[0, 0] += 1
    assert plain_argument(first) != plain_argument(second)
    assert plain_argument(torch.nn.Dropout(0.1)) != plain_argument(torch.nn.Dropout(0.2))


def test_sets_and_times_are_values():
    many = [f"name {number}" for number in range(100)]
    assert (
        plain_argument(set(many))
        == plain_argument(frozenset(many)) | {"type": "builtins.set"}
        != plain_argument({*many[1:]})
    )
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
    assert plain_argument(moment) == {"type": "datetime.datetime", "value": "2026-01-02T03:04:05.000006+00:00"}
    assert plain_argument(decimal.Decimal("0.10"))["value"] == "0.10"
    json.dumps(plain_argument([{1, 2}, moment, moment - moment, uuid.UUID(int=0), fractions.Fraction(1, 3)]))
