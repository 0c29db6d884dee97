"""Adding rows to the tables, in bulk and in any order.

Laws: rows go in through Arrow, one statement for each table; whatever the order in which the journal's segments are
read, the tables end up the same: of several start records of one run the earliest gives its row, of several values of
one parameter, seed or used package the latest counts, of several records of one artifact or version the earliest, of
several imports of one run the latest.
"Earlier" is by time, then by number within the segment. The caller owns the transaction.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from repro_assets.catalog.rows import Row, TableRow

if TYPE_CHECKING:
    import duckdb
    import pyarrow

_EARLIEST_FIRST = "time, length(record), record"
_LATEST_FIRST = "time DESC, length(record) DESC, record DESC"
_SORTED = {
    "metrics": "run_id, name, step, time",
    "system_metrics": "run_id, name, time",
    "fingerprints": "run_id, step, quantity, tensor",
    "spans": "run_id, started_at, span_id",
}


class Batch:
    """Rows that wait to be added."""

    def __init__(self) -> None:
        self.tables: defaultdict[str, list[Row]] = defaultdict(list)
        self.points: defaultdict[str, list[pyarrow.Table]] = defaultdict(list)
        self.rows = 0

    def add(self, rows: list[TableRow]) -> None:
        """Take rows."""
        for table, row in rows:
            self.tables[table].append(row)
        self.rows += len(rows)

    def add_points(self, table: str, points: pyarrow.Table) -> None:
        """Take metric points as columns."""
        self.points[table].append(points)
        self.rows += points.num_rows


class Tables:
    """The tables of an open catalog, for writing.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        An open work file with the schema in place.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        import pyarrow

        types = {
            "VARCHAR": pyarrow.string(),
            "JSON": pyarrow.string(),
            "BIGINT": pyarrow.int64(),
            "INTEGER": pyarrow.int32(),
            "DOUBLE": pyarrow.float64(),
            "BOOLEAN": pyarrow.bool_(),
            "TIMESTAMP": pyarrow.timestamp("us"),
            "VARCHAR[]": pyarrow.list_(pyarrow.string()),
        }
        self.connection = connection
        self._schemas: defaultdict[str, list[tuple[str, pyarrow.DataType]]] = defaultdict(list)
        for schema, table, column, written in connection.execute(
            "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = current_database() AND NOT internal "
            "AND table_name IN (SELECT table_name FROM duckdb_tables()) ORDER BY table_oid, column_index"
        ).fetchall():
            self._schemas[table if schema == "main" else f"{schema}.{table}"].append((column, types[written]))

    def arrow(self, table: str, rows: list[Row]) -> pyarrow.Table:
        """Return rows as an Arrow table with the columns and types of `table`."""
        import pyarrow

        columns = self._schemas[table]
        return pyarrow.table(
            [pyarrow.array([row.get(name) for row in rows], type_) for name, type_ in columns],
            names=[name for name, _ in columns],
        )

    def insert(self, table: str, rows: list[Row]) -> None:
        """Add rows as they are."""
        if rows:
            order = f"ORDER BY {_SORTED[table]}" if table in _SORTED else ""
            self._with_batch(table, rows, f"INSERT INTO {table} BY NAME SELECT * FROM batch {order}")

    def add(self, batch: Batch) -> None:
        """Add what records became, by the laws above, and derive again the rows that depend on it."""
        for table, rows in batch.tables.items():
            if table == "runs":
                continue
            if table in ("params", "seeds", "used_packages"):
                self._keep_one(table, rows, ("run_id", "name"), _LATEST_FIRST)
            elif table == "versions":
                self._keep_one(table, rows, ("collection", "version"), _EARLIEST_FIRST)
            elif table == "artifacts":
                self._add_artifacts(rows)
            else:
                self.insert(table, rows)
        for table, some in batch.points.items():
            self._add_points(table, some)
        if batch.tables["runs"]:
            self._add_runs(batch.tables["runs"])
        if batch.tables["journal.alias_moves"]:
            self.connection.execute("DELETE FROM aliases")
            self.connection.execute(_ALIASES)
        touched = [
            {"run_id": run_id}
            for run_id in {
                row["run_id"]
                for table in ("journal.run_starts", "journal.run_ends", "journal.parent_states", "run_imports")
                for row in batch.tables[table]
            }
        ]
        if touched:
            self._with_batch(
                "runs",
                touched,
                "INSERT INTO runs (run_id) SELECT run_id FROM batch ANTI JOIN runs USING (run_id)",
                settle("SELECT run_id FROM batch"),
            )

    def summarize(self) -> bool:
        """Make the rows of `metrics_last` for the runs that got points since; return whether there were any."""
        (waiting,) = self.connection.execute("SELECT count(*) FROM journal.unsummarized").fetchall()
        for statement in _LAST_METRICS if waiting[0] else ():
            self.connection.execute(statement)
        return bool(waiting[0])

    def _add_points(self, table: str, some: list[pyarrow.Table]) -> None:
        import pyarrow

        self.connection.register("batch", pyarrow.concat_tables(some))
        try:
            self.connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM batch ORDER BY {_SORTED[table]}")
            if table == "metrics":
                self.connection.execute(_UNSUMMARIZED)
        finally:
            self.connection.unregister("batch")

    def _with_batch(self, table: str, rows: list[Row], *statements: str) -> None:
        self.connection.register("batch", self.arrow(table, rows))
        try:
            for statement in statements:
                self.connection.execute(statement)
        finally:
            self.connection.unregister("batch")

    def _keep_one(self, table: str, rows: list[Row], key: tuple[str, ...], order: str, replace: str = "") -> None:
        columns = ", ".join(key)
        self._with_batch(
            table,
            rows,
            f"CREATE OR REPLACE TEMP TABLE kept AS SELECT * {replace} FROM ("
            f"SELECT * FROM batch UNION ALL BY NAME SELECT t.* FROM {table} t SEMI JOIN batch USING ({columns}))"
            f" QUALIFY row_number() OVER (PARTITION BY {columns} ORDER BY {order}) = 1",
            f"DELETE FROM {table} WHERE ({columns}) IN (SELECT ({columns}) FROM kept)",
            f"INSERT INTO {table} BY NAME SELECT * FROM kept",
            "DROP TABLE kept",
        )

    def _add_artifacts(self, rows: list[Row]) -> None:
        self._keep_one(
            "artifacts",
            rows,
            ("digest",),
            _EARLIEST_FIRST.replace("time", "stored_at"),
            # A manifest that was read stays read, whichever record turns out to be the first.
            "REPLACE (bool_or(readable) OVER (PARTITION BY digest) AS readable, "
            "max(facts::VARCHAR) OVER (PARTITION BY digest)::JSON AS facts)",
        )

    def _add_runs(self, rows: list[Row]) -> None:
        earliest = (
            f"SELECT run_id, first(record ORDER BY {_EARLIEST_FIRST}) AS record FROM journal.run_starts "
            "WHERE run_id IN (SELECT run_id FROM batch) GROUP BY run_id"
        )
        self._with_batch(
            "runs",
            rows,
            f"DELETE FROM runs USING ({earliest}) e "
            "WHERE runs.run_id = e.run_id AND runs.record IS DISTINCT FROM e.record",
            f"INSERT INTO runs BY NAME SELECT batch.* FROM batch SEMI JOIN ({earliest}) e USING (run_id, record) "
            "ANTI JOIN runs USING (run_id)",
            "DELETE FROM sources USING runs WHERE sources.run_id = runs.run_id AND sources.record <> runs.record "
            "AND runs.run_id IN (SELECT run_id FROM batch)",
        )


