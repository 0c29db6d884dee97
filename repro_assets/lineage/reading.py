"""The lineage graph of a store, and what a person may call a node of it.

Law: an artifact comes before a run of the same name, and a whole key of the graph before both.
"""

from __future__ import annotations

import json

from repro_assets.artifacts import names
from repro_assets.catalog.naming import resolve_artifact
from repro_assets.catalog.queries import connect, near, resolve_run
from repro_assets.errors import AmbiguousName, UnknownName
from repro_assets.lineage.graph import Edge, Graph, Node
from repro_assets.store.home import Home

RUNS = "SELECT run_id AS key FROM runs WHERE coalesce(run_kind, '') <> 'parent'"
"""The runs of the graph: parent runs only group."""
ARTIFACTS = "SELECT digest AS key FROM artifacts ANTI JOIN internal_artifacts USING (digest)"
"""The artifacts of the graph: source trees, diffs and environment documents describe, and carry no data."""


def read_graph(home: Home) -> Graph:
    """Return the lineage of everything in the catalog, refreshed first.

    Parent runs, source trees, their diffs and environment documents are not part of it: they group and describe, and
    carry no data.

    Raises
    ------
    MachineError
        If the catalog had to be brought up to date and cannot be written.
    """
    with connect(home) as connection:
        runs = connection.execute(
            f"SELECT run_id, name, state, asset, partition, seed, replay_of FROM ({RUNS}) JOIN runs ON run_id = key "
            "ORDER BY started_at, run_id"
        ).fetchall()
        artifacts = connection.execute(
            f"SELECT key, n.name, a.kind, a.size FROM ({ARTIFACTS}) JOIN artifacts a ON a.digest = key "
            "LEFT JOIN artifact_names n USING (digest) ORDER BY a.stored_at, a.digest"
        ).fetchall()
        edges = connection.execute(
            "SELECT source, target, role, slot, made_by FROM lineage_edges ORDER BY ALL NULLS FIRST"
        ).fetchall()
    nodes = {
        key: Node(
            key,
            "run",
            name or key,
            {"state": state, "asset": asset, "partition": partition, "seed": seed, "replay_of": replay_of},
        )
        for key, name, state, asset, partition, seed, replay_of in runs
    }
    for key, name, kind, size in artifacts:
        nodes[key] = Node(key, "artifact", name or key, {"kind": kind, "size": size})
    return Graph(nodes, map(Edge._make, edges))


def resolve_node(home: Home, graph: Graph, text: str) -> str:
    """Return the key of the artifact or run that `text` means; an artifact comes before a run.

    Raises
    ------
    UnknownName
        If neither is called so, with near names of both, or it is not part of the graph.
    AmbiguousName
        If several fit.
    """
    if text in graph.nodes:
        return text
    try:
        key = str(resolve_artifact(home, text).digest)
    except UnknownName as no_artifact:
        try:
            key = resolve_run(home, text)
        except AmbiguousName:
            raise
        except UnknownName as error:
            # As JSON writes it, so that a name with a line end is still one line.
            shown = json.dumps(text, ensure_ascii=False)
            known = [*names.collections(home), *graph.nodes, *(node.name for node in graph.nodes.values())]
            told = [said.remedy for said in (error, no_artifact) if not said.remedy.startswith("see:")]
            close = near(text, known)
            if close:
                told = [*(remedy.partition(";")[0] for remedy in told if remedy.startswith("an id ")), close]
            remedy = "; ".join(told) or "see: repro artifacts list, or repro runs list"
            raise UnknownName(f"there is no artifact or run {shown}", remedy) from error
    graph.check(key)
    return key


def lineage_of(
    home: Home, text: str, *, upstream: bool = True, downstream: bool = True, depth: int | None = None
) -> tuple[str, Graph]:
    """Return the key of an artifact or run, and the part of the graph around it.

    Parameters
    ----------
    home : Home
        The store.
    text : str
        What `resolve_node` takes.
    upstream, downstream : bool
        Which directions to follow.
    depth : int, optional
        At most so many edges; an artifact and the run that made it are one edge apart.

    Raises
    ------
    UnknownName, AmbiguousName
        As `resolve_node` does.
    InvalidValue
        If `depth` is negative.
    """
    graph = read_graph(home)
    key = resolve_node(home, graph, text)
    return key, graph.part(key, upstream=upstream, downstream=downstream, depth=depth)
