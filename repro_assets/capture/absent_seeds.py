"""Whether an expression that is given as a seed may be None, as far as one file says.

Limit: it may be where a value that it can take is None in the same file: a default, an assignment, an option of a
command line that has no default, a look-up that need not find anything. A name that a function compares with None is
held to be dealt with.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from repro_assets.capture.syntax import Syntax


class Absent:
    """What may be None in a file."""

    def __init__(self, syntax: Syntax) -> None:
        self._syntax = syntax
        self._assigned = set(_set_to_none(syntax.nodes))
        self._options = set(_options_without_default(syntax.nodes))
        self._compared = {
            ast.dump(node.left)
            for node in syntax.nodes
            if isinstance(node, ast.Compare) and any(_is_none(each) for each in node.comparators)
        }

    def may_be_none(self, value: ast.expr) -> bool:
        """Tell whether the value of an expression may be None."""
        if _is_none(value):
            return True
        if ast.dump(value) in self._compared:
            return False
        match value:
            case ast.IfExp():
                return self.may_be_none(value.body) or self.may_be_none(value.orelse)
            case ast.BoolOp(op=ast.Or()):
                return self.may_be_none(value.values[-1])
            case ast.BoolOp():
                return any(self.may_be_none(each) for each in value.values)
            case ast.NamedExpr():
                return self.may_be_none(value.value)
            case ast.Name():
                return self._name_may_be(value)
            case ast.Attribute():
                return value.attr in self._assigned or value.attr in self._options
            case ast.Call(func=ast.Attribute(attr="get" | "getenv") | ast.Name(id="getenv")):
                return len(value.args) == 1 and not value.keywords
            case ast.Call(func=ast.Name(id="getattr")):
                return len(value.args) == 3 and _is_none(value.args[2])
        return False

    def _name_may_be(self, name: ast.Name) -> bool:
        for function in self._syntax.functions(name):
            defaults = dict(_defaults(function.args))
            if name.id in defaults:
                return defaults[name.id] or name.id in set(_set_to_none(ast.walk(function)))
        return name.id in self._assigned


def _is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, bool]]:
    """Yield each parameter of a function, and whether it is None where nothing is given."""
    positional = [*arguments.posonlyargs, *arguments.args]
    without = [None] * (len(positional) - len(arguments.defaults))
    for argument, default in zip(positional, [*without, *arguments.defaults], strict=True):
        yield argument.arg, _is_none(default)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield argument.arg, _is_none(default)


def _set_to_none(nodes: Iterator[ast.AST] | list[ast.AST]) -> Iterator[str]:
    """Yield names and attributes that are assigned None."""
    for node in nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign) and _is_none(node.value):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield target.id
                elif isinstance(target, ast.Attribute):
                    yield target.attr


def _options_without_default(nodes: list[ast.AST]) -> Iterator[str]:
    """Yield the options of argparse and click that are None where they are not given."""
    for node in nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr not in ("add_argument", "option"):
            continue
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if "action" in given or "is_flag" in given or "required" in given or not _is_none(given.get("default", _NONE)):
            continue
        for word in node.args:
            if isinstance(word, ast.Constant) and isinstance(word.value, str) and word.value.startswith("--"):
                yield word.value[2:].replace("-", "_")


_NONE = ast.Constant(None)
