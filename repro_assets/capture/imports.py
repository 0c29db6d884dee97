"""What a Python file is, but for its formatting, and what it imports.

Laws: the digest is over the syntax tree without docstrings, positions and comments, written so that every supported
Python version writes the same for the same code. Imports at any depth count, inside functions and ``try`` too, and so
does a literal name given to ``import_module`` or ``__import__``; those under ``TYPE_CHECKING`` do not, because they
never run. A name that is put together while the program runs is not seen.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from repro_assets.errors import InvalidInput

ANALYSIS_VERSION = 2
"""Part of every cache key: another analysis reads every file again."""


@dataclass(frozen=True, slots=True)
class Import:
    """One import.

    Parameters
    ----------
    level : int
        Number of leading dots; 0 for an absolute import.
    module : str
        The module named, or ``""``.
    names : tuple of str
        What is taken from it; empty for a plain ``import``.
    """

    level: int
    module: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Analysis:
    """What one file says.

    Parameters
    ----------
    digest : str
        64 hexadecimal digits over the syntax tree.
    imports : tuple of Import
        In the order in which they were met.
    exported : tuple of str
        Names in a literal ``__all__``; a star import takes submodules that are named there.
    lazy : tuple of pairs of str
        Where a module has a ``__getattr__`` of its own: names that it tells type checkers about, with the module of
        each. Whoever takes such a name runs that module's code.
    """

    digest: str
    imports: tuple[Import, ...]
    exported: tuple[str, ...]
    lazy: tuple[tuple[str, str], ...] = ()


def analyse(data: bytes, place: str) -> Analysis:
    """Analyse the bytes of a Python file.

    Raises
    ------
    InvalidInput
        If they are no Python; `place` and the line are named.
    """
    tree = parsed(data, place)
    return Analysis(_digest(tree), tuple(_imports(tree)), _exported(tree), tuple(_lazy(tree)))


def parsed(data: bytes | str, place: str) -> ast.Module:
    """Return the syntax tree of a Python file; arguments, and what is raised, as `analyse`."""
    try:
        return ast.parse(data, filename=place)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise InvalidInput(f"{place}{line} is not Python that this version reads: {error}") from error


class _Mark:
    """Text between the parts of the tree, which is written as it is."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


_END_OF_NODE, _END_OF_LIST, _NEXT = _Mark(")"), _Mark("]"), _Mark(",")
_FIELDS = {
    kind: tuple((name, _Mark(f" {name}=")) for name in reversed(kind._fields))
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}
"""Fields of each kind of node, last first, with what is written before each."""
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _digest(tree: ast.AST) -> str:
    parts: list[str] = []
    # An explicit stack: a long chain of operators is a deep tree.
    stack: list[Any] = [tree]
    write, push = parts.append, stack.append
    while stack:
        item = stack.pop()
        kind = type(item)
        if kind is _Mark:
            write(item.text)
        elif kind is ast.Constant:
            # `hex`, because decimal text of an integer past 4,300 digits is refused.
            text = hex(item.value) if type(item.value) is int else repr(item.value)
            write(f"({type(item.value).__name__} {text})")
        elif kind is list:
            write("[")
            push(_END_OF_LIST)
            for value in reversed(item):
                push(value)
                push(_NEXT)
        elif isinstance(item, ast.AST):
            write(f"({kind.__name__}")
            push(_END_OF_NODE)
            for name, mark in _FIELDS[kind]:
                value = getattr(item, name, None)
                # Absent fields are not written: later Python versions add some (`type_params`), absent in older code.
                if value is None or value == []:
                    continue
                push(value[1:] if name == "body" and kind in _WITH_DOCSTRING and _is_docstring(value[0]) else value)
                push(mark)
        else:
            write(repr(item))
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _imports(tree: ast.AST) -> Iterator[Import]:
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            yield from (Import(0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield Import(node.level, node.module or "", tuple(alias.name for alias in node.names))
        elif isinstance(node, ast.Call):
            yield from _literal_import(node)
        children = None
        if isinstance(node, ast.If):
            if _is_type_checking(node.test):
                children = node.orelse
            elif isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not):
                children = node.body if _is_type_checking(node.test.operand) else None
        if children is not None:
            stack.extend(reversed(children))
            continue
        for name, _ in _FIELDS[type(node)]:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                stack.append(value)
            elif type(value) is list:
                stack.extend(item for item in reversed(value) if isinstance(item, ast.AST))


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _literal_import(call: ast.Call) -> Iterator[Import]:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in ("import_module", "__import__") and call.args and isinstance(call.args[0], ast.Constant):
        module = call.args[0].value
        if isinstance(module, str) and module and not module.startswith("."):
            yield Import(0, module)


def _lazy(tree: ast.Module) -> Iterator[tuple[str, str]]:
    if not any(isinstance(item, ast.FunctionDef) and item.name == "__getattr__" for item in tree.body):
        return
    for statement in tree.body:
        if isinstance(statement, ast.If) and _is_type_checking(statement.test):
            for item in statement.body:
                if isinstance(item, ast.ImportFrom) and item.module and not item.level:
                    yield from ((alias.asname or alias.name, item.module) for alias in item.names)


def _exported(tree: ast.Module) -> tuple[str, ...]:
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            value = statement.value if isinstance(statement, ast.Assign) else None
            if isinstance(value, (ast.List, ast.Tuple)):
                names = (item.value for item in value.elts if isinstance(item, ast.Constant))
                return tuple(name for name in names if isinstance(name, str))
    return ()
