"""What would be touched if an artifact or a run were wrong.

Laws: it is everything downstream, trials and replays too, and the thing itself; an alias counts where the version that
it names is among it; what came from equal bytes counts whoever made them, because a digest says what was read and not
from whom.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from repro_assets.catalog.queries import Rows, connect, read_rows
from repro_assets.lineage.graph import Graph
from repro_assets.lineage.reading import read_graph, resolve_node
from repro_assets.store.home import Home


@dataclass(frozen=True, slots=True)
class Impact:
    """What is downstream of a node, the node itself included, nearest first.

    Parameters
    ----------
    root : str
        Digest of the artifact, or id of the run.
    name : str
        What it is called.
    artifacts : list of dict
        ``digest``, ``name``, ``kind``, ``size``, ``steps`` (edges away) and ``versions`` that were not deleted.
    runs : list of dict
        ``run_id``, ``name``, ``asset``, ``state``, ``replay_of`` and ``steps``.
    evaluations : list of dict
        ``name``, ``run_id``, ``model``, ``dataset`` and ``metrics`` of the evaluations that these runs made, or whose
        model or data set is among the artifacts.
    aliases : list of dict
        ``collection``, ``alias``, ``version`` and ``digest`` of the aliases that name one of the artifacts.
    """

    root: str
    name: str
    artifacts: Rows = field(default_factory=list)
    runs: Rows = field(default_factory=list)
    evaluations: Rows = field(default_factory=list)
    aliases: Rows = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def impact_of(home: Home, text: str, depth: int | None = None) -> Impact:
    """Return what would be touched if an artifact or a run were wrong.

    Parameters
    ----------
    home : Home
        The store.
    text : str
        What `reading.resolve_node` takes.
    depth : int, optional
        At most so many edges away; all for None.

    Raises
    ------
    UnknownName, AmbiguousName
        As `resolve_node` does.
    InvalidValue
        If `depth` is negative.
    """
    graph = read_graph(home)
    return impact_in(home, graph, resolve_node(home, graph, text), depth)


def impact_in(home: Home, graph: Graph, root: str, depth: int | None = None) -> Impact:
    """Do what `impact_of` does for a node of a graph that has been read."""
    steps = {root: 0, **graph.descendants(root, depth)}
    with connect(home) as connection:
        # All are read: handing DuckDB the keys of a large part takes longer.
        versions: dict[str, list[str]] = {}
        for digest, name in connection.execute(
            "SELECT digest, collection || ':v' || version FROM versions "
            "ANTI JOIN deleted_versions USING (collection, version) ORDER BY collection, version"
        ).fetchall():
            versions.setdefault(digest, []).append(name)
        evaluations = connection.execute(
            "SELECT e.run_id, e.digest, e.model, e.dataset, e.name, coalesce(m.name, e.model), "
            "coalesce(d.name, e.dataset), e.metrics "
            "FROM evaluations e LEFT JOIN artifact_names m ON m.digest = e.model "
            "LEFT JOIN artifact_names d ON d.digest = e.dataset ORDER BY e.time, e.name"
        ).fetchall()
        aliases = read_rows(
            connection, "SELECT collection, alias, version, digest FROM aliases ORDER BY collection, alias"
        )
    reached = [(graph.nodes[key], distance) for key, distance in steps.items()]
    return Impact(
        root,
        graph.nodes[root].name,
        artifacts=[
            {
                "digest": node.key,
                "name": node.name,
                "kind": node.facts.get("kind"),
                "size": node.facts.get("size"),
                "steps": distance,
                "versions": versions.get(node.key, []),
            }
            for node, distance in reached
            if node.kind == "artifact"
        ],
        runs=[
            {
                "run_id": node.key,
                "name": node.name,
                **{name: node.facts.get(name) for name in ("asset", "state", "replay_of")},
                "steps": distance,
            }
            for node, distance in reached
            if node.kind == "run"
        ],
        evaluations=[
            {"name": name, "run_id": keys[0], "model": model, "dataset": dataset, "metrics": json.loads(metrics)}
            for *keys, name, model, dataset, metrics in evaluations
            if not steps.keys().isdisjoint(keys)
        ],
        aliases=[row for row in aliases if row["digest"] in steps],
    )
