"""Which artifact came from which run, and from which artifacts.

Laws: a node is an artifact (its digest) or a run (its id); an edge goes the way the data went, from an input to the run
that read it and from a run to what it wrote; nothing is dropped, so a digest that nobody recorded is a node too. All
walks are iterative: the length of a chain is limited by memory alone. Identity is content, so a run that passes its
input on unchanged both reads and writes one node.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from repro_assets.catalog.naming import resolve_artifact
from repro_assets.catalog.queries import connect, read_rows, resolve_run
from repro_assets.errors import AmbiguousName, InvalidValue, UnknownName
from repro_assets.store.home import Home

Kind = Literal["artifact", "run"]


@dataclass(frozen=True, slots=True)
class Node:
    """An artifact or a run.

    Parameters
    ----------
    key : str
        Digest in string form, or run id.
    kind : str
        ``artifact`` or ``run``.
    name : str
        Display name; the key where there is none.
    facts : dict
        State, asset, seed of a run, and which run it replays; kind and size of an artifact.
    """

    key: str
    kind: Kind
    name: str
    facts: dict[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Edge:
    """Data that went from `source` to `target`; `role` is input, output, checkpoint, snapshot or evaluation."""

    source: str
    target: str
    role: str
    slot: str
    made_by: str | None = None


class Graph:
    """Artifacts, runs and the edges between them.

    Parameters
    ----------
    nodes : mapping
        Nodes by their keys.
    edges : list of Edge
        Edges between them; a key without a node becomes an artifact of which nothing else is known.
    """

    def __init__(self, nodes: Mapping[str, Node], edges: list[Edge]) -> None:
        self.nodes = dict(nodes)
        self.edges = sorted(
            set(edges), key=lambda edge: (edge.source, edge.target, edge.role, edge.slot, edge.made_by or "")
        )
        self.forward: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self.backward: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for edge in self.edges:
            for key in (edge.source, edge.target):
                if key not in self.nodes:
                    kind: Kind = "artifact" if key.startswith("sha256:") else "run"
                    self.nodes[key] = Node(key, kind, key)
            self.forward[edge.source][edge.target] = None
            self.backward[edge.target][edge.source] = None

    def ancestors(self, key: str, depth: int | None = None) -> dict[str, int]:
        """Return what `key` came from, nearest first, with the number of edges between.

        Parameters
        ----------
        key : str
            A node.
        depth : int, optional
            At most so many edges away; all for None.

        Raises
        ------
        UnknownName
            If there is no such node.
        InvalidValue
            If `depth` is negative.
        """
        return self._reach(key, self.backward, depth)

    def descendants(self, key: str, depth: int | None = None) -> dict[str, int]:
        """Return what came from `key`, nearest first; otherwise like `ancestors`."""
        return self._reach(key, self.forward, depth)

    def paths(self, start: str, end: str, limit: int = 100) -> list[list[str]]:
        """Return the ways from `start` to `end` that visit no node twice, at most `limit` of them.

        Raises
        ------
        UnknownName
            If one of them is not in the graph.
        """
        return [path for path, _ in zip(self._paths(start, end), range(limit), strict=False)]

    def part(self, key: str, *, upstream: bool = True, downstream: bool = True, depth: int | None = None) -> Graph:
        """Return the graph of `key` and what lies upstream or downstream of it within `depth` edges."""
        chosen = {key}
        if upstream:
            chosen |= self.ancestors(key, depth).keys()
        if downstream:
            chosen |= self.descendants(key, depth).keys()
        self._check(key)
        return Graph(
            {name: self.nodes[name] for name in self.nodes if name in chosen},
            [edge for edge in self.edges if edge.source in chosen and edge.target in chosen],
        )

    def _check(self, key: str) -> None:
        if key not in self.nodes:
            raise UnknownName(f"{key} is not in the lineage graph", "see: repro lineage export --format json")

    def _reach(self, key: str, edges: Mapping[str, dict[str, None]], depth: int | None) -> dict[str, int]:
        self._check(key)
        if depth is not None and depth < 0:
            raise InvalidValue(f"a depth of {depth}", "0 or more")
        found: dict[str, int] = {}
        waiting = deque([(key, 0)])
        while waiting:
            here, distance = waiting.popleft()
            if depth is not None and distance == depth:
                continue
            for near in edges.get(here, ()):
                if near not in found and near != key:
                    found[near] = distance + 1
                    waiting.append((near, distance + 1))
        return found

    def _paths(self, start: str, end: str) -> Iterator[list[str]]:
        # Only nodes from which `end` can be reached are entered, so no branch is walked in vain but for repetitions.
        useful = self.ancestors(end).keys() | {end}
        self._check(start)
        if start == end:
            yield [start]
            return
        path, on_path = [start], {start}
        branches = [iter(self.forward.get(start, ()))]
        while branches:
            step = next(branches[-1], None)
            if step is None:
                branches.pop()
                on_path.discard(path.pop())
            elif step == end:
                yield [*path, end]
            elif step in useful and step not in on_path:
                path.append(step)
                on_path.add(step)
                branches.append(iter(self.forward.get(step, ())))


def read_graph(home: Home) -> Graph:
    """Return the lineage of everything in the catalog, refreshed first.

    Parent runs, source trees and environment documents are not part of it: they group and describe, and carry no data.

    Raises
    ------
    MachineError
        If the catalog had to be brought up to date and cannot be written.
    """
    with connect(home) as connection:
        runs = read_rows(
            connection,
            "SELECT run_id, name, state, asset, partition, seed, replay_of FROM runs "
            "WHERE coalesce(run_kind, '') <> 'parent' ORDER BY started_at, run_id",
        )
        artifacts = read_rows(
            connection,
            "SELECT a.digest, n.name, a.kind, a.size FROM artifacts a LEFT JOIN artifact_names n USING (digest) "
            "WHERE digest NOT IN (SELECT environment FROM runs WHERE environment IS NOT NULL "
            "UNION SELECT source FROM runs WHERE source IS NOT NULL) "
            "OR digest IN (SELECT digest FROM run_inputs UNION SELECT digest FROM run_outputs) "
            "ORDER BY a.stored_at, a.digest",
        )
        edges = read_rows(
            connection,
            "SELECT digest AS source, run_id AS target, 'input' AS role, slot, made_by FROM run_inputs "
            "UNION ALL SELECT run_id, digest, 'output', slot, NULL FROM run_outputs "
            "UNION ALL SELECT run_id, digest, 'checkpoint', name, NULL FROM checkpoints "
            "UNION ALL SELECT run_id, digest, 'snapshot', name, NULL FROM experience_snapshots "
            "UNION ALL SELECT run_id, digest, 'snapshot', 'experiences ' || first, NULL FROM experience_inserts "
            "UNION ALL SELECT run_id, digest, 'evaluation', name, NULL FROM evaluations e "
            "WHERE NOT EXISTS (SELECT 1 FROM run_outputs o WHERE o.run_id = e.run_id AND o.digest = e.digest)",
        )
    nodes = {}
    for run in runs:
        facts = {name: run[name] for name in ("state", "asset", "partition", "seed", "replay_of")}
        nodes[run["run_id"]] = Node(run["run_id"], "run", run["name"] or run["run_id"], facts)
    for artifact in artifacts:
        facts = {name: artifact[name] for name in ("kind", "size")}
        nodes[artifact["digest"]] = Node(artifact["digest"], "artifact", artifact["name"] or artifact["digest"], facts)
    return Graph(nodes, [Edge(**edge) for edge in edges])


def resolve_node(home: Home, graph: Graph, text: str) -> str:
    """Return the key of the artifact or run that `text` means; an artifact comes before a run.

    Raises
    ------
    UnknownName
        If neither is called so, or it is not part of the graph.
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
            raise UnknownName(f"there is no artifact or run {text!r}", error.remedy or no_artifact.remedy) from error
    graph._check(key)
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
