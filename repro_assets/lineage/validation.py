"""Is the lineage sound?

Laws: a parent that no record made and whose bytes are gone is named, never dropped; bytes that came from outside are
sources and are not missing, but what a run read without a record of it is named; a recorded artifact that something
keeps and whose bytes are gone makes the lineage unsound, because what came from it cannot be made again from it, unless
it was evicted; a cycle is a chain of runs each of which read what the next one wrote, back to the first.

A digest says nothing about time: two runs may turn A into B and B into A again, or one may pass A on. So the run that
wrote an input is taken from the record (``made_by``); only where the record does not say, every run that wrote this
content counts as its possible maker, unless it was also put by hand.

The catalog gives what the graph is as numbers, so that 100,000 nodes make few objects.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from repro_assets.catalog.parameters import execute
from repro_assets.catalog.queries import connect
from repro_assets.lineage import numbered
from repro_assets.lineage.reading import ARTIFACTS, RUNS
from repro_assets.store.home import Home
from repro_assets.store.opening import open_objects

if TYPE_CHECKING:
    import duckdb

_GRAPH = f"""
    CREATE TEMP TABLE edges AS SELECT source, target, role, made_by FROM lineage_edges;
    CREATE TEMP TABLE known AS SELECT key, true AS run FROM ({RUNS}) UNION ALL SELECT key, false FROM ({ARTIFACTS});
    CREATE TEMP TABLE nodes AS
    SELECT row_number() OVER () - 1 AS number, key, run FROM (
        FROM known
        UNION ALL SELECT DISTINCT key, run FROM (
            SELECT source AS key, role <> 'input' AS run FROM edges UNION ALL SELECT target, role = 'input' FROM edges
        ) ANTI JOIN known USING (key)
    );
    CREATE TEMP TABLE by_hand AS SELECT DISTINCT digest FROM versions WHERE run_id IS NULL;
"""
_FOLLOWS = """
    SELECT m.number AS maker, r.number AS reader FROM (
        SELECT made_by AS maker, target AS reader FROM edges WHERE role = 'input' AND made_by IS NOT NULL
        UNION
        SELECT w.source, r.target FROM edges r JOIN edges w ON w.target = r.source
        WHERE r.role = 'input' AND r.made_by IS NULL AND w.role <> 'input' AND w.source <> r.target
            AND r.source NOT IN (FROM by_hand)
    ) JOIN nodes m ON m.key = maker JOIN nodes r ON r.key = reader
"""
_NUMBERED = """
    SELECT s.number AS source, t.number AS target
    FROM edges JOIN nodes s ON s.key = source JOIN nodes t ON t.key = target
"""
_UNRECORDED = """
    CREATE TEMP TABLE unrecorded AS
    SELECT DISTINCT source,
        source IN (SELECT target FROM edges WHERE role <> 'input') OR source IN (FROM by_hand) AS made
    FROM edges WHERE role = 'input' AND source NOT IN (SELECT digest FROM artifacts)
"""
_UNKNOWN_RUNS = """
    SELECT run FROM (
        SELECT made_by AS run FROM edges WHERE made_by IS NOT NULL
        UNION SELECT CASE WHEN role = 'input' THEN target ELSE source END FROM edges
    ) WHERE run NOT IN (SELECT run_id FROM runs) ORDER BY run
"""
_ORPHANS = """
    SELECT key FROM nodes WHERE NOT run AND key NOT IN (SELECT source FROM edges UNION SELECT target FROM edges)
        AND key NOT IN (SELECT digest FROM versions) ORDER BY key
"""
# What is no digest names no object.
_PARTS = """
    WITH parts AS (
        SELECT digest, digest AS part FROM artifacts
        UNION ALL SELECT digest, unnest(objects) FROM manifest_entries
        UNION ALL SELECT source, source FROM unrecorded
    )
    SELECT digest, CASE WHEN starts_with(part, 'sha256:') THEN TRY(unhex(substr(part, 8))) END AS part FROM parts
"""
# What nothing keeps may have been collected, and what was evicted can be made again.
_WANTED = """
    SELECT digest FROM artifacts SEMI JOIN held USING (digest) ANTI JOIN evictions USING (digest)
    UNION SELECT source FROM unrecorded
