"""The versions that runs of other tools get, however often and in however many steps they are imported.

Laws: what is on record keeps its version. Anything else is claimed in the order of the source, except that what equals
its predecessor there is that one's version, and what the same run claimed in an import that was cut off is its version.
A version is claimed once and never renumbered; so where older ones come after newer ones, what the collection's name
meant claims the newest version again. Of a source that says what it has now, that is what the name means as soon as it
comes. A dry run goes the same way and claims nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from repro_assets.artifacts import names
from repro_assets.identity.digest import Digest
from repro_assets.interchange.imports.foreign import ForeignRun
from repro_assets.store.home import Home

Versions = dict[tuple[str, str], names.Version]
"""Versions by run and slot."""
OnRecord = Mapping[tuple[str, str, str], int | None]
"""Version by run, slot and digest of each output that is on record; None where it has none."""


class Claimed(NamedTuple):
    """What versions an import's outputs have.

    Parameters
    ----------
    versions : dict
        Of the outputs that are on no record.
    again : list of Version
        Those that were claimed again, so that a name means what it should.
    new : list of Version
        Those that nobody had claimed before.
    notes : list of str
        What a person is told of them.
    """

    versions: Versions
    again: list[names.Version]
    new: list[names.Version]
    notes: list[str]


class _Placed(NamedTuple):
    """An output in its place in the source."""

    run_id: str | None
    version: names.Version
    recorded: bool


class _Collection:
    """The versions of a collection, and those that are claimed now."""

    def __init__(self, home: Home | None, name: str, new: list[names.Version], *, dry_run: bool) -> None:
        self._home, self._name, self._new, self._dry_run = home, name, new, dry_run
        self._there = [] if home is None else names.versions(home, name)
        self._mine: set[int] = set()
        self.last: _Placed | None = None
        self.current: _Placed | None = None

    def numbered(self, number: int) -> names.Version | None:
        """Return a version by its number."""
        return next((version for version in self._there if version.number == number), None)

    def version_of(self, run_id: str, digest: Digest, kind: str) -> names.Version:
        """Return the version of an output that is on no record."""
        if self.last is not None and self.last.version.digest == digest and not self.last.version.deleted:
            return self.last.version
        mine = [v for v in self._there if (v.run_id, v.digest) == (run_id, digest) and not v.deleted]
        version = mine[0] if mine else self._claim(digest, kind, run_id)
        if version.run_id == run_id:
            self._mine.add(version.number)
        return version

    def meant_again(self) -> tuple[names.Version, names.Version] | None:
        """Claim again what the name means, where that is not newest; return what it was, and as what it was claimed."""
        placed = self.current or self.last
        sound = [version for version in self._there if not version.deleted and not version.trial]
        if placed is None or not sound:
            return None
        if not placed.recorded:
            meant, run_id = placed.version, placed.run_id
        else:
            before = [version for version in sound if version.number not in self._mine]
            if sound[-1].number not in self._mine or not before:
                return None
            meant, run_id = before[-1], before[-1].run_id
        if sound[-1].digest == meant.digest:
            return None
        return meant, self._claim(meant.digest, meant.kind, run_id)

    def _claim(self, digest: Digest, kind: str, run_id: str | None) -> names.Version:
        if self._home is not None and not self._dry_run:
            version, new = names.claim(self._home, self._name, digest, kind, run_id, trial=False)
        else:
            last = self._there[-1] if self._there else None
            new = last is None or last.digest != digest or last.deleted or last.trial
            number = (last.number if last else 0) + 1
            version = names.Version(self._name, number, digest, kind, run_id, False) if new or last is None else last
        if new:
            self._there.append(version)
            self._new.append(version)
        return version


def claim_versions(home: Home | None, runs: Iterable[ForeignRun], known: OnRecord, *, dry_run: bool) -> Claimed:
    """Give the outputs of runs their versions, or tell them where nothing is to be written.

    Parameters
    ----------
    home : Home or None
        The store; None, for a dry run only, is an empty one.
    runs : iterable of ForeignRun
        All runs of a source, in its order, each once.
    known : mapping
        The outputs that are on record.
    dry_run : bool
        Claim nothing.

    Raises
    ------
    MachineError
        If a version cannot be claimed.
    """
    found = Claimed({}, [], [], [])
    collections: dict[str, _Collection] = {}
    fresh: dict[str, None] = {}
    for run in runs:
        for output in run.outputs:
            if output.collection is None:
                continue
            if output.collection not in collections:
                collections[output.collection] = _Collection(home, output.collection, found.new, dry_run=dry_run)
            collection, digest = collections[output.collection], output.artifact.digest
            key = (run.run_id, output.slot, str(digest))
            if key in known:
                number = known[key]
                version = None if number is None else collection.numbered(number)
            else:
                version = collection.version_of(run.run_id, digest, output.artifact.manifest.kind)
                found.versions[run.run_id, output.slot] = version
                fresh[output.collection] = None
            if version is not None:
                collection.last = _Placed(run.run_id, version, key in known)
                if output.current:
                    collection.current = collection.last
    for name in fresh:
        pair = collections[name].meant_again()
        if pair is not None:
            meant, again = pair
            found.again.append(again)
            found.notes.append(f"{again} is {meant} again, so that the newest version is what is newest there")
    return found
