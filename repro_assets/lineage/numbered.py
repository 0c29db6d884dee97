"""What holds for a whole graph whose nodes are numbers.

Laws: an edge goes from the node in `sources` to that in `targets` at the same place, and nodes are the numbers from 0;
nothing is recursive; time is linear in nodes and edges, up to sorting.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Numbers = Sequence[int] | Array


def groups(count: int, sources: Numbers, targets: Numbers) -> list[list[int]]:
    """Return the nodes that reach each other, group by group, and alone those with an edge to themselves.

    Parameters
    ----------
    count : int
        Number of nodes.
    sources, targets : sequence or array of int
        Edges.
    """
    import numpy

    source, target = numpy.asarray(sources, dtype=numpy.int64), numpy.asarray(targets, dtype=numpy.int64)
    parts, part = _parts(count, source, target, strong=True)
    alone = [[node] for node in numpy.unique(source[source == target]).tolist()]
    if parts == count:
        return alone
    several = numpy.flatnonzero(numpy.bincount(part) > 1)
    together = [numpy.flatnonzero(part == number).tolist() for number in several]
    within = {node for group in together for node in group}
    return sorted(together + [group for group in alone if group[0] not in within])


def longest(count: int, sources: Numbers, targets: Numbers) -> int:
    """Return the edges on the longest way; nodes that reach each other are one place on it."""
    import numpy

    source, target = numpy.asarray(sources, dtype=numpy.int64), numpy.asarray(targets, dtype=numpy.int64)
    parts, part = _parts(count, source, target, strong=True)
    if parts < count:
        source, target = part[source], part[target]
    between = source != target
    return _longest(parts, source[between], target[between])


def components(count: int, sources: Numbers, targets: Numbers) -> int:
    """Return how many parts without an edge between them there are."""
    import numpy

    parts, _ = _parts(count, numpy.asarray(sources), numpy.asarray(targets), strong=False)
    return parts


def without(count: int, ends: Array) -> int:
    """Return how many nodes are not in `ends`."""
    import numpy

    return count - int(numpy.count_nonzero(numpy.bincount(ends, minlength=count)))


def _parts(count: int, source: Array, target: Array, *, strong: bool) -> tuple[int, Array]:
    """Return the number of connected parts, and that of each node."""
    import numpy
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not count:
        return 0, numpy.zeros(0, dtype=numpy.int64)
    edges = coo_array((numpy.ones(len(source), dtype=bool), (source, target)), shape=(count, count))
    parts, part = connected_components(edges, directed=strong, connection="strong")
    return int(parts), part


def _longest(count: int, source: Array, target: Array) -> int:
    """Return the edges on the longest way of a graph without a cycle."""
    import numpy

    order = numpy.argsort(source, kind="stable")
    onward = target[order].tolist()
    begins = numpy.searchsorted(source[order], numpy.arange(count + 1)).tolist()
    arriving = numpy.bincount(target, minlength=count).tolist()
    depths = [0] * count
    waiting = [node for node, edges in enumerate(arriving) if edges == 0]
    for here in waiting:
        depth = depths[here] + 1
        for near in onward[begins[here] : begins[here + 1]]:
            if depths[near] < depth:
                depths[near] = depth
            arriving[near] -= 1
            if arriving[near] == 0:
                waiting.append(near)
    return max(depths, default=0)
