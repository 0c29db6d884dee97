"""What the catalog says of runs that are to be executed again.

Laws: a replay stands for the run that it executed again, a parent for its children. Runs that one execution made are
known by it: those of one process, and those of the processes that it started, as far as they began where it had a run
open. A command is an execution of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from repro_assets.catalog import queries
from repro_assets.errors import InvalidValue
from repro_assets.store.home import Home

COMPLETED = "COMPLETED"
TRACKED = ("script", "command", "notebook")
"""Kinds of runs that Dagster did not execute."""
_COLUMNS = (
    "run_id, name, run_kind, parent_run_id, state, error_type, error_message, seed, config, source, environment, mode, "
    "settings, plan, edited_sources, segment, recipe"
)


@dataclass(slots=True)
class Recorded:
    """A run's record as far as a replay needs it.

    Parameters
    ----------
    products : dict
        Name and digest of what it made, by slot: its outputs and, of what Dagster did not execute, the snapshots of
        its buffer. Of a run that did not complete, and of one that made nothing else, its checkpoints count too.
    """

    run_id: str
    name: str
    run_kind: str
    parent: str | None
    state: str
    error: str | None
    seed: int | None
    config: dict[str, Any]
    source: str | None
    source_facts: dict[str, Any]
    environment: str | None
    mode: dict[str, Any]
    settings: dict[str, Any]
    plan: dict[str, Any]
    inputs: list[list[str | None]]
    products: dict[str, tuple[str, str]]
    metrics: dict[str, float] = field(default_factory=dict)
    edited_sources: list[str] = field(default_factory=list)
    segment: str = ""
    cells: list[dict[str, Any]] = field(default_factory=list)
    recipe: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person wants replayed.

    Parameters
    ----------
    run_id : str
        The run that was named; of a replay, what that executed again.
    runs : list of Recorded
        Those that are compared.
    family : list of Recorded
        Of an execution that is not Dagster's, all runs, which happen again as well; in the order of their starts.
    entry : Recorded or None
        Of an execution that is not Dagster's, the run whose process is started.
    """

    run_id: str
    runs: list[Recorded]
    family: list[Recorded] = field(default_factory=list)
    entry: Recorded | None = None


def asked_for(home: Home, run_id: str) -> Asked:
    """Return what a replay of a run executes and compares.

    Raises
    ------
    InvalidValue
        If it, or a run that it stands for, is still going on, or there is nothing to execute.
    """
    with queries.connect(home) as connection:
        reader = _Reader(connection)
        found = reader.rows(
            f"SELECT {_COLUMNS} FROM runs WHERE run_id IN (SELECT coalesce(replay_of, run_id) FROM runs "
            "WHERE run_id = $run) AND run_kind IN ('script', 'command', 'notebook')",
            run=run_id,
        )
        named = reader.rows("SELECT coalesce(replay_of, run_id) AS id FROM runs WHERE run_id = $run", run=run_id)
        name = named[0]["id"] if named else run_id
        asked = reader.tracked(name, found[0]) if found else Asked(name, reader.executed_by_dagster(run_id))
    for run in asked.runs:
        if run.state not in (COMPLETED, "FAILED", "INTERRUPTED"):
            why = "nobody knows whether it has ended" if run.state == "UNKNOWN" else "it has not ended"
            raise InvalidValue(f"run {run.run_id} is {run.state}: {why}", "wait for its end, or name another run")
    return asked


def recorded_runs(home: Home, run_id: str) -> list[Recorded]:
    """Return the runs that a replay of `run_id` compares, in the order of their starts; arguments as `asked_for`."""
    return asked_for(home, run_id).runs


def runs_of(home: Home, run_ids: list[str]) -> dict[str, Recorded]:
    """Return the records of runs by their ids, with all that they made."""
    with queries.connect(home) as connection:
        reader = _Reader(connection)
        rows = reader.rows(f"SELECT {_COLUMNS} FROM runs WHERE list_contains($runs, run_id)", runs=run_ids)
        return {row["run_id"]: reader.recorded(row, with_all=True) for row in rows}


