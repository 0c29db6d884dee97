"""Storing artifacts and finding them by what the store alone knows: digests, collections, versions.

Laws: objects and manifest are durable before the record names them; the record is durable before `put` or `claim`
returns, also where an earlier process stored or claimed the same and died before it could record it: each process
records what it stores and claims once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from repro_assets.artifacts import names
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import DECODERS, kind_named, kind_of, tree
from repro_assets.errors import UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.journal.artifact_records import ArtifactStored, VersionClaimed
from repro_assets.journal.segments import journal_at
from repro_assets.store import outlines
from repro_assets.store.home import Home
from repro_assets.store.opening import open_objects

_recorded: set[tuple[str, Digest]] = set()
"""Segment and digest of what this process has recorded as stored."""
_claimed: set[tuple[str, str, int]] = set()
"""Segment, collection and number of the versions that this process has recorded."""


def put(home: Home, value: Any, kind: str | None = None, *, name: str | None = None) -> Artifact:
    """Store a value as an artifact.

    Parameters
    ----------
    home : Home
        The store.
    value : object
        A value that `kind` holds.
    kind : str, optional
        The kind; by the value's type if left out.
    name : str, optional
        A display name for the handle.

    Raises
    ------
    InvalidValue
        If the kind cannot hold the value.
    MachineError
        If it cannot be written; nothing of it shows then.
    """
    kind = kind or kind_of(value)
    survey = tree.survey(value) if kind == tree.NAME and isinstance(value, Path) else None
    known = None if survey is None else outlines.recall(home, survey.root, survey.outline)
    with open_objects(home, DECODERS).batch() as batch:
        if known is not None and batch.rely_on(known):
            digest, size, parts = known.manifest, known.size, known.parts
        else:
            manifest = kind_named(kind).write(value if survey is None else survey, batch)
            digest, size, parts = batch.put(manifest.encode()), manifest.size, len(manifest.entries)
            known = None
    if survey is not None and survey.rested and known is None:
        outlines.remember(batch, survey.root, survey.outline, manifest, digest)
    journal = journal_at(home.journal)
    if digest in batch.written or (journal.segment, digest) not in _recorded:
        journal.append(ArtifactStored(str(digest), kind, size, parts))
        _recorded.add((journal.segment, digest))
    return Artifact(home, digest, kind, name=name)


def claim(artifact: Artifact, collection: str, *, run_id: str | None = None, trial: bool = False) -> Artifact:
    """Give the artifact a version in `collection` and return the handle that knows it."""
    names.check_collection(collection)
    version, new = names.claim(artifact.home, collection, artifact.digest, artifact.kind, run_id, trial=trial)
    journal = journal_at(artifact.home.journal)
    if new or (journal.segment, collection, version.number) not in _claimed:
        journal.append(record_of(version))
        _claimed.add((journal.segment, collection, version.number))
    return handle(artifact.home, version, name=artifact.name)


def record_of(version: names.Version) -> VersionClaimed:
    """Return the record that a version was claimed."""
    return VersionClaimed(
        version.collection, version.number, str(version.digest), version.kind, version.run_id, version.trial
    )


def handle(home: Home, version: names.Version, name: str | None = None) -> Artifact:
    """Return the handle of a claimed version."""
    return Artifact(home, version.digest, version.kind, version.collection, version.number, name, version.run_id)


def by_digest(home: Home, digest: Digest, *, name: str | None = None, run_id: str | None = None) -> Artifact:
    """Return the handle of a stored artifact.

    Raises
    ------
    UnknownName
        If no manifest is stored under `digest`.
    """
    objects = open_objects(home, DECODERS)
    if not objects.has(digest):
        raise UnknownName(f"no artifact is stored under {digest}", "see: repro artifacts list")
    return Artifact(home, digest, Manifest.decode(objects.read(digest)).kind, name=name, run_id=run_id)


def by_name(home: Home, text: str, *, deleted: bool = False) -> Artifact | None:
    """Return what ``NAME``, ``NAME:v3``, ``NAME@latest`` or a whole digest names; None where `text` is none of these.

    Parameters
    ----------
    home : Home
        The store.
    text : str
        The name; ``NAME`` is the newest version that no trial made.
    deleted : bool
        Also a version that was deleted, where `text` gives its number.

    Raises
    ------
    UnknownName
        If there is no such version or digest.
    """
    if match := names.NUMBERED.fullmatch(text):
        return handle(home, names.version(home, match["collection"], int(match["number"]), deleted=deleted))
    if text.startswith("sha256:") and len(text) == 71:
        return by_digest(home, Digest.parse(text))
    collection, separator, alias = text.partition("@")
    if alias == "latest" or (not separator and text in names.collections(home)):
        return handle(home, names.newest(home, collection))
    return None


def version_of(artifact: Artifact) -> names.Version:
    """Return the version as which a handle was found.

    Raises
    ------
    UnknownName
        If it was found by other means, such as its digest.
    """
    if artifact.collection is None or artifact.version is None:
        raise UnknownName(f"{artifact} is not named as a version", "name it NAME:v3; see: repro artifacts show")
    return names.version(artifact.home, artifact.collection, artifact.version)
