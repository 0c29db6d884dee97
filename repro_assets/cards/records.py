"""The records as they were when a card was begun.

Laws: one connection answers every question of a card, so no section knows more than another; what was asked is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from repro_assets.catalog import queries
from repro_assets.catalog.parameters import Parameters
from repro_assets.catalog.queries import Rows
from repro_assets.lineage.graph import Graph
from repro_assets.lineage.reading import read_graph
from repro_assets.store.home import Home

if TYPE_CHECKING:
    import duckdb

_NAMED = """
    SELECT name FROM (
        SELECT collection || ':v' || version AS name, trial, 0 AS rank, time, collection FROM versions
        ANTI JOIN deleted_versions USING (collection, version) WHERE digest = $digest
        UNION ALL SELECT name, false, 1, NULL, NULL FROM artifact_names WHERE digest = $digest
    ) ORDER BY rank, trial, time, collection LIMIT 1
"""


class Records:
    """The catalog and the lineage of a store.

    Parameters
    ----------
    home : Home
        The store.
    connection : DuckDBPyConnection
        Its catalog, open for reading.
    """

    def __init__(self, home: Home, connection: duckdb.DuckDBPyConnection) -> None:
        self.home = home
        self._connection = connection
        self._names: dict[str, str] = {}

    def rows(self, sql: str, parameters: Parameters = None) -> Rows:
        """Return what a query of our own yields."""
        return queries.read_rows(self._connection, sql, parameters)

    def named(self, digest: str) -> str:
        """Return the version of an artifact, else its display name, else its digest."""
        if digest not in self._names:
            found = self.rows(_NAMED, {"digest": digest})
            self._names[digest] = str(found[0]["name"]) if found else digest
        return self._names[digest]

    def sizes(self, digests: list[str]) -> dict[str, dict[str, Any]]:
        """Return kind and size of artifacts, by digest."""
        asked = "SELECT digest, kind, size FROM artifacts WHERE digest IN (SELECT unnest($digests))"
        return {row["digest"]: row for row in self.rows(asked, {"digests": digests})}

    @cached_property
    def graph(self) -> Graph:
        """The lineage of everything, replays left out."""
        whole = read_graph(self.home)
        replayed = {name for name, node in whole.nodes.items() if node.facts.get("replay_of")}
        return Graph(
            {name: node for name, node in whole.nodes.items() if name not in replayed},
            [edge for edge in whole.edges if not replayed & {edge.source, edge.target}],
        )


@contextlib.contextmanager
def opened(home: Home) -> Iterator[Records]:
    """Give the records of a store, refreshed first."""
    with queries.connect(home) as connection:
        yield Records(home, connection)
