"""The whole record of one run or artifact, and lists of artifacts.

Laws: nothing is left out of a record; what is JSON in the catalog is a value here.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

from repro_assets.catalog.naming import resolve_artifact
from repro_assets.catalog.queries import Rows, connect, read_rows, resolve_run_on, rows
from repro_assets.catalog.replayable import replay_commands
from repro_assets.metric_direction import lower_is_better
from repro_assets.store.home import Home

_JSON_COLUMNS = (
    "config", "mode", "settings", "plan", "host_facts", "value", "facts", "metrics", "details", "products",
    "differences", "tolerance", "left_out", "variables", "unavailable", "attributes",
)  # fmt: skip
SPANS_SHOWN = 10
INPUT_NAME = (
    "coalesce((SELECT min(o.name) FROM run_outputs o WHERE o.run_id = i.made_by AND o.digest = i.digest), "
    "i.read_as, n.name)"
)
"""What an input `i` was when it was read; `n` is its row of `artifact_names`."""
_LISTED = """
    SELECT coalesce(v.collection || ':v' || v.version, n.name) AS name, v.collection, v.version, a.digest, a.kind,
        a.size, a.parts, v.trial,
        CASE WHEN v.version IS NULL OR v.run_id IS NOT NULL OR made.time <= v.time
            THEN coalesce(v.run_id, made.run_id) END AS run_id, coalesce(v.time, a.stored_at) AS time,
        (SELECT list(l.alias ORDER BY l.alias) FROM aliases l
         WHERE l.collection = v.collection AND l.version = v.version) AS aliases
    FROM artifacts a
    LEFT JOIN (SELECT * FROM versions ANTI JOIN deleted_versions USING (collection, version)) v USING (digest)
    LEFT JOIN artifact_names n USING (digest)
    LEFT JOIN (
        -- A run that had read the same content did not make it.
        SELECT digest, first(run_id ORDER BY time, run_id) AS run_id, min(time) AS time
        FROM run_outputs ANTI JOIN run_inputs USING (run_id, digest) GROUP BY digest
    ) made USING (digest)
    WHERE (a.digest IN (SELECT digest FROM held) OR n.name IS NULL)
        AND ($internal OR a.digest NOT IN (SELECT digest FROM internal_artifacts))
