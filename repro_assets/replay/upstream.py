"""The runs that a run's inputs came from, in groups that one process executes again.

Laws: of several runs that made the same bits the earliest counts, and no replay; each run is in one group, and each
group comes after those that its inputs came from, unless one execution makes both. Every run is replayed with the
inputs on record and compared: where all are identical, the chain is.
"""

from __future__ import annotations

import json
from dataclasses import replace

from repro_assets.catalog import queries
from repro_assets.replay.records import Asked, Recorded, asked_for, runs_of
from repro_assets.store.home import Home

_ANCESTORS = """
WITH RECURSIVE makers AS (
    SELECT o.digest, arg_min(o.run_id, r.started_at) AS run_id
    FROM run_outputs o JOIN runs r USING (run_id)
    WHERE r.replay_of IS NULL AND r.run_kind IN ('asset', 'script', 'command', 'notebook') GROUP BY o.digest
), above(run_id) AS (
    SELECT unnest($runs)
    UNION SELECT m.run_id FROM above JOIN run_inputs i USING (run_id) JOIN makers m USING (digest)
)
SELECT r.run_id, r.run_kind FROM above JOIN runs r USING (run_id)
WHERE NOT list_contains($runs, r.run_id) ORDER BY r.started_at, r.run_id
"""


def with_upstream(home: Home, run_id: str) -> list[Asked]:
    """Return what is replayed for a run and all that it came from, oldest first; the last is what was asked for.

    Raises
    ------
    InvalidValue
        As `asked_for`.
    """
    last = asked_for(home, run_id)
    rows = queries.rows(home, _ANCESTORS, {"runs": [run.run_id for run in last.runs]})
    above = {row["run_id"] for row in rows}
    by_dagster = runs_of(home, [row["run_id"] for row in rows if row["run_kind"] == "asset"])
    groups: dict[str, list[Recorded]] = {}
    found: dict[str, Asked] = {}
    for row in rows:
        run = by_dagster.get(row["run_id"])
        if run is not None:
            groups.setdefault(_group(run), []).append(run)
        elif not any(row["run_id"] in [each.run_id for each in asked.family] for asked in (last, *found.values())):
            found[row["run_id"]] = _with(above, asked_for(home, row["run_id"]))
    for runs in groups.values():
        found[runs[0].run_id] = Asked(runs[0].run_id, runs)
    order = [row["run_id"] for row in rows]
    return [*(found[each] for each in order if each in found), _with(above, last)]


def _with(above: set[str], asked: Asked) -> Asked:
    """Compare also the ancestors that the same execution makes."""
    compared = {run.run_id for run in asked.runs} | above
    return replace(asked, runs=[run for run in asked.family if run.run_id in compared] or asked.runs)


def _group(run: Recorded) -> str:
    """Say what runs have in common that one process executes: Dagster's run, the code and the partition."""
    return json.dumps([run.parent, run.source, *(run.plan.get(name) for name in ("job", "partition", "code_location"))])
