"""What the package offers by its own name: all of it is there, documented, and costs nothing until it is used."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import repro_assets
from repro_assets.capture.imports import analyse

SOURCE = Path(repro_assets.__file__).read_bytes()


def test_what_is_offered_told_to_type_checkers_and_loaded_is_the_same() -> None:
    told = {name: module.removeprefix("repro_assets.") for name, module in analyse(SOURCE, "__init__.py").lazy}
    assert told == repro_assets._MODULES
    assert list(repro_assets.__all__) == sorted(told)
    assert set(repro_assets.__all__) <= set(dir(repro_assets))


@pytest.mark.parametrize("name", repro_assets.__all__)
def test_every_name_is_there_under_its_own_name(name: str) -> None:
    found = getattr(repro_assets, name)
    assert found.__name__ == name
    assert found.__module__ == f"repro_assets.{repro_assets._MODULES[name]}"


def _parameters(found: Any) -> list[str]:
    given = found.__init__ if inspect.isclass(found) and "__init__" in vars(found) else found
    return [name for name in inspect.signature(given).parameters if name != "self"]


@pytest.mark.parametrize("name", repro_assets.__all__)
def test_every_name_is_documented_with_each_of_its_parameters(name: str) -> None:
    found = getattr(repro_assets, name)
    text = inspect.getdoc(found) or ""
    assert text.strip()
    if inspect.isclass(found) and (issubclass(found, BaseException) or not dataclasses.is_dataclass(found)):
        return
    parameters = _parameters(found)
    if not parameters:
        return
    assert "Parameters\n----------" in text
    section = text.split("Parameters\n----------")[1].split("\n\n")[0]
    listed = {
        word
        for line in section.splitlines()
        if " : " in line
        for word in line.split(" : ")[0].replace("*", "").split(", ")
    }
    assert set(parameters) <= listed | {"log"}


def test_a_name_that_is_not_offered_is_not_there() -> None:
    with pytest.raises(AttributeError, match="set_globl_seed"):
        repro_assets.set_globl_seed  # noqa: B018


def test_only_what_is_used_is_loaded() -> None:
    program = (
        "import sys, repro_assets\n"
        "before = {name for name in sys.modules if name.startswith('repro_assets')}\n"
        "repro_assets.Seeds(1); from repro_assets import set_global_seed\n"
        "print(sorted(before), 'torch' in sys.modules, 'dagster' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "['repro_assets'] False False"
