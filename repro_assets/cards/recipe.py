"""What a recipe said of itself when it made something: its docstrings, read from the source tree on record.

Laws: today's code is not asked, and nothing is executed; what the record does not hold is absent, and why is said.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.errors import IntegrityError, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home

_SECTION = re.compile(
    r"\n(?P<name>[A-Z][A-Za-z ]+)\n-{3,}\n(?P<body>.*?)(?=\n\n[A-Z][A-Za-z ]+\n-{3,}\n|\Z)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """The docstrings of a recipe's module and function; None where they are not on record, and then why.

    Parameters
    ----------
    name : str or None
        ``module:function``.
    module, function : str or None
        Their docstrings.
    absence : str
        Why there are none.
    """

    name: str | None
    module: str | None = None
    function: str | None = None
    absence: str = ""

    @property
    def summary(self) -> str | None:
        """The first sentence of the module's docstring, else of the function's."""
        return _first_sentence(self.module or self.function)

    @property
    def action(self) -> str | None:
        """The first sentence of the function's docstring."""
        return _first_sentence(self.function)

    def section(self, name: str) -> str | None:
        """Return a NumPy-style section of the function's docstring, such as ``Returns``."""
        found = {match["name"]: match["body"].strip("\n") for match in _SECTION.finditer(self.function or "")}
        return found.get(name)


def _first_sentence(said: str | None) -> str | None:
    if not said:
        return None
    paragraph = " ".join(said.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", paragraph)[0]


def recorded_recipe(home: Home, run: dict[str, Any] | None) -> Recipe:
    """Return what the recipe of a run said when the run began.

    Parameters
    ----------
    home : Home
        The store.
    run : dict or None
        Row of the table `runs`.
    """
    if run is None:
        return Recipe(None, absence="no run on record made it")
    name = run["recipe"]
    if name is None:
        return Recipe(None, absence="the run names no recipe")
    if run["source"] is None:
        return Recipe(name, absence="the run recorded no source tree")
    module, _, function = name.partition(":")
    stem = module.replace(".", "/")
    try:
        tree = repository.by_digest(home, Digest.parse(run["source"])).load()
        path = next((path for path in (f"{stem}.py", f"{stem}/__init__.py") if path in set(tree)), None)
        if path is None:
            return Recipe(name, absence="the source tree on record does not hold the recipe's module")
        parsed = ast.parse(tree[path])
    except (UnknownName, IntegrityError) as error:
        return Recipe(name, absence=f"the source tree on record cannot be read: {error.message}")
    except (SyntaxError, ValueError) as error:
        return Recipe(name, absence=f"the recipe's module on record is no Python that reads here: {error}")
    return Recipe(name, ast.get_docstring(parsed), _function(parsed, function))


def _function(module: ast.Module, name: str) -> str | None:
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return ast.get_docstring(node)
    return None
