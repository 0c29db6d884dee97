"""What the records of runs say, from their start to their replay. `records` has the form that all have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from repro_assets.journal.input_records import RunInput as RunInput
from repro_assets.journal.input_records import UndeclaredInputs as UndeclaredInputs
from repro_assets.journal.metrics import Metrics as Metrics
from repro_assets.journal.records import Payload


@dataclass(frozen=True, slots=True)
class RunStarted(Payload):
    """One execution of one recipe has begun; everything that is known before its first step.

    `run_kind` is ``asset``, ``parent``, ``script``, ``command`` or ``notebook``, or ``imported``, where `RunImported`
    says from where. `plan` is what a replay needs beside source, environment and inputs: code location (module,
    attribute), job, selection of assets and checks, partition keys, config as given, tags, executor, dynamic
    partitions, names of needed variables, argv and working folder.
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
class RunTraced(Payload):
    """The trace and the span of a run, in hexadecimal; the spans themselves are no records and may be lost."""

    kind: ClassVar[str] = "run_traced"
    run_id: str
    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class ConsoleKept(Payload):
    """What a run wrote to a stream, ``stdout`` or ``stderr``: `size` bytes, of which `left_out` are not in the text."""

    kind: ClassVar[str] = "console"
    run_id: str
    stream: str
    text: str
    size: int
    left_out: int


@dataclass(frozen=True, slots=True)
class NotebookCells(Payload):
    """Cells of a notebook, as nbformat has them, that were executed between a run's start and its end, in order.

    Those that were executed before, and the one in which it began, are in the run's source tree.
    """

    kind: ClassVar[str] = "notebook_cells"
    run_id: str
    cells: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ReadingsMissing(Payload):
    """Readings of the machine that could not be had during a run, name to reason."""

    kind: ClassVar[str] = "readings_missing"
    run_id: str
    reasons: dict[str, str]


@dataclass(frozen=True, slots=True)
class RunResumed(Payload):
    """A run goes on from a checkpoint of another run, after that one's `step`; the checkpoint is also its input."""

    kind: ClassVar[str] = "run_resumed"
    run_id: str
    resumed_run_id: str
    checkpoint: str
    digest: str
    step: int


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
class RunDeleted(Payload):
    """What a run read, wrote and was made from need not be kept for its sake; its records stay."""

    kind: ClassVar[str] = "run_deleted"
    run_id: str


@dataclass(frozen=True, slots=True)
class RunTagged(Payload):
    """A person changed the tags of a run; of several records about one tag the latest counts."""

    kind: ClassVar[str] = "run_tagged"
    run_id: str
    added: list[str]
    removed: list[str]


@dataclass(frozen=True, slots=True)
class RunNoted(Payload):
    """A person wrote a note about a run; the latest is shown, an empty one takes it away, and none is lost."""

    kind: ClassVar[str] = "run_noted"
    run_id: str
    text: str


@dataclass(frozen=True, slots=True)
class WorkReused(Payload):
    """A parent run needed what `run_id` had made before, so that no run of its own was made for it."""

    kind: ClassVar[str] = "work_reused"
    parent_run_id: str
    run_id: str
    asset: str | None = None
    partition: str | None = None


@dataclass(frozen=True, slots=True)
class CheckpointDeleted(Payload):
    """A checkpoint of a run need not be kept any more."""

    kind: ClassVar[str] = "checkpoint_deleted"
    run_id: str
    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class Params(Payload):
    """Parameters of a run; later values of one name win."""

    kind: ClassVar[str] = "params"
    run_id: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SeedsUsed(Payload):
    """The named consumers of a run and the seeds they derived from its root."""

    kind: ClassVar[str] = "seeds"
    run_id: str
    root: int
    derived: dict[str, int]


@dataclass(frozen=True, slots=True)
class PackagesUsed(Payload):
    """Distributions, name to version, of which a process of the run had imported modules when it ended."""

    kind: ClassVar[str] = "packages_used"
    run_id: str
    packages: dict[str, str]


