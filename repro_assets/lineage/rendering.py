"""The lineage graph as DOT, Mermaid and JSON.

Laws: names never become part of the syntax: node ids are numbers of our own, and every character of a label that could
mean something is escaped; equal graphs give equal text.
"""

from __future__ import annotations

import json
import re
from typing import Any

from repro_assets.errors import InvalidValue
from repro_assets.lineage.graph import Graph, Node

FORMATS = ("dot", "mermaid", "json")
# ASCII only, and neither quotes, brackets, pipes, "#", ";" nor ":" (Mermaid reads "style a:" even within labels).
_PLAIN_IN_MERMAID = re.compile(r"[A-Za-z0-9 ._/=+,-]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def render(graph: Graph, format: str) -> str:
    """Return the graph in one of `FORMATS`.

    Raises
    ------
    InvalidValue
        If the format is another.
    """
    if format == "dot":
        return to_dot(graph)
    if format == "mermaid":
        return to_mermaid(graph)
    if format == "json":
        return json.dumps(to_document(graph), ensure_ascii=False, indent=2) + "\n"
    raise InvalidValue(f"{format!r} is not a format of lineage", f"one of {', '.join(FORMATS)}")


def to_dot(graph: Graph) -> str:
    """Return the graph in the DOT language: artifacts are boxes, runs are ellipses."""
    ids = _ids(graph)
    lines = ["digraph lineage {", "  rankdir=LR;"]
    for key, node in graph.nodes.items():
        shape = "box" if node.kind == "artifact" else "ellipse"
        lines.append(f"  {ids[key]} [shape={shape}, label={_dot_text(_label(node))}, tooltip={_dot_text(key)}];")
    for edge in graph.edges:
        lines.append(f"  {ids[edge.source]} -> {ids[edge.target]} [label={_dot_text(edge.slot)}];")
    return "\n".join([*lines, "}"]) + "\n"


def to_mermaid(graph: Graph) -> str:
    """Return the graph as a Mermaid flowchart: artifacts are rectangles, runs are rounded.

    Labels are written with Mermaid's entity codes, ``#`` + decimal code point + ``;``.
    """
    ids = _ids(graph)
    lines = ["flowchart LR"]
    for key, node in graph.nodes.items():
        opening, closing = ('["', '"]') if node.kind == "artifact" else ('(["', '"])')
        lines.append(f"  {ids[key]}{opening}{_mermaid_text(_label(node))}{closing}")
    for edge in graph.edges:
        # Mermaid reads no label of nothing but space.
        label = f'|"{_mermaid_text(edge.slot)}"|' if _cleaned(edge.slot).strip() else ""
        lines.append(f"  {ids[edge.source]} -->{label} {ids[edge.target]}")
    return "\n".join(lines) + "\n"


def to_document(graph: Graph) -> dict[str, Any]:
    """Return the graph as a JSON object with ``nodes`` and ``edges``."""
    return {
        "nodes": [
            {"key": node.key, "kind": node.kind, "name": node.name, **({"facts": node.facts} if node.facts else {})}
            for node in graph.nodes.values()
        ],
        "edges": [
            {
                "source": edge.source,
                "target": edge.target,
                "role": edge.role,
                "slot": edge.slot,
                "made_by": edge.made_by,
            }
            for edge in graph.edges
        ],
    }


def _ids(graph: Graph) -> dict[str, str]:
    return {key: f"n{number}" for number, key in enumerate(graph.nodes)}


def _label(node: Node) -> str:
    short = node.key.removeprefix("sha256:")[:8]
    return short if node.name == node.key else f"{node.name}\n{short}"


def _dot_text(text: str) -> str:
    # graphviz reads HTML's entities in every text.
    escaped = _cleaned(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n") + '"'


def _mermaid_text(text: str) -> str:
    return "".join(
        character if _PLAIN_IN_MERMAID.fullmatch(character) else "<br/>" if character == "\n" else f"#{ord(character)};"
        for character in _cleaned(text)
    )


def _cleaned(text: str) -> str:
    """Return a text whose lines end in one way and whose characters all have a picture."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n").replace("\r", "\n"))
