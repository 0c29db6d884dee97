"""The kinds of records of the journal, and what each of them says.

Laws: the id of a record is ``<segment>:<seq>``; a kind is known by its name, which is never given to another one;
digests stand in string form. `lines` has how a record is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Payload:
    """What a record of one kind says; subclasses name their kind."""

    kind: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Process(Payload):
    """First record of every segment: which process writes it.

    `host_id` tells two hosts of one name apart, `boot_id` one start of a host from the next.
    """

    kind: ClassVar[str] = "process"
    host: str
    host_id: str
    boot_id: str
    pid: int
    argv: list[str]


@dataclass(frozen=True, slots=True)
class RunStarted(Payload):
    """One execution of one recipe has begun; everything that is known before its first step.

    `run_kind` is ``asset``, ``parent``, ``script``, ``command`` or ``notebook``. `plan` is what a replay needs beside
    source, environment and inputs: code location (module, attribute), job, selection of assets and checks, partition
    keys, config as given, tags, executor, dynamic partitions, names of needed variables, argv and working folder.
    """

    kind: ClassVar[str] = "run_started"
    run_id: str
    run_kind: str
    name: str
    parent_run_id: str | None = None
    recipe: str | None = None
    asset: str | None = None
    partition: str | None = None
    job: str | None = None
    experiment: str | None = None
    tags: list[str] = field(default_factory=list)
    trial: bool = False
    replay_of: str | None = None
    seed: int | None = None
    mode: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    capture_level: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    code_version: str | None = None
    reuse_key: str | None = None
    device: str | None = None
    environment: str | None = None
    source: str | None = None
    source_facts: dict[str, Any] = field(default_factory=dict)
    host_facts: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ArtifactStored(Payload):
    """The manifest and all objects of an artifact are durable. `size` is the logical size in bytes."""

    kind: ClassVar[str] = "artifact"
    digest: str
    artifact_kind: str
    size: int
    parts: int


@dataclass(frozen=True, slots=True)
class RunInput(Payload):
    """A run read an artifact. `made_by` is the run that wrote it, where known."""

    kind: ClassVar[str] = "run_input"
    run_id: str
    slot: str
    digest: str
    asset: str | None = None
    partition: str | None = None
    made_by: str | None = None
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class RunOutput(Payload):
    """A run wrote an artifact. `name` is the display name, `version` the claimed version of `collection`."""

    kind: ClassVar[str] = "run_output"
    run_id: str
    slot: str
    digest: str
    name: str
    asset: str | None = None
    partition: str | None = None
    collection: str | None = None
    version: int | None = None


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
class AliasMoved(Payload):
    """`alias` of `collection` points to `version` now; `replaces` is the id of the move before."""

    kind: ClassVar[str] = "alias"
    collection: str
    alias: str
    version: int
    digest: str
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class VersionDeleted(Payload):
    """A version names nothing any more; its number is never given again."""

    kind: ClassVar[str] = "version_deleted"
    collection: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class RunDeleted(Payload):
    """What a run read, wrote and was made from need not be kept for its sake; its records stay."""

    kind: ClassVar[str] = "run_deleted"
    run_id: str


@dataclass(frozen=True, slots=True)
class CheckpointDeleted(Payload):
    """A checkpoint of a run need not be kept any more."""

    kind: ClassVar[str] = "checkpoint_deleted"
    run_id: str
    name: str
    digest: str


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


@dataclass(frozen=True, slots=True)
class Params(Payload):
    """Parameters of a run; later values of one name win."""

    kind: ClassVar[str] = "params"
    run_id: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Metrics(Payload):
    """A batch of metric points: rows of (name, step or null, value, wall time in seconds)."""

    kind: ClassVar[str] = "metrics"
    run_id: str
    rows: list[list[Any]]
    system: bool = False


@dataclass(frozen=True, slots=True)
class SeedsUsed(Payload):
    """The named consumers of a run and the seeds they derived from its root."""

    kind: ClassVar[str] = "seeds"
    run_id: str
    root: int
    derived: dict[str, int]


@dataclass(frozen=True, slots=True)
class CheckpointSaved(Payload):
    """A checkpoint of a run; `name` is its display name ``checkpoint_<type>_<id>``."""

    kind: ClassVar[str] = "checkpoint"
    run_id: str
    name: str
    checkpoint_type: str
    identifier: str
    digest: str
    step: int
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EvaluationMade(Payload):
    """A model was evaluated on a data set; `digest` is the artifact that holds the whole result."""

    kind: ClassVar[str] = "evaluation"
    run_id: str
    name: str
    model: str
    dataset: str
    digest: str
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Fingerprints(Payload):
    """XXH3-128 of each named tensor after `step`."""

    kind: ClassVar[str] = "fingerprints"
    run_id: str
    step: int
    tensors: dict[str, str]


@dataclass(frozen=True, slots=True)
class CheckMade(Payload):
    """A check gave its answer about an asset or a run."""

    kind: ClassVar[str] = "check"
    name: str
    passed: bool
    run_id: str | None = None
    asset: str | None = None
    partition: str | None = None
    severity: str = "ERROR"
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReplayMade(Payload):
    """A run was executed again. `products` has name, verdict, original and replayed digest of each."""

    kind: ClassVar[str] = "replay"
    original_run: str
    replay_run: str | None
    verdict: str
    reason: str | None = None
    products: list[dict[str, Any]] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RunEnded(Payload):
    """A run is over. `state` is COMPLETED, FAILED or INTERRUPTED (cancelled); `error` has type, message, trace."""

    kind: ClassVar[str] = "run_ended"
    run_id: str
    state: str
    error: dict[str, str] | None = None
    edited_sources: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ParentState(Payload):
    """Dagster's own state of a parent run, copied; `status` is Dagster's word for it."""

    kind: ClassVar[str] = "parent_state"
    run_id: str
    state: str
    status: str
    job: str | None = None
    started: float | None = None
    ended: float | None = None
    error: dict[str, str] | None = None


PAYLOADS: dict[str, type[Payload]] = {
    cls.kind: cls
    for cls in (
        Process,
        RunStarted,
        ArtifactStored,
        RunInput,
        RunOutput,
        VersionClaimed,
        AliasMoved,
        Params,
        Metrics,
        SeedsUsed,
        CheckpointSaved,
        EvaluationMade,
        Fingerprints,
        CheckMade,
        ReplayMade,
        RunEnded,
        ParentState,
        VersionDeleted,
        RunDeleted,
        CheckpointDeleted,
        ArtifactEvicted,
    )
}


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a segment, read."""

    segment: str
    seq: int
    time: float
    follows: tuple[str, ...]
    payload: Payload

    @property
    def id(self) -> str:
        """``<segment>:<seq>``, unique for ever."""
        return f"{self.segment}:{self.seq}"
