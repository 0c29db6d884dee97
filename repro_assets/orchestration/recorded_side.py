"""What the journal says that Dagster's storage should say too.

Laws: one connection, so one moment of the catalog; what replays made is left out.
"""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from repro_assets.catalog import queries
from repro_assets.store.home import Home

if TYPE_CHECKING:
    import duckdb

GONE = ("INTERRUPTED", "UNKNOWN")
MOST_SECONDS_BETWEEN = 600.0

_PARENTS = """
    SELECT r.run_id, r.state, epoch(r.started_at) AS started, p.host,
        r.plan ->> '$.code_location.module' || ':' || (r.plan ->> '$.code_location.attribute') AS location
    FROM runs r LEFT JOIN processes p ON p.segment = regexp_extract(r.record, '^(.*):', 1)
    WHERE r.run_kind = 'parent' OR r.run_id IN (SELECT run_id FROM journal.parent_states)
"""
_PRODUCTS = """
    WITH made AS (
        SELECT coalesce(r.parent_run_id, '') AS parent, run_id, epoch(o.time) AS time, o.slot
        FROM run_outputs o JOIN runs r USING (run_id)
        WHERE r.parent_run_id IS NOT NULL AND r.replay_of IS NULL
        UNION
        SELECT w.parent_run_id, w.run_id, epoch(w.time), o.slot FROM reused_work w JOIN run_outputs o USING (run_id)
    )
    SELECT m.parent AS dagster_run, o.asset, o.partition, o.digest, m.run_id, o.name, max(m.time) AS time,
        r.state, r.trial, d.run_id IS NOT NULL AS deleted, r.code_version, o.collection, o.version
    FROM made m JOIN run_outputs o USING (run_id, slot) JOIN runs r USING (run_id)
        LEFT JOIN (SELECT DISTINCT run_id FROM deleted_runs) d USING (run_id)
    WHERE o.asset IS NOT NULL
    GROUP BY ALL
"""


@dataclass(frozen=True, slots=True)
class Parent:
    """A Dagster run on record; `started` in seconds since 1970."""

    state: str
    started: float | None
    host: str | None

    @property
    def is_gone(self) -> bool:
        """Whether no end of it was recorded and its process does not live, as far as is known."""
        return self.state in GONE


@dataclass(frozen=True, slots=True)
class Product:
    """What a Dagster run made, or reused, as an asset; `run_id` is the run that made it, `time` when, in seconds."""

    dagster_run: str
    asset: str
    partition: str | None
    digest: str
    run_id: str
    name: str
    time: float
    state: str
    trial: bool
    deleted: bool
    code_version: str | None
    collection: str | None
    version: int | None

    @property
    def place(self) -> tuple[str, str | None, bool]:
        """What it is a materialization of, those of trials apart."""
        return self.asset, self.partition, self.trial

    @property
    def may_be_newest(self) -> bool:
        """Whether it can be what Dagster shows."""
        return self.state == "COMPLETED" and not self.deleted


@dataclass(slots=True)
class Checks:
    """Answers of checks that wait to be found in Dagster."""

    known: Counter[tuple[str, str, str, bool]] = field(default_factory=Counter)
    unnamed: dict[tuple[str, str, bool], list[float]] = field(default_factory=dict)

    def take(self, run_id: str, asset: str, name: str, passed: bool, time: float) -> bool:
        """Tell whether an answer is on record, and count it once."""
        key = run_id, asset, name, passed
        if self.known[key]:
            self.known[key] -= 1
            return True
        # Records of earlier versions do not say which Dagster run they belong to. The record comes before the event.
        times = self.unnamed.get((asset, name, passed), [])
        near = max((moment for moment in times if -1.0 <= time - moment <= MOST_SECONDS_BETWEEN), default=None)
        if near is not None:
            times.remove(near)
        return near is not None

    def rest(self) -> list[tuple[str, str, str]]:
        """Return Dagster's run, asset and name of those that were not found."""
        return [(run, asset, name) for (run, asset, name, _), count in self.known.items() for _ in range(count)]


@dataclass(slots=True)
class Recorded:
    """What is on record.

    Attributes
    ----------
    parents : dict
        Dagster's runs.
    locations : set of str
        The code locations, module and attribute, that they were launched from.
    products : dict
        What they made, by Dagster run, asset, partition and digest.
    outputs : set
        Every output of every run, as run and digest.
    runs, artifacts : set of str
        Ids of all runs; digests of all artifacts.
    checks : Checks
        Answers of checks.
    host : str
        This host.
    """

    parents: dict[str, Parent]
    locations: set[str]
    products: dict[tuple[str, str, str | None, str], Product]
    outputs: set[tuple[str, str]]
    runs: set[str]
    artifacts: set[str]
    checks: Checks
    host: str = field(default_factory=platform.node)


def read_recorded(home: Home) -> Recorded:
    """Read the catalog, brought up to date."""
    with queries.connect(home) as connection:
        parents = queries.read_rows(connection, _PARENTS)
        products = [Product(**row) for row in queries.read_rows(connection, _PRODUCTS)]
        return Recorded(
            {row["run_id"]: Parent(row["state"], row["started"], row["host"]) for row in parents},
            {row["location"] for row in parents if row["location"]},
            {(item.dagster_run, item.asset, item.partition, item.digest): item for item in products},
            set(connection.execute("SELECT run_id, digest FROM run_outputs").fetchall()),
            {run for (run,) in connection.execute("SELECT run_id FROM runs").fetchall()},
            {digest for (digest,) in connection.execute("SELECT digest FROM artifacts").fetchall()},
            _checks(connection),
        )


def _checks(connection: duckdb.DuckDBPyConnection) -> Checks:
    found = Checks()
    for run_id, asset, name, passed, time in connection.execute(
        "SELECT parent_run_id, asset, name, passed, epoch(time) FROM checks WHERE asset IS NOT NULL ORDER BY time"
    ).fetchall():
        if run_id is not None:
            found.known[run_id, asset, name, passed] += 1
        else:
            found.unnamed.setdefault((asset, name, passed), []).append(time)
    return found
