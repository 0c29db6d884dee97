from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from repro_assets.catalog import queries
from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.orchestration import reproducible_asset, reproducible_resources
from repro_assets.store.home import Home, make_store

RESOURCES = reproducible_resources(capture_level="basic", monitor=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.chdir(tmp_path)
    home = make_store(tmp_path / "store")
    monkeypatch.setenv("REPRO_HOME", str(home.root))
    return home


class Size(dg.Config):
    size: int = 3


class Taken(dg.Config):
    force: bool = False


def no_class(config):  # type: ignore[no-untyped-def]
    return 1


def other_class(config: dict[str, int]) -> int:
    return 1


def taken(config: Taken) -> int:
    return 1


def miscalled(settings: Size) -> int:
    return 1


def defaulted(table: pd.DataFrame, threshold: float = 0.5) -> int:
    return 1


def logged(table: pd.DataFrame, log: subprocess.Popen[str]) -> int:
    return 1


def variadic(**tables: pd.DataFrame) -> int:
    return 1


def unstorable() -> subprocess.CompletedProcess:  # type: ignore[type-arg]
    raise NotImplementedError


async def asynchronous() -> int:
    return 1


def yielding() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (no_class, "config of no_class has no class"),
        (other_class, "config of other_class is dict"),
        (taken, "Taken has the field force"),
        (miscalled, "settings of miscalled is the config Size"),
        (defaulted, "threshold of defaulted has a default"),
        (logged, "log of logged is a subprocess.Popen"),
        (variadic, "tables of variadic is variadic"),
        (unstorable, "unstorable returns a CompletedProcess"),
        (asynchronous, "asynchronous is asynchronous"),
        (yielding, "yielding yields"),
        (3, "is no function"),
    ],
)
def test_what_no_asset_can_keep_is_refused_when_it_is_defined(function: Any, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        reproducible_asset(group_name="g")(function)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"config_schema": {"a": int}}, "takes no config_schema"),
        ({"check_specs": [dg.AssetCheckSpec("c", asset="missing")]}, "takes no check_specs"),
        ({"output_required": False}, "takes no output_required"),
        ({"backfill_policy": dg.BackfillPolicy.single_run()}, "one partition in a run"),
        ({"files": {"nothing": "a.csv"}}, "no parameter 'nothing'"),
        ({"config": Size}, "takes no config"),
    ],
)
def test_arguments_that_cannot_be_kept_are_refused(arguments: dict[str, Any], said: str) -> None:
    def plain() -> int:
        return 1

    with pytest.raises(InvalidValue, match=said):
        reproducible_asset(**arguments)(plain)


def test_a_function_over_what_no_key_holds_is_refused() -> None:
    held = np.zeros(3)

    def closed() -> Any:
        return held

    with pytest.raises(InvalidValue, match="closes over held, a ndarray"):
        reproducible_asset(closed)


def returns_an_object() -> Any:
    return {1, 2}


def returns_an_object_inside() -> Any:
    return {"model": object()}


def returns_a_result() -> Any:
    return dg.MaterializeResult(value=1)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (returns_an_object, "returns_an_object returned what cannot be stored: a set"),
        (returns_an_object_inside, "inside cannot be stored: value.model is an object"),
        (returns_a_result, "returns_a_result returned a MaterializeResult"),
    ],
)
def test_a_returned_value_that_cannot_be_kept_fails_the_run_by_name(home: Home, function: Any, said: str) -> None:
    with pytest.raises(InvalidValue, match=said) as raised:
        dg.materialize([reproducible_asset(function)], resources=RESOURCES)
    assert "return " in raised.value.remedy or "give " in raised.value.remedy
    (row,) = queries.rows(home, "SELECT state, error_message FROM runs WHERE run_kind = 'asset'")
    assert row["state"] == "FAILED" and said in row["error_message"]


@reproducible_asset
def measured() -> int:
    return 1


@reproducible_asset
def total(measured: int) -> int:
    return measured + 1


def test_an_input_that_was_never_made_is_named(home: Home) -> None:
    with pytest.raises(UnknownName, match="measured has never been materialized"):
        dg.materialize([measured, total], selection=["total"], resources=RESOURCES)
