"""Where an artifact or a run came from, and what came from it, in a notebook.

Laws: everything is read from the record, once, when it is asked for; tables are the same rows that the command line
shows; what is shown as HTML is escaped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from repro_assets.inspection.frames import frame_of
from repro_assets.lineage import impact, rendering, validation
from repro_assets.lineage.graph import Graph, Paths
from repro_assets.lineage.reading import read_graph, resolve_node
from repro_assets.store.home import Home, find_store

if TYPE_CHECKING:
    import pandas

_COLUMNS = ("steps", "kind", "name", "key", "asset", "state", "seed", "replay_of", "size")


@dataclass(frozen=True)
class Lineage:
    """An artifact or a run among all others; `lineage_of` finds one.

    Parameters
    ----------
    home : Home
        The store.
    key : str
        Digest or run id.
    graph : Graph
        The lineage of everything, as it was when it was asked for.
    """

    home: Home = field(repr=False)
    key: str
    graph: Graph = field(repr=False, compare=False)

    def ancestors(self, depth: int | None = None) -> pandas.DataFrame:
        """Return what it came from, nearest first.

        Parameters
        ----------
        depth : int, optional
            At most so many edges away; an artifact and the run that made it are one edge apart.

        Returns
        -------
        pandas.DataFrame
            Columns ``steps``, ``kind`` (artifact or run), ``name``, ``key``, ``asset``, ``state``, ``seed``,
            ``replay_of`` and ``size`` (bytes).

        Raises
        ------
        InvalidValue
            If `depth` is negative.
        """
        return self._frame(self.graph.ancestors(self.key, depth))

    def descendants(self, depth: int | None = None) -> pandas.DataFrame:
        """Return what came from it; otherwise like `ancestors`."""
        return self._frame(self.graph.descendants(self.key, depth))

    def paths_to(self, other: str, limit: int = 10) -> Paths:
        """Return the shortest ways from it to another, in the direction in which the data went.

        Parameters
        ----------
        other : str
            What `lineage_of` takes.
        limit : int
            At most so many; ``total`` of the answer counts all.

        Raises
        ------
        UnknownName, AmbiguousName
            If nothing is called that, or several things are.
        InvalidValue
            If `limit` is below 1.
        """
        return self.graph.paths(self.key, self._key_of(other), limit)

    def common_with(self, other: str) -> pandas.DataFrame:
        """Return what both came from, the lowest first: ``lowest``, and the steps to each, beside what each thing is.

        Raises
        ------
        UnknownName, AmbiguousName
            If nothing is called that, or several things are.
        """
        found = self.graph.common_ancestors(self.key, self._key_of(other))
        frame = self._frame({item.key: item.to_first for item in found})
        frame.insert(1, "steps_to_other", [item.to_second for item in found])
        frame.insert(0, "lowest", [item.lowest for item in found])
        return frame

    def impact(self, depth: int | None = None) -> impact.Impact:
        """Return what would be touched if it were wrong: artifacts, runs, evaluations and aliases."""
        return impact.impact_in(self.home, self.graph, self.key, depth)

    def part(self, *, upstream: bool = True, downstream: bool = True, depth: int | None = None) -> Graph:
        """Return the graph around it."""
        return self.graph.part(self.key, upstream=upstream, downstream=downstream, depth=depth)

    def dot(self, depth: int | None = None) -> str:
        """Return the graph around it in the DOT language."""
        return rendering.to_dot(self.part(depth=depth))

    def mermaid(self, depth: int | None = None) -> str:
        """Return the graph around it as a Mermaid flowchart."""
        return rendering.to_mermaid(self.part(depth=depth))

    def _key_of(self, text: str) -> str:
        return resolve_node(self.home, self.graph, text)

    def _frame(self, steps: dict[str, int]) -> pandas.DataFrame:
        rows: list[dict[str, Any]] = []
        for key, distance in steps.items():
            node = self.graph.nodes[key]
            facts = {**node.facts, "kind": node.kind, "name": node.name, "key": key, "steps": distance}
            rows.append({column: facts.get(column) for column in _COLUMNS})
        return frame_of(rows, _COLUMNS)

    def _repr_html_(self) -> str:
        node = self.graph.nodes[self.key]
        came, went = self.ancestors(), self.descendants()
        here = self._frame({self.key: 0})
        head = f"{len(came)} upstream, {len(went)} downstream"
        parts = [came.head(8).iloc[::-1], here, went.head(8)]
        tables = "".join(part.to_html(index=False, escape=True) for part in parts if len(part))
        return f"<div><b>{node.kind}</b>: {head}{tables}</div>"


def lineage_of(name: str, *, home: Home | None = None) -> Lineage:
    """Return where an artifact or a run stands among all others.

    Parameters
    ----------
    name : str
        What `artifact` or `run` takes; an artifact comes before a run.
    home : Home, optional
        The store; that of this folder, or of ``REPRO_HOME``, if left out.

    Raises
    ------
    UnknownName, AmbiguousName
        If nothing is called that, or several things are.
    NoStore
        If there is no store.
    """
    home = home or find_store()
    graph = read_graph(home)
    return Lineage(home, resolve_node(home, graph, name), graph)


def validate_lineage(*, home: Home | None = None) -> validation.Report:
    """Look for cycles, missing parents, lost bytes and data that was read without a record, in the whole store.

    Parameters
    ----------
    home : Home, optional
        The store; that of this folder, or of ``REPRO_HOME``, if left out.

    Raises
    ------
    NoStore
        If there is no store.
    """
    return validation.validate(home or find_store())
