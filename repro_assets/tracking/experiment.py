"""An experiment: a run of any code, from a script, a function or a notebook.

Laws: it is on the disk before the first line of its body runs, with source and environment; it ends once, in the state
that the way of leaving says; what it logs takes the ways of every run (`repro_assets.recording.run`). Of several ranks
that one launcher started the first records; the others take the same calls, and what they keep is thrown away.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from repro_assets.capture.level import Level
from repro_assets.determinism.global_rng import seed_globals, seeded_globals
from repro_assets.determinism.seeds import Seeds
from repro_assets.errors import InvalidValue
from repro_assets.journal.run_records import RunNoted, RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.recording import tracing
from repro_assets.recording.capturing import Captured, capture
from repro_assets.recording.lifetime import attached, begin
from repro_assets.recording.monitoring import monitored
from repro_assets.recording.redaction import redact_message
from repro_assets.recording.run import COMPLETED, FAILED, INTERRUPTED, Run, new_run_id
from repro_assets.store.home import Home, find_store, make_store, open_store
from repro_assets.tracking import mirrored, opened, program, showing
from repro_assets.tracking.captures import note_end, start_facts
from repro_assets.tracking.configuration import config_of
from repro_assets.tracking.endings import Stopped, not_recorded, state_of, tell_lost
from repro_assets.tracking.outputs import Outputs
from repro_assets.tracking.pinned import pinned, pins_for, pins_of, top

Ending = Callable[[str, str | None], object]


class Experiment(Outputs):
    """A run of the code between its start and its end; a context manager.

    Parameters
    ----------
    name : str, optional
        What it is called; the script's name if left out.
    project : str, optional
        What it belongs to.
    tags : iterable of str
        Tags.
    notes : str, optional
        A note.
    config : object
        What `repro_assets.tracking.configuration.config_of` takes.
    seed : int, optional
        Seeds the global generators for the length of the experiment, 0 to 2^63 - 1; they are left alone if left out.
    capture_level : str or int
        ``basic``, ``standard`` or ``complete``, or 1, 2, 3.
    capture_source, capture_environment : bool
        False to leave that capture out, of which there is a warning.
    monitor : float, optional
        Seconds between two looks at the machine; None for none.
    mirrors : iterable of str
        Other trackers that are told while it goes on: ``tensorboard``, ``mlflow``, ``wandb``, with a place after a
        colon (`repro_assets.mirrors.choosing.mirror_named`).
    offline : bool
        Refuse mirrors that need a network; the variable ``REPRO_OFFLINE`` says so for all.
    trial : bool
        Whether what it makes is never what others load by default.
    home : Home, optional
        The store; that of the current folder if left out, made if there is none.

    Raises
    ------
    InvalidValue
        If a parameter is out of range.

    Examples
    --------
    >>> with Experiment("fit", config={"lr": 0.1}) as run:  # doctest: +SKIP
    ...     run.log_metric("loss", 0.5, step=0)
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        project: str | None = None,
        tags: Iterable[str] = (),
        notes: str | None = None,
        config: Any = None,
        seed: int | None = None,
        capture_level: str | int | Level = Level.STANDARD,
        capture_source: bool = True,
        capture_environment: bool = True,
        monitor: float | None = 1.0,
        mirrors: Iterable[str] = (),
        offline: bool = False,
        trial: bool = False,
        home: Home | None = None,
    ) -> None:
        if not (name is None or isinstance(name, str)):
            raise InvalidValue(f"an experiment cannot be called {name!r}", "give its name as text")
        super().__init__(name or program.name())
        self.project = project
        self.tags = list(dict.fromkeys([tags] if isinstance(tags, str) else tags))
        self.notes = notes
        self.config = config_of(config)
        self.seeds = None if seed is None else Seeds(seed)
        self.capture_level = Level.parse(capture_level)
        self.capture_source = capture_source
        self.capture_environment = capture_environment
        self.monitor = monitor
        self._mirrors = mirrored.chosen([mirrors] if isinstance(mirrors, str) else list(mirrors), offline=offline)
        self.trial = trial
        self.state: str | None = None
        self.in_main_thread = False
        self.plan: dict[str, Any] = {}
        self.recipe: str | None = None
        self.is_owned = True
        self._given_home = home
        self._captured: Captured | None = None
        self._endings: list[Ending] = []
        self._process = 0
        self._log_metric: Callable[..., None] = self._refuse

    @classmethod
    def of(cls, run: Run) -> Experiment:
        """Return an experiment that adds to a run which somebody else began and will end."""
        made = cls(run.started.name, home=run.home, monitor=None)
        made._begun, made._reads_from, made._process = run, run.home, os.getpid()
        made._log_metric, made.is_owned = run.log_metric, False
        made.pins = pins_of(run.run_id)
        return made

    @classmethod
    def attached(cls) -> Experiment:
        """Return an experiment that adds to the run of the process that started this one.

        Raises
        ------
        InvalidValue
            If no process above this one had an experiment open when it started this one.
        """
        run_id, folder = os.environ.get(opened.RUN), os.environ.get(opened.STORE)
        if run_id is None or folder is None:
            raise InvalidValue("no experiment was open where this process was started", "begin one: Experiment(...)")
        started = RunStarted(run_id=run_id, run_kind=program.run_kind(), name=program.name())
        return cls.of(attached(open_store(Path(folder)), started))

    @classmethod
    def current(cls) -> Experiment:
        """Return the experiment that encloses the code that runs.

        Raises
        ------
        InvalidValue
            If there is none.
        """
        found = opened.current()
        if found is None:
            raise InvalidValue("no experiment is open here", "begin one: with Experiment(...)")
        return found

    @property
    def is_open(self) -> bool:
        """Whether it has begun and not ended."""
        return self._begun is not None and self.state is None

    def start(self) -> Self:
        """Begin; in a notebook, one of the same name that an earlier run of the cell left open ends INTERRUPTED.

        Raises
        ------
        InvalidValue
            If it has begun before.
        MachineError
            If the store cannot be written.
        """
        if program.run_kind() == "notebook":
            for earlier in opened.opened.named(self.name):
                earlier.finish(INTERRUPTED, "the cell was run again")
        self.begin()
        opened.enter(self)
        return self

    def finish(self, state: str = COMPLETED, reason: str | None = None) -> None:
        """End; a second call does nothing.

        Parameters
        ----------
        state : str
            ``COMPLETED``, ``FAILED`` or ``INTERRUPTED``.
        reason : str, optional
            Why, where it did not complete.

        Raises
        ------
        InvalidValue
            If it has not begun, or `state` is another word.
        MachineError
            If the end cannot be recorded; the run is shown as INTERRUPTED then, once the process is gone.
        """
        if state not in (COMPLETED, FAILED, INTERRUPTED):
            raise InvalidValue(f"{state!r} is no state of an end", f"{COMPLETED}, {FAILED} or {INTERRUPTED}")
        self._end(state, None if reason is None else Stopped(reason))

    def finish_with(self, error: BaseException | None) -> None:
        """End as the body ended: with an error, or without."""
        state = state_of(error)
        self._end(state, None if state == COMPLETED else error)

    def on_end(self, tell: Ending) -> Ending:
        """Have ``tell(state, reason)`` called once the end is recorded, the one that was given last first."""
        self._endings.append(tell)
        return tell

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Record one point of a metric; it is durable within a second.

        Raises
        ------
        InvalidValue
            If the experiment has not begun or has ended, `value` is no number or `step` is no integer.
        MachineError
            If the buffer is full and cannot be written; nothing is lost.
        """
        self._log_metric(name, value, step)

    def log_note(self, text: str) -> None:
        """Write a note, which takes the place of the one before; what looks like a credential is replaced."""
        journal_at(self.home.journal).append(RunNoted(self.run_id, redact_message(text).strip()))

    def set_seed(self, seed: int) -> Seeds:
        """Seed the global generators from now on, and record the seed.

        Raises
        ------
        InvalidValue
            If it is out of range.
        """
        seeds = Seeds(seed)
        self.run.seeds = seeds
        seed_globals(seeds)
        self.log_params({"seed": seeds.root})
        return seeds

    def span(self, name: str, **facts: Any) -> tracing.Span:
        """Return a span of the run's trace, a context manager."""
        return tracing.span(name, run_id=self.run_id, home=self.home, **facts)

    def flush(self) -> None:
        """Put everything that was logged on the disk before returning."""
        self.run.flush()

    def __enter__(self) -> Self:
        self.begin()
        self._stack.enter_context(self.enclosing())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish_with(error)

    def begin(self) -> None:
        """Begin, and enclose nothing yet.

        Raises
        ------
        InvalidValue, MachineError
            As `start`.
        """
        if not self.is_owned:
            return
        if self._begun is not None:
            raise InvalidValue(f"the experiment {self.name!r} has begun already", "make another Experiment")
        self._reads_from = home = (None if pinned() else self._given_home) or find_store(make=True)
        if program.rank():
            home = make_store(Path(self._stack.enter_context(tempfile.TemporaryDirectory())) / "store")
        self._begun = begin(home, self._started(home), captured=self._captured)
        self._process = os.getpid()
        self.in_main_thread = threading.current_thread() is threading.main_thread()
        self._log_metric = self._begun.log_metric
        opened.opened.add(self)
        try:
            self._prepare(self._begun)
        except BaseException as error:
            self.finish_with(error)
            raise

    def _prepare(self, run: Run) -> None:
        if self._captured is not None:
            run.log_readings(self._captured.readings)
        if self.notes:
            self.log_note(self.notes)
        if self._mirrors and not program.rank() and self.pins is None:
            self.mirroring = mirrored.mirror(run, self._mirrors, self.notes)
        if self.seeds is not None:
            run.seeds = self.seeds
            self._stack.enter_context(seeded_globals(self.seeds))
        self._stack.enter_context(monitored(run, None if program.rank() else self.monitor))

    @contextmanager
    def enclosing(self) -> Iterator[None]:
        """Let what the body does belong to this experiment."""
        with opened.entered(self), self.run.span.current():
            yield

    def document(self) -> dict[str, Any]:
        """Return what the run is and what it has logged so far, as JSON has it."""
        return showing.document(self)

    def write(self, path: str | Path) -> Path:
        """Write `document` as JSON or YAML, by the suffix of `path`, and return the path.

        Raises
        ------
        InvalidValue
            If the suffix is neither ``.json``, ``.yaml`` nor ``.yml``, or the file would replace a part of a store.
        MachineError
            If it cannot be written.
        """
        return showing.write(self, Path(path))

    def _started(self, home: Home) -> RunStarted:
        root, run_id, parent, rank = top(), new_run_id(), opened.parent_run(), program.rank()
        seed = self.seeds.root if self.seeds else None
        self.pins = pins_for(run_id, self.name, parent, self.config, seed, rank=rank)
        captured = None
        if not rank:
            captured = capture(
                home,
                self.capture_level,
                root,
                with_source=self.capture_source and self.pins is None,
                with_environment=self.capture_environment,
            )
        self._captured = captured
        warnings = [*(captured.warnings if captured is not None else []), *program.replaced_words()]
        if not self.capture_source:
            warnings.append("the source is not captured: capture_source is off")
        return RunStarted(
            run_id=run_id,
            run_kind=program.run_kind(),
            name=self.name,
            parent_run_id=parent,
            recipe=self.recipe,
            experiment=self.project,
            tags=self.tags,
            trial=self.trial,
            seed=seed,
            capture_level=self.capture_level.value,
            config=self.config,
            plan={**program.plan(root), **self.plan},
            warnings=warnings,
            **start_facts(captured, self.pins),
        )

    def _end(self, state: str, error: BaseException | None) -> None:
        run = self.run
        if not self.is_owned:
            # Only what enclosed the body is left; the run is somebody else's to end.
            self._stack.close()
            run.flush()
            return
        if os.getpid() != self._process:
            # A forked child ends nothing; what it logged is written.
            run.flush()
            return
        if self.state is not None:
            return
        try:
            # The monitor's last look, and the random state that was there before.
            self._stack.close()
        finally:
            lost = not_recorded(run, lambda: self._record_end(run, state, error))
            self.state = state if lost is None else INTERRUPTED
            opened.opened.remove(self)
        if lost is not None:
            tell_lost(lost, error)
            return
        reason = None if error is None else redact_message(str(error) or type(error).__name__)
        while self._endings:
            self._endings.pop()(state, reason)

    def _record_end(self, run: Run, state: str, error: BaseException | None) -> None:
        note_end(run, self._captured, self.pins)
        if self.mirroring is not None:
            mirrored.ended(run, self.mirroring, state)
        run.end(state, error)

    def __repr__(self) -> str:
        return showing.line(self)

    def _repr_html_(self) -> str:
        return showing.html(self)
