"""What deleting each thing would free, sharing taken into account.

Laws: an object counts for a thing exactly if nothing else would keep it: neither another artifact that stays, nor
another reason to keep the artifact; sizes are those of the stored form. So the figures of two things do not add up
where they share, and what each of several shares with the others is in none of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from repro_assets.artifacts.deletion import Deletion, choose_runs
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.retention import Hold, Ledger, read_ledger
from repro_assets.errors import MissingObject
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.store.home import Home
from repro_assets.store.layout import HEADER_SIZE, TRAILER_SIZE
from repro_assets.store.opening import open_objects


@dataclass(frozen=True, slots=True)
class Use:
    """A run, collection or version, and its part of the store.

    Parameters
    ----------
    kind : str
        ``run``, ``collection`` or ``version``.
    name : str
        How it is called; a run by its id.
    bytes, objects : int
        What deleting it would free.
    uses : int
        Bytes that it has to do with, shared ones included.
    with_versions : int or None
        For a run: the bytes that deleting it together with the versions that it claimed would free.
    """

    kind: str
    name: str
    bytes: int
    objects: int
    uses: int
    with_versions: int | None = None


class Room:
    """Which object is there for whose sake.

    Parameters
    ----------
    home : Home
        The store.
    ledger : Ledger
        What the journal says.

    Raises
    ------
    CorruptObject, CorruptRecord
        If a manifest does not read.
    """

    def __init__(self, home: Home, ledger: Ledger) -> None:
        objects = open_objects(home, DECODERS)
        self.ledger = ledger
        self.holds: dict[Digest, list[Hold]] = defaultdict(list)
        for hold in ledger.holds():
            self.holds[hold.digest].append(hold)
        self.objects: dict[Digest, frozenset[Digest]] = {}
        self.owners: Counter[Digest] = Counter()
        self.sizes: dict[Digest, int] = {}
        for artifact in self.holds:
            members = {artifact}
            try:
                members.update(Manifest.decode(objects.read(artifact)).objects())
            except MissingObject:
                # What is not there frees nothing; fsck is who says that it should be.
                members = set()
            for digest in members - self.sizes.keys():
                try:
                    place = objects.placement(digest)
                except MissingObject:
                    continue
                self.sizes[digest] = place.stored_size + (HEADER_SIZE if place.pack else TRAILER_SIZE)
            self.objects[artifact] = frozenset(digest for digest in members if digest in self.sizes)
            self.owners.update(self.objects[artifact])

    def freed(self, deletion: Deletion) -> tuple[int, int]:
        """Return the bytes and the number of objects that a deletion would let go."""
        return self._freed(self._let_go(deletion, self.holds))

    def uses(self) -> list[Use]:
        """Return the part of every collection, version and run, the largest first."""
        by_run: dict[str, set[Digest]] = defaultdict(set)
        by_version: dict[tuple[str, int], set[Digest]] = defaultdict(set)
        for artifact, holds in self.holds.items():
            for hold in holds:
                if hold.run is not None:
                    by_run[hold.run].add(artifact)
                if hold.version is not None:
                    by_version[hold.version].add(artifact)
        found = []
        collections: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for key, artifacts in by_version.items():
            collections[key[0]].append(key)
            found.append(self._use("version", f"{key[0]}:v{key[1]}", Deletion(versions=frozenset([key])), artifacts))
        for name, keys in collections.items():
            artifacts = set().union(*(by_version[key] for key in keys))
            found.append(self._use("collection", name, Deletion(versions=frozenset(keys)), artifacts))
        for run in self.ledger.parents.keys() - self.ledger.deleted_runs:
            alone = choose_runs(self.ledger, [run])
            artifacts = set().union(*(by_run[member] for member in alone.runs if member in by_run))
            use = self._use("run", run, alone, artifacts)
            more = choose_runs(self.ledger, [run], versions=True)
            claimed = set().union(*(by_version[key] for key in more.versions if key in by_version))
            together = self._freed(self._let_go(more, artifacts | claimed))[0]
            found.append(Use(use.kind, use.name, use.bytes, use.objects, use.uses, together))
        order = ("collection", "version", "run")
        return sorted(found, key=lambda use: (order.index(use.kind), -use.bytes, use.name))

    def _use(self, kind: str, name: str, deletion: Deletion, artifacts: Iterable[Digest]) -> Use:
        artifacts = set(artifacts)
        size, number = self._freed(self._let_go(deletion, artifacts))
        touched = set().union(*(self.objects[artifact] for artifact in artifacts))
        return Use(kind, name, size, number, sum(self.sizes[digest] for digest in touched))

    def _let_go(self, deletion: Deletion, artifacts: Iterable[Digest]) -> list[Digest]:
        return [artifact for artifact in artifacts if all(deletion.ends(hold) for hold in self.holds[artifact])]

    def _freed(self, artifacts: Iterable[Digest]) -> tuple[int, int]:
        lost: Counter[Digest] = Counter()
        for artifact in artifacts:
            lost.update(self.objects[artifact])
        gone = [digest for digest, number in lost.items() if number == self.owners[digest]]
        return sum(self.sizes[digest] for digest in gone), len(gone)


def measure_uses(home: Home) -> list[Use]:
    """Return what deleting each collection, version and run would free.

    Raises
    ------
    IntegrityError
        If a line of the journal, a claim or a manifest does not read.
    """
    return Room(home, read_ledger(home)).uses()
