"""What must be kept, and for whose sake: the roots of collection.

Laws: all of it is read from the journal and the claimed versions, so no catalog is needed; a line that does not read
stops the reading with an error that names it, because what it names would be lost; a deletion is a record and counts
whenever it is read, before or after what it deletes.

Kept are: every version, and what an alias names; and of every run that was not deleted, finished or not, its source
tree, diff and environment, its inputs, outputs, checkpoints, fingerprints and evaluations. An output that claimed a
version is kept for the version's sake: deleting either lets it go. An artifact that was put and never named by any of
these is not kept longer than the process that put it lives. The objects of the journal's merges are kept as long as the
merges count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from repro_assets.artifacts import names
from repro_assets.errors import CorruptRecord, InvalidValue
from repro_assets.identity.digest import Digest
from repro_assets.journal import artifact_records, records, run_records
from repro_assets.journal.merged import list_merges, read_journal
from repro_assets.journal.records import Record
from repro_assets.journal.segments import Damage
from repro_assets.store.collection import Roots
from repro_assets.store.home import Home

VersionKey = tuple[str, int]
CheckpointKey = tuple[str, str]


def dependence(payload: records.Payload) -> Iterator[tuple[str, str | None]]:
    """Yield every artifact that a record names, and who depends on it; None where the record gives it no name."""
    match payload:
        case artifact_records.ArtifactStored():
            yield payload.digest, None
        case run_records.RunStarted():
            diff = payload.source_facts.get("diff")
            for what, digest in (
                ("environment", payload.environment),
                ("source tree", payload.source),
                ("diff", diff if isinstance(diff, str) else None),
            ):
                if digest is not None:
                    yield digest, f"{what} of run {payload.run_id}"
        case run_records.RunInput():
            yield payload.digest, f"input {payload.slot} of run {payload.run_id}"
        case run_records.RunOutput():
            yield payload.digest, payload.name
        case artifact_records.VersionClaimed():
            yield payload.digest, f"{payload.collection}:v{payload.version}"
        case run_records.CheckpointSaved():
            yield payload.digest, f"{payload.run_id}/{payload.name}"
        case run_records.ExperiencesInserted():
            yield payload.digest, f"experiences {payload.first} of run {payload.run_id}"
        case run_records.ExperienceSnapshot():
            yield payload.digest, f"{payload.run_id}/{payload.name}"
        case run_records.FingerprintsKept():
            yield payload.digest, f"{payload.run_id}/fingerprints_{payload.first}"
        case run_records.EvaluationMade():
            yield payload.digest, payload.name
        case _:
            return


@dataclass(frozen=True, slots=True)
class Hold:
    """A reason to keep an artifact; it is gone when the run, the version or the checkpoint that it names is deleted."""

    digest: Digest
    name: str
    run: str | None = None
    version: VersionKey | None = None
    checkpoint: CheckpointKey | None = None


@dataclass(slots=True)
class Ledger:
    """What the journal says about what must be kept."""

    all_holds: dict[Hold, None] = field(default_factory=dict)
    versions: dict[VersionKey, Digest] = field(default_factory=dict)
    makers: dict[VersionKey, str | None] = field(default_factory=dict)
    moves: list[tuple[Record, artifact_records.AliasMoved]] = field(default_factory=list)
    checkpoints: list[run_records.CheckpointSaved] = field(default_factory=list)
    parents: dict[str, str | None] = field(default_factory=dict)
    run_names: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    outputs: list[run_records.RunOutput] = field(default_factory=list)
    inputs: list[run_records.RunInput] = field(default_factory=list)
    replays: list[tuple[Record, run_records.ReplayMade]] = field(default_factory=list)
    stored: dict[Digest, set[str]] = field(default_factory=dict)
    evictions: dict[Digest, list[artifact_records.ArtifactEvicted]] = field(default_factory=dict)
    deleted_runs: set[str] = field(default_factory=set)
    deleted_versions: set[VersionKey] = field(default_factory=set)
    deleted_checkpoints: set[CheckpointKey] = field(default_factory=set)

    def take(self, record: Record) -> None:
        """Take in a record.

        Raises
        ------
        InvalidValue
            If it names something that is no digest.
        """
        payload = record.payload
        for text, name in dependence(payload):
            digest = Digest.parse(text)
            if name is None:
                self.stored.setdefault(digest, set()).add(record.id)
            else:
                self.all_holds[_hold(payload, digest, name)] = None
        match payload:
            case artifact_records.VersionClaimed():
                self.versions[payload.collection, payload.version] = Digest.parse(payload.digest)
                self.makers[payload.collection, payload.version] = payload.run_id
            case artifact_records.AliasMoved():
                self.moves.append((record, payload))
            case run_records.CheckpointSaved():
                self.checkpoints.append(payload)
            case run_records.RunStarted():
                self.parents[payload.run_id] = payload.parent_run_id
                self.run_names[payload.run_id] = payload.name
            case run_records.RunEnded() | run_records.ParentState():
                if payload.state != "RUNNING":
                    self.ended.add(payload.run_id)
            case run_records.RunOutput():
                self.outputs.append(payload)
            case run_records.RunInput():
                self.inputs.append(payload)
            case run_records.ReplayMade():
                self.replays.append((record, payload))
            case artifact_records.VersionDeleted():
                self.deleted_versions.add((payload.collection, payload.version))
            case run_records.RunDeleted():
                self.deleted_runs.add(payload.run_id)
            case run_records.CheckpointDeleted():
                self.deleted_checkpoints.add((payload.run_id, payload.name))
            case artifact_records.ArtifactEvicted():
                self.evictions.setdefault(Digest.parse(payload.digest), []).append(payload)
            case _:
                pass

    def take_claims(self, home: Home) -> None:
        """Take in the claimed versions: a kill may have left one that no record names.

        Raises
        ------
        CorruptRecord
            If a claim does not read.
        """
        for collection in names.collections(home):
            for version in names.versions(home, collection):
                key = (collection, version.number)
                self.versions.setdefault(key, version.digest)
                self.makers.setdefault(key, version.run_id)
                self.all_holds[Hold(version.digest, str(version), version=key)] = None

    def is_held(self, hold: Hold) -> bool:
        """Tell whether nothing that a hold names was deleted."""
        return not (
            hold.run in self.deleted_runs
            or hold.version in self.deleted_versions
            or hold.checkpoint in self.deleted_checkpoints
        )

    def holds(self) -> Iterator[Hold]:
        """Yield every reason that holds."""
        for hold in self.all_holds:
            if self.is_held(hold):
                yield hold
        for key, words in self.aliases().items():
            for word in words:
                yield Hold(self.versions[key], f"{key[0]}@{word}", version=key)

    def aliases(self) -> dict[VersionKey, list[str]]:
        """Return the aliases of each version that has some: where the moves that no other replaces lead."""
        replaced = {move.replaces for _, move in self.moves}
        found: dict[VersionKey, list[str]] = {}
        for record, move in self.moves:
            key = (move.collection, move.version)
            if record.id not in replaced and key in self.versions and key not in self.deleted_versions:
                found.setdefault(key, []).append(move.alias)
        return found

    def eviction(self, digest: Digest) -> artifact_records.ArtifactEvicted | None:
        """Return the eviction of an artifact whose bytes were not put again since."""
        found = self.evictions.get(digest)
        if not found:
            return None
        superseded = {item for eviction in found for item in eviction.supersedes}
        return None if self.stored.get(digest, set()) - superseded else found[-1]

    def roots(self) -> Roots:
        """Return what collection must keep."""
        held = {hold.digest for hold in self.holds()}
        evicted = {digest for digest in held if self.eviction(digest) is not None}
        return Roots(held - evicted, evicted)


def read_ledger(home: Home) -> Ledger:
    """Read the whole journal and all claims.

    Raises
    ------
    CorruptRecord
        If a line or a claim does not read; it is named.
    """
    ledger = Ledger()
    for item in read_journal(home):
        if isinstance(item, Damage):
            raise CorruptRecord(
                f"line at byte {item.offset} of journal segment {item.segment} does not read, and what it names "
                f"would be lost: {item.reason}",
                "see: repro store fsck",
            )
        try:
            ledger.take(item)
        except InvalidValue as error:
            raise CorruptRecord(f"record {item.id} does not read: {error}", "see: repro store fsck") from error
    ledger.take_claims(home)
    return ledger


def roots_of(home: Home) -> Roots:
    """Read what must be kept; the argument of `repro_assets.store.collection.collect`."""
    roots = read_ledger(home).roots()
    # The merges last: what they took in meanwhile was read before.
    merges = {merge.manifest for merge in list_merges(home.journal)}
    return Roots({*roots.artifacts, *merges}, roots.alone)


def _hold(payload: records.Payload, digest: Digest, name: str) -> Hold:
    match payload:
        case artifact_records.VersionClaimed():
            return Hold(digest, name, version=(payload.collection, payload.version))
        case run_records.RunOutput() if payload.collection is not None and payload.version is not None:
            return Hold(digest, name, payload.run_id, (payload.collection, payload.version))
        case run_records.CheckpointSaved():
            return Hold(digest, name, payload.run_id, checkpoint=(payload.run_id, payload.name))
        case run_records.RunStarted() | run_records.RunInput() | run_records.RunOutput() | run_records.EvaluationMade():
            return Hold(digest, name, payload.run_id)
        case run_records.ExperiencesInserted() | run_records.ExperienceSnapshot() | run_records.FingerprintsKept():
            return Hold(digest, name, payload.run_id)
        case _:
            return Hold(digest, name)