def settle(runs: str) -> str:
    """Return the statement that derives state, times and errors of the runs that the query `runs` yields.

    Dagster's final state of a parent run counts first, then an end record, then what is known of the processes that
    announced the run or one of the runs under it; of another tool's run whose end is not on record nothing is known.
    """
    return f"""
    UPDATE runs SET
        state = d.state, state_source = d.state_source, dagster_status = d.status, job = coalesce(runs.job, d.job),
        started_at = d.started_at, ended_at = d.ended_at, seconds = epoch(d.ended_at) - epoch(d.started_at),
        error_type = d.error_type, error_message = d.error_message, error_trace = d.error_trace,
        edited_sources = d.edited_sources, warnings = coalesce(d.warnings, runs.warnings)
    FROM (
        WITH wanted AS MATERIALIZED (SELECT DISTINCT run_id FROM ({runs})),
        starts AS (
            SELECT run_id, min(time) AS time, arg_min(warnings, (time, record)) AS warnings
            FROM journal.run_starts SEMI JOIN wanted USING (run_id) GROUP BY run_id
        ),
        ends AS (
            SELECT * FROM journal.run_ends SEMI JOIN wanted USING (run_id)
            QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY {_LATEST_FIRST}) = 1
        ),
        parents AS (
            SELECT *, state <> 'RUNNING' AS final FROM journal.parent_states SEMI JOIN wanted USING (run_id)
            QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY final DESC, {_LATEST_FIRST}) = 1
        ),
        imports AS (
            SELECT * FROM run_imports SEMI JOIN wanted USING (run_id)
            QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY {_LATEST_FIRST}) = 1
        ),
        processes AS (
            SELECT run_id, segment FROM journal.run_starts SEMI JOIN wanted USING (run_id)
            UNION ALL
            SELECT child.parent_run_id, s.segment FROM runs child JOIN journal.run_starts s USING (run_id)
            WHERE child.parent_run_id IN (SELECT run_id FROM wanted)
        ),
        alive AS (
            SELECT p.run_id, CASE
                WHEN bool_or(coalesce(s.process, 'alive') = 'alive') THEN 'RUNNING'
                WHEN bool_or(s.process = 'unknown') THEN 'UNKNOWN'
                ELSE 'INTERRUPTED' END AS state
            FROM processes p LEFT JOIN segments s USING (segment) GROUP BY p.run_id
        )
        SELECT wanted.run_id,
            CASE WHEN parents.final THEN parents.state
                ELSE coalesce(ends.state, if(imports.run_id IS NULL, alive.state, NULL), 'UNKNOWN') END AS state,
            CASE WHEN parents.final THEN 'dagster' WHEN ends.state IS NOT NULL THEN 'record'
                ELSE 'process' END AS state_source,
            parents.status, parents.job,
            coalesce(parents.started, imports.started_at, starts.time) AS started_at,
            CASE WHEN parents.final THEN coalesce(parents.ended, ends.time, parents.time)
                ELSE coalesce(imports.ended_at, ends.time) END AS ended_at,
            coalesce(parents.error_type, ends.error_type) AS error_type,
            coalesce(parents.error_message, ends.error_message) AS error_message,
            coalesce(parents.error_trace, ends.error_trace) AS error_trace, ends.edited_sources,
            list_concat(starts.warnings, coalesce(ends.warnings, [])) AS warnings
        FROM wanted LEFT JOIN starts USING (run_id) LEFT JOIN ends USING (run_id)
            LEFT JOIN parents USING (run_id) LEFT JOIN imports USING (run_id) LEFT JOIN alive USING (run_id)
    ) d
    WHERE runs.run_id = d.run_id AND (
        runs.state IS DISTINCT FROM d.state OR runs.state_source IS DISTINCT FROM d.state_source
        OR runs.dagster_status IS DISTINCT FROM d.status OR runs.started_at IS DISTINCT FROM d.started_at
        OR runs.ended_at IS DISTINCT FROM d.ended_at OR runs.error_type IS DISTINCT FROM d.error_type
        OR runs.error_message IS DISTINCT FROM d.error_message OR runs.error_trace IS DISTINCT FROM d.error_trace
        OR runs.edited_sources IS DISTINCT FROM d.edited_sources
        OR runs.warnings IS DISTINCT FROM coalesce(d.warnings, runs.warnings))
    """


