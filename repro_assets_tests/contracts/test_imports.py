"""What starting costs: which libraries an import brings with it.

Each import happens in a fresh process, because this one has loaded everything already.
"""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import repro_assets

HEAVY = ("torch", "dagster", "pandas", "pyarrow", "duckdb")
ALSO_SLOW = ("sklearn", "matplotlib", "scipy", "git", "networkx", "grimp", "opentelemetry", "structlog")
GROUND_FLOOR = ("identity", "store", "journal")


def _modules_of(package: str) -> list[str]:
    (folder,) = (Path(path) / package for path in repro_assets.__path__)
    prefix = f"repro_assets.{package}"
    return [prefix, *(module.name for module in pkgutil.walk_packages([str(folder)], f"{prefix}."))]


def _loaded_by(*modules: str) -> set[str]:
    statement = "; ".join(f"import {module}" for module in modules)
    found = subprocess.run(
        [sys.executable, "-c", f"{statement}; import json, sys; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in json.loads(found.stdout)}


def test_importing_the_package_loads_no_heavy_library() -> None:
    assert not _loaded_by("repro_assets") & {*HEAVY, *ALSO_SLOW}


@pytest.mark.parametrize("package", GROUND_FLOOR)
def test_the_ground_floor_loads_no_heavy_library(package: str) -> None:
    assert not _loaded_by("repro_assets.errors", *_modules_of(package)) & {*HEAVY, *ALSO_SLOW}


def test_asking_the_command_for_help_loads_no_heavy_library() -> None:
    script = "import sys; from repro_assets.cli.app import main; sys.argv = ['repro', '--help']\ntry:\n    main()\n"
    absent = {*HEAVY, *ALSO_SLOW}
    script += f"except SystemExit:\n    pass\nprint(sorted({absent!r} & set(sys.modules)), file=sys.stderr)"
    asked = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Usage" in asked.stdout
    assert asked.stderr.strip() == "[]"


def test_a_heavy_library_would_be_noticed() -> None:
    assert "duckdb" in _loaded_by("duckdb")
