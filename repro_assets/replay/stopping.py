"""How far interrupted runs came, as their replay is told it.

Laws: a replay ends there only where the run is executed alone and its checkpoints are all that is compared; where a
signal asked for the last checkpoint, the replay saves it too. A run that failed is executed until it fails again, or to
its end.
"""

from __future__ import annotations

from collections.abc import Sequence

from repro_assets.catalog import queries
from repro_assets.determinism import stops
from repro_assets.determinism.stops import Stop
from repro_assets.replay.records import Recorded
from repro_assets.store.home import Home

_LAST = """
SELECT c.run_id, c.step, bool_or(c.checkpoint_type = 'signal') AS signal, (
    SELECT count(*) FROM run_outputs o WHERE o.run_id = c.run_id
) + (SELECT count(*) FROM experience_snapshots e WHERE e.run_id = c.run_id) AS others
FROM checkpoints c JOIN (
    SELECT run_id, max(step) AS step FROM checkpoints WHERE list_contains($runs, run_id) GROUP BY run_id
) USING (run_id, step) GROUP BY ALL
"""


def stop_variables(home: Home, runs: Sequence[Recorded]) -> dict[str, str]:
    """Return the variable that says how far the interrupted ones of these runs came, which one process executes."""
    interrupted = [run.run_id for run in runs if run.state == "INTERRUPTED"]
    if not interrupted:
        return {}
    return stops.written(
        {
            row["run_id"]: Stop(row["step"], row["signal"], ends=len(runs) == 1 and row["others"] == 0)
            for row in queries.rows(home, _LAST, {"runs": interrupted})
        }
    )