_UNSUMMARIZED = """
    INSERT INTO journal.unsummarized
    SELECT DISTINCT run_id FROM batch ANTI JOIN journal.unsummarized USING (run_id)
"""

# Kept as a table: the best of 100,000 runs is asked for far more often than a run logs.
_LAST_METRICS = (
    "DELETE FROM metrics_last WHERE run_id IN (SELECT run_id FROM journal.unsummarized)",
    """
    INSERT INTO metrics_last BY NAME
    SELECT run_id, name,
        last(value ORDER BY step NULLS FIRST, time, value) AS value,
        last(step ORDER BY step NULLS FIRST, time, value) AS step,
        min(value) FILTER (WHERE NOT isnan(value)) AS smallest,
        max(value) FILTER (WHERE NOT isnan(value)) AS greatest,
        arg_min(step, (value, step)) FILTER (WHERE NOT isnan(value)) AS step_of_smallest,
        arg_max(step, (value, -step)) FILTER (WHERE NOT isnan(value)) AS step_of_greatest,
        count(*) AS points
    FROM metrics SEMI JOIN journal.unsummarized USING (run_id) GROUP BY run_id, name ORDER BY run_id, name
    """,
    "DELETE FROM journal.unsummarized",
)

_ALIASES = f"""
    INSERT INTO aliases BY NAME
    SELECT collection, alias, version, digest, record, time FROM (
        SELECT *, record IN (SELECT replaces FROM journal.alias_moves WHERE replaces IS NOT NULL) AS replaced
        FROM journal.alias_moves
    )
    QUALIFY row_number() OVER (PARTITION BY collection, alias ORDER BY replaced, {_LATEST_FIRST}) = 1
    ORDER BY collection, alias
"""
