"""A lineage graph as a tree or a table on a terminal.

Laws: a node that was shown already is named again and not opened again, so the tree is no larger than the graph; the
walk has no recursion of its own, and a chain that is deeper than a terminal can show is cut with a note.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repro_assets.cli.rendering import cell, short

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from repro_assets.lineage.graph import Graph, Node

# rich renders a tree with nested frames; beyond some hundred levels neither it nor a terminal shows anything of use.
DEEPEST = 60


def tree_of(graph: Graph, root: str, *, upstream: bool) -> Tree:
    """Return the tree of what `root` came from, or of what came from it."""
    from rich.text import Text
    from rich.tree import Tree

    edges = graph.backward if upstream else graph.forward
    tree = Tree(Text.assemble(_label(graph, root), ("  came from" if upstream else "  went into", "dim")))
    shown = {root}
    waiting = [(root, tree, 0)]
    while waiting:
        key, branch, depth = waiting.pop()
        near = list(_came_from(graph, key) if upstream else edges.get(key, ()))
        if near and depth == DEEPEST:
            branch.add(Text("… (name this one to go on)", "dim"))
            continue
        added = []
        for item in near:
            label = _label(graph, item)
            again = item in shown and bool(_came_from(graph, item) if upstream else edges.get(item))
            child = branch.add(Text.assemble(label, ("  (shown above)", "dim")) if again else label)
            if item not in shown:
                shown.add(item)
                added.append((item, child, depth + 1))
        waiting.extend(reversed(added))
    return tree


def rows_of(graph: Graph, root: str, *, upstream: bool, downstream: bool) -> list[dict[str, Any]]:
    """Return a row for each node: steps from `root` (negative upstream), what it is, and what it came from."""
    steps = {root: 0}
    for wanted, sign, reached in ((upstream, -1, graph.ancestors), (downstream, 1, graph.descendants)):
        for key, distance in reached(root).items() if wanted else ():
            steps.setdefault(key, sign * distance)
    return [
        {
            "steps": distance,
            "kind": node.kind,
            "name": node.name,
            "id": mark(node),
            "facts": ", ".join(_facts(node)),
            "came from": [graph.nodes[near].name for near in _came_from(graph, key)],
        }
        for key, distance in sorted(steps.items(), key=lambda item: item[1])
        for node in (graph.nodes[key],)
    ]


def _came_from(graph: Graph, key: str) -> list[str]:
    """Return what a node came from at once, but for a run that had read the same content and passed it on."""
    return [near for near in graph.backward.get(key, ()) if key not in graph.backward.get(near, ())]


def mark(node: Node) -> str:
    """Return the beginning of a node's key, enough to name it."""
    return str(short(node.key)) if node.kind == "artifact" else node.key[:8]


def _facts(node: Node) -> list[str]:
    if node.kind == "artifact":
        return [str(node.facts["kind"])] if node.facts.get("kind") else []
    found = [str(node.facts[name]) for name in ("asset", "state") if node.facts.get(name)]
    if node.facts.get("seed") is not None:
        found.append(f"seed {node.facts['seed']}")
    if node.facts.get("replay_of") is not None:
        found.append(f"replay of {node.facts['replay_of'][:8]}")
    return found


def _label(graph: Graph, key: str) -> Text:
    from rich.text import Text

    node = graph.nodes[key]
    return Text.assemble(
        (cell(node.name) if node.name != key else mark(node), "bold" if node.kind == "artifact" else "italic"),
        f"  {mark(node)}" if node.name != key else "",
        (f"  {cell(', '.join(_facts(node)))}", "dim"),
    )