@dataclass(frozen=True, slots=True)
class CheckpointSaved(Payload):
    """A checkpoint of a run; `name` is its display name ``checkpoint_<type>_<id>``.

    `parent` is the digest of the checkpoint before it in this run, or of the one that the run was resumed from.
    """

    kind: ClassVar[str] = "checkpoint"
    run_id: str
    name: str
    checkpoint_type: str
    identifier: str
    digest: str
    step: int
    metrics: dict[str, float] = field(default_factory=dict)
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class ExperiencesInserted(Payload):
    """A run took experiences into its buffer: ids `first` on, up to stream position `position`."""

    kind: ClassVar[str] = "experiences_inserted"
    run_id: str
    digest: str
    first: int
    count: int
    position: int


@dataclass(frozen=True, slots=True)
class ExperienceSnapshot(Payload):
    """A run stored its experience buffer, which holds `held`, `new` of them since the snapshot before.

    `name` is the display name ``experience_buffer_<timestamp>``; `reason` is ``interval``, ``count`` or ``demand``.
    """

    kind: ClassVar[str] = "experience_snapshot"
    run_id: str
    name: str
    digest: str
    step: int
    position: int
    held: int
    new: int
    reason: str


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
class CurriculumChanged(Payload):
    """A curriculum changed after `step` updates, for `reason`; `metrics` are the figures that decided, as smoothed.

    `from_stage` is None at the start; `mix` is the share of each level of difficulty from then on.
    """

    kind: ClassVar[str] = "curriculum_changed"
    run_id: str
    step: int
    from_stage: str | None
    to_stage: str
    reason: str
    metrics: dict[str, float]
    mix: dict[str, float]


@dataclass(frozen=True, slots=True)
class TrainingEvent(Payload):
    """Something happened in a training after `step` updates; `event` is its kind, such as ``germination``."""

    kind: ClassVar[str] = "training_event"
    run_id: str
    event: str
    step: int
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fingerprints(Payload):
    """XXH3-128 of each named tensor after `step`; runs that keep theirs in tables write `FingerprintsKept`."""

    kind: ClassVar[str] = "fingerprints"
    run_id: str
    step: int
    tensors: dict[str, str]


@dataclass(frozen=True, slots=True)
class FingerprintsKept(Payload):
    """A run stored `count` fingerprints of the steps from `first` to `last` as the table `digest`."""

    kind: ClassVar[str] = "fingerprints_kept"
    run_id: str
    digest: str
    first: int
    last: int
    count: int


@dataclass(frozen=True, slots=True)
class CheckMade(Payload):
    """A check gave its answer about an asset or a run; `parent_run_id` is the Dagster run in which it was made."""

    kind: ClassVar[str] = "check"
    name: str
    passed: bool
    run_id: str | None = None
    asset: str | None = None
    partition: str | None = None
    severity: str = "ERROR"
    details: dict[str, Any] = field(default_factory=dict)
    parent_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class ReplayMade(Payload):
    """A run was executed again.

    `products` has name, verdict, original and replayed digest of each, and of those with other bits the deviations.
    """

    kind: ClassVar[str] = "replay"
    original_run: str
    replay_run: str | None
    verdict: str
    reason: str | None = None
    products: list[dict[str, Any]] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    seconds: float | None = None
    tolerance: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RunEnded(Payload):
    """A run is over. `state` is COMPLETED, FAILED or INTERRUPTED (cancelled); `error` has type, message, trace;
    `warnings` are those that came after the start."""

    kind: ClassVar[str] = "run_ended"
    run_id: str
    state: str
    error: dict[str, str] | None = None
    edited_sources: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunImported(Payload):
    """A run was recorded by another tool, and is here as that tool had it.

    `place` is the file, folder or server that it came from, without credentials, and `foreign_id` the run's id there;
    `started` and `ended` are seconds since 1970 where that tool knew them; `details` are what else it says of where the
    run comes from. Nothing is known of its environment and source but what stands there.
    """

    kind: ClassVar[str] = "run_imported"
    run_id: str
    tool: str
    place: str
    foreign_id: str
    started: float | None = None
    ended: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


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
