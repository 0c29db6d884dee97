"""Where a project keeps its definitions: module and attribute, as Python can import them from the project's folder.

Laws: ``[tool.dagster]`` of pyproject.toml decides, then workspace.yaml, then a file ``definitions.py``, then our own
definitions where our own source lies; nothing is imported to find out. A file counts as the module that it is to
whoever has the project's folder, or its ``src``, on the path, so a project need not be installed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repro_assets.capture.project import project_root, source_folders
from repro_assets.errors import InvalidInput

DEFAULT_MODULE = "repro_assets.definitions"
ATTRIBUTE = "defs"
WORKSPACES = ("workspace.yaml", "workspace.yml")
_KEYS = {"python_module": "module_name", "python_package": "package_name", "python_file": "relative_path"}


class NoDefinitions(InvalidInput):
    """A folder names no definitions, so there is nothing that Dagster could execute."""


def code_location(root: Path | None = None) -> tuple[str, str]:
    """Return module and attribute of the definitions of a project.

    Parameters
    ----------
    root : Path, optional
        The project's folder; that of the current folder if left out.

    Raises
    ------
    NoDefinitions
        If none are named.
    InvalidInput
        If a file does not read, or names several code locations.
    """
    root = root or project_root()
    named = _of_pyproject(root / "pyproject.toml")
    for name in WORKSPACES:
        named = named or _of_workspace(root, root / name)
    if named is not None:
        return named
    for folder in source_folders(root):
        if (folder / "definitions.py").is_file():
            return "definitions", ATTRIBUTE
    # A recipe's code is looked up in the project, so our own definitions are of use only where our own source lies.
    if not (root / DEFAULT_MODULE.replace(".", "/")).with_suffix(".py").is_file():
        raise NoDefinitions(
            f"{root} is no project: no definitions are named in it",
            "go to the project's folder, or name the module under [tool.dagster] module_name in pyproject.toml",
        )
    return DEFAULT_MODULE, ATTRIBUTE


def module_of(root: Path, file: Path) -> str | None:
    """Return the module that a file is to whoever imports from a project's folder; None where it is elsewhere."""
    file = file if file.is_absolute() else root / file
    for folder in reversed(source_folders(root)):
        if file.suffix == ".py" and file.is_relative_to(folder):
            parts = file.relative_to(folder).with_suffix("").parts
            if all(part.isidentifier() for part in parts):
                return ".".join(parts)
    return None


def _of_pyproject(path: Path) -> tuple[str, str] | None:
    if not path.is_file():
        return None
    try:
        facts = tomllib.loads(path.read_text("utf-8")).get("tool", {}).get("dagster", {})
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", "mend it") from error
    if "module_name" not in facts:
        return None
    return str(facts["module_name"]), str(facts.get("attribute", ATTRIBUTE))


def _of_workspace(root: Path, path: Path) -> tuple[str, str] | None:
    if not path.is_file():
        return None
    import yaml

    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidInput(f"{path} cannot be read: {' '.join(str(error).split())}", "mend it") from error
    entries = document.get("load_from") if isinstance(document, Mapping) else None
    if not isinstance(entries, list) or not entries:
        raise InvalidInput(f"{path} names no code location", "write load_from: [python_module: NAME]")
    if len(entries) > 1:
        raise InvalidInput(
            f"{path} names {len(entries)} code locations", "name one under [tool.dagster] module_name in pyproject.toml"
        )
    found = _of_entry(root, entries[0])
    if found is None:
        raise InvalidInput(
            f"{path} names no Python module or file of this project that repro can execute",
            "name it under [tool.dagster] module_name in pyproject.toml",
        )
    return found


def _of_entry(root: Path, entry: Any) -> tuple[str, str] | None:
    if not isinstance(entry, Mapping) or len(entry) != 1:
        return None
    ((kind, given),) = entry.items()
    facts = given if isinstance(given, Mapping) else {_KEYS.get(kind, kind): given}
    target = facts.get(_KEYS.get(kind, ""))
    if target is None:
        return None
    if kind == "python_file":
        target = module_of(root, Path(str(target)))
    return None if target is None else (str(target), str(facts.get("attribute") or ATTRIBUTE))
