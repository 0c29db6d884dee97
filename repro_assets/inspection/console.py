"""What a run wrote to stdout and stderr, from its record, or from the files where it has no end yet.

Law: of a run that was killed, or is still executing, it is what the file holds now, past the secret scanner; where that
is not there any more it is said.
"""

from __future__ import annotations

import json
from typing import Any

from repro_assets.catalog import queries
from repro_assets.recording import console
from repro_assets.store.home import Home


def console_of(home: Home, run: str) -> list[dict[str, Any]]:
    """Return what a run, or each run under a parent run, wrote.

    Parameters
    ----------
    home : Home
        The store.
    run : str
        What `queries.resolve_run` takes.

    Returns
    -------
    list of dict
        ``run_id``, ``name``, ``stream``, ``text``, ``size`` in bytes, ``left_out`` of them, and ``source``: ``record``,
        ``file`` where the run has no end on record, or ``gone`` where neither has the text.

    Raises
    ------
    UnknownName, AmbiguousName
        As `queries.resolve_run` does.
    """
    with queries.connect(home) as connection:
        given = {"run": queries.resolve_run_on(connection, run)}
        runs = queries.read_rows(
            connection,
            "SELECT run_id, name, host_facts -> '$.console' AS places, run_id IN (SELECT run_id FROM journal.run_ends) "
            "AS ended FROM runs WHERE (run_id = $run OR parent_run_id = $run) ORDER BY run_id <> $run, started_at",
            given,
        )
        kept = queries.read_rows(
            connection,
            "SELECT c.run_id, r.name, stream, text, size, left_out, 'record' AS source FROM consoles c "
            "JOIN runs r USING (run_id) WHERE r.run_id = $run OR r.parent_run_id = $run ORDER BY c.time, stream",
            given,
        )
    found = []
    for row in runs:
        own = [item for item in kept if item["run_id"] == row["run_id"]]
        found += own if own or row["ended"] else _from_files(home, row)
    return found


def _from_files(home: Home, row: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for stream, fact in (json.loads(row["places"] or "{}") or {}).items():
        place = console.recorded_place(fact)
        written = None if place is None else console.read(home, place)
        text, size, left_out = written or ("", 0, 0)
        if written is None or size:
            facts = {"text": text, "size": size, "left_out": left_out, "source": "file" if written else "gone"}
            found.append({"run_id": row["run_id"], "name": row["name"], "stream": stream, **facts})
    return found
