"""What exports to other tools say of runs, read in a few queries whatever their number.

Laws: all of it is of one state of the catalog; what was not captured is absent. Without names it says no host, account,
home, remote or device, by the rules of a bundle (`anonymity`); the keys of rows are ours and stay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import opened
from repro_assets.catalog.queries import Rows, read_rows
from repro_assets.errors import InvalidInput
from repro_assets.interchange.anonymity import Rules, kept_document, kept_facts, manifest_of, rules_of
from repro_assets.store.home import Home

if TYPE_CHECKING:
    import duckdb

ENDED = ("COMPLETED", "FAILED", "INTERRUPTED")
_CHOSEN = "SEMI JOIN (SELECT unnest($runs::VARCHAR[]) AS run_id) USING (run_id)"
_RUNS = f"""
    SELECT r.* EXCLUDE (record, segment, warnings, edited_sources, tags), nullif(p.account, '') AS account,
        coalesce(ended_at, s.last_time, started_at) AS last_seen
    FROM runs r
    LEFT JOIN (
        SELECT segment, first(account ORDER BY time) AS account FROM processes GROUP BY segment
    ) p USING (segment)
    LEFT JOIN (SELECT segment, max(last_time) AS last_time FROM segments GROUP BY segment) s USING (segment)
    {_CHOSEN} ORDER BY started_at NULLS LAST, run_id
"""
_ABOVE = """
    SELECT run_id, parent_run_id, run_kind, name, job, asset, recipe, state, plan, started_at, ended_at, error_type,
        error_message
    FROM runs
"""
# A table or a query with the column run_id, and the order of a run's rows.
_PARTS = {
    "tags": ("SELECT run_id, tag FROM run_tags", "tag"),
    "notes": ("SELECT run_id, text, time, record FROM notes", "time DESC, length(record) DESC, record DESC"),
    "params": ("SELECT run_id, name, value FROM params", "name"),
    "metrics": ("SELECT run_id, name, value, step, points FROM metrics_last", "name"),
    "seeds": ("SELECT run_id, name, seed FROM seeds", "name = 'root' DESC, name"),
    "packages": ("SELECT run_id, name, version FROM used_packages", "lower(name)"),
    "inputs": (
        "SELECT run_id, slot, digest, asset, partition, made_by, pinned FROM run_inputs",
        "slot, partition, digest",
    ),
    "outputs": (
        "SELECT run_id, slot, digest, name, asset, partition, collection, version FROM run_outputs",
        "slot, partition, digest",
    ),
    "evaluations": ("SELECT run_id, name, model, dataset, digest, metrics FROM evaluations", "name"),
    "replays": (
        "SELECT original_run AS run_id, replay_run, verdict, reason, time, record FROM replays",
        "time, record",
    ),
    "imported_from": ("SELECT run_id, tool, place, foreign_id FROM run_imports", "tool, foreign_id"),
    "source_facts": ("SELECT run_id, commit, branch, tags, remote, dirty FROM sources", "commit"),
}  # fmt: skip
_ARTIFACTS = """
    WITH named AS (SELECT DISTINCT unnest($digests::VARCHAR[]) AS digest), collections AS (
        SELECT digest, first(collection ORDER BY time, collection) AS collection,
            first(version ORDER BY time, collection) AS version
        FROM versions SEMI JOIN named USING (digest) GROUP BY digest
    )
    SELECT digest, a.kind, a.size,
        CASE WHEN a.kind = 'tree' THEN (
            SELECT count(*) FROM manifest_entries e WHERE e.digest = named.digest AND len(e.objects) > 0
        ) END AS files,
        CASE WHEN a.kind = 'table' THEN a.facts END AS facts, c.collection,
        c.version, coalesce(c.collection || ':v' || c.version, n.name, digest) AS name
    FROM named LEFT JOIN artifacts a USING (digest) LEFT JOIN collections c USING (digest)
    LEFT JOIN artifact_names n USING (digest)
"""
_RECORDED = f"""
    SELECT run_id, digest, first(collection ORDER BY place) AS collection, first(version ORDER BY place) AS version,
        first(name ORDER BY place) AS name
    FROM (
        SELECT run_id, digest, collection, version, coalesce(collection || ':v' || version, name) AS name,
            (version IS NULL, slot, partition) AS place
        FROM run_outputs {_CHOSEN} SEMI JOIN (SELECT unnest($digests::VARCHAR[]) AS digest) USING (digest)
    ) WHERE name IS NOT NULL GROUP BY run_id, digest
