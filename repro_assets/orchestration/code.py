"""Code versions of assets, derived from their recipes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from repro_assets.capture.code_version import code_version
from repro_assets.capture.project import project_root
from repro_assets.errors import ReproError, UnknownName
from repro_assets.store.home import Home, find_store


def code_cache(home: Home) -> Path:
    """Return the folder of a store in which analyses of code are kept."""
    return home.cache / "code"


def asset_version(recipe: Callable[..., Any], *data_files: Path) -> str:
    """Return the code version of the asset that executes `recipe`.

    Parameters
    ----------
    recipe : callable
        The recipe; its module and all first-party modules that it imports count.
    data_files : paths
        Declared files that it reads, relative to the project's top; of a folder, all that lie in it. One that is
        missing counts as absent, so that the definitions load and the materialization names it.

    Raises
    ------
    UnknownName
        If the recipe's module cannot be found by its name, as that of a script cannot.
    """
    root = project_root()
    declared = [root / path for path in data_files]
    inside = [found for path in declared if path.is_dir() for found in sorted(path.rglob("*"))]
    present = [path for path in (*declared, *inside) if path.is_file()]
    cache = _cache()
    try:
        return code_version(recipe.__module__, data_files=present, root=root, cache=cache).value
    except UnknownName:
        # It is no module of this folder's project, or is none at all.
        return code_version(recipe.__module__, data_files=present, cache=cache).value


def _cache() -> Path | None:
    """Return where analyses are kept; a process that loads definitions analyses hundreds of files otherwise."""
    try:
        return code_cache(find_store())
    except ReproError:
        return None  # there is no store yet, or whoever needs it says what is wrong with it
