"""What a report says, read from the catalog: a few queries for all runs, whatever their number.

Laws: a reading comes from one connection, so all of it is of one state of the catalog; nothing is left out of a run's
record but what only the catalog can hold; what is JSON in the catalog is a value here; means over runs have nine
digits.
"""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from repro_assets.catalog.descriptions import INPUT_NAME, UNDECLARED, fresh_command, opened
from repro_assets.catalog.parameters import execute
from repro_assets.catalog.queries import Rows, read_rows, resolve_run_on
from repro_assets.report.replayed import shown_replay

if TYPE_CHECKING:
    import duckdb

# A table or a subquery over it that has the column run_id, and the order of a run's rows.
_OF_RUNS = {
    "tags": ("SELECT run_id, tag FROM run_tags", "tag"),
    "notes": ("SELECT run_id, text, time, record FROM notes", "time DESC, length(record) DESC, record DESC"),
    "params": ("SELECT run_id, name, value FROM params", "name"),
    "metrics": ("FROM metrics_last", "name"),
    "system": ("FROM system_summary", "name"),
    "missing_readings": ("SELECT run_id, name, reason FROM missing_readings", "name"),
    "seeds": ("SELECT run_id, name, seed FROM seeds", "name = 'root' DESC, name"),
    "used_packages": ("SELECT run_id, name, version FROM used_packages", "lower(name)"),
    "inputs": (
        f"SELECT i.* EXCLUDE (record, read_as), {INPUT_NAME} AS name FROM run_inputs i "
        "LEFT JOIN artifact_names n USING (digest)",
        "slot, partition, digest",
    ),
    "undeclared_inputs": (UNDECLARED, "kind, name, mtime"),
    "outputs": ("SELECT * EXCLUDE (record) FROM run_outputs", "slot, partition, digest"),
    "checkpoints": ("SELECT * EXCLUDE (record) FROM checkpoints", "step, name"),
    "experience_snapshots": ("SELECT * EXCLUDE (record) FROM experience_snapshots", "time, name"),
    "evaluations": (
        "SELECT e.* EXCLUDE (record), m.name AS model_name, d.name AS dataset_name FROM evaluations e "
        "LEFT JOIN artifact_names m ON m.digest = e.model LEFT JOIN artifact_names d ON d.digest = e.dataset",
        "name",
    ),
    "curriculum": ("SELECT * EXCLUDE (record) FROM curriculum", "step, time"),
    "events": ("SELECT * EXCLUDE (record) FROM events", "step, time"),
    "consoles": ("SELECT * EXCLUDE (record, time) FROM consoles", "stream"),
    "checks": ("SELECT * EXCLUDE (record) FROM checks", "time, name"),
    "resumed": ("SELECT * EXCLUDE (record) FROM resumes", "time"),
    "resumed_by": ("SELECT resumed_run_id AS run_id, run_id AS by_run, checkpoint, step, time FROM resumes", "time"),
    "replays": ("SELECT original_run AS run_id, * EXCLUDE (original_run, record) FROM replays", "time"),
    "children": (
        "SELECT parent_run_id AS run_id, run_id AS child, name, asset, partition, state, started_at FROM runs",
        "started_at, child",
    ),
    "sources": ("SELECT * EXCLUDE (record, source) FROM sources", "commit"),
    "slowest_spans": (
        "SELECT run_id, name, kind, seconds, status, started_at FROM spans "
        "QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY seconds DESC, started_at) <= 10",
        "seconds DESC, started_at",
    ),
}
_REPLAYABLE = """
    SELECT c.run_id FROM chosen c JOIN runs r ON r.run_kind = 'asset' AND c.run_id IN (r.run_id, r.parent_run_id)
    JOIN runs o ON o.run_id = coalesce(r.replay_of, r.run_id)
    GROUP BY c.run_id
    HAVING bool_and(coalesce(
        o.state = 'COMPLETED' AND o.source IS NOT NULL AND (o.plan ->> '$.code_location') IS NOT NULL, false
    ))
"""
VERSIONS = """
    SELECT v.collection, v.version, v.digest, v.kind, v.run_id, r.name AS run_name, v.trial, v.time, a.size, a.parts,
        (SELECT list(l.alias ORDER BY l.alias) FROM aliases l
         WHERE l.collection = v.collection AND l.version = v.version) AS aliases,
        d.version IS NOT NULL AS deleted
    FROM versions v LEFT JOIN artifacts a USING (digest) LEFT JOIN runs r ON r.run_id = v.run_id
    LEFT JOIN deleted_versions d ON d.collection = v.collection AND d.version = v.version
    ORDER BY v.collection, v.version DESC
"""
REPLAYS = """
    SELECT p.original_run, r.name AS original_name, r.asset, p.replay_run, p.verdict, p.reason, p.seconds, p.time,
        p.tolerance, p.products, p.differences
    FROM replays p LEFT JOIN runs r ON r.run_id = p.original_run
    SEMI JOIN chosen c ON c.run_id = p.original_run ORDER BY p.time DESC
"""


