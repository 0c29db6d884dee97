"""Deleting versions, runs and checkpoints: saying that nothing need be kept for their sake.

Laws: a deletion is a record, and no byte is touched: collection takes what nothing else names; the record of a deleted
run and the number of a deleted version stay for ever; what an alias names is refused unless that is asked for; a
deletion that was done is done again without harm.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from repro_assets.artifacts import names
from repro_assets.artifacts.retention import CheckpointKey, Hold, Ledger, VersionKey, read_ledger
from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.journal.artifact_records import VersionDeleted
from repro_assets.journal.records import Payload
from repro_assets.journal.run_records import CheckpointDeleted, RunDeleted
from repro_assets.journal.segments import journal_at
from repro_assets.store.home import Home


@dataclass(frozen=True, slots=True)
class Deletion:
    """What is to be deleted, or was."""

    runs: frozenset[str] = frozenset()
    versions: frozenset[VersionKey] = frozenset()
    checkpoints: frozenset[CheckpointKey] = frozenset()

    def ends(self, hold: Hold) -> bool:
        """Tell whether a reason to keep something is gone with it."""
        return hold.run in self.runs or hold.version in self.versions or hold.checkpoint in self.checkpoints

    def __bool__(self) -> bool:
        return bool(self.runs or self.versions or self.checkpoints)


@dataclass(frozen=True, slots=True)
class Deleted:
    """A version that was deleted, and what keeps its bytes all the same."""

    collection: str
    version: int
    digest: Digest
    kept_by: list[str] = field(default_factory=list)


def delete_versions(home: Home, versions: Iterable[VersionKey], *, force: bool = False) -> list[Deleted]:
    """Delete versions of collections.

    Parameters
    ----------
    home : Home
        The store.
    versions : iterable of (collection, number)
        Which.
    force : bool
        Also what an alias names.

    Raises
    ------
    UnknownName
        If there is no such version.
    InvalidValue
        If an alias names one and `force` is not set; nothing was deleted then.
    """
    wanted = list(dict.fromkeys(versions))
    found = [names.version(home, *key, deleted=True) for key in wanted]
    ledger = read_ledger(home)
    aliases = ledger.aliases()
    for version in found:
        words = aliases.get((version.collection, version.number))
        if words and not force:
            called = ", ".join(f"{version.collection}@{word}" for word in words)
            raise InvalidValue(f"{version} is {called}", "move the alias first, or give --force")
    execute(home, Deletion(versions=frozenset(wanted)), ledger)
    kept: dict[Digest, list[str]] = {}
    for hold in ledger.holds():
        kept.setdefault(hold.digest, []).append(hold.name)
    return [
        Deleted(version.collection, version.number, version.digest, sorted(set(kept.get(version.digest, []))))
        for version in found
    ]


def choose_runs(ledger: Ledger, runs: Iterable[str], *, versions: bool = False) -> Deletion:
    """Return the deletion of runs, those that a parent run groups included.

    Parameters
    ----------
    ledger : Ledger
        What the journal says.
    runs : iterable of str
        Their ids.
    versions : bool
        Also the versions that they claimed, but for those that an alias names.
    """
    wanted = set(runs)
    children: dict[str | None, list[str]] = {}
    for run, parent in ledger.parents.items():
        children.setdefault(parent, []).append(run)
    pending = list(wanted)
    while pending:
        fresh = [child for child in children.get(pending.pop(), []) if child not in wanted]
        wanted.update(fresh)
        pending += fresh
    claimed: set[VersionKey] = set()
    if versions:
        named = ledger.aliases()
        claimed = {
            key
            for key, maker in ledger.makers.items()
            if maker in wanted and key not in named and key not in ledger.deleted_versions
        }
    return Deletion(frozenset(wanted - ledger.deleted_runs), frozenset(claimed))


def execute(home: Home, deletion: Deletion, ledger: Ledger) -> None:
    """Record a deletion; `ledger` takes it in as well.

    Raises
    ------
    UnknownName
        If a run or checkpoint is not there; nothing was deleted then.
    MachineError
        If it cannot be recorded.
    """
    saved = {(item.run_id, item.name): item.digest for item in ledger.checkpoints}
    for run in deletion.runs - ledger.parents.keys():
        raise UnknownName(f"there is no run {run}", "see: repro runs list")
    for run, name in deletion.checkpoints - saved.keys():
        raise UnknownName(f"run {run} has no checkpoint {name}", f"see: repro runs show {run}")
    payloads: list[Payload] = [RunDeleted(run) for run in sorted(deletion.runs - ledger.deleted_runs)]
    for key in sorted(deletion.versions):
        version = names.version(home, *key, deleted=True)
        # The mark before the record: after a kill in between, the version is hidden and its bytes are kept.
        names.mark_deleted(home, version)
        if key not in ledger.deleted_versions:
            payloads.append(VersionDeleted(*key, str(version.digest)))
    payloads += [
        CheckpointDeleted(*key, saved[key]) for key in sorted(deletion.checkpoints - ledger.deleted_checkpoints)
    ]
    if payloads:
        journal_at(home.journal).append(*payloads)
    ledger.deleted_runs |= deletion.runs
    ledger.deleted_versions |= deletion.versions
    ledger.deleted_checkpoints |= deletion.checkpoints
