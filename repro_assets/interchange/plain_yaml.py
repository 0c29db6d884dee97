"""YAML that another tool, or anyone, wrote: read as YAML 1.2 has it, into plain values.

Laws: nothing is made but dictionaries, lists, texts, numbers, truth values and None, whatever tags say; a text that is
a number or a truth value in YAML 1.1 alone (``yes``, ``1_000``, ``12:30``) is a text, as is a date; a document that
would be larger than `MOST_NODES` once its aliases are written out, deeper than `DEEPEST`, or that holds itself, is
refused before anything of it is made.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from repro_assets.errors import InvalidInput

MOST_BYTES = 16 << 20
MOST_NODES = 1_000_000
DEEPEST = 100
_PREFIX = "tag:yaml.org,2002:"
# https://yaml.org/spec/1.2.2/#1032-tag-resolution
_PLAIN = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
)


class Unreadable(InvalidInput):
    """A document that is not what it should be, through a fault or on purpose."""


def read_yaml(data: bytes, name: str) -> dict[str, Any]:
    """Return a document that is a dictionary; an empty one is an empty dictionary.

    Parameters
    ----------
    data : bytes
        The file's content.
    name : str
        What it is called, for errors.

    Raises
    ------
    InvalidInput
        If it is not YAML, is something else than a dictionary, or is larger or deeper than it may be.
    """
    import yaml

    if len(data) > MOST_BYTES:
        raise InvalidInput(f"{name} has {len(data)} bytes", f"at most {MOST_BYTES}")
    try:
        _weigh(data, name)
        found = yaml.load(data, Loader=_loader())
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        said = " ".join(str(error).split())
        raise Unreadable(f"{name} is not YAML: {said}", "mend it") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Unreadable(f"{name} is not a dictionary", "mend it")
    return found


def _weigh(data: bytes, name: str) -> None:
    """Refuse what would be too large or too deep, by its events alone."""
    import yaml

    known: dict[str | None, tuple[int, int]] = {}
    # Anchor, values before it, and levels below it, of each that has not ended.
    begun: list[list[Any]] = []
    total = 0
    for event in yaml.parse(data, Loader=_base()):
        anchor, levels = getattr(event, "anchor", None), 0
        if isinstance(event, yaml.events.AliasEvent):
            if anchor not in known:
                raise InvalidInput(f"{name} has an alias of what is not there yet, or of itself", "mend it")
            values, levels = known[anchor]
            total += values
        elif isinstance(event, yaml.events.CollectionStartEvent):
            begun.append([anchor, total, 0])
            total += 1
        elif isinstance(event, yaml.events.CollectionEndEvent):
            ended, before, below = begun.pop()
            levels = below + 1
            known[ended] = total - before, levels
        elif isinstance(event, yaml.events.ScalarEvent):
            total += 1
            known[anchor] = 1, 0
        if begun:
            begun[-1][2] = max(begun[-1][2], levels)
        if len(begun) + levels > DEEPEST:
            raise InvalidInput(f"{name} is deeper than {DEEPEST} levels", "it is not what a tool writes")
        if total > MOST_NODES:
            raise InvalidInput(f"{name} has more than {MOST_NODES} values", "it is not what a tool writes")


@functools.cache
def _loader() -> Any:
    import yaml

    class Loader(_base()):  # type: ignore[misc]
        """YAML 1.2; the constructors of the base class would take what 1.1 has beside it."""

        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own attribute)

    def integer(loader: Any, node: Any) -> int:
        text = loader.construct_scalar(node)
        sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
        base = {"0o": 8, "0x": 16}.get(digits[:2], 10)
        return sign * int(digits[2:] if base != 10 else digits, base)

    def number(loader: Any, node: Any) -> float:
        text = loader.construct_scalar(node).lower()
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))

    def as_written(loader: Any, node: Any) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return loader.construct_scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        return loader.construct_mapping(node, deep=True)

    for kind, pattern, first in _PLAIN:
        Loader.add_implicit_resolver(_PREFIX + kind, re.compile(rf"(?:{pattern})\Z"), first)
    Loader.add_constructor(f"{_PREFIX}int", integer)
    Loader.add_constructor(f"{_PREFIX}float", number)
    for kind in ("timestamp", "binary", "set", "omap", "pairs"):
        Loader.add_constructor(_PREFIX + kind, as_written)
    # Any other tag, such as those that make objects of Python.
    Loader.add_multi_constructor("", lambda loader, _, node: as_written(loader, node))
    return Loader


def _base() -> Any:
    import yaml

    # That of libyaml is ten times as fast; PyYAML has it wherever libyaml was there when it was built.
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)
