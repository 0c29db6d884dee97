"""Asking the catalog.

Laws: every question refreshes first; SQL can neither write nor reach files, the network, settings or Python's
variables; an answer is plain rows; what SQL says is wrong is passed on in one line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from repro_assets.catalog import conditions
from repro_assets.catalog.opening import open_catalog, understood
from repro_assets.catalog.parameters import Parameters, execute
from repro_assets.catalog.projection import refresh
from repro_assets.errors import AmbiguousName, InvalidValue, UnknownName
from repro_assets.metric_direction import lower_is_better
from repro_assets.store.home import Home

if TYPE_CHECKING:
    import duckdb
    import pyarrow

Rows = list[dict[str, Any]]

_RUN_COLUMNS = (
    "run_id, name, run_kind, asset, partition, experiment, tags, trial, replay_of, state, seed, device, commit, dirty, "
    "started_at, seconds, error_type, error_message, parent_run_id, note"
)
_GREATEST_LIMIT = 2**63 - 1
"""More does not fit into DuckDB's numbers."""
_SPARE = 51
"""So many more are looked at, for those that do not count; of up to 50 rows DuckDB would read the table twice."""
_RANK = "CASE WHEN $mode = 'min' THEN value ELSE -value END"
_BEST_COLUMNS = (
    "run_id", "name", "asset", "seed", "trial", "metric", "value", "step", "mode", "commit", "started_at", "seconds",
)  # fmt: skip


