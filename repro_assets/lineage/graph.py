"""Artifacts, runs, and which way the data went: a graph that can be walked.

Laws: a node is an artifact (its digest) or a run (its id); an edge goes the way the data went, from an input to the run
that read it and from a run to what it wrote; nothing is dropped, so a digest that nobody recorded is a node too. All
walks are iterative and take time linear in nodes and edges, so the length of a chain is limited by memory alone.
Identity is content, so a run that passes its input on unchanged both reads and writes one node.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.lineage.numbered import groups

Kind = Literal["artifact", "run"]
COUNTED = 10**15
"""Paths are counted up to so many."""


class Node(NamedTuple):
    """An artifact or a run.

    Parameters
    ----------
    key : str
        Digest in string form, or run id.
    kind : str
        ``artifact`` or ``run``.
    name : str
        Display name; the key where there is none.
    facts : mapping
        State, asset, partition and seed of a run, and which run it replays; kind and size of an artifact.
    """

    key: str
    kind: Kind
    name: str
    facts: Mapping[str, Any] = MappingProxyType({})


class Edge(NamedTuple):
    """Data that went from `source` to `target`; `role` is input, output, checkpoint, snapshot or evaluation."""

    source: str
    target: str
    role: str
    slot: str
    made_by: str | None = None


@dataclass(frozen=True, slots=True)
class Paths:
    """The shortest ways from one node to another.

    Parameters
    ----------
    steps : int or None
        Edges of each of them; None where there is no way.
    ways : list of list of str
        The keys along each way, both ends included, as many as were asked for.
    total : int
        How many ways of this length there are; counted up to `COUNTED`.
    """

    steps: int | None
    ways: list[list[str]]
    total: int

    @property
    def more(self) -> bool:
        """Whether there are more than `ways` holds."""
        return self.total > len(self.ways)


class Common(NamedTuple):
    """What two nodes both came from, with the edges to each on the shortest way."""

    key: str
    to_first: int
    to_second: int
    lowest: bool


class Graph:
    """Artifacts, runs and the edges between them.

    Parameters
    ----------
    nodes : mapping
        Nodes by their keys.
    edges : iterable of Edge
        Edges between them; a key without a node becomes an artifact or run of which nothing else is known.
    """

    def __init__(self, nodes: Mapping[str, Node], edges: Iterable[Edge]) -> None:
        self.nodes = dict(nodes)
        # Edges that come in their order already, as the catalog gives them, are sorted in linear time.
        self.edges = sorted(dict.fromkeys(edges), key=lambda edge: (*edge[:4], edge.made_by or ""))
        self.forward: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self.backward: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for source, target, *_ in self.edges:
            for key in (source, target):
                if key not in self.nodes:
                    self.nodes[key] = Node(key, "artifact" if key.startswith("sha256:") else "run", key)
            self.forward[source][target] = None
            self.backward[target][source] = None

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

    def paths(self, start: str, end: str, limit: int = 10) -> Paths:
        """Return the shortest ways from `start` to `end`, in the direction in which the data went.

        Parameters
        ----------
        start, end : str
            Nodes; from a node to itself there is the way of no edges.
        limit : int
            At most so many ways, 1 or more; all are counted.

        Raises
        ------
        UnknownName
            If one of them is not in the graph.
        InvalidValue
            If `limit` is below 1.
        """
        if limit < 1:
            raise InvalidValue(f"a limit of {limit} paths", "1 or more")
        self.check(start)
        left = {end: 0, **self.ancestors(end)}
        if start not in left:
            return Paths(None, [], 0)
        counted = {end: 1}
        for key, distance in left.items():
            if key != end:
                nearer = (counted.get(near, 0) for near in self.forward.get(key, ()) if left.get(near) == distance - 1)
                counted[key] = min(sum(nearer), COUNTED)
        ways = [way for way, _ in zip(self._descents(start, left), range(limit), strict=False)]
        return Paths(left[start], ways, counted[start])

    def between(self, start: str, end: str) -> Graph:
        """Return the graph of all that lies on any way from `start` to `end`; empty where there is none.

        Raises
        ------
        UnknownName
            If one of them is not in the graph.
        """
        below, above = {start, *self.descendants(start)}, {end, *self.ancestors(end)}
        return self.only(below & above)

    def common_ancestors(self, first: str, second: str) -> list[Common]:
        """Return what both nodes came from, the lowest first, then the nearest.

        A node counts as its own ancestor. The lowest are those from which no other common ancestor came, unless both
        came from each other.

        Raises
        ------
        UnknownName
            If one of them is not in the graph.
        """
        one, other = {first: 0, **self.ancestors(first)}, {second: 0, **self.ancestors(second)}
        shared = [key for key in one if key in other]
        number = {key: place for place, key in enumerate(shared)}
        pairs = [(number[key], number[near]) for key in shared for near in self.forward.get(key, ()) if near in number]
        group = list(range(len(shared)))
        for members in groups(len(shared), [source for source, _ in pairs], [target for _, target in pairs]):
            for member in members:
                group[member] = members[0]
        followed = {group[source] for source, target in pairs if group[source] != group[target]}
        found = [Common(key, one[key], other[key], group[number[key]] not in followed) for key in shared]
        return sorted(found, key=lambda common: (not common.lowest, common.to_first + common.to_second, common.key))

    def part(self, key: str, *, upstream: bool = True, downstream: bool = True, depth: int | None = None) -> Graph:
        """Return the graph of `key` and what lies upstream or downstream of it within `depth` edges."""
        self.check(key)
        chosen = {key}
        if upstream:
            chosen |= self.ancestors(key, depth).keys()
        if downstream:
            chosen |= self.descendants(key, depth).keys()
        return self.only(chosen)

    def only(self, keys: set[str]) -> Graph:
        """Return the graph of these nodes and the edges between them."""
        return Graph(
            {key: node for key, node in self.nodes.items() if key in keys},
            [edge for edge in self.edges if edge.source in keys and edge.target in keys],
        )

    def check(self, key: str) -> None:
        """Raise `UnknownName` unless `key` is a node."""
        if key not in self.nodes:
            raise UnknownName(f"{key} is not in the lineage graph", "see: repro lineage export --format json")

    def _reach(self, key: str, edges: Mapping[str, dict[str, None]], depth: int | None) -> dict[str, int]:
        self.check(key)
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

    def _descents(self, start: str, left: Mapping[str, int]) -> Iterator[list[str]]:
        """Yield the ways on which every edge leads one nearer to where `left` is 0; so no branch is walked in vain."""
        path = [start]
        branches = [self._nearer(start, left)]
        while branches:
            if left[path[-1]] == 0:
                yield list(path)
            step = next(branches[-1], None)
            if step is None:
                branches.pop()
                path.pop()
            else:
                path.append(step)
                branches.append(self._nearer(step, left))

    def _nearer(self, key: str, left: Mapping[str, int]) -> Iterator[str]:
        return iter([near for near in self.forward.get(key, ()) if left.get(near) == left[key] - 1])
