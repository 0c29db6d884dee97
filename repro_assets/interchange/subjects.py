"""What a person wants exported, by the names that they give.

Laws: a name that is a run's means the run; a run that goes on is refused, because what is said of it would not hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from repro_assets.catalog import queries
from repro_assets.catalog.naming import resolve_artifact
from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home

_MAKER = """
    SELECT run_id FROM (
        SELECT run_id, time FROM run_outputs WHERE digest = $digest
        UNION ALL SELECT run_id, time FROM checkpoints WHERE digest = $digest
    ) JOIN runs USING (run_id) ANTI JOIN deleted_runs USING (run_id)
    -- A run that had read the same content did not make it.
    WHERE run_id NOT IN (SELECT run_id FROM run_inputs WHERE digest = $digest)
    ORDER BY replay_of IS NOT NULL, time, run_id LIMIT 1
"""


def resolve(home: Home, name: str) -> str | Digest:
    """Return the id of the run, or the digest of the artifact, that a person means.

    Raises
    ------
    UnknownName, AmbiguousName
        If nothing, or several things, are called so.
    """
    try:
        return queries.resolve_run(home, name)
    except UnknownName as no_run:
        try:
            return resolve_artifact(home, name).digest
        except UnknownName as error:
            remedy = error.remedy if error.remedy.startswith("did") else no_run.remedy
            raise UnknownName(f"there is no run or artifact {name!r}", remedy) from error


def asked_for(home: Home, names: Sequence[str], where: str | None) -> list[str]:
    """Return what a person wants exported: what they name, and the runs that have a condition, oldest first.

    Other tools list runs in the order in which they were written. A condition takes replays too.

    Parameters
    ----------
    home : Home
        The store.
    names : sequence of str
        What `resolve` takes each; they are not looked up here.
    where : str or None
        An SQL condition over the columns of `runs_wide`.

    Raises
    ------
    UnknownName
        If nothing is named and no run has the condition.
    InvalidValue
        If it is not one valid SQL expression.
    """
    if where is None:
        return list(names)
    found = [str(row["run_id"]) for row in reversed(queries.list_runs(home, where, None))]
    if not names and not found:
        raise UnknownName(f"no run has {where!r}", "see: repro runs list")
    return [*names, *found]


def ended_runs(home: Home, names: Sequence[str]) -> list[str]:
    """Return the ids of the runs that are meant, once each.

    A parent stands for itself, the runs under it and those whose work it used; an artifact for the run that made it.

    Parameters
    ----------
    home : Home
        The store.
    names : sequence of str
        What `resolve` takes each.

    Raises
    ------
    UnknownName, AmbiguousName
        As `resolve`.
    InvalidValue
        If no run made the artifact, or a run goes on or was deleted.
    """
    known = {
        row["run_id"]
        for row in queries.rows(
            home, "SELECT run_id FROM runs WHERE list_contains($names, run_id)", {"names": list(names)}
        )
    }
    asked = [name if name in known else _run_of(home, name) for name in names]
    refuse_running(home, asked)
    deleted = queries.rows(
        home, "SELECT run_id FROM deleted_runs WHERE list_contains($runs, run_id) ORDER BY run_id", {"runs": asked}
    )
    if deleted:
        raise InvalidValue(f"run {deleted[0]['run_id']} was deleted", "name another")
    under = queries.rows(
        home,
        "SELECT run_id, u.parent_run_id FROM (SELECT run_id, parent_run_id FROM runs "
        "UNION SELECT run_id, parent_run_id FROM reused_work) u JOIN runs USING (run_id) "
        "ANTI JOIN deleted_runs USING (run_id) WHERE list_contains($runs, u.parent_run_id) "
        "ORDER BY started_at, run_id",
        {"runs": asked},
    )
    found: dict[str, None] = {}
    for run in asked:
        found[run] = None
        found.update(dict.fromkeys(row["run_id"] for row in under if row["parent_run_id"] == run))
    return list(found)


def refuse_running(home: Home, runs: Sequence[str]) -> None:
    """Refuse runs that go on, and parents of such.

    Raises
    ------
    InvalidValue
        If one does.
    """
    going = queries.rows(
        home,
        "SELECT run_id FROM runs WHERE state = 'RUNNING' AND (list_contains($runs, run_id) "
        "OR list_contains($runs, parent_run_id)) ORDER BY run_id",
        {"runs": list(runs)},
    )
    if going:
        raise InvalidValue(f"run {going[0]['run_id']} has not ended", "export it when it has")


def _run_of(home: Home, name: str) -> str:
    found = resolve(home, name)
    if isinstance(found, str):
        return found
    made = queries.rows(home, _MAKER, {"digest": str(found)})
    if not made:
        raise InvalidValue(f"no run on record made {name}", "name a run, see: repro runs list")
    return str(made[0]["run_id"])
