"""SQL conditions over the columns of `runs_wide`, as a person types them.

Laws: a condition is one expression, whatever it is put into: one that closes a bracket it did not open is refused, as
is a second expression or any clause behind it; deleted runs are left out, unless the condition names the column
`deleted`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from repro_assets.errors import InvalidValue

_COLUMNS = "see the columns with: repro sql 'DESCRIBE runs_wide'"
_TRY = "give one that is true or false, such as: state = 'FAILED' AND seed = 1"


def checked(condition: str) -> str:
    """Return a condition in brackets of its own.

    Parameters
    ----------
    condition : str
        The condition.

    Raises
    ------
    InvalidValue
        If it is not one SQL expression; with DuckDB's words where it has any.
    """
    _parsed(condition)
    return f"({condition}\n)"


def undeleted(condition: str | None) -> str:
    """Return the condition under which a run is listed; deleted ones are only where `condition` names `deleted`.

    Parameters
    ----------
    condition : str, optional
        What a person asked for.

    Raises
    ------
    InvalidValue
        As `checked`.
    """
    if condition is None:
        return "NOT deleted"
    named = _names_deleted(_parsed(condition))
    return ("" if named else "NOT deleted AND ") + f"({condition}\n)"


@contextmanager
def said_of(condition: str | None) -> Iterator[None]:
    """Say what DuckDB finds wrong with a condition without the statement of ours in which it stood.

    Raises
    ------
    InvalidValue
        If what is asked in it is one.
    """
    try:
        yield
    except InvalidValue as error:
        if condition is None:
            raise
        raise InvalidValue(error.message.partition(" LINE ")[0], _COLUMNS) from error


def _parsed(condition: str) -> Any:
    import duckdb

    if not isinstance(condition, str):
        raise InvalidValue(f"{condition!r} is not one SQL condition: it is no text", _TRY)
    # In brackets only an expression can stand, and without them only one that closes none of theirs.
    wanted = [(f"SELECT ({condition}\n)",), (f"SELECT {condition}\n",)]
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        try:
            read = [
                json.loads(connection.execute("SELECT json_serialize_sql(?)", given).fetchall()[0][0])
                for given in wanted
            ]
        except duckdb.Error as error:
            raise InvalidValue(
                f"{condition!r} is not one SQL condition: {' '.join(str(error).split())}", _TRY
            ) from error
    for answer in read:
        if answer["error"]:
            raise InvalidValue(f"{condition!r} is not one SQL condition: {answer['error_message']}", _TRY)
    expressions = read[1]["statements"][0]["node"]["select_list"]
    if len(expressions) > 1:
        raise InvalidValue(f"{condition!r} is not one SQL condition but {len(expressions)}", _TRY)
    return expressions


def _names_deleted(parsed: Any) -> bool:
    if isinstance(parsed, list):
        return any(map(_names_deleted, parsed))
    if not isinstance(parsed, dict):
        return False
    names = parsed.get("column_names") if parsed.get("class") == "COLUMN_REF" else None
    return bool(names and names[-1].lower() == "deleted") or any(map(_names_deleted, parsed.values()))
