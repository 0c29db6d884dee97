"""Which runs a person wants to delete, and deleting them.

Laws: a run that may still be executing is never deleted, nor one that groups such a run; a rule never chooses the run
that made what an alias names, and a parent run only together with all that it groups.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from repro_assets.artifacts import deletion
from repro_assets.artifacts.policy import Policy, RunRule, plan
from repro_assets.artifacts.retention import Ledger, read_ledger
from repro_assets.artifacts.room import Room
from repro_assets.catalog import queries
from repro_assets.errors import InvalidValue
from repro_assets.store.home import Home

_OPEN = ("RUNNING", "UNKNOWN")


def delete_runs(
    home: Home,
    runs: Iterable[str],
    rule: RunRule | None = None,
    *,
    versions: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Delete runs, and those that a parent run among them groups.

    Parameters
    ----------
    home : Home
        The store.
    runs : iterable of str
        What `queries.resolve_run` takes.
    rule : RunRule, optional
        Only those that it lets go; without `runs`, of all.
    versions : bool
        Also the versions that they claimed and no alias names.
    dry_run : bool
        Only tell.

    Returns
    -------
    dict
        ``dry_run``, ``runs`` (rows of ``run_id``, ``name``, ``state``, ``ended_at``), ``deleted_before`` (rows of
        ``run_id`` and ``deleted_at``: those of `runs` that were deleted already), ``versions``, and the ``bytes`` and
        ``objects`` that collection can free afterwards.

    Raises
    ------
    InvalidValue
        If nothing says which runs, or a run has not ended; nothing was deleted then.
    UnknownName, AmbiguousName
        As `queries.resolve_run`.
    """
    named = [queries.resolve_run(home, run) for run in runs]
    if not (named if rule is None else rule.chooses):
        raise InvalidValue("nothing says which runs", "name some, or give --older-than, --keep-last or --tag")
    known = {
        row["run_id"]: row
        for row in queries.rows(home, "SELECT run_id, name, state, ended_at, parent_run_id FROM runs_wide")
    }
    before = queries.rows(
        home,
        "SELECT run_id, min(time) AS deleted_at FROM deleted_runs WHERE list_contains($named, run_id) "
        "GROUP BY run_id ORDER BY run_id",
        {"named": named},
    )
    wanted = set(named or known)
    ledger = read_ledger(home)
    if rule is not None:
        wanted &= runs_of_rule(home, rule, ledger)
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
        "deleted_before": before,
        "versions": [f"{collection}:v{version}" for collection, version in sorted(chosen.versions)],
        "objects": number,
        "bytes": size,
    }


def plan_of_policy(home: Home, policy: Policy, ledger: Ledger) -> deletion.Deletion:
    """Return what the rules of a store let go: versions, checkpoints and runs; nothing is deleted.

    Parameters
    ----------
    home : Home
        The store.
    policy : Policy
        Its rules.
    ledger : Ledger
        What the journal says.
    """
    chosen = runs_of_rule(home, policy.runs, ledger) & ledger.parents.keys()
    return dataclasses.replace(plan(policy, ledger), runs=deletion.choose_runs(ledger, chosen).runs)


def runs_of_rule(home: Home, rule: RunRule, ledger: Ledger) -> set[str]:
    """Return the runs that a rule lets go, and the parent runs of which it leaves nothing.

    Parameters
    ----------
    home : Home
        The store.
    rule : RunRule
        The rule.
    ledger : Ledger
        What the journal says.
    """
    if not rule.chooses:
        return set()
    made_for_an_alias = {ledger.makers.get(key) for key in ledger.aliases()}
    rows = queries.rows(
        home,
        "SELECT run_id, parent_run_id, run_kind, state, coalesce(ended_at, started_at) AS ended_at, "
        "coalesce(tags, []) AS tags, deleted, "
        "[coalesce(asset, recipe, name), partition, trial::VARCHAR, (replay_of IS NOT NULL)::VARCHAR] AS what "
        "FROM runs_wide ORDER BY started_at DESC, run_id DESC",
    )
    border = None
    if rule.older_than is not None:
        border = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=rule.older_than)
    counted: Counter[tuple[str | None, ...]] = Counter()
    chosen: set[str] = set()
    for row in rows:
        tagged = not rule.tags or not set(rule.tags).isdisjoint(row["tags"])
        if row["run_kind"] == "parent" or row["deleted"] or row["state"] in _OPEN or not tagged:
            continue
        what = tuple(row["what"])
        counted[what] += 1
        if (
            (rule.keep_last is None or counted[what] > rule.keep_last)
            and (border is None or (row["ended_at"] is not None and row["ended_at"] <= border))
            and set(rule.except_tags).isdisjoint(row["tags"])
            and row["run_id"] not in made_for_an_alias
        ):
            chosen.add(row["run_id"])
    gone = chosen | {row["run_id"] for row in rows if row["deleted"]}
    under: dict[str, set[str]] = {}
    for row in rows:
        under.setdefault(row["parent_run_id"], set()).add(row["run_id"])
    only_age = rule.keep_last is None and not rule.tags
    for row in rows:
        if row["run_kind"] != "parent" or row["deleted"] or row["state"] in _OPEN:
            continue
        children = under.get(row["run_id"], set())
        old = border is not None and row["ended_at"] is not None and row["ended_at"] <= border
        if children <= gone and (children & chosen or (only_age and old and not children)):
            chosen.add(row["run_id"])
    return chosen
