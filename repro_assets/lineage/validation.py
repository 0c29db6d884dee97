"""Is the lineage sound?

Laws: a parent that no record made and whose bytes are gone is named, never dropped; bytes that came from outside are
sources and are not missing; a recorded artifact that something keeps and whose bytes are gone makes the lineage
unsound, because what came from it cannot be made again from it, unless it was evicted; a cycle is a chain of runs each
of which read what the next one wrote, back to the first.

A digest says nothing about time: two runs may turn A into B and B into A again, or one may pass A on. So the run that
wrote an input is taken from the record (``made_by``); only where the record does not say, every run that wrote this
content counts as its possible maker, unless it was also put by hand.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import asdict, dataclass, field
from typing import Any

from repro_assets.catalog.queries import connect
from repro_assets.errors import InvalidValue
from repro_assets.identity.digest import Digest
from repro_assets.lineage.graph import Graph, read_graph
from repro_assets.store.home import Home
from repro_assets.store.opening import open_objects


@dataclass(frozen=True, slots=True)
class Report:
    """What `validate` found.

    Parameters
    ----------
    valid : bool
        True if there is no cycle, nothing is missing, and no recorded artifact that is kept has lost bytes.
    cycles : list of list of str
        Run ids of each cycle.
    missing : list of str
        Digests that a run read, that no record made, and whose bytes are gone; and ids of runs that are said to have
        made an input and of which nothing else is known.
    orphans : list of str
        Artifacts that no run wrote or read and that have no version.
    bytes_gone : list of str
        Recorded artifacts of which an object is not in this store.
    stats : dict
        ``nodes``, ``edges``, ``max_depth`` (edges on the longest way, a cycle counted once) and ``components``.
    """

    valid: bool
    cycles: list[list[str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    bytes_gone: list[str] = field(default_factory=list)
    stats: dict[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return asdict(self)


def validate(home: Home) -> Report:
    """Check the lineage of everything in the store.

    Objects are looked up, not read: `fsck` says whether their bytes are right.

    Raises
    ------
    MachineError
        If the catalog had to be brought up to date and cannot be written.
    """
    graph = read_graph(home)
    with connect(home) as connection:
        recorded = {digest for (digest,) in connection.execute("SELECT digest FROM artifacts").fetchall()}
        versions = connection.execute("SELECT digest, run_id FROM versions").fetchall()
        known_runs = {run for (run,) in connection.execute("SELECT run_id FROM runs").fetchall()}
        parts = connection.execute(
            "SELECT digest, unnest(list_distinct(flatten(list(objects)))) FROM manifest_entries GROUP BY digest"
        ).fetchall()
        # What nothing keeps may have been collected, and what was evicted can be made again.
        kept = {
            digest
            for (digest,) in connection.execute(
                "SELECT digest FROM held EXCEPT SELECT digest FROM evictions"
            ).fetchall()
        }
    objects = open_objects(home)

    def is_there(digest: str) -> bool:
        try:
            return objects.has(Digest.parse(digest))
        except InvalidValue:
            return False  # what is not a digest names no bytes

    put_by_hand = {digest for digest, run in versions if run is None}
    missing = [
        node.key
        for node in graph.nodes.values()
        if node.kind == "artifact"
        and node.key not in recorded
        and not graph.backward.get(node.key)
        and node.key not in put_by_hand
        and not is_there(node.key)
    ]
    missing += sorted({edge.made_by for edge in graph.edges if edge.made_by is not None} - known_runs)
    versioned = {digest for digest, _ in versions}
    orphans = [
        node.key
        for node in graph.nodes.values()
        if node.kind == "artifact"
        and not graph.forward.get(node.key)
        and not graph.backward.get(node.key)
        and node.key not in versioned
    ]
    there = {part: is_there(part) for part in {part for digest, part in parts if digest in kept}}
    gone = {digest for digest, part in parts if digest in kept and not there[part]} | {
        digest for digest in recorded & kept if not is_there(digest)
    }
    cycles = find_cycles(graph, put_by_hand)
    return Report(
        valid=not cycles and not missing and not gone,
        cycles=cycles,
        missing=missing,
        orphans=orphans,
        bytes_gone=sorted(gone),
        stats=measure(graph),
    )


def find_cycles(graph: Graph, put_by_hand: set[str] | None = None) -> list[list[str]]:
    """Return the run ids of every group of runs that depend on each other, each in order of dependence.

    Parameters
    ----------
    graph : Graph
        The lineage.
    put_by_hand : set of str, optional
        Digests that also came from outside.
    """
    outside = put_by_hand or set()
    follows: defaultdict[str, set[str]] = defaultdict(set)
    for edge in graph.edges:
        if edge.role != "input":
            continue
        if edge.made_by is not None:
            makers = {edge.made_by}
        elif edge.source in outside:
            makers = set()
        else:
            makers = {run for run in graph.backward.get(edge.source, ()) if run != edge.target}
        for maker in makers:
            follows[maker].add(edge.target)
    return [_around(group, follows) for group in _strongly_connected(follows)]


def measure(graph: Graph) -> dict[str, int]:
    """Count nodes, edges and components, and the edges on the longest way."""
    neighbours = {key: set(graph.forward.get(key, ())) for key in graph.nodes}
    group_of: dict[str, int] = {}
    for number, group in enumerate(_strongly_connected(neighbours)):
        group_of.update(dict.fromkeys(group, number))
    # A cycle is one place on the way, so that "longest" means something.
    place = {key: f"cycle {group_of[key]}" if key in group_of else key for key in graph.nodes}
    onward: defaultdict[str, set[str]] = defaultdict(set)
    for key, targets in neighbours.items():
        onward[place[key]] |= {place[target] for target in targets} - {place[key]}
    arriving: defaultdict[str, int] = defaultdict(int)
    for targets in onward.values():
        for target in targets:
            arriving[target] += 1
    depth = dict.fromkeys(onward, 0)
    waiting = deque(key for key in onward if arriving[key] == 0)
    while waiting:
        here = waiting.popleft()
        for target in onward[here]:
            depth[target] = max(depth[target], depth[here] + 1)
            arriving[target] -= 1
            if arriving[target] == 0:
                waiting.append(target)
    return {
        "nodes": len(graph.nodes),
        "edges": len(graph.edges),
        "max_depth": max(depth.values(), default=0),
        "components": _components(graph),
    }


def _components(graph: Graph) -> int:
    seen: set[str] = set()
    count = 0
    for key in graph.nodes:
        if key in seen:
            continue
        count += 1
        waiting = [key]
        seen.add(key)
        while waiting:
            here = waiting.pop()
            for near in (*graph.forward.get(here, ()), *graph.backward.get(here, ())):
                if near not in seen:
                    seen.add(near)
                    waiting.append(near)
    return count


def _strongly_connected(follows: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of more than one node, and nodes that follow themselves."""
    import networkx

    directed: networkx.DiGraph[str] = networkx.DiGraph()
    directed.add_edges_from((source, target) for source, targets in follows.items() for target in targets)
    return [
        sorted(group)
        for group in networkx.strongly_connected_components(directed)
        if len(group) > 1 or directed.has_edge(*tuple(group) * 2)
    ]


def _around(group: list[str], follows: dict[str, set[str]]) -> list[str]:
    """Return one shortest way around through the first run of the group, then what else belongs to it."""
    first, members = group[0], set(group)
    came_from: dict[str, str] = {}
    waiting = deque([first])
    while waiting and first not in came_from:
        here = waiting.popleft()
        for target in sorted(follows[here] & members):
            if target not in came_from:
                came_from[target] = here
                waiting.append(target)
    way = [first]
    while came_from[way[-1]] != first:
        way.append(came_from[way[-1]])
    way = [first, *reversed(way[1:])]
    return way + sorted(members - set(way))
