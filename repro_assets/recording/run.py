"""The run handle that every recipe is given.

Laws: a run's start is on the disk before its recipe begins; what it logs is on the disk within a second (fingerprints,
within ten), or when `Run.flush` has returned, or when the run has ended; nothing is dropped: a full buffer makes the
caller wait, and what a run is given after its end is refused; the end is recorded once, by the process that began the
run: a forked child that has it too, or a rank that is attached to it, only adds to it, in a segment of its own. A run
whose process dies has no end record. What looks like a credential is not recorded (`repro_assets.recording.redaction`).

`Run.log_metric` and `Run.log_readings` only append to a deque; one thread of the process writes all buffers twice a
second (`repro_assets.recording.flushing`).
"""

from __future__ import annotations

import dataclasses
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.determinism.seeds import Seeds
from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.journal import records, run_records
from repro_assets.journal.segments import journal_at
from repro_assets.recording import console, leaving, tracing, undeclared, used
from repro_assets.recording.fingerprinting import FingerprintLog
from repro_assets.recording.flushing import flusher
from repro_assets.recording.readings import Point, Summary, point_of, records_of, remember, summarize, take
from repro_assets.recording.redaction import describe, redact, redact_start
from repro_assets.recording.tracers import tracers
from repro_assets.store.home import Home

if TYPE_CHECKING:
    from repro_assets.determinism.quantities import Tensors

BUFFER_ROWS = 100_000
RESUME = "resume"  # Slot of the input that is a checkpoint to go on from.

COMPLETED = "COMPLETED"
FAILED = "FAILED"
INTERRUPTED = "INTERRUPTED"


def new_run_id() -> str:
    """Return 16 random hexadecimal digits; any 8 of the first tell two runs apart."""
    return secrets.token_hex(8)


