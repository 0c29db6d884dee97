"""The syntax tree of a file with what its names stand for and what each node lies in."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class Syntax:
    """A syntax tree.

    Parameters
    ----------
    tree : ast.Module
        The tree.

    Attributes
    ----------
    nodes : list of ast.AST
        All of its nodes.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.nodes = list(ast.walk(tree))
        self._parents = {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}
        self._imported = dict(self._imports())
        self._own = {
            *(node.id for node in self.nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)),
            *(node.name for node in self.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)),
            *(node.arg for node in self.nodes if isinstance(node, ast.arg)),
        }

    def name_of(self, node: ast.expr) -> str | None:
        """Return the whole name of what an expression stands for, where it begins with the name of an import."""
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self._imported:
            return None
        return ".".join([self._imported[node.id], *reversed(parts)])

    def last_name_of(self, node: ast.expr) -> str:
        """Return the last part of the name of an expression, of an import as its library has it; else nothing."""
        return node.attr if isinstance(node, ast.Attribute) else (self.name_of(node) or "").rpartition(".")[2]

    def builtin(self, node: ast.expr) -> str | None:
        """Return a name that the file neither imports nor binds anywhere."""
        if not isinstance(node, ast.Name) or node.id in self._imported or node.id in self._own:
            return None
        return node.id

    def parent(self, node: ast.AST) -> ast.AST | None:
        """Return what a node lies in; None of the whole."""
        return self._parents.get(node)

    def functions(self, node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda]:
        """Yield the functions that a node lies in, the innermost first."""
        for above in self._above(node):
            if isinstance(above, _FUNCTIONS):
                yield above

    def is_conditional(self, node: ast.AST) -> bool:
        """Tell whether a node is executed in some cases alone, once its function is called."""
        for above in self._above(node):
            if isinstance(above, _FUNCTIONS):
                return _may_return_before(above, node)
            if isinstance(above, ast.IfExp | ast.ExceptHandler) or (isinstance(above, ast.If) and not _is_main(above)):
                return True
        return False

    def _above(self, node: ast.AST) -> Iterator[ast.AST]:
        above = self._parents.get(node)
        while above is not None:
            yield above
            above = self._parents.get(above)

    def _imports(self) -> Iterator[tuple[str, str]]:
        """Yield each name that an import binds, at any depth, and what it stands for."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    # A plain import binds the first part of the name alone.
                    whole = alias.name if alias.asname else alias.name.partition(".")[0]
                    yield alias.asname or whole, whole
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _may_return_before(function: ast.AST, node: ast.AST) -> bool:
    """Tell whether a function may return before it comes to a node in it."""
    body = function.body if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) else []
    return any(
        isinstance(statement, ast.If)
        and getattr(statement, "end_lineno", 0) < getattr(node, "lineno", 0)
        and any(isinstance(each, ast.Return) for each in ast.walk(statement))
        for statement in body
    )


def _is_main(condition: ast.If) -> bool:
    """Tell whether a condition is the one under which a file is a program."""
    return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(condition.test))
