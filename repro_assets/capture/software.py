"""The part of an environment that an interpreter brings: Python, packages, torch's build, variables.

Law: this module, and all that it imports, needs nothing but the standard library, so that any interpreter can be asked
(`repro_assets.replay.probing` runs it in a restored one). Nothing is imported for the capture's sake.
"""

from __future__ import annotations

import ast
import importlib.util
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from repro_assets.capture.conda import conda_folder, conda_packages
from repro_assets.capture.packages import installed_packages
from repro_assets.capture.secrets import find_secrets
from repro_assets.capture.variables import allowed_variables, variables_at_start
from repro_assets.errors import ReproError


def ask(unavailable: dict[str, str], what: str, question: Callable[[], Any]) -> Any:
    """Return the answer to a question; None, and the reason in `unavailable`, where there is none."""
    try:
        return question()
    except (OSError, ValueError, RuntimeError, AttributeError, KeyError, ReproError) as error:
        unavailable[what] = f"{type(error).__name__}: {error}"
        return None


def describe_interpreter(unavailable: dict[str, str], cache: Path | None = None) -> dict[str, Any]:
    """Return ``python``, ``packages``, ``shadowed_packages`` and ``conda_packages``; for `cache` see `packages`."""
    found: dict[str, Any] = {"python": ask(unavailable, "python", _python), "packages": []}
    packages = ask(unavailable, "packages", lambda: installed_packages(cache))
    if packages is not None:
        found["packages"] = [package.document() for package in packages.installed]
        found["shadowed_packages"] = [package.document() for package in packages.shadowed]
        unavailable.update({f"packages.{place}": reason for place, reason in packages.unreadable.items()})
    folder = conda_folder()
    found["conda_packages"] = None  # no conda is an answer
    if folder is not None:
        listed, unreadable = ask(unavailable, "conda_packages", lambda: conda_packages(folder)) or (None, {})
        found["conda_packages"] = listed
        unavailable.update({f"conda_packages.{file}": reason for file, reason in unreadable.items()})
    return found


def describe_settings(unavailable: dict[str, str], variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return ``torch`` (its build) and ``variables``, chosen from `variables` or those that this process began with."""
    return {
        "torch": ask(unavailable, "torch", torch_build),
        "variables": ask(
            unavailable,
            "variables",
            lambda: _variables(variables_at_start() if variables is None else variables, unavailable),
        ),
    }


def _python() -> dict[str, Any]:
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "compiler": platform.python_compiler(),
        "build": list(platform.python_build()),
        "optimize": sys.flags.optimize,
    }


def torch_build() -> dict[str, str | None] | None:
    """Version, commit and GPU toolkits of the installed torch, read from its ``version.py`` without importing it.

    Returns
    -------
    dict or None
        ``version``, ``git_version``, ``cuda``, ``hip``, ``debug``; None where torch is not installed.

    Raises
    ------
    ValueError
        If torch is there and its ``version.py`` is not.
    """
    spec = importlib.util.find_spec("torch")
    if spec is None:
        return None
    if spec.origin is None:
        raise ValueError("torch is a folder without __init__.py")
    text = Path(spec.origin).with_name("version.py").read_text("utf-8")
    build: dict[str, str | None] = {}
    for statement in ast.parse(text).body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
                name = target.id.strip("_")
                if name in ("version", "git_version", "cuda", "hip", "debug"):
                    build[name] = None if value.value is None else str(value.value)
    return build


def _variables(environment: Mapping[str, str], unavailable: dict[str, str]) -> dict[str, str]:
    taken = {}
    for name, value in allowed_variables(environment).items():
        findings = find_secrets(f"{name}={value}".encode("utf-8", "surrogateescape"), name)
        if findings:
            unavailable[f"variables.{name}"] = f"left out: holds a {findings[0].kind}"
            continue
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            unavailable[f"variables.{name}"] = "left out: its value is not UTF-8"
            continue
        taken[name] = value
    return taken