@contextmanager
def connect(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """Refresh, and open the catalog for reading.

    The connection keeps the file as it is now, whatever is published later. It reads nothing else and its settings are
    locked.

    Raises
    ------
    MachineError
        If the catalog had to be brought up to date and cannot be written, or somebody holds it for writing.
    CorruptObject
        If its file is damaged.
    KeyboardInterrupt
        If it is interrupted.
    """
    refresh(home)
    with understood(), open_catalog(home) as connection:
        yield connection


def query(home: Home, sql: str, parameters: Parameters = None) -> pyarrow.Table:
    """Answer one SQL query.

    Parameters
    ----------
    home : Home
        The store.
    sql : str
        One statement that reads. ``$name`` or ``?`` stands for a parameter.
    parameters : dict or list, optional
        Values of the parameters.

    Raises
    ------
    InvalidValue
        If the statement would write, is not the only one, or is not valid SQL for the catalog; with DuckDB's words.
    KeyboardInterrupt
        If it is interrupted.
    """
    with _reading(home, sql) as connection:
        return execute(connection, sql, parameters).to_arrow_table()


def rows(home: Home, sql: str, parameters: Parameters = None) -> Rows:
    """Answer one SQL query with a list of dictionaries; otherwise like `query`."""
    with _reading(home, sql) as connection:
        return read_rows(connection, sql, parameters)


@contextmanager
def _reading(home: Home, sql: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection for a statement of somebody else's, whose errors are said as what was asked wrongly."""
    import duckdb

    _only_reads(sql)
    try:
        with connect(home) as connection:
            yield connection
    except duckdb.Error as error:
        raise _said(error) from error


def read_rows(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters = None) -> Rows:
    """Return what a query on an open connection yields, as dictionaries."""
    answer = execute(connection, sql, parameters)
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def list_runs(home: Home, where: str | None = None, limit: int | None = 50) -> Rows:
    """Return runs, newest first, without their long columns.

    Parameters
    ----------
    home : Home
        The store.
    where : str, optional
        An SQL condition over the columns of `runs_wide`. Runs that were deleted are left out, unless it names the
        column `deleted`.
    limit : int, optional
        At most so many; all for None.

    Raises
    ------
    InvalidValue
        If the condition is not one valid SQL expression, or `limit` is negative.
    """
    order = "ORDER BY started_at DESC NULLS LAST, run_id DESC"
    if where is not None:
        sql = f"SELECT {_RUN_COLUMNS} FROM runs_wide WHERE {conditions.undeleted(where)} {order} {limit_clause(limit)}"
        with conditions.said_of(where):
            return rows(home, sql)
    # runs_wide gathers what belongs to every run, which takes seconds where there are 100,000.
    return rows(
        home,
        f"""
        WITH newest AS (SELECT * FROM runs ANTI JOIN deleted_runs USING (run_id) {order} {limit_clause(limit)}),
        tagged AS (
            SELECT run_id, list(tag ORDER BY tag) AS tags FROM run_tags SEMI JOIN newest USING (run_id)
            SEMI JOIN tag_changes USING (run_id) GROUP BY run_id
        )
        SELECT {_RUN_COLUMNS} FROM (
            SELECT newest.* REPLACE (
                CASE WHEN run_id IN (SELECT run_id FROM tag_changes) THEN tagged.tags ELSE newest.tags END AS tags
            ), latest_notes.note
            FROM newest LEFT JOIN tagged USING (run_id) LEFT JOIN latest_notes USING (run_id)
        ) {order}
        """,
    )


def best_runs(home: Home, metric: str, mode: str | None = None, limit: int | None = 10) -> Rows:
    """Return completed runs by the last value of a metric, best first; replays and NaN are left out.

    Parameters
    ----------
    home : Home
        The store.
    metric : str
        Name of the metric.
    mode : str, optional
        ``max`` or ``min``. If left out, the name decides (`repro_assets.metric_direction`); every row says which.
    limit : int, optional
        At most so many.

    Raises
    ------
    InvalidValue
        If `mode` is another word, or `limit` is negative.
    UnknownName
        If no run has such a metric; near names are given.
    """
    if mode is None:
        mode = "min" if lower_is_better(metric) else "max"
    if mode not in ("max", "min"):
        raise InvalidValue(f"{mode!r} is not a mode", "max or min")
    limit_clause(limit)
    with connect(home) as connection:
        counts = "state = 'COMPLETED' AND replay_of IS NULL"
        # Most stores have none, and a join with nothing takes time, too.
        if connection.execute("SELECT run_id FROM deleted_runs LIMIT 1").fetchall():
            counts += " AND run_id NOT IN (SELECT run_id FROM deleted_runs)"
        asked = metric, mode, counts
        found = None if limit is None else _best_of_few(connection, *asked, limit)
        if found is None:
            found = _best_of_all(connection, *asked, limit)
    if not found:
        names = [row["name"] for row in rows(home, "SELECT DISTINCT name FROM metrics ORDER BY name")]
        if metric not in names:
            raise UnknownName(f"no run has a metric named {metric!r}", near(metric, names) or "see: repro sql")
    return found


def _best_of_few(connection: duckdb.DuckDBPyConnection, metric: str, mode: str, counts: str, limit: int) -> Rows | None:
    """Return the best runs where they are found among those with the best few values, without a join; else None."""
    few = min(2 * limit + _SPARE, _GREATEST_LIMIT)
    points = execute(
        connection,
        f"SELECT run_id, value, step, {_RANK} FROM metrics_last WHERE name = $metric AND NOT isnan(value) "
        f"ORDER BY 4 LIMIT {few}",
        {"metric": metric, "mode": mode},
    ).fetchall()
    point_of = {run_id: point for run_id, *point in points}
    counting = read_rows(
        connection,
        "SELECT run_id, name, asset, seed, trial, commit, started_at, seconds FROM runs "
        f"WHERE list_contains($among, run_id) AND {counts}",
        {"among": list(point_of)},
    )
    found = []
    for row in sorted(counting, key=lambda row: (point_of[row["run_id"]][2], row["started_at"], row["run_id"])):
        value, step, rank = point_of[row["run_id"]]
        # Of those that are as good as the last of the few, there may be more.
        if len(points) < few or rank < points[-1][3]:
            said = {**row, "metric": metric, "value": value, "step": step, "mode": mode}
            found.append({name: said[name] for name in _BEST_COLUMNS})
    return found[:limit] if len(points) < few or len(found) >= limit else None


def _best_of_all(connection: duckdb.DuckDBPyConnection, metric: str, mode: str, counts: str, limit: int | None) -> Rows:
    return read_rows(
        connection,
        f"""
        SELECT run_id, r.name, asset, seed, trial, m.name AS metric, value, step, $mode AS mode, commit, started_at,
            seconds
        FROM metrics_last m JOIN runs r USING (run_id)
        WHERE m.name = $metric AND NOT isnan(value) AND {counts}
        ORDER BY {_RANK}, started_at, run_id {limit_clause(limit)}
        """,
        {"metric": metric, "mode": mode},
    )


def resolve_run(home: Home, text: str) -> str:
    """Return the id of the run that `text` means.

    Parameters
    ----------
    home : Home
        The store.
    text : str
        An id, an unambiguous prefix of 8 or more characters of one, a run's name, ``last``, or ``last~N``. ``last`` is
        the run that was started last and is no parent run; ``last~1`` the one before it. Replays count there; a name
        that a run shares with its replays is its own. Runs that were deleted answer to all but ``last``.

    Raises
    ------
    InvalidValue
        If it is no text.
    UnknownName
        If no run fits; near names are given.
    AmbiguousName
        If several do; the newest of them are given.
    """
    _check_text(text)
    with connect(home) as connection:
        return resolve_run_on(connection, text)


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise InvalidValue(f"{text!r} is no name of a run", "give an id, 8 or more of its digits, a name, or last")


def resolve_run_on(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """Do what `resolve_run` does, on an open connection."""
    _check_text(text)
    head, _, number = text.partition("~")
    if head == "last" and (number.isdecimal() or text == "last"):
        found = execute(
            connection,
            "SELECT run_id FROM runs ANTI JOIN deleted_runs USING (run_id) WHERE run_kind <> 'parent' "
            "ORDER BY started_at DESC NULLS LAST, run_id DESC LIMIT 1 OFFSET $back",
            {"back": int(number or 0)},
        ).fetchall()
        if not found:
            raise UnknownName(f"there is no run {text}", "see: repro runs list")
        return str(found[0][0])
    for condition in (
        "run_id = $text",
        "name = $text AND replay_of IS NULL",
        "name = $text",
        "length($text) >= 8 AND starts_with(run_id, $text)",
    ):
        found = execute(
            connection,
            f"SELECT run_id FROM runs WHERE {condition} ORDER BY started_at DESC NULLS LAST, run_id DESC LIMIT 6",
            {"text": text},
        ).fetchall()
        if len(found) == 1:
            return str(found[0][0])
        if found:
            ids = ", ".join(str(run_id) for (run_id,) in found[:5])
            raise AmbiguousName(f"{text!r} fits several runs: {ids}{', …' if len(found) > 5 else ''}", "give an id")
    known = connection.execute("SELECT run_id, name FROM runs").fetchall()
    close = near(text, [str(name) for pair in known for name in pair if name])
    if re.fullmatch("[0-9a-f]{1,7}", text):
        close = f"an id needs 8 digits or more{'; ' * bool(close)}{close}"
    raise UnknownName(f"there is no run {text!r}", close or "see: repro runs list")


def _only_reads(sql: str) -> None:
    import duckdb

    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise _said(error) from error
    # PIVOT without IN is expanded into statements without a text of their own.
    written = [statement for statement in statements if statement.query.strip() or len(statements) == 1]
    if len(written) > 1:
        raise InvalidValue(f"there are {len(written)} SQL statements", "give one")
    if not statements:
        raise InvalidValue("there is no SQL statement", "give one, such as: SELECT * FROM runs")
    allowed = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
    for statement in written:
        if statement.type not in allowed:
            raise InvalidValue(
                f"{_name_of(statement)} is refused: the catalog is a projection and is only read",
                "give a statement that reads, such as: SELECT * FROM runs",
            )


def _name_of(statement: duckdb.Statement) -> str:
    # DuckDB has one type for INSTALL and LOAD.
    if re.match(r"(?i)(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:force\s+)?install\b", statement.query, re.DOTALL):
        return "INSTALL"
    return str(statement.type.name)


def _said(error: Exception) -> InvalidValue:
    """Pass on DuckDB's own message in one line."""
    return InvalidValue(" ".join(str(error).split()))


def limit_clause(limit: int | None) -> str:
    """Return the SQL for at most `limit` rows, empty for None; one below 0 or beyond 2^63 - 1 is an `InvalidValue`."""
    if limit is None:
        return ""
    if not 0 <= limit <= _GREATEST_LIMIT:
        raise InvalidValue(f"a limit of {limit} rows", f"0 to {_GREATEST_LIMIT}")
    return f"LIMIT {int(limit)}"


def near(text: str, names: Iterable[str]) -> str:
    """Return a question that offers the names nearest to `text`, empty where none is near."""
    close = difflib.get_close_matches(text, sorted(set(names)), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else ""
