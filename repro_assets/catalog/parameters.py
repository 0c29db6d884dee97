"""Values for the parameters of a statement.

Law: a statement answers the same whichever way it gets its values. DuckDB imports pandas to look at any Python value,
which takes longer than most questions do; so where pandas is not imported plain values go to a prepared statement as
SQL literals, and only others, and long lists, as Python values.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

Parameters = dict[str, Any] | list[Any] | None

LISTED = 1000
"""The longest list that is written as a literal: a longer one takes longer to parse than pandas to import."""


def execute(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters) -> duckdb.DuckDBPyConnection:
    """Execute one statement.

    Parameters
    ----------
    connection : DuckDBPyConnection
        An open connection.
    sql : str
        The statement, in which ``$name`` or ``?`` stands for a parameter.
    parameters : dict or list, optional
        Values of the parameters.

    Returns
    -------
    DuckDBPyConnection
        `connection`, which has the answer.

    Raises
    ------
    duckdb.Error
        If the statement or a value is wrong.
    """
    if not parameters or "pandas" in sys.modules:
        return connection.execute(sql, parameters)
    if isinstance(parameters, dict):
        values = [(f'"{name}" := ', _literal(value)) for name, value in parameters.items() if '"' not in name]
    else:
        values = [("", _literal(value)) for value in parameters]
    if len(values) < len(parameters) or any(literal is None for _, literal in values):
        return connection.execute(sql, parameters)
    connection.execute(f"PREPARE asked AS {sql}")
    return connection.execute(f"EXECUTE asked({', '.join(f'{name}{literal}' for name, literal in values)})")


def _literal(value: Any) -> str | None:
    """Return a value as SQL has it; None where it has to be handed over as it is."""
    kind = type(value)
    if value is None:
        return "NULL"
    if kind is str:
        # The text of a statement ends at a null character.
        return None if "\0" in value else "'" + value.replace("'", "''") + "'"
    if kind is bool:
        return str(value)
    if kind is int and -(1 << 63) <= value < 1 << 63:
        return f"'{value}'::{'INTEGER' if -(1 << 31) <= value < 1 << 31 else 'BIGINT'}"
    if kind is float:
        return f"'{value!r}'::DOUBLE"
    if kind is list and len(value) <= LISTED and len({type(item) for item in value}) == 1:
        items = [_literal(item) for item in value]
        return None if None in items else f"[{', '.join(map(str, items))}]"
    return None
