"""Which runs can be executed again from their records, and by which command.

Law: what a replay would refuse is not offered.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from repro_assets.catalog.parameters import execute

if TYPE_CHECKING:
    import duckdb

# What Dagster did not execute stands for itself; an asset's step stands also for the parent run that it is under.
_REPLAYABLE = """
    WITH asked AS (SELECT run_id, replay_of, run_kind FROM runs WHERE list_contains($runs, run_id)),
    executed AS (
        SELECT run_id, coalesce(replay_of, run_id) AS original FROM asked
        WHERE run_kind IN ('script', 'command', 'notebook', 'asset')
        UNION
        SELECT a.run_id, coalesce(r.replay_of, r.run_id) FROM asked a JOIN runs r ON r.parent_run_id = a.run_id
        WHERE r.run_kind = 'asset'
    ),
    made AS (SELECT run_id FROM run_outputs UNION SELECT run_id FROM checkpoints)
    SELECT e.run_id FROM executed e JOIN runs o ON o.run_id = e.original
    GROUP BY e.run_id HAVING bool_or(o.state = 'COMPLETED' OR o.run_id IN (FROM made)) AND bool_and(coalesce(
        o.state IN ('COMPLETED', 'FAILED', 'INTERRUPTED') AND o.source IS NOT NULL
        AND (o.plan ->> if(o.run_kind = 'asset', '$.code_location', '$.form')) IS NOT NULL, false
    ))
"""


def replay_commands(connection: duckdb.DuckDBPyConnection, runs: Sequence[str]) -> dict[str, str]:
    """Return the command that executes each of some runs again from its record; those that cannot be have none.

    Parameters
    ----------
    connection : DuckDBPyConnection
        The catalog.
    runs : sequence of str
        Whole ids.
    """
    found = execute(connection, _REPLAYABLE, {"runs": list(runs)}).fetchall()
    return {run_id: shlex.join(["repro", "replay", run_id]) for (run_id,) in found}
