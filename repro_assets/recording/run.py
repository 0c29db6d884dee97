"""The run handle that every recipe is given.

Laws: a run's start is on the disk before its recipe begins; what it logs is on the disk within a second, or when
`Run.flush` has returned, or when the run has ended; nothing is dropped: a full buffer makes the caller wait, and what a
run is given after its end is refused; the end is recorded once, by the process that began the run: a forked child that
has it too only adds to it, in a segment of its own. A run whose process dies has no end record, and is shown as
INTERRUPTED by whoever looks. What looks like a credential is not recorded (`repro_assets.recording.redaction`).

`Run.log_metric` only appends to a deque; one thread of the process writes all buffers twice a second.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import operator
import os
import secrets
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.determinism.seeds import Seeds
from repro_assets.errors import InvalidValue
from repro_assets.journal import records, run_records
from repro_assets.journal.segments import HEARTBEAT_SECONDS, journal_at
from repro_assets.recording import used
from repro_assets.recording.redaction import redact, redact_start
from repro_assets.store.home import Home

if TYPE_CHECKING:
    import torch

FLUSH_SECONDS = 0.5
BUFFER_ROWS = 100_000

COMPLETED = "COMPLETED"
FAILED = "FAILED"
INTERRUPTED = "INTERRUPTED"


def new_run_id() -> str:
    """Return 16 random hexadecimal digits; any 8 of the first tell two runs apart."""
    return secrets.token_hex(8)


class Run:
    """One execution of one recipe, being recorded.

    Use `begin`, not the constructor. All methods may be called from any thread.

    Attributes
    ----------
    home : Home
        The store.
    run_id : str
        Its id.
    seeds : Seeds
        Where every consumer of randomness gets its seed.
    started : RunStarted
        What was recorded at the start.
    warnings : list of str
        Those of the start, and what was redacted since.
    edited_sources : list of str
        Source files that were edited while the run executed; recorded at the end.
    """

    def __init__(self, home: Home, started: run_records.RunStarted) -> None:
        started = redact_start(started)
        self.home = home
        self.run_id = started.run_id
        self.started = started
        self.warnings = list(started.warnings)
        self.seeds = Seeds(started.seed or 0)
        self.state: str | None = None
        self.outputs: dict[str, Artifact] = {}
        self.checkpoints: list[str] = []
        self.params: dict[str, Any] = {}
        self.last_metrics: dict[str, float] = {}
        self.curves: dict[str, list[tuple[int, float]]] = {}
        self.edited_sources: list[str] = []
        # A deque, because `append` and `popleft` of two threads cannot lose an item, and the caller needs no lock.
        self._points: deque[list[Any]] = deque()
        self._lock = threading.RLock()
        self._forked = False
        self._journal = journal_at(home.journal)
        self._journal.append(started)
        _flusher.watch(self)
        used.watch(self.run_id, home.journal)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record parameters; a later value of one name wins."""
        shown, found = redact(dict(params), "params")
        self._record(run_records.Params(self.run_id, shown))
        self.params.update(shown)
        self.warnings += found

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Record one point of a metric; it is durable within a second.

        Raises
        ------
        InvalidValue
            If the run has ended, `value` is no number or `step` is no integer.
        MachineError
            If the buffer is full and cannot be written; nothing is lost.
        """
        self._refuse_if_ended()
        if self._forked:
            _flusher.watch(self)
        try:
            point = [str(name), None if step is None else operator.index(step), float(value), time.time()]
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidValue(f"metric {name!r} at step {step!r} cannot be {value!r}: {error}") from error
        self._points.append(point)
        # The run may have ended between the look at its state and here.
        if len(self._points) >= BUFFER_ROWS or self.state is not None:
            self.flush()

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record one point of several metrics."""
        for name, value in metrics.items():
            self.log_metric(name, value, step)

    def log_fingerprints(self, step: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """Record the fingerprint of each tensor after `step`."""
        from repro_assets.determinism.fingerprints import fingerprint

        self._record(run_records.Fingerprints(self.run_id, step, fingerprint(tensors)))

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
        self._record(
            run_records.RunInput(self.run_id, slot, str(artifact.digest), asset, partition, artifact.run_id, pinned)
        )

    def checkpoint(
        self,
        kind: str,
        identifier: int | str,
        value: Any,
        *,
        step: int,
        metrics: Mapping[str, float] | None = None,
    ) -> Artifact:
        """Store a checkpoint under the display name ``checkpoint_<kind>_<identifier>``."""
        self._refuse_if_ended()
        name = f"checkpoint_{kind}_{identifier}"
        artifact = repository.put(self.home, value, name=f"{self.run_id}/{name}")
        self._record(
            run_records.CheckpointSaved(
                self.run_id, name, kind, str(identifier), str(artifact.digest), step, dict(metrics or {})
            )
        )
        self.checkpoints.append(name)
        return artifact

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
        self._record(
            run_records.RunOutput(
                self.run_id, slot, str(artifact.digest), name, asset, partition, collection, artifact.version
            )
        )
        self.outputs[slot] = artifact
        return artifact

    def log_readings(self, readings: Mapping[str, float]) -> None:
        """Record what the machine did at this moment; no metric of the work.

        Raises
        ------
        InvalidValue
            If the run has ended.
        MachineError
            If it cannot be written.
        """
        now = time.time()
        self._record(
            run_records.Metrics(self.run_id, [[name, None, value, now] for name, value in readings.items()], True)
        )

    def log_evaluation(
        self, name: str, model: Artifact, dataset: Artifact, result: Artifact, metrics: Mapping[str, float]
    ) -> None:
        """Record that `result` is what `model` reached on `dataset`."""
        self._record(
            run_records.EvaluationMade(
                self.run_id, name, str(model.digest), str(dataset.digest), str(result.digest), dict(metrics)
            )
        )

    def log_check(self, name: str, passed: bool, **details: Any) -> None:
        """Record the answer of a check about this run."""
        shown, found = redact(details, f"check.{name}")
        self._record(
            run_records.CheckMade(name, passed, self.run_id, self.started.asset, self.started.partition, details=shown)
        )
        self.warnings += found

    def flush(self) -> None:
        """Put everything that was logged on the disk before returning."""
        with self._lock:
            points = [self._points.popleft() for _ in range(len(self._points))]
            if not points:
                return
            try:
                self._journal.append(run_records.Metrics(self.run_id, points))
            except BaseException:
                self._points.extendleft(reversed(points))
                raise
            for name, step, value, _ in points:
                self.last_metrics[name] = value
                if step is not None:
                    self.curves.setdefault(name, []).append((step, value))

    def end(self, state: str = COMPLETED, error: BaseException | None = None) -> None:
        """Record the end. A second call changes nothing; in a forked child only what it logged is written."""
        with self._lock:
            if self.state is not None:
                return
            if self._forked:
                self.flush()
                return
            # From here on metrics are refused, so that none is taken that no flush will see.
            self.state = state
            try:
                self.flush()
                self._journal.append(
                    run_records.SeedsUsed(self.run_id, self.seeds.root, dict(self.seeds.used)),
                    used.packages_used(self.run_id),
                    run_records.RunEnded(
                        self.run_id, state, None if error is None else describe(error), self.edited_sources
                    ),
                )
            except BaseException:
                self.state = None
                raise
        _flusher.forget(self)
        used.forget(self.run_id)

    def _record(self, payload: records.Payload) -> None:
        with self._lock:
            self._refuse_if_ended()
            self._journal.append(payload)

    def _refuse_if_ended(self) -> None:
        if self.state is not None:
            raise InvalidValue(f"run {self.run_id} has ended and takes nothing more")

    def _after_fork(self) -> None:
        # The rows in the buffer are the parent's to write, and a thread of it may have held the lock.
        self._points, self._lock, self._forked = deque(), threading.RLock(), True


def begin(home: Home, started: run_records.RunStarted) -> Run:
    """Record the start of a run and return its handle.

    Raises
    ------
    InvalidValue
        If the seed is out of range or the run has no name.
    MachineError
        If the journal cannot be written.
    """
    if not started.name:
        raise InvalidValue("a run needs a name")
    return Run(home, started)


@contextlib.contextmanager
def recorded(run: Run, interruptions: tuple[type[BaseException], ...] = ()) -> Iterator[Run]:
    """End `run` as the body ends: COMPLETED, FAILED with its error, or INTERRUPTED.

    Parameters
    ----------
    run : Run
        A run that has begun.
    interruptions : tuple of exception types
        What counts as a cancellation beside KeyboardInterrupt and SystemExit.
    """
    stops: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit, GeneratorExit, *interruptions)
    try:
        yield run
    except stops as error:
        run.end(INTERRUPTED, error)
        raise
    except BaseException as error:
        run.end(FAILED, error)
        raise
    run.end(COMPLETED)


