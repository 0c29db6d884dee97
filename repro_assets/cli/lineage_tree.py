"""A lineage graph as a tree on a terminal.

Laws: a node that was shown already is named again and not opened again, so the tree is no larger than the graph; the
walk has no recursion of its own, and a chain that is deeper than a terminal can show is cut with a note.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from repro_assets.cli.rendering import cell, short

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from repro_assets.lineage.graph import Graph

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
        near = list(edges.get(key, ()))
        if near and depth == DEEPEST:
            branch.add(Text("… (name this one to go on)", "dim"))
            continue
        added = []
        for item in near:
            label = _label(graph, item)
            again = item in shown and bool(edges.get(item))
            child = branch.add(Text.assemble(label, ("  (shown above)", "dim")) if again else label)
            if item not in shown:
                shown.add(item)
                added.append((item, child, depth + 1))
        waiting.extend(reversed(added))
    return tree


def _label(graph: Graph, key: str) -> Text:
    from rich.text import Text

    node = graph.nodes[key]
    facts = [node.facts.get("asset"), node.facts.get("state")] if node.kind == "run" else [node.facts.get("kind")]
    if node.kind == "run" and node.facts.get("seed") is not None:
        facts.append(f"seed {node.facts['seed']}")
    if node.kind == "run" and node.facts.get("replay_of") is not None:
        facts.append(f"replay of {node.facts['replay_of'][:8]}")
    mark = short(key) if node.kind == "artifact" else key[:8]
    return Text.assemble(
        (cell(node.name) if node.name != key else str(mark), "bold" if node.kind == "artifact" else "italic"),
        f"  {mark}" if node.name != key else "",
        (f"  {cell(', '.join(str(fact) for fact in facts if fact))}", "dim"),
    )
