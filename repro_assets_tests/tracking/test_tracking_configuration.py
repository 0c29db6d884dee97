"""A configuration of any form is one dictionary; nothing of it is dropped or cut."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import json
from pathlib import Path

import numpy
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
    with pytest.raises(InvalidValue, match="a configuration cannot be a int"):
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
