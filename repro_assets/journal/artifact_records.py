"""What the records of artifacts say: stored, named, deleted, evicted. `records` has the form that all have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from repro_assets.journal.records import Payload


@dataclass(frozen=True, slots=True)
class ArtifactStored(Payload):
    """The manifest and all objects of an artifact are durable. `size` is the logical size in bytes."""

    kind: ClassVar[str] = "artifact"
    digest: str
    artifact_kind: str
    size: int
    parts: int


@dataclass(frozen=True, slots=True)
class VersionClaimed(Payload):
    """`version` of `collection` is this artifact, for ever."""

    kind: ClassVar[str] = "version"
    collection: str
    version: int
    digest: str
    artifact_kind: str
    run_id: str | None = None
    trial: bool = False


@dataclass(frozen=True, slots=True)
class VersionDeleted(Payload):
    """A version names nothing any more; its number is never given again."""

    kind: ClassVar[str] = "version_deleted"
    collection: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class AliasMoved(Payload):
    """`alias` of `collection` points to `version` now; `replaces` is the id of the move before."""

    kind: ClassVar[str] = "alias"
    collection: str
    alias: str
    version: int
    digest: str
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class ArtifactEvicted(Payload):
    """The bytes of an artifact were dropped, because replaying `run_id` makes them again; its manifest stays.

    `replay` is the id of the replay record that shows it. `supersedes` are the ids of the `ArtifactStored` records
    that hold no more; one that is not among them says that the bytes are, or were put, there again.
    """

    kind: ClassVar[str] = "artifact_evicted"
    digest: str
    run_id: str
    replay: str
    supersedes: list[str] = field(default_factory=list)