class _Reader:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        return queries.read_rows(self._connection, sql, parameters)

    def executed_by_dagster(self, run_id: str) -> list[Recorded]:
        rows = self.rows(
            f"SELECT {_COLUMNS} FROM runs WHERE run_id IN (SELECT coalesce(replay_of, run_id) FROM runs "
            "WHERE run_kind = 'asset' AND $run IN (run_id, parent_run_id)) ORDER BY started_at, run_id",
            run=run_id,
        )
        return [self.recorded(row) for row in rows]

    def tracked(self, run_id: str, row: dict[str, Any]) -> Asked:
        """Return a run that Dagster did not execute, with those that its execution made."""
        entry = row
        while (above := self._row(entry["parent_run_id"])) is not None and _is_one_execution(above, entry):
            entry = above
        family = self.rows(
            f"WITH RECURSIVE family(id) AS (SELECT run_id FROM runs WHERE replay_of IS NULL AND (run_id = $entry "
            "OR (segment = $segment AND run_kind IN ('script', 'notebook'))) "
            "UNION SELECT r.run_id FROM runs r JOIN family f ON r.parent_run_id = f.id WHERE r.replay_of IS NULL) "
            f"SELECT {_COLUMNS} FROM runs WHERE run_id IN (SELECT id FROM family) ORDER BY started_at, run_id",
            entry=entry["run_id"],
            segment="" if entry["run_kind"] == "command" else entry["segment"],
        )
        wanted = {row["run_id"]}
        for member in family:  # A parent begins before its children.
            if member["parent_run_id"] in wanted:
                wanted.add(member["run_id"])
        everything = {member["run_id"]: self.recorded(member) for member in family}
        return Asked(
            run_id,
            [run for run in everything.values() if run.run_id in wanted],
            list(everything.values()),
            everything[entry["run_id"]],
        )

    def _row(self, run_id: str | None) -> dict[str, Any] | None:
        found = self.rows(
            f"SELECT {_COLUMNS} FROM runs WHERE run_id = $run AND run_kind IN ('script', 'command', 'notebook')",
            run=run_id,
        )
        return found[0] if found else None

    def recorded(self, row: dict[str, Any], *, with_all: bool = False) -> Recorded:
        """Return the whole record of a row."""

        def of_run(sql: str) -> list[dict[str, Any]]:
            return self.rows(sql, run=row["run_id"])

        facts = of_run("SELECT * EXCLUDE (run_id, record, source) FROM sources WHERE run_id = $run")
        inputs = of_run("SELECT slot, partition, digest FROM run_inputs WHERE run_id = $run ORDER BY slot, partition")
        outputs = of_run("SELECT slot, name, digest FROM run_outputs WHERE run_id = $run")
        if row["run_kind"] != "asset":
            outputs += of_run(
                "SELECT 'experience_buffer@' || step AS slot, name, digest FROM experience_snapshots "
                "WHERE run_id = $run ORDER BY time"
            )
        if with_all or row["state"] != COMPLETED or not outputs:
            outputs += of_run("SELECT name AS slot, name, digest FROM checkpoints WHERE run_id = $run ORDER BY time")
        metrics = of_run("SELECT name, value FROM metrics_last WHERE run_id = $run")
        cells = of_run("SELECT cells FROM notebook_cells WHERE run_id = $run")
        said = [row["error_type"], row["error_message"]]
        return Recorded(
            run_id=row["run_id"],
            name=row["name"],
            run_kind=row["run_kind"],
            parent=row["parent_run_id"],
            state=row["state"],
            error=": ".join(filter(None, said)) or None,
            seed=row["seed"],
            config=_json(row["config"]),
            source=row["source"],
            source_facts={**facts[0], "left_out": json.loads(facts[0]["left_out"] or "[]")} if facts else {},
            environment=row["environment"],
            mode=_json(row["mode"]),
            settings=_json(row["settings"]),
            plan=_json(row["plan"]),
            inputs=[[item["slot"], item["partition"], item["digest"]] for item in inputs],
            products={item["slot"]: (item["name"], item["digest"]) for item in outputs},
            metrics={item["name"]: item["value"] for item in metrics},
            edited_sources=list(row["edited_sources"] or []),
            segment=row["segment"] or "",
            cells=[cell for item in cells for cell in json.loads(item["cells"])],
            recipe=row["recipe"],
        )


def _is_one_execution(above: dict[str, Any], run: dict[str, Any]) -> bool:
    """Whether a run cannot be executed without its parent: one process, or a fork of it, or one that it started so."""
    if above["segment"] == run["segment"]:
        return True
    ours, theirs = _json(run["plan"]).get("interpreter_argv"), _json(above["plan"]).get("interpreter_argv")
    if ours is None or run["run_kind"] == "command":
        return False
    return ours == theirs or any(word.startswith(("from multiprocessing.", "--multiprocessing-fork")) for word in ours)


def _json(text: Any) -> dict[str, Any]:
    value = json.loads(text) if isinstance(text, str) else text
    return dict(value or {})