"""


@dataclass(frozen=True, slots=True)
class Described:
    """Runs, and what they name.

    Parameters
    ----------
    runs : list of dict
        In the order of their starts: columns of `runs`, ``account``, ``last_seen`` (its end, else the last record of
        its process), ``note``, ``tags``, ``source_facts`` and
        ``imported_from`` (None where there are none), ``params`` (name to value), ``seeds`` and ``packages`` (name to
        seed, name to version), and rows of ``metrics`` (the last points), ``inputs``, ``outputs``, ``evaluations`` and
        ``replays``.
    artifacts : dict
        ``kind``, ``size``, ``files`` (of a tree), ``facts`` (of a table), ``collection``, ``version`` and ``name`` of
        each input and output by its digest; kind and size are None where nothing is known of it.
    environments : dict
        Documents by the digest that the runs name.
    above : dict
        The parents of runs, by their ids: a few columns of `runs`.
    rules : Rules or None
        By which names were taken out.
    recorded : dict
        ``collection``, ``version`` and ``name`` that a run gave to what it made, by run and digest: of these runs and
        of those that made what they read.
    """

    runs: list[dict[str, Any]]
    artifacts: dict[str, dict[str, Any]]
    environments: dict[str, dict[str, Any]]
    above: dict[str, dict[str, Any]]
    rules: Rules | None = None
    recorded: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def artifact(self, digest: str, made_by: str | None) -> dict[str, Any]:
        """Return what `artifacts` has of one, called as the run recorded it that made what is meant.

        Other runs may have made the same bytes under other names.
        """
        known = self.artifacts[digest]
        own = self.recorded.get((made_by or "", digest))
        if own is None or (own["collection"] is None and known["collection"] is not None):
            return known
        return {**known, **own}

    def value(self, value: Any) -> Any:
        """Return a value of a record that was read elsewhere, without names where these are."""
        return value if self.rules is None else self.rules.value(value)


def describe(home: Home, run_ids: Sequence[str], *, anonymous: bool = False) -> Described:
    """Return what is on record of some runs.

    Parameters
    ----------
    home : Home
        The store.
    run_ids : sequence of str
        Whole ids; one that is not there is left out.
    anonymous : bool
        Without names and places.
    """
    rules = rules_of(home) if anonymous else None
    given = {"runs": list(run_ids)}
    with queries.connect(home) as connection:
        runs = [opened(row) for row in read_rows(connection, _RUNS, given)]
        parts = {name: _by_run(connection, sql, order, given) for name, (sql, order) in _PARTS.items()}
        for run in runs:
            _add(run, {name: found.get(run["run_id"], []) for name, found in parts.items()})
        digests = sorted({row["digest"] for run in runs for row in (*run["inputs"], *run["outputs"])})
        artifacts = {row.pop("digest"): opened(row) for row in read_rows(connection, _ARTIFACTS, {"digests": digests})}
        makers = {row["made_by"] for run in runs for row in run["inputs"]} | {run["run_id"] for run in runs}
        recorded = {
            (row.pop("run_id"), row.pop("digest")): opened(row)
            for row in read_rows(connection, _RECORDED, {"runs": sorted(makers - {None}), "digests": digests})
        }
        parents = {run["parent_run_id"] for run in runs if run["parent_run_id"] is not None}
        above = {
            row["run_id"]: opened(row)
            for row in read_rows(connection, f"{_ABOVE} {_CHOSEN}", {"runs": sorted(parents)})
        }
        wanted = sorted({run["environment"] for run in runs if run["environment"] is not None})
        documents = {
            row["environment"]: _document(row)
            for row in read_rows(
                connection,
                "SELECT environment, document FROM environments WHERE list_contains($wanted, environment)",
                {"wanted": wanted},
            )
        }
    if rules is not None:
        runs = [_without_names(rules, run) for run in runs]
        above = {run: _row(rules, row) for run, row in above.items()}
        artifacts = {digest: _row(rules, row) for digest, row in artifacts.items()}
        recorded = {key: _row(rules, row) for key, row in recorded.items()}
        kept = {digest: kept_document(rules, document) for digest, document in documents.items()}
        # A document without names is another one, and has another digest.
        renamed = {digest: str(manifest_of(document)[0].digest) for digest, document in kept.items()}
        documents = {renamed[digest]: document for digest, document in kept.items()}
        for run in runs:
            run["environment"] = renamed.get(run["environment"])
    return Described(runs, artifacts, documents, above, rules, recorded)


def _by_run(connection: duckdb.DuckDBPyConnection, sql: str, order: str, given: dict[str, Any]) -> dict[str, Rows]:
    found: defaultdict[str, Rows] = defaultdict(list)
    for row in read_rows(connection, f"FROM ({sql}) {_CHOSEN} ORDER BY {order}", given):
        found[row.pop("run_id")].append(opened(row))
    return found


def _add(run: dict[str, Any], parts: dict[str, Rows]) -> None:
    """Add to a row of `runs` what other tables have of it."""
    run.update(parts)
    run["tags"] = [row["tag"] for row in parts["tags"]]
    run["note"] = (parts["notes"][0]["text"] or None) if parts["notes"] else None
    del run["notes"]
    for name, value in (("params", "value"), ("seeds", "seed"), ("packages", "version")):
        run[name] = {row["name"]: row[value] for row in parts[name]}
    for name in ("source_facts", "imported_from"):
        run[name] = parts[name][0] if parts[name] else None
    for row in run["replays"]:
        del row["record"]
    for row in run["evaluations"]:
        # NaN and infinities are texts in the catalog's JSON.
        row["metrics"] = {
            name: float(value) if isinstance(value, str) else value for name, value in row["metrics"].items()
        }


def _document(row: dict[str, Any]) -> dict[str, Any]:
    import json

    document = json.loads(row["document"])
    if not isinstance(document, dict):
        raise InvalidInput(f"the environment {row['environment']} is no environment document", "see: repro store fsck")
    return document


def _without_names(rules: Rules, run: dict[str, Any]) -> dict[str, Any]:
    run = {**run, "account": None, "host_facts": kept_facts(run["host_facts"] or {})}
    if run["source_facts"] is not None:
        run["source_facts"] = {**run["source_facts"], "remote": None}
    rows = {name: [_row(rules, row) for row in run.pop(name)] for name in ("metrics", "inputs", "outputs", "replays")}
    rows["evaluations"] = [_row(rules, row) for row in run.pop("evaluations")]
    return {**_row(rules, run), **rows}


def _row(rules: Rules, row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _row(rules, value) if name in ("source_facts", "imported_from") and value else rules.value(value)
        for name, value in row.items()
    }