class Run:
    """One execution of one recipe, being recorded.

    Use `repro_assets.recording.lifetime.begin` or `attached`, not the constructor. All methods may be called from
    any thread.

    Attributes
    ----------
    run_id : str
        Its id.
    replay_of : str or None
        The run that this one executes again.
    seeds : Seeds
        Where every consumer of randomness gets its seed.
    started : RunStarted
        What was recorded at the start.
    warnings : list of str
        Those of the start, and what was redacted since.
    events : list of (int, str)
        Step and kind of each event of the training so far.
    edited_sources : list of str
        Source files that were edited while the run executed; recorded at the end.
    told : callable or None
        Is given the points that are on the disk now; it neither waits nor raises.
    newest_step : int or None
        The step of the metric that was logged last, of those with a step.
    readings : dict
        Summary of each reading of the machine so far.
    checkpoints : dict
        Digest of each checkpoint that was saved and not let go, by its display name.
    resumed_from : str or None
        Digest of the checkpoint that the run goes on from, which is its input `RESUME`.
    span : Span
        The run's own span, which begins and ends with it.
    """

    def __init__(self, home: Home, started: run_records.RunStarted, *, owned: bool = True, **of_console: Any) -> None:
        started = redact_start(started)
        # A process that is only attached writes to the streams of the owner, or to none.
        self._console = console.places(home, **of_console) if owned else {}
        started = console.announced(started, self._console)
        self.home = home
        self.run_id = started.run_id
        self.replay_of = started.replay_of
        self.started = started
        self.warnings = list(started.warnings)
        self.seeds = Seeds(started.seed or 0)
        self.state: str | None = None
        self.outputs: dict[str, Artifact] = {}
        self.checkpoints: dict[str, str] = {}
        self.resumed_from: str | None = None
        self.params: dict[str, Any] = {}
        self.last_metrics: dict[str, float] = {}
        self.curves: dict[str, list[tuple[int, float]]] = {}
        self.events: list[tuple[int, str]] = []
        self.edited_sources: list[str] = []
        self.newest_step: int | None = None
        self.told: Callable[[list[Point]], object] | None = None
        self.readings: dict[str, Summary] = {}
        # Deques, because `append` and `popleft` of two threads cannot lose an item, and the caller needs no lock.
        self._points: deque[Point] = deque()
        self._samples: deque[Point] = deque()
        self._lock = threading.RLock()
        self._forked = not owned
        self._journal = journal_at(home.journal)
        self._fingerprints = FingerprintLog(home, self._journal, self.run_id)
        tracers.start(home)
        self._dropped = tracers.dropped()
        self.span = tracing.span(started.name, "run", run_id=self.run_id, home=home)
        if not owned:
            return
        self.span.begin()
        trace, span = self.span.trace_id, self.span.span_id
        traced = [] if trace is None or span is None else [run_records.RunTraced(self.run_id, trace, span)]
        self._journal.append(started, *traced)
        flusher.watch(self)
        leaving.watch(self.run_id, home.journal)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record parameters; a later value of one name wins."""
        shown, found = redact(dict(params), "params")
        self.record(run_records.Params(self.run_id, shown))
        self.params.update(shown)
        self.warnings += found

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Record one point of a metric; it is durable within a second.

        Raises
        ------
        InvalidValue
            If the run has ended, `name` is no text, `value` is no number or `step` is no integer.
        MachineError
            If the buffer is full and cannot be written; nothing is lost.
        """
        if self.state is not None or self._forked:
            self._take()
        if type(value) is float and type(step) is int and type(name) is str and name and name.isascii():
            self._points.append((name, step, value, time.time_ns()))
        else:
            point = point_of(name, value, step)
            self._points.append(point)
            step = point[1]
        if step is not None:
            self.newest_step = step
        # The run may have ended between the look at its state and here.
        if len(self._points) >= BUFFER_ROWS or self.state is not None:
            self.flush()

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record one point of several metrics, or of none where one of them is refused."""
        points = [point_of(name, value, step) for name, value in metrics.items()]
        for name, place, value, _ in points:
            self.log_metric(name, value, place)

    def log_fingerprints(self, step: int, tensors: Tensors, quantity: str = "parameter") -> None:
        """Record the fingerprint of each tensor after `step`; `repro_assets.recording.fingerprinting` keeps them."""
        self._take()
        self._fingerprints.add(step, tensors, quantity)

    def use(
        self,
        slot: str,
        artifact: Artifact,
        *,
        asset: str | None = None,
        partition: str | None = None,
        pinned: bool = False,
    ) -> None:
        """Record that the run reads an artifact."""
        read_as = str(artifact) if artifact.run_id is None and artifact.version is not None else None
        digest, maker = str(artifact.digest), artifact.run_id
        self.record(run_records.RunInput(self.run_id, slot, digest, asset, partition, maker, pinned, read_as))
        if slot == RESUME:
            self.resumed_from = str(artifact.digest)

    def checkpoint(
        self,
        kind: str,
        identifier: int | str,
        value: Any,
        *,
        step: int,
        metrics: Mapping[str, float] | None = None,
        parent: str | None = None,
    ) -> Artifact:
        """Store a checkpoint under the display name ``checkpoint_<kind>_<identifier>``.

        `value` may be the handle of a checkpoint that is stored and gets another name; `parent` is the digest of the
        one before it, `metrics` are figures at `step`.
        """
        self._refuse_if_ended()
        name = f"checkpoint_{kind}_{identifier}"
        with tracing.span(name, "checkpoint", run_id=self.run_id, home=self.home, step=step):
            stored = value if isinstance(value, Artifact) else repository.put(self.home, value)
            artifact = dataclasses.replace(stored, name=f"{self.run_id}/{name}")
            self.record(
                run_records.CheckpointSaved(
                    self.run_id, name, kind, str(identifier), str(artifact.digest), step, dict(metrics or {}), parent
                )
            )
        self.checkpoints[name] = str(artifact.digest)
        return artifact

    def forget_checkpoint(self, name: str) -> None:
        """Record that a checkpoint of this run need not be kept; collection takes what nothing else names.

        Raises
        ------
        UnknownName
            If the run has saved no such checkpoint, or has let it go already.
        """
        digest = self.checkpoints.get(name)
        if digest is None:
            raise UnknownName(
                f"run {self.run_id} has no checkpoint {name}", f"it has: {', '.join(self.checkpoints) or 'none'}"
            )
        self.record(run_records.CheckpointDeleted(self.run_id, name, digest))
        del self.checkpoints[name]

    def log_output(
        self,
        slot: str,
        value: Any,
        *,
        name: str,
        collection: str | None = None,
        asset: str | None = None,
        partition: str | None = None,
    ) -> Artifact:
        """Store a product of the run.

        Parameters
        ----------
        slot : str
            Which of the run's outputs it is.
        value : object
            A value, or the handle of a stored artifact.
        name : str
            Its display name; ``{version}`` in it stands for the version that is claimed.
        collection : str, optional
            Where it gets a version; none if left out, as for a replay.
        """
        self._refuse_if_ended()
        artifact = value if isinstance(value, Artifact) else repository.put(self.home, value, name=name)
        if collection is not None:
            artifact = repository.claim(artifact, collection, run_id=self.run_id, trial=self.started.trial)
        name = name.replace("{version}", str(artifact.version or artifact.digest.hex[:8]))
        artifact = dataclasses.replace(artifact, name=name, run_id=self.run_id)
        self.record(
            run_records.RunOutput(
                self.run_id, slot, str(artifact.digest), name, asset, partition, collection, artifact.version
            )
        )
        self.outputs[slot] = artifact
        return artifact

    def log_readings(self, readings: Mapping[str, float], step: int | None = None) -> None:
        """Record what the machine did at this moment, which is no metric of the work; it is durable within a second.

        Raises
        ------
        InvalidValue
            If the run has ended.
        MachineError
            If the buffer is full and cannot be written; nothing is lost.
        """
        self._take()
        now = time.time_ns()
        self._samples.extend((name, step, float(value), now) for name, value in readings.items())
        if len(self._samples) >= BUFFER_ROWS or self.state is not None:
            self.flush()

    def log_missing_readings(self, reasons: Mapping[str, str]) -> None:
        """Record which readings could not be had, and why."""
        self.record(run_records.ReadingsMissing(self.run_id, dict(reasons)))

    def log_evaluation(
        self, name: str, model: Artifact, dataset: Artifact, result: Artifact, metrics: Mapping[str, float]
    ) -> None:
        """Record that `result` is what `model` reached on `dataset`."""
        self.record(
            run_records.EvaluationMade(
                self.run_id, name, str(model.digest), str(dataset.digest), str(result.digest), dict(metrics)
            )
        )

    def log_curriculum(
        self,
        step: int,
        from_stage: str | None,
        to_stage: str,
        reason: str,
        metrics: Mapping[str, float],
        mix: Mapping[str, float],
    ) -> None:
        """Record that the curriculum changed after `step` updates, and the mix from then on."""
        made = run_records.CurriculumChanged(self.run_id, step, from_stage, to_stage, reason, dict(metrics), dict(mix))
        self.record(made)

    def log_event(self, event: str, step: int, **details: Any) -> None:
        """Record something that happened in the training after `step` updates, at once and durably."""
        shown, found = redact(details, f"event.{event}")
        self.record(run_records.TrainingEvent(self.run_id, event, step, shown))
        self.events.append((step, event))
        self.warnings += found

    def log_check(self, name: str, passed: bool, **details: Any) -> None:
        """Record the answer of a check about this run."""
        shown, found = redact(details, f"check.{name}")
        of = self.started
        self.record(run_records.CheckMade(name, passed, self.run_id, of.asset, of.partition, details=shown))
        self.warnings += found

    def flush(self, *, patient: bool = False) -> None:
        """Put everything that was logged on the disk before returning; fingerprints may wait if `patient`."""
        self._fingerprints.flush(patient=patient)
        with self._lock:
            points, samples, receipt = list[Point](), list[Point](), list[str]()
            try:
                take(self._points, points)
                take(self._samples, samples)
                self._journal.append(*records_of(self.run_id, points, samples), receipt=receipt)
            finally:
                if receipt:
                    if self.told is not None:
                        self.told(points)
                    remember(points, self.last_metrics, self.curves)
                    summarize(samples, self.readings)
                else:
                    self._points.extendleft(reversed(points))
                    self._samples.extendleft(reversed(samples))

    def beat(self) -> None:
        """Renew the heartbeat that other hosts look at."""
        self._journal.beat()

    def end(self, state: str = COMPLETED, error: BaseException | None = None) -> None:
        """Record the end. A second call changes nothing; in a forked child only what it logged is written."""
        with self._lock:
            if self.state is not None:
                return
            if self._forked:
                self.flush()
                self._journal.append(*undeclared.noted(self.run_id, self.warnings))
                leaving.detach(self.run_id)
                return
            if self.spans_dropped:
                self.log_readings({"spans_dropped": self.spans_dropped})
            failure = None if error is None else describe(error)
            known = len(self.started.warnings)
            # From here on metrics are refused, so that none is taken that no flush will see.
            self.state = state
            try:
                self.flush()
                self._journal.append(
                    run_records.SeedsUsed(self.run_id, self.seeds.root, dict(self.seeds.used)),
                    *used.packages_used(self.started, self.home.cache / "environment"),
                    *console.kept(self.home, self.run_id, self._console),
                    *undeclared.noted(self.run_id, self.warnings),
                    run_records.RunEnded(self.run_id, state, failure, self.edited_sources, self.warnings[known:]),
                )
            except BaseException:
                self.state = None
                raise
        flusher.forget(self)
        leaving.forget(self.run_id)
        self.span.end(error if error is not None else None if state == COMPLETED else state)

    @property
    def spans_dropped(self) -> int:
        """Spans that this process has lost since the run began; recorded at its end as a reading, where there are."""
        return tracers.dropped() - self._dropped

    def record(self, payload: records.Payload) -> None:
        """Append a record of the run to the journal; raises as `log_metric`."""
        with self._lock:
            self._refuse_if_ended()
            self._journal.append(payload)

    def _take(self) -> None:
        """Get ready to take something into a buffer."""
        self._refuse_if_ended()
        if self._forked:
            flusher.watch(self)

    def _refuse_if_ended(self) -> None:
        if self.state is not None:
            raise InvalidValue(
                f"run {self.run_id} has ended and takes nothing more", "log before its end, or begin another run"
            )

    def after_fork(self) -> None:
        """Become the handle of a forked child."""
        # The rows in the buffer are the parent's to write, and a thread of it may have held the lock.
        self._points, self._samples, self._lock, self._forked = deque(), deque(), threading.RLock(), True
        self._fingerprints = FingerprintLog(self.home, self._journal, self.run_id)
