"""The experiments of this process that have begun and not ended.

Laws: which one encloses the code that runs is known by context, so tasks and threads do not mix theirs up; a thread or
a process that was started meanwhile finds the one that the main thread had open. One that nobody finished ends with the
process: FAILED where an exception ended it, INTERRUPTED where a signal did, else COMPLETED. A forked child ends none of
its parent's.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from repro_assets.errors import MachineError
from repro_assets.recording import undeclared

if TYPE_CHECKING:
    from repro_assets.tracking.experiment import Experiment

RUN, STORE = "REPRO_RUN", "REPRO_RUN_HOME"
"""Variables that tell a child process the id of the run that it belongs to, and the folder of its store; what that run
has declared, `undeclared.INPUTS` tells it."""
_ENDING = (signal.SIGTERM, signal.SIGHUP)

_current: contextvars.ContextVar[Experiment | None] = contextvars.ContextVar("repro_experiment", default=None)


class Signalled(SystemExit):
    """The process was told to end by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        return signal.Signals(self.number).name


class Reached(SystemExit):
    """A replay came as far as the run that it executes again, which was interrupted there."""

    def __init__(self) -> None:
        super().__init__(0)

    def __str__(self) -> str:
        return "the replay came as far as the run that was interrupted"


class _Opened:
    def __init__(self) -> None:
        self._experiments: list[Experiment] = []
        self._lock = threading.Lock()
        self._hooked = False
        self.error: BaseException | None = None
        self._handlers: dict[int, Any] = {}
        self._outside: dict[str, str | None] = {}
        os.register_at_fork(after_in_child=self._after_fork)

    def add(self, experiment: Experiment) -> None:
        """Watch an experiment that has begun."""
        with self._lock:
            if not self._hooked:
                self._hooked = True
                atexit.register(self._end_all)
                self._before, sys.excepthook = sys.excepthook, self._note
            if not self._experiments:
                self._install()
            self._experiments.append(experiment)
            self._tell()

    def remove(self, experiment: Experiment) -> None:
        """Watch it no more."""
        with self._lock:
            if experiment in self._experiments:
                self._experiments.remove(experiment)
                self._tell()
                if not self._experiments:
                    self._uninstall()

    def declare(self, path: Path) -> None:
        """Take a file or a folder for an input on record, here and in the processes that are started from now on."""
        undeclared.declare(path)
        with self._lock:
            self._tell()

    def named(self, name: str) -> list[Experiment]:
        """Return those with a name."""
        with self._lock:
            return [experiment for experiment in self._experiments if experiment.name == name]

    def newest(self) -> Experiment | None:
        """Return the newest that the main thread began."""
        with self._lock:
            return self._newest()

    def _newest(self) -> Experiment | None:
        return next((one for one in reversed(self._experiments) if one.in_main_thread), None)

    def _tell(self) -> None:
        """Tell the processes that are started from now on."""
        newest = self._newest()
        if newest is None:
            for name, value in self._outside.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            self._outside = {}
            return
        if not self._outside:
            self._outside = {name: os.environ.get(name) for name in (RUN, STORE, undeclared.INPUTS)}
        os.environ[RUN], os.environ[STORE] = newest.run_id, str(newest.home.root)
        os.environ.update(undeclared.variable())

    def _install(self) -> None:
        """Let the signals that end a process raise, so that what is open can end; not where somebody handles them."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                self._handlers[number] = signal.signal(number, _raise)

    def _uninstall(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number, before in self._handlers.items():
            if signal.getsignal(number) is _raise:
                signal.signal(number, before)
        self._handlers = {}

    def _note(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self.error = error
        self._before(kind, error, trace)

    def _end_all(self) -> None:
        for experiment in list(reversed(self._experiments)):
            try:
                experiment.finish_with(self.error)
            except MachineError as error:
                # Nobody is left to catch it, and a trace of the way here would say nothing more.
                print(f"error: {error}", file=sys.stderr)

    def _after_fork(self) -> None:
        # What they are told now is not theirs to end; the child's own begin anew.
        self._lock = threading.Lock()
        self._experiments, self.error, self._outside = [], None, {}


opened = _Opened()


def _raise(number: int, _frame: FrameType | None) -> None:
    # No hook is told of an exit.
    opened.error = Signalled(number)
    raise opened.error


def current() -> Experiment | None:
    """Return the experiment that encloses the code that runs; None where there is none in this process."""
    found = _current.get()
    if found is not None and found.is_open:
        return found
    return opened.newest()


@contextlib.contextmanager
def entered(experiment: Experiment) -> Iterator[None]:
    """Let an experiment enclose the body."""
    token = _current.set(experiment)
    try:
        yield
    finally:
        _current.reset(token)


def enter(experiment: Experiment | None) -> None:
    """Let an experiment enclose what this context does from now on."""
    _current.set(experiment)


def parent_run() -> str | None:
    """Return the id of the run that one which begins now belongs to: the enclosing one, or the parent process's."""
    enclosing = current()
    return enclosing.run_id if enclosing is not None else os.environ.get(RUN)
