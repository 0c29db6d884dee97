"""Where a file takes things in an order that is not fixed: of a set, of a folder, of what ends first.

Limit: a variable, or an attribute, holds a set where every value that the file assigns to its name is one, and a
function returns one where all that it returns are. What is handed on to another file is not followed, and a variable
that is sorted anywhere in the file is held to be sorted. Sets that are sorted by a key may have equal keys.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from repro_assets.capture.syntax import Syntax

_ANY_ORDER = frozenset({"sorted", "min", "max", "any", "all", "set", "frozenset", "len"})
"""What gives the same in whatever order it is given things."""
_IN_ORDER = frozenset({"list", "tuple", "enumerate", "iter", "map", "filter", "zip"})
_OF_SETS = frozenset({"union", "intersection", "difference", "symmetric_difference", "copy"})
_LISTS = frozenset({"os.listdir", "os.scandir", "os.walk", "glob.glob", "glob.iglob"})
_ENDS = frozenset({"concurrent.futures.as_completed", "asyncio.as_completed"})
_METHODS = frozenset({"iterdir", "rglob", "glob", "imap_unordered"})
_COMPREHENSIONS = (ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)


class Orders:
    """The orders in a file."""

    def __init__(self, syntax: Syntax) -> None:
        self._syntax = syntax
        self._sorted = set(self._sorted_names())
        self._sets: set[str] = set()
        self._returned: set[str] = set()
        # A name may hold what another one holds that comes later in the file.
        before = -1
        while before < len(self._sets) + len(self._returned):
            before = len(self._sets) + len(self._returned)
            self._sets |= self._names_of_sets()
            self._returned |= self._functions()

    def of_sets(self) -> Iterator[tuple[ast.expr, str]]:
        """Yield each place at which the order of a set matters, and what it is called."""
        for node in self._syntax.nodes:
            for taken in self._taken_in_order(node):
                if self._is_set(taken) and not self._is_in_any_order(taken, of_texts=True):
                    yield taken, "the order of a set"

    def of_others(self) -> Iterator[tuple[ast.expr, str]]:
        """Yield each call whose answers come in the order of a file system or of time, and its name."""
        for node in self._syntax.nodes:
            if not isinstance(node, ast.Call):
                continue
            name = self._syntax.name_of(node.func)
            if name is None and isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS:
                name = node.func.attr
            if name in _LISTS | _ENDS | _METHODS and not self._is_in_any_order(node):
                yield node, f"{name}()"

    def _taken_in_order(self, node: ast.AST) -> Iterator[ast.expr]:
        """Yield what a node takes one after the other."""
        if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            yield node.iter
        elif isinstance(node, ast.Starred):
            yield node.value
        elif isinstance(node, ast.Call):
            name = self._syntax.builtin(node.func)
            if name in _IN_ORDER or (name in _ANY_ORDER and any(keyword.arg == "key" for keyword in node.keywords)):
                yield from node.args
            elif isinstance(node.func, ast.Attribute) and node.func.attr in ("join", "fromkeys"):
                yield from node.args[:1]
            elif isinstance(node.func, ast.Attribute) and node.func.attr == "pop" and not node.args:
                yield node.func.value

    def _is_in_any_order(self, node: ast.AST, *, of_texts: bool = False) -> bool:
        """Tell whether the order in which a node gives things makes no difference to what is made of them."""
        above = self._syntax.parent(node)
        while above is not None:
            if isinstance(above, ast.SetComp):
                return True
            if isinstance(above, ast.Assign):
                return any(isinstance(target, ast.Name) and target.id in self._sorted for target in above.targets)
            if isinstance(above, ast.Call):
                name = self._syntax.builtin(above.func)
                if name in _ANY_ORDER:
                    return not (of_texts and any(keyword.arg == "key" for keyword in above.keywords))
                if name not in _IN_ORDER:
                    return False
            elif not isinstance(above, (*_COMPREHENSIONS, ast.comprehension, ast.Starred)):
                return False
            above = self._syntax.parent(above)
        return False

    def _is_set(self, node: ast.expr) -> bool:
        match node:
            case ast.Set():
                # Numbers have the same hash everywhere.
                return not all(map(_is_number, node.elts))
            case ast.SetComp():
                return True
            case ast.Name():
                return node.id in self._sets
            case ast.Attribute():
                return node.attr in self._sets
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in self._returned:
                return True
            case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
                return self._is_set(node.left) or self._is_set(node.right)
            case ast.Call(func=ast.Name()):
                return self._syntax.builtin(node.func) in ("set", "frozenset") and bool(node.args)
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in _OF_SETS:
                return self._is_set(value)
        return False

    def _names_of_sets(self) -> set[str]:
        """Return the names of variables to which nothing but sets is assigned."""
        sets, others = set(), set()
        for node in self._syntax.nodes:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = {
                    target.id if isinstance(target, ast.Name) else target.attr
                    for target in targets
                    if isinstance(target, ast.Name | ast.Attribute)
                }
                if self._is_set(node.value) or _is_empty_set(node.value):
                    sets |= names
                else:
                    others |= names
        return sets - others

    def _functions(self) -> set[str]:
        """Return the names of functions that return nothing but sets."""
        found = set()
        for node in self._syntax.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
                if returned and all(value is not None and self._is_set(value) for value in returned):
                    found.add(node.name)
        return found

    def _sorted_names(self) -> Iterator[str]:
        for node in self._syntax.nodes:
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Attribute) and node.func.attr == "sort":
                taken: list[ast.expr] = [node.func.value]
            else:
                taken = node.args if self._syntax.builtin(node.func) == "sorted" else []
            yield from (each.id for each in taken if isinstance(each, ast.Name))


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, str | bytes)


def _is_empty_set(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "set" and not node.args
