"""Dropping bytes that a replay makes again.

Laws: an artifact is evicted only for the sake of a run that wrote it, was not deleted, whose latest replay was
`identical`, and whose source tree is there; its inputs must be there, or be evicted themselves without their rebuilding
needing this one; what an alias names stays. So what was never made by a run stays, and every evicted artifact can be
rebuilt, one replay after the other. The eviction is recorded before a byte is dropped; manifest and record stay.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.retention import Ledger, read_ledger, roots_of
from repro_assets.errors import IntegrityError
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.journal.artifact_records import ArtifactEvicted
from repro_assets.journal.segments import journal_at
from repro_assets.store.collection import collect
from repro_assets.store.home import Home
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects

IDENTICAL = "identical"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An artifact whose bytes can go, the run that makes it again, and the record of the replay that shows it."""

    digest: Digest
    name: str
    run_id: str
    replay: str


@dataclass(frozen=True, slots=True)
class Evicted:
    """What was evicted, or would be; bytes and objects are those that were dropped."""

    dry_run: bool
    artifacts: list[Candidate] = field(default_factory=list)
    objects: int = 0
    bytes: int = 0


def evict_reproducible(home: Home, *, dry_run: bool = False) -> Evicted:
    """Drop the bytes of every artifact that a replay has been seen to make again.

    Parameters
    ----------
    home : Home
        The store.
    dry_run : bool
        Only tell what would go.

    Raises
    ------
    IntegrityError
        If a line of the journal, a claim or a manifest does not read; nothing was dropped then.
    MachineError
        If the evictions cannot be recorded or the bytes not be removed.
    """
    ledger, objects = read_ledger(home), open_objects(home, DECODERS)
    chosen = choose(ledger, objects)
    # An eviction that was cut off behind its record is gone on with.
    begun = {digest for digest in ledger.evictions if ledger.eviction(digest) is not None and objects.has(digest)}
    going = _going(ledger, objects, {item.digest for item in chosen} | begun)
    if dry_run:
        placed = [objects.placement(digest).stored_size for digest in going]
        return Evicted(True, chosen, len(placed), sum(placed))
    if chosen:
        journal_at(home.journal).append(
            *(
                ArtifactEvicted(str(item.digest), item.run_id, item.replay, sorted(ledger.stored.get(item.digest, ())))
                for item in chosen
            )
        )
    done = collect(objects, lambda: roots_of(home), delete=True, now=True, only=going)
    return Evicted(False, chosen, done.freed_objects, done.freed_bytes - done.written_bytes)


def choose(ledger: Ledger, objects: LocalObjects) -> list[Candidate]:
    """Return the artifacts whose bytes can go, in an order in which each rests on what stays or went before it."""
    identical = _identical(ledger)
    inputs: dict[str, set[Digest]] = {}
    for read in ledger.inputs:
        inputs.setdefault(read.run_id, set()).add(Digest.parse(read.digest))
    sources = {hold.run: hold.digest for hold in ledger.holds() if hold.name == f"source tree of run {hold.run}"}
    named = {digest for key in ledger.aliases() for digest in [ledger.versions[key]]}
    # What was evicted before, and by which run it is rebuilt.
    makers = {digest: earlier.run_id for digest in ledger.evictions if (earlier := ledger.eviction(digest)) is not None}

    def rests_on(run: str, wanted: Digest, seen: set[Digest]) -> bool:
        """Tell whether rebuilding by `run` needs `wanted`."""
        for digest in inputs.get(run, ()):
            if digest == wanted:
                return True
            if digest in makers and digest not in seen:
                seen.add(digest)
                if rests_on(makers[digest], wanted, seen):
                    return True
        return False

    whole: dict[Digest, bool] = {}

    def is_whole(digest: Digest) -> bool:
        if digest not in whole:
            whole[digest] = _is_whole(objects, digest)
        return whole[digest]

    found: list[Candidate] = []
    for output in ledger.outputs:
        digest, run = Digest.parse(output.digest), output.run_id
        if run not in identical or run in ledger.deleted_runs or digest in makers or digest in named:
            continue
        there = run in sources and is_whole(sources[run]) and is_whole(digest)
        ready = all(item in makers or is_whole(item) for item in inputs.get(run, ()))
        if there and ready and not rests_on(run, digest, set()):
            makers[digest] = run
            found.append(Candidate(digest, output.name, run, identical[run]))
    return found


def evicted_by(home: Home, digest: Digest) -> str | None:
    """Return the run that rebuilds an artifact whose bytes were dropped; None if they were not.

    Raises
    ------
    CorruptRecord
        If a line of the journal does not read.
    """
    found = read_ledger(home).eviction(digest)
    return None if found is None else found.run_id


def _identical(ledger: Ledger) -> dict[str, str]:
    """Return the latest replay of each run for which it was identical."""
    latest = {}
    for record, replay in sorted(ledger.replays, key=lambda item: (item[0].time, item[0].segment, item[0].seq)):
        latest[replay.original_run] = (record.id, replay.verdict)
    return {run: record for run, (record, verdict) in latest.items() if verdict == IDENTICAL}


def _going(ledger: Ledger, objects: LocalObjects, chosen: Collection[Digest]) -> set[Digest]:
    """Return the objects that only the chosen artifacts need."""
    going: set[Digest] = set()
    for digest in chosen:
        going.update(part for part in Manifest.decode(objects.read(digest)).objects() if objects.has(part))
    roots = ledger.roots()
    for digest in set(roots.artifacts) - set(chosen):
        going.difference_update(Manifest.decode(objects.read(digest)).objects())
    return going - set(roots.artifacts) - set(roots.alone)


def _is_whole(objects: LocalObjects, digest: Digest) -> bool:
    try:
        return all(objects.has(part) for part in set(Manifest.decode(objects.read(digest)).objects()))
    except IntegrityError:
        return False
