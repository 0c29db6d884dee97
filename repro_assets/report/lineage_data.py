"""The lineage graph as the page draws it.

Law: it is the whole graph of the store, whichever runs the report is about: what lies upstream of a run is no less true
where the run that made it has no page.
"""

from __future__ import annotations

from typing import Any

from repro_assets.lineage.graph import Graph
from repro_assets.report.script import file_name


def lineage_document(graph: Graph, run_ids: list[str]) -> dict[str, Any]:
    """Return nodes, and edges as pairs of their places.

    Parameters
    ----------
    graph : Graph
        The lineage.
    run_ids : list of str
        Runs that have a page.
    """
    pages = set(run_ids)
    place = {key: number for number, key in enumerate(graph.nodes)}
    return {
        "nodes": [
            {
                "key": key,
                "kind": node.kind,
                "name": node.name,
                "facts": [[name, value] for name, value in node.facts.items() if value is not None],
                "page": f"runs/{file_name(key)}.html" if key in pages else None,
            }
            for key, node in graph.nodes.items()
        ],
        "edges": [[place[edge.source], place[edge.target], edge.role, edge.slot] for edge in graph.edges],
    }
