"""Which runs a person wants to delete, and deleting them.

Law: a run that may still be executing is never deleted, nor one that groups such a run.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from repro_assets.artifacts import deletion
from repro_assets.artifacts.retention import read_ledger
from repro_assets.artifacts.room import Room
from repro_assets.catalog import queries
from repro_assets.errors import InvalidValue
from repro_assets.store.home import Home

_OPEN = ("RUNNING", "UNKNOWN")


def delete_runs(
    home: Home, runs: Iterable[str], older_than: float | None = None, *, versions: bool = False, dry_run: bool = False
) -> dict[str, Any]:
    """Delete runs, and those that a parent run among them groups.

    Parameters
    ----------
    home : Home
        The store.
    runs : iterable of str
        What `queries.resolve_run` takes.
    older_than : float, optional
        Only those that ended at least so many seconds ago; without `runs`, of all.
    versions : bool
        Also the versions that they claimed and no alias names.
    dry_run : bool
        Only tell.

    Returns
    -------
    dict
        ``dry_run``, ``runs`` (rows of ``run_id``, ``name``, ``state``, ``ended_at``), ``versions``, and the ``bytes``
        and ``objects`` that collection can free afterwards.

    Raises
    ------
    InvalidValue
        If nothing says which runs, or a run has not ended; nothing was deleted then.
    UnknownName, AmbiguousName
        As `queries.resolve_run`.
    """
    named = [queries.resolve_run(home, run) for run in runs]
    if not named and older_than is None:
        raise InvalidValue("nothing says which runs", "name some, or give --older-than")
    known = {
        row["run_id"]: row
        for row in queries.rows(home, "SELECT run_id, name, state, ended_at, parent_run_id FROM runs_wide")
    }
    wanted = set(named or known)
    if older_than is not None:
        border = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=older_than)
        wanted = {run for run in wanted if known[run]["ended_at"] is not None and known[run]["ended_at"] <= border}
    ledger = read_ledger(home)
    # Only what a start record announced can be deleted; of others only an end is known.
    chosen = deletion.choose_runs(ledger, wanted & ledger.parents.keys(), versions=versions)
    going = [run for run in sorted(chosen.runs) if known.get(run, {}).get("state") in _OPEN]
    if going:
        raise InvalidValue(f"run {going[0]} may still be executing", "wait for its end, or stop it")
    size, number = Room(home, ledger).freed(chosen)
    if not dry_run:
        deletion.execute(home, chosen, ledger)
    columns = ("run_id", "name", "state", "ended_at")
    return {
        "dry_run": dry_run,
        "runs": [{name: known[run][name] for name in columns} for run in sorted(chosen.runs) if run in known],
        "versions": [f"{collection}:v{version}" for collection, version in sorted(chosen.versions)],
        "objects": number,
        "bytes": size,
    }