"""


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
        Digests that a run read, that no record made, and whose bytes are gone; and ids of runs that made or read
        something and of which nothing else is known.
    orphans : list of str
        Artifacts that no run wrote or read and that have no version.
    bytes_gone : list of str
        Recorded artifacts of which an object is not in this store.
    unrecorded : list of str
        Digests that a run read, whose bytes are there or are on record as made, and that no record describes.
    stats : dict
        ``nodes``, of which ``artifacts`` and ``runs``; ``edges``; ``max_depth`` (edges on the longest way, a cycle
        counted as one place); ``roots`` (nodes that came from nothing) and ``leaves`` (of which nothing came);
        ``components`` (parts without an edge between them).
    """

    valid: bool
    cycles: list[list[str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    bytes_gone: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)
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
    with connect(home) as connection:
        connection.execute(_GRAPH)
        connection.execute(_UNRECORDED)
        gone = _gone(home, connection)
        unrecorded = connection.execute("SELECT source, made FROM unrecorded ORDER BY source").fetchall()
        missing = [digest for digest, made in unrecorded if not made and digest in gone]
        unknown_runs = _firsts(connection, _UNKNOWN_RUNS)
        bytes_gone = sorted(gone - {digest for digest, _ in unrecorded})
        cycles = _cycles(connection)
        return Report(
            valid=not (cycles or missing or unknown_runs or bytes_gone),
            cycles=cycles,
            missing=missing + unknown_runs,
            orphans=_firsts(connection, _ORPHANS),
            bytes_gone=bytes_gone,
            unrecorded=[digest for digest, _ in unrecorded if digest not in missing],
            stats=_statistics(connection),
        )


def _statistics(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    (runs,) = _columns(connection, "SELECT run FROM nodes")
    sources, targets = _columns(connection, _NUMBERED)
    return {
        "nodes": len(runs),
        "artifacts": len(runs) - int(runs.sum()),
        "runs": int(runs.sum()),
        "edges": len(sources),
        "max_depth": numbered.longest(len(runs), sources, targets),
        "roots": numbered.without(len(runs), targets),
        "leaves": numbered.without(len(runs), sources),
        "components": numbered.components(len(runs), sources, targets),
    }


def _columns(connection: duckdb.DuckDBPyConnection, sql: str) -> list[Any]:
    """Return the columns of an answer as arrays."""
    return list(connection.execute(sql).fetchnumpy().values())


def _firsts(connection: duckdb.DuckDBPyConnection, sql: str, given: dict[str, Any] | None = None) -> list[str]:
    return [str(value) for (value,) in execute(connection, sql, given).fetchall()]


def _gone(home: Home, connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the artifacts that are wanted, on record or not, and of which an object is not in the store."""
    known = {part for (part,) in connection.execute(f"SELECT DISTINCT part FROM ({_PARTS})").fetchall()}
    digests = {part for part in known if part is not None and len(part) == 32}
    found = []
    if known != digests:
        found += _firsts(connection, f"SELECT digest FROM ({_PARTS}) WHERE coalesce(octet_length(part), 0) <> 32")
    lacking = open_objects(home).lacking(digests)
    if lacking:
        named = f"SELECT digest FROM ({_PARTS}) WHERE part IN (SELECT unnest($lost))"
        found += _firsts(connection, named, {"lost": sorted(lacking)})
    return set(found) & set(_firsts(connection, _WANTED)) if found else set()


def _cycles(connection: duckdb.DuckDBPyConnection) -> list[list[str]]:
    makers, readers = _columns(connection, _FOLLOWS)
    count = 1 + max(makers.max(), readers.max()) if len(makers) else 0
    found = numbered.groups(count, makers, readers)
    if not found:
        return []
    asked = {"numbers": [number for group in found for number in group]}
    named = dict(
        execute(connection, "SELECT number, key FROM nodes WHERE number IN (SELECT unnest($numbers))", asked).fetchall()
    )
    onward: defaultdict[str, set[str]] = defaultdict(set)
    for maker, reader in zip(makers.tolist(), readers.tolist(), strict=True):
        if maker in named and reader in named:
            onward[named[maker]].add(named[reader])
    return sorted(_around(sorted(named[number] for number in group), onward) for group in found)


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
