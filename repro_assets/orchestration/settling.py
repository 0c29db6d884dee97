"""Giving parent runs their last word before a question is answered.

A parent's state is Dagster's own once it is final. Whoever executes a run copies it; where that process was killed,
nobody did, and the next command does it here. Dagster is imported only where there is something to ask, and what it
answered is not asked again until its storage of runs has changed.
"""

from __future__ import annotations

from typing import Any

from repro_assets.catalog import queries
from repro_assets.catalog.projection import refresh
from repro_assets.store import sealed
from repro_assets.store.home import Home

_FINAL = ("SUCCESS", "FAILURE", "CANCELED")
_OPEN = f"""
    SELECT run_id, state, dagster_status FROM runs
    WHERE run_kind = 'parent' AND (
        (state_source = 'process' AND state IN ('INTERRUPTED', 'UNKNOWN'))
        OR (state_source = 'dagster' AND coalesce(dagster_status, '') NOT IN {_FINAL})
    )
    ORDER BY run_id
"""


def settle(home: Home) -> dict[str, str]:
    """Refresh the catalog, ask Dagster about parent runs whose processes are gone, and refresh again.

    Parameters
    ----------
    home : Home
        The store.

    Returns
    -------
    dict
        The state that was recorded now for each run that got one.

    Raises
    ------
    MachineError
        If the store cannot be written, or Dagster's storage cannot be read.
    """
    waiting = queries.rows(home, _OPEN)
    if not waiting or not home.dagster.is_dir():
        return {}
    question = {"runs": [row["run_id"] for row in waiting], "storage": _storage(home)}
    if _last_question(home) == question:
        return {}
    found, final = _ask(home, waiting)
    if final:
        sealed.keep(home.cache / "settled.json", {**question, "storage": _storage(home)})
    if found:
        refresh(home)
    return found


def _ask(home: Home, waiting: list[dict[str, Any]]) -> tuple[dict[str, str], bool]:
    """Return the states that were recorded, and whether asking again would be in vain."""
    from repro_assets.orchestration import parents
    from repro_assets.orchestration.instance import asked

    with asked(home) as instance:
        open_runs = []
        for row in waiting:
            run = instance.get_run_by_id(row["run_id"])
            if run is None or run.status.value == row["dagster_status"]:
                continue
            # Processes of another host cannot be looked for here, so only Dagster's final word counts for them.
            if row["state"] == "UNKNOWN" and not run.is_finished:
                continue
            open_runs.append(row["run_id"])
        found = parents.reconcile(home, instance, open_runs)
        return found, found.keys() >= set(open_runs)


def _storage(home: Home) -> list[list[Any]]:
    """Describe Dagster's files of runs, so that a change of them shows."""
    found = []
    for path in sorted((home.dagster / "history").glob("runs.db*")):
        # The index of the write-ahead log changes when it is only read.
        if not path.name.endswith("-shm"):
            facts = path.stat()
            found.append([path.name, facts.st_size, facts.st_mtime_ns])
    return found


def _last_question(home: Home) -> Any:
    try:
        return sealed.unseal((home.cache / "settled.json").read_bytes())
    except (FileNotFoundError, ValueError):
        # The note can be deleted at any time; without it Dagster is asked once more.
        return None