def describe(error: BaseException) -> dict[str, str]:
    """Return type, message and whole trace of an error, past the secret scanner."""
    from repro_assets.capture.secrets import redact_text

    return {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "message": redact_text(str(error)),
        "trace": redact_text("".join(traceback.format_exception(error))),
    }


class _Flusher:
    """Writes the buffers of all open runs of this process, in one daemon thread."""

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self._thread: threading.Thread | None = None
        self._forked = False
        os.register_at_fork(after_in_child=self._after_fork)
        # A script may leave without ending its run; what it logged in the last half second is still written.
        atexit.register(self._flush_all)

    def watch(self, run: Run) -> None:
        if self._forked:
            # A forked worker of multiprocessing leaves by `os._exit`, past atexit; it was imported then.
            self._forked = False
            util = sys.modules.get("multiprocessing.util")
            if util is not None:
                util.Finalize(None, self._flush_all, exitpriority=0)
        if run not in self._runs:
            self._runs.append(run)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._loop, name="repro-flush", daemon=True)
            self._thread.start()

    def forget(self, run: Run) -> None:
        if run in self._runs:
            self._runs.remove(run)

    def _loop(self) -> None:
        beaten = time.monotonic()
        while True:
            time.sleep(FLUSH_SECONDS)
            beat = time.monotonic() - beaten >= HEARTBEAT_SECONDS
            for run in list(self._runs):
                # A write that fails keeps its rows, and raises again where the run flushes or ends.
                with contextlib.suppress(Exception):
                    run.flush()
                    if beat:
                        run._journal.beat()
            if beat:
                beaten = time.monotonic()

    def _flush_all(self) -> None:
        for run in list(self._runs):
            run.flush()

    def _after_fork(self) -> None:
        # The child has no such thread, and the open runs are its parent's until it logs to one.
        for run in self._runs:
            run._after_fork()
        self._runs, self._thread, self._forked = [], None, True


_flusher = _Flusher()
