"""The catalog as pandas tables, for notebooks.

Laws: every question sees what has happened until now, and only reads; no integer becomes a float because its column has
a gap; a store is the one of this folder unless it is given. pandas is imported when a table is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from repro_assets.catalog import descriptions, queries
from repro_assets.catalog.conditions import said_of, undeleted
from repro_assets.store.home import Home, find_store

if TYPE_CHECKING:
    import pandas
    import pyarrow

_RUN_COLUMNS = (
    "run_id, name, run_kind, asset, partition, experiment, tags, note, trial, replay_of, state, seed, device, commit, "
    "dirty, started_at, ended_at, seconds, error_type, error_message, parent_run_id, code_version, source, "
    "environment, python, torch, cpu, gpu, inputs, outputs"
)
_ARTIFACT_COLUMNS = (
    "name", "collection", "version", "digest", "kind", "size", "parts", "trial", "run_id", "time", "aliases",
)  # fmt: skip


def query(
    sql: str, parameters: dict[str, Any] | list[Any] | None = None, *, home: Home | None = None
) -> pandas.DataFrame:
    """Answer one SQL query to the catalog, which is brought up to date first.

    Parameters
    ----------
    sql : str
        One statement that reads, such as ``SELECT * FROM runs``. ``$name`` or ``?`` stands for a parameter.
    parameters : dict or list, optional
        Values of the parameters.
    home : Home, optional
        The store; that of this folder, or of ``REPRO_HOME``, if left out.

    Returns
    -------
    pandas.DataFrame
        One row for each of the answer; times are in UTC, integers with gaps have the type ``Int64``, maps are
        dictionaries.

    Raises
    ------
    InvalidValue
        If the statement would write, is not the only one, or is not valid SQL.
    NoStore
        If there is no store.
    """
    return _frame(queries.query(home or find_store(), sql, parameters))


def runs(where: str | None = None, limit: int | None = None, *, home: Home | None = None) -> pandas.DataFrame:
    """Return runs, newest first.

    Parameters
    ----------
    where : str, optional
        An SQL condition over the columns of `runs_wide`, such as ``metrics['loss'] < 0.1``. Runs that were
        deleted are left out, unless it names the column `deleted`.
    limit : int, optional
        At most so many; all if left out.
    home : Home, optional
        The store; that of this folder, or of ``REPRO_HOME``, if left out.

    Returns
    -------
    pandas.DataFrame
        A row for each run: what identifies it, and a column for each hyperparameter (``config.learning_rate``,
        ``params.…``) and each metric's last value (``metrics.loss``).

    Raises
    ------
    InvalidValue
        If the condition is not valid SQL, or `limit` is negative.
    NoStore
        If there is no store.
    """
    import pandas

    sql = (
        f"SELECT {_RUN_COLUMNS}, config, params, metrics FROM runs_wide WHERE {undeleted(where)} "
        f"ORDER BY started_at DESC NULLS LAST, run_id DESC {queries.limit_clause(limit)}"
    )
    with said_of(where):
        frame = query(sql, home=home)
    parts = []
    for name in ("config", "params", "metrics"):
        members = [dict(_members(name, value)) for value in frame.pop(name)]
        parts.append(
            pandas.DataFrame(members, index=frame.index, columns=sorted({key for row in members for key in row}))
        )
    return pandas.concat([frame, *parts], axis=1)


def list_artifacts(type: str | None = None, *, internal: bool = False, home: Home | None = None) -> pandas.DataFrame:
    """Return artifacts, newest first, once for each version that they are.

    Parameters
    ----------
    type : str, optional
        A kind (``tensors``, ``table``, …), or the first word of names (``model``, ``dataset``, ``checkpoint``, …).
    internal : bool
        Also source trees, diffs and environment documents, which describe runs.
    home : Home, optional
        The store; that of this folder, or of ``REPRO_HOME``, if left out.

    Raises
    ------
    NoStore
        If there is no store.
    """
    return frame_of(descriptions.list_artifacts(home or find_store(), type, internal=internal), _ARTIFACT_COLUMNS)


def frame_of(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pandas.DataFrame:
    """Return these columns of plain rows as a table."""
    import pyarrow

    return _frame(pyarrow.table({name: [row[name] for row in rows] for name in columns}))


def _frame(table: pyarrow.Table) -> pandas.DataFrame:
    import pandas
    import pyarrow

    frame: pandas.DataFrame = table.to_pandas(maps_as_pydicts="strict")
    for place, column in enumerate(table.columns):
        if pyarrow.types.is_integer(column.type) and column.null_count:
            frame.isetitem(place, column.to_pandas(types_mapper=lambda _: pandas.Int64Dtype()))
    return frame


def _members(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a configuration, map or nothing, their names with dots."""
    if name == "config" and isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, Mapping):
        for key, item in value.items():
            inner = json.loads(item) if name == "params" and isinstance(item, str) else item
            if isinstance(inner, Mapping) and inner:
                yield from _members(f"{name}.{key}", inner)
            else:
                yield f"{name}.{key}", inner
