"""The page about dependencies says what pyproject.toml declares and what the code imports."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "dependencies.md"
CONSTRAINTS = PROJECT / "constraints.txt"
TESTS = "the tests only"
# Several distributions share the package; the longest of these names that fits says which one a module is in.
SHARED = {
    "google.protobuf": "protobuf",
    "opentelemetry": "opentelemetry-api",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry.proto": "opentelemetry-proto",
    "opentelemetry.exporter.otlp.proto.http": "opentelemetry-exporter-otlp-proto-http",
}


def _tables() -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    section = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("|") and not re.match(r"\| (---|distribution|program)", line):
            found.setdefault(section, []).append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def _declared() -> dict[str, list[Requirement]]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return {
        "Runtime": [Requirement(text) for text in project["dependencies"]],
        "Extras": [
            Requirement(text)
            for extra, texts in project["optional-dependencies"].items()
            if extra != "dev"
            for text in texts
        ],
        "Development": [Requirement(text) for text in project["optional-dependencies"]["dev"]],
    }


def _imports(folder: Path) -> dict[str, dict[str, bool]]:
    """Distribution to the parts of `folder` that import it, and whether all of their imports are lazy."""
    providers = importlib.metadata.packages_distributions()
    found: dict[str, dict[str, bool]] = {}
    for path in folder.rglob("*.py"):
        part = path.relative_to(folder).parts[0].removesuffix(".py")
        for node, lazy in _import_nodes(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for module in names:
                top = module.partition(".")[0]
                if top == "repro_assets" or top in sys.stdlib_module_names:
                    continue
                fitting = [name for name in SHARED if f"{module}.".startswith(f"{name}.")]
                for distribution in [SHARED[max(fitting, key=len)]] if fitting else providers.get(top, []):
                    name = canonicalize_name(distribution)
                    parts = found.setdefault(name, {})
                    parts[part] = parts.get(part, True) and lazy
    return found


def _import_nodes(tree: ast.Module) -> list[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Return the absolute imports, each with whether it is executed only when a function is called."""
    found: list[tuple[ast.Import | ast.ImportFrom, bool]] = []

    def visit(node: ast.AST, lazy: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.level == 0):
            found.append((node, lazy))
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(tree, False)
    return found


def _stated(cell: str) -> dict[str, bool]:
    eager, _, lazy = cell.partition("lazily in")
    return dict.fromkeys(re.findall(r"`(\w+)`", eager), False) | dict.fromkeys(re.findall(r"`(\w+)`", lazy), True)


@pytest.mark.parametrize("section", ["Runtime", "Extras", "Development"])
def test_the_page_lists_what_pyproject_declares(section: str) -> None:
    assert [row[0] for row in _tables()[section]] == [item.name for item in _declared()[section]]


def test_every_dependency_has_a_reason() -> None:
    rows = [row for section, rows in _tables().items() for row in rows if section != "Not from Python"]
    assert all(row[-2].endswith(".") and len(row[-2].split()) >= 4 for row in rows)


def test_the_page_says_where_each_is_imported() -> None:
    code, tests = _imports(PROJECT / "repro_assets"), _imports(PROJECT / "repro_assets_tests")
    wrong = {}
    for section in ("Runtime", "Extras", "Development", "Brought by another"):
        for row in _tables()[section]:
            name, where = canonicalize_name(row[0]), row[-1]
            if _stated(where) != code.get(name, {}) or (where == TESTS) != (name in tests and name not in code):
                wrong[name] = {"stated": where, "in the code": code.get(name), "in the tests": name in tests}
    assert not wrong


def test_everything_that_is_imported_is_on_the_page() -> None:
    listed = {canonicalize_name(row[0]) for section, rows in _tables().items() for row in rows}
    assert set(_imports(PROJECT / "repro_assets")) <= listed


def test_what_another_brings_is_declared_by_it() -> None:
    for name, bringer, *_ in _tables()["Brought by another"]:
        brought = {canonicalize_name(Requirement(text).name) for text in importlib.metadata.requires(bringer) or []}
        assert canonicalize_name(name) in brought, f"{bringer} does not require {name}"


def test_constraints_pin_every_dependency_within_its_range() -> None:
    pins = [Requirement(line) for line in CONSTRAINTS.read_text().splitlines()]
    exact = {}
    for pin in pins:
        (specifier,) = pin.specifier
        assert specifier.operator == "==" and pin.url is None and "+" not in specifier.version
        exact[canonicalize_name(pin.name)] = specifier.version
    for item in [item for items in _declared().values() for item in items]:
        assert exact[canonicalize_name(item.name)] in item.specifier, item


def test_constraints_pin_the_whole_closure() -> None:
    """What is installed because of the project is pinned, so a fresh installation can differ in nothing."""
    pinned = {canonicalize_name(Requirement(line).name) for line in CONSTRAINTS.read_text().splitlines()}
    todo = [item for items in _declared().values() for item in items]
    seen: set[tuple[str, str]] = set()
    while todo:
        item = todo.pop()
        for extra in {"", *item.extras}:
            key = (canonicalize_name(item.name), extra)
            if key in seen:
                continue
            seen.add(key)
            for text in importlib.metadata.requires(item.name) or []:
                required = Requirement(text)
                if required.marker is None or required.marker.evaluate({"extra": extra}):
                    todo.append(required)
    assert {name for name, _ in seen} <= pinned
