"""What holds for a whole graph whose nodes are numbers.

Laws: an edge goes from the node in `sources` to that in `targets` at the same place, and nodes are the numbers from 0;
nothing is recursive; time is linear in nodes and edges, up to sorting; only a graph with a cycle needs a library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

    Numbers = Sequence[int] | numpy.ndarray[Any, Any]


def groups(count: int, sources: Numbers, targets: Numbers) -> list[list[int]]:
    """Return the nodes that reach each other, group by group, and alone those with an edge to themselves.

    Parameters
    ----------
    count : int
        Number of nodes.
    sources, targets : sequence or array of int
        Edges.
    """
    return _groups(sources, targets, _peeled(count, sources, targets))


def longest(count: int, sources: Numbers, targets: Numbers) -> int:
    """Return the edges on the longest way; nodes that reach each other are one place on it."""
    depths = _peeled(count, sources, targets)
    if min(depths, default=0) < 0:
        place = list(range(count))
        for group in _groups(sources, targets, depths):
            for member in group:
                place[member] = group[0]
        moved = ((place[source], place[target]) for source, target in zip(sources, targets, strict=True))
        between = [(source, target) for source, target in moved if source != target]
        depths = _peeled(count, [source for source, _ in between], [target for _, target in between])
    return max(depths, default=0)


def components(count: int, sources: Numbers, targets: Numbers) -> int:
    """Return how many parts without an edge between them there are."""
    above = list(range(count))
    left = count
    for one, other in zip(_plain(sources), _plain(targets), strict=True):
        first, second = one, other
        # Halving the way up keeps it short.
        while above[first] != first:
            above[first] = first = above[above[first]]
        while above[second] != second:
            above[second] = second = above[above[second]]
        if first != second:
            above[max(first, second)] = min(first, second)
            left -= 1
    return left


def _peeled(count: int, sources: Numbers, targets: Numbers) -> list[int]:
    """Return the edges on the longest way that ends in each node; -1 in a cycle, and for what came from one."""
    import numpy

    source, target = numpy.asarray(sources, dtype=numpy.int64), numpy.asarray(targets, dtype=numpy.int64)
    order = numpy.argsort(source, kind="stable")
    onward = target[order].tolist()
    begins = numpy.searchsorted(source[order], numpy.arange(count + 1)).tolist()
    arriving = numpy.bincount(target, minlength=count).tolist()
    depths, reached = [-1] * count, [0] * count
    waiting = [node for node, edges in enumerate(arriving) if edges == 0]
    for here in waiting:
        depth = depths[here] = reached[here]
        for near in onward[begins[here] : begins[here + 1]]:
            if reached[near] <= depth:
                reached[near] = depth + 1
            arriving[near] -= 1
            if arriving[near] == 0:
                waiting.append(near)
    return depths


def _groups(sources: Numbers, targets: Numbers, depths: list[int]) -> list[list[int]]:
    if min(depths, default=0) >= 0:
        return []
    import networkx

    # Each cycle is in what was not peeled, and so is what came from one.
    pairs = zip(_plain(sources), _plain(targets), strict=True)
    directed: networkx.DiGraph[int] = networkx.DiGraph()
    directed.add_edges_from((source, target) for source, target in pairs if depths[source] < 0 and depths[target] < 0)
    found = networkx.strongly_connected_components(directed)
    return sorted(sorted(group) for group in found if len(group) > 1 or directed.has_edge(*tuple(group) * 2))


def _plain(numbers: Numbers) -> Sequence[int]:
    return numbers if isinstance(numbers, Sequence) else numbers.tolist()