_LEADERBOARD = "SELECT * FROM leaderboard ORDER BY dataset, metric, model, config::VARCHAR, code_version"
_STUDIES = "SELECT * FROM study_metrics ORDER BY study, asset, partition, metric"
_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Reading:
    """One state of the catalog, as far as a report shows it.

    Parameters
    ----------
    runs : list of dict
        Records of the chosen runs, newest first: the columns of `runs` and one list for each part of a record.
    environments : dict
        Environment documents' columns by digest, with ``gpu`` and ``packages``.
    versions, replays, leaderboard, studies : list of dict
        Rows of the tables of the same names; of replays only those of the chosen runs.
    everything : bool
        True where all runs were chosen.
    """

    runs: Rows
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: Rows = field(default_factory=list)
    replays: Rows = field(default_factory=list)
    leaderboard: Rows = field(default_factory=list)
    studies: Rows = field(default_factory=list)
    everything: bool = True

    @property
    def run_ids(self) -> list[str]:
        """Ids of the runs, newest first."""
        return [str(run["run_id"]) for run in self.runs]


def choose(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> None:
    """Fill the temporary table ``chosen``: the runs that are named and those under them, or all that are not deleted.

    Raises
    ------
    UnknownName, AmbiguousName
        If a name fits no run, or several.
    """
    connection.execute("CREATE OR REPLACE TEMP TABLE chosen (run_id VARCHAR)")
    if not names:
        connection.execute("INSERT INTO chosen SELECT run_id FROM runs ANTI JOIN deleted_runs USING (run_id)")
        return
    ids = [resolve_run_on(connection, name) for name in names]
    execute(
        connection,
        "INSERT INTO chosen SELECT DISTINCT run_id FROM runs WHERE list_contains($ids, run_id) "
        "OR list_contains($ids, parent_run_id)",
        {"ids": ids},
    )


def read(connection: duckdb.DuckDBPyConnection, names: Sequence[str] = ()) -> Reading:
    """Read what a report on these runs says; on all runs that are not deleted if none is named.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        A catalog, from `catalog.queries.connect`; it keeps the table ``chosen``.
    names : sequence of str
        What `resolve_run` takes each.

    Raises
    ------
    UnknownName, AmbiguousName
        As `choose` does.
    """
    choose(connection, names)
    runs = [
        opened(row)
        for row in read_rows(
            connection,
            "SELECT * FROM runs SEMI JOIN chosen USING (run_id) ORDER BY started_at DESC NULLS LAST, run_id DESC",
        )
    ]
    parts = {name: _by_run(connection, *question) for name, question in _OF_RUNS.items()}
    replayable = {run for (run,) in connection.execute(_REPLAYABLE).fetchall()}
    for run in runs:
        run_id = run["run_id"]
        for name, found in parts.items():
            run[name] = found.get(run_id, [])
        run["tags"] = [row["tag"] for row in run["tags"]]
        run["source_facts"] = run.pop("sources")[0] if run["sources"] else None
        run["command"] = shlex.join(["repro", "replay", run_id]) if run_id in replayable else None
        run["fresh_command"] = fresh_command(run) if run["asset"] is not None else None
        run["replays"] = [shown_replay(row) for row in run["replays"]]
        run["verdict"] = run["replays"][-1]["verdict"] if run["replays"] else None
    return Reading(
        runs,
        _environments(connection),
        [opened(row) for row in read_rows(connection, VERSIONS)],
        [shown_replay(opened(row)) for row in read_rows(connection, REPLAYS)],
        [_rounded(opened(row)) for row in read_rows(connection, _LEADERBOARD)],
        [_rounded(row) for row in read_rows(connection, _STUDIES)],
        everything=not names,
    )


def _by_run(connection: duckdb.DuckDBPyConnection, sql: str, order: str) -> dict[str, Rows]:
    found: defaultdict[str, Rows] = defaultdict(list)
    for row in read_rows(connection, f"FROM ({sql}) SEMI JOIN chosen USING (run_id) ORDER BY {order}"):
        found[row.pop("run_id")].append(opened(row))
    return found


def _environments(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Any]]:
    wanted = "environment IN (SELECT environment FROM runs SEMI JOIN chosen USING (run_id))"
    found = {
        row["environment"]: opened(row)
        for row in read_rows(
            connection,
            "SELECT e.* EXCLUDE (document), h.gpu FROM environments e JOIN hardware h USING (environment) "
            f"WHERE {wanted}",
        )
    }
    for environment in found.values():
        environment["packages"] = []
    for name, package, version in connection.execute(
        f"SELECT environment, name, version FROM packages WHERE {wanted} ORDER BY environment, lower(name)"
    ).fetchall():
        if name in found:
            found[name]["packages"].append((package, version))
    return found


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    # DuckDB adds up in the order in which its threads come, so the last digits are others each time.
    return {name: float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value for name, value in row.items()}


def flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """Return the leaves of nested mappings under names with dots; lists and empty mappings are leaves, as JSON."""
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in flat(item, f"{name}.{key}" if name else str(key))]
    if not name:
        return []
    return [(name, json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value)]