"""


def show_run(home: Home, run: str) -> dict[str, Any]:
    """Return the whole record of a run.

    Parameters
    ----------
    home : Home
        The store.
    run : str
        What `resolve_run` takes.

    Returns
    -------
    dict
        The columns of `runs` (``tags`` are those it has now), ``deleted_at`` (None where it was not), and ``note``,
        ``notes`` (all, newest first, with account and host), ``params``, ``metrics`` (last, smallest, greatest and best
        values and their steps), ``system`` (mean and greatest of what the machine did), ``missing_readings`` (sensor to
        reason), ``trace_id``, ``slowest_spans`` (at most `SPANS_SHOWN`), ``inputs``, ``outputs``, ``checkpoints``,
        ``imported_from`` (the tool that recorded it), ``resumed`` (what it went on from), ``resumed_by`` (what went on
        from it), ``experience_snapshots``, ``evaluations``, ``curriculum``, ``checks``, ``replays``, ``consoles`` (what
        it wrote to stdout and stderr), ``seeds``, ``used_packages`` (name to version), ``source_facts``,
        ``environment_summary``, ``error`` (None or type, message, trace), ``children`` (runs under a parent run) and
        ``command``, which executes the run again from its record; for an asset also ``fresh_command``, which
        materializes it again from the working tree with the same settings.

    Raises
    ------
    UnknownName, AmbiguousName
        As `resolve_run` does.
    """
    with connect(home) as connection:
        run_id = resolve_run_on(connection, run)
        given = {"run": run_id}

        def of_run(sql: str) -> Rows:
            return [opened(row) for row in read_rows(connection, sql, given)]

        (record,) = of_run("SELECT * FROM runs WHERE run_id = $run")
        record["tags"] = [row["tag"] for row in of_run("SELECT tag FROM run_tags WHERE run_id = $run ORDER BY tag")]
        deleted = of_run("SELECT min(time) AS time FROM deleted_runs WHERE run_id = $run")
        record["deleted_at"] = deleted[0]["time"]
        record["notes"] = of_run(
            "SELECT n.text, a.account, a.host, n.time FROM notes n LEFT JOIN audit a USING (record) "
            "WHERE n.run_id = $run ORDER BY n.time DESC, length(n.record) DESC, n.record DESC"
        )
        record["note"] = (record["notes"][0]["text"] or None) if record["notes"] else None
        error = {part: record.pop(f"error_{part}") for part in ("type", "message", "trace")}
        record["error"] = error if any(error.values()) else None
        record["params"] = {
            row["name"]: row["value"]
            for row in of_run("SELECT name, value FROM params WHERE run_id = $run ORDER BY name")
        }
        record["metrics"] = [
            _with_best(row)
            for row in of_run("SELECT * EXCLUDE (run_id) FROM metrics_last WHERE run_id = $run ORDER BY name")
        ]
        record["system"] = of_run("SELECT * EXCLUDE (run_id) FROM system_summary WHERE run_id = $run ORDER BY name")
        record["missing_readings"] = {
            row["name"]: row["reason"]
            for row in of_run("SELECT name, reason FROM missing_readings WHERE run_id = $run ORDER BY name")
        }
        # A parent run that was launched from Dagster's page has spans under it and none of its own.
        traces = of_run(
            "SELECT trace_id FROM (SELECT 0 AS place, trace_id, time FROM run_traces WHERE run_id = $run UNION ALL "
            "SELECT 1, trace_id, started_at FROM spans WHERE run_id = $run) ORDER BY place, time LIMIT 1"
        )
        record["trace_id"] = traces[0]["trace_id"] if traces else None
        record["slowest_spans"] = of_run(
            "SELECT name, kind, seconds, status, started_at, span_id, parent_span_id, attributes FROM spans "
            f"WHERE run_id = $run ORDER BY seconds DESC, started_at LIMIT {SPANS_SHOWN}"
        )
        record["seeds"] = {
            row["name"]: row["seed"]
            for row in of_run("SELECT name, seed FROM seeds WHERE run_id = $run ORDER BY name = 'root' DESC, name")
        }
        record["used_packages"] = {
            row["name"]: row["version"]
            for row in of_run("SELECT name, version FROM used_packages WHERE run_id = $run ORDER BY lower(name)")
        }
        record["inputs"] = of_run(
            f"SELECT i.* EXCLUDE (run_id, record, read_as), {INPUT_NAME} AS name FROM run_inputs i "
            "LEFT JOIN artifact_names n USING (digest) WHERE i.run_id = $run ORDER BY slot, partition, digest"
        )
        for name, table, order in (
            ("outputs", "run_outputs", "slot, partition, digest"),
            ("checkpoints", "checkpoints", "step, name"),
            ("experience_snapshots", "experience_snapshots", "time, name"),
            ("evaluations", "evaluations", "name"),
            ("curriculum", "curriculum", "step, time"),
            ("checks", "checks", "time, name"),
            ("resumed", "resumes", "time"),
            ("imported_from", "run_imports", "time"),
            ("consoles", "consoles", "stream"),
        ):
            record[name] = of_run(
                f"SELECT * EXCLUDE (run_id, record) FROM {table} WHERE run_id = $run ORDER BY {order}"
            )
        record["resumed_by"] = of_run(
            "SELECT s.run_id, s.checkpoint, s.step, r.state, r.replay_of, s.time FROM resumes s "
            "LEFT JOIN runs r USING (run_id) WHERE s.resumed_run_id = $run ORDER BY s.time, s.run_id"
        )
        record["replays"] = of_run("SELECT * EXCLUDE (record) FROM replays WHERE original_run = $run ORDER BY time")
        sources = of_run("SELECT * EXCLUDE (run_id, record, source) FROM sources WHERE run_id = $run")
        record["source_facts"] = sources[0] if sources else None
        environments = of_run(
            "SELECT e.* EXCLUDE (document), h.gpu, "
            "(SELECT count(*) FROM packages p WHERE p.environment = e.environment) AS packages "
            "FROM runs r JOIN environments e USING (environment) JOIN hardware h USING (environment) "
            "WHERE r.run_id = $run"
        )
        record["environment_summary"] = environments[0] if environments else None
        record["children"] = of_run(
            "SELECT run_id, name, asset, partition, state FROM runs WHERE parent_run_id = $run "
            "ORDER BY started_at, run_id"
        )
        record["command"] = replay_commands(connection, [run_id]).get(run_id)
    if record["asset"] is not None:
        record["fresh_command"] = fresh_command(record)
    return record


def list_artifacts(home: Home, type: str | None = None, *, internal: bool = False) -> Rows:
    """Return artifacts, newest first, once for each version that they are.

    Parameters
    ----------
    home : Home
        The store.
    type : str, optional
        A kind (``tensors``, ``table``, …), or the first word of names (``model``, ``dataset``, ``checkpoint``, …).
    internal : bool
        Also source trees, diffs and environment documents, which describe runs.
    """
    chosen = (
        "WHERE kind = $type OR regexp_extract(coalesce(collection, ''), '^[^-_]+') = $type "
        "OR digest IN (SELECT digest FROM run_outputs WHERE regexp_extract(name, '^[^-_]+') = $type) "
        "OR digest IN (SELECT digest FROM evaluations WHERE regexp_extract(name, '^[^-_]+') = $type) "
        "OR ($type = 'checkpoint' AND digest IN (SELECT digest FROM checkpoints))"
    )
    return rows(
        home,
        f"SELECT * FROM ({_LISTED}) {chosen if type is not None else ''} "
        "ORDER BY time DESC, collection, version DESC, digest",
        {"internal": internal} if type is None else {"internal": internal, "type": type},
    )


def show_artifact(home: Home, artifact: str) -> dict[str, Any]:
    """Return the whole record of an artifact.

    Parameters
    ----------
    home : Home
        The store.
    artifact : str
        What `naming.resolve_artifact` takes.

    Returns
    -------
    dict
        ``digest``, ``kind``, ``size``, ``parts``, ``facts``, ``name``, ``versions`` (each says whether it was
        ``deleted``), ``aliases``, ``made_by`` (runs that wrote it), ``read_by`` (runs that read it), ``entries`` (its
        parts), ``held`` (whether something keeps it) and ``evicted``: None, or ``run_id``, ``time`` and ``command`` of
        what rebuilds the bytes that were dropped.

    Raises
    ------
    UnknownName, AmbiguousName
        As `naming.resolve_artifact` does.
    """
    found = resolve_artifact(home, artifact, deleted=True)
    digest = str(found.digest)
    with connect(home) as connection:
        given = {"digest": digest}

        def of_artifact(sql: str) -> Rows:
            return [opened(row) for row in read_rows(connection, sql, given)]

        record: dict[str, Any] = {"digest": digest}
        for row in of_artifact("SELECT * EXCLUDE (record) FROM artifacts WHERE digest = $digest"):
            record.update(row)
        names = of_artifact("SELECT name FROM artifact_names WHERE digest = $digest")
        record["name"] = names[0]["name"] if names else None
        record["versions"] = of_artifact(
            "SELECT v.collection, v.version, v.run_id, v.trial, v.time, d.version IS NOT NULL AS deleted "
            "FROM versions v LEFT JOIN deleted_versions d USING (collection, version) WHERE v.digest = $digest "
            "ORDER BY collection, version"
        )
        record["aliases"] = of_artifact(
            "SELECT collection, alias, version FROM aliases WHERE digest = $digest ORDER BY collection, alias"
        )
        record["made_by"] = of_artifact(
            "SELECT run_id, name, asset, partition, time FROM run_outputs WHERE digest = $digest "
            "UNION ALL SELECT run_id, name, NULL, NULL, time FROM checkpoints WHERE digest = $digest "
            "UNION ALL SELECT run_id, name, NULL, NULL, time FROM experience_snapshots WHERE digest = $digest "
            "ORDER BY time, run_id"
        )
        record["read_by"] = of_artifact(
            "SELECT run_id, slot, partition, time FROM run_inputs WHERE digest = $digest ORDER BY time, run_id"
        )
        record["entries"] = of_artifact(
            "SELECT * EXCLUDE (digest) FROM manifest_entries WHERE digest = $digest ORDER BY number"
        )
        record["held"] = bool(of_artifact("SELECT digest FROM held WHERE digest = $digest"))
        evictions = of_artifact("SELECT run_id, time FROM evictions WHERE digest = $digest ORDER BY time DESC LIMIT 1")
    record["evicted"] = None
    if evictions and not found.is_whole():
        words = ["repro", "artifacts", "get", str(found), "--to", "PATH", "--rebuild"]
        record["evicted"] = {**evictions[0], "command": shlex.join(words)}
    return record


def _with_best(row: dict[str, Any]) -> dict[str, Any]:
    side = "smallest" if lower_is_better(row["name"]) else "greatest"
    mode = "min" if side == "smallest" else "max"
    return {**row, "best": row[side], "step_of_best": row[f"step_of_{side}"], "mode": mode}


def opened(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its columns of JSON as values."""
    for name in _JSON_COLUMNS:
        if isinstance(row.get(name), str):
            row[name] = json.loads(row[name])
    return row


def fresh_command(record: dict[str, Any]) -> str:
    """Return the command that materializes a run's asset again from the working tree, with the same settings.

    Parameters
    ----------
    record : dict
        Columns of `runs`, ``inputs`` and ``resumed``.
    """
    words = ["repro", "run", "--select", record["asset"]]
    if record["partition"] is not None:
        words += ["--partition", record["partition"]]
    if record["seed"] is not None:
        words += ["--seed", str(record["seed"])]
    if record["capture_level"] is not None:
        words += ["--capture-level", record["capture_level"]]
    for name, value in sorted((record["config"] or {}).items()):
        words += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    for item in record["inputs"]:
        if item["asset"] is not None:
            words += ["--input", f"{item['asset']}={item['digest']}"]
    for item in record["resumed"]:
        words += ["--resume", f"{item['resumed_run_id']}/{item['checkpoint']}"]
    return shlex.join([*words, *(["--trial"] if record["trial"] else []), "--force"])
