"""The log of an executing process, in short: when each step began and how it ended.

Laws: everything goes to stderr; the process is read until it has closed its end, so it never blocks on a full pipe;
where it ends without an answer, the last thing that it said is shown, unless the error says it. A step that was
stopped is INTERRUPTED, as in the record: Dagster logs it as failed and names the reason in the next line. What was
captured, where a training begins that was asked to go on, and a run's warning, are shown once.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from repro_assets.cli.answering import say
from repro_assets.errors import ReproError
from repro_assets.recording import progress

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_EVENT = re.compile(
    r" - dagster - \w+ - .* - (?P<step>\S+) - STEP_(?P<event>START|SUCCESS|FAILURE|SKIPPED|UP_FOR_RETRY) - (?P<text>.*)"
)
_WARNING = re.compile(
    r" - (?:dagster - WARNING - \S+ - \S+ - \S+|repro_assets\.\S+ - WARNING - \[[^\]]*\]) - (?P<text>.+)"
)
_CAPTURED = re.compile(
    r" - dagster - INFO - \S+ - \S+ - \S+ - "
    r"(?P<text>captured \((?:basic|standard|complete)\) · .+|\S+ (?:goes on|starts) from .+)"
)
_STOPPED = re.compile(r"(\w+\.)*(DagsterExecutionInterruptedError|KeyboardInterrupt)\b")
_FRAME = re.compile(r"\s+File \".+\", line \d+")
_SHOWN_EVERY_SECONDS = 0.2
_BAR_WIDTH = 30
_SECONDS = re.compile(r"in (?P<time>[\d.]+ ?(?:ms|s|m\w*|h\w*).*?)\.?$")
_WORDS = {"START": "begins", "SUCCESS": "done", "FAILURE": "FAILED", "SKIPPED": "skipped", "UP_FOR_RETRY": "retries"}


@contextlib.contextmanager
def shown_log(verbose: bool, warned: set[str] | None = None) -> Iterator[IO[bytes] | None]:
    """Yield the file that takes the log of a process; None, for stderr itself, where everything is to be seen.

    Parameters
    ----------
    verbose : bool
        Show everything.
    warned : set of str, optional
        Warnings that were shown before; those that are shown now are added.
    """
    if verbose:
        yield None
        return
    reading, writing = os.pipe()
    last: list[str] = []
    thread = threading.Thread(target=_follow, args=(reading, last, set() if warned is None else warned), daemon=True)
    thread.start()
    file = os.fdopen(writing, "wb")
    try:
        yield file
    except ReproError as error:
        _end(file, thread)
        if last and last[0] not in str(error):
            say(f"the executing process said last: {last[0]}")
        raise
    finally:
        _end(file, thread)


@contextlib.contextmanager
def counter(what: str) -> Iterator[Callable[[int], None] | None]:
    """Yield what shows a growing number on a terminal; None, and nothing is shown, where stderr is a pipe."""
    if not sys.stderr.isatty():
        yield None
        return

    shown = float("-inf")

    def show(count: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= _SHOWN_EVERY_SECONDS:
            shown = time.monotonic()
            sys.stderr.write(f"\r{count} {what}")
            sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write("\r\x1b[K")


@contextlib.contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yield what shows a part of a whole on a terminal; None, and nothing is shown, where stderr is a pipe."""
    if not sys.stderr.isatty():
        yield None
        return

    def show(count: int, total: int) -> None:
        done = _BAR_WIDTH * count // max(total, 1)
        sys.stderr.write(f"\r[{'#' * done}{'.' * (_BAR_WIDTH - done)}] {count}/{total} {what}")
        sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write("\r\x1b[K")


@contextlib.contextmanager
def steps_bar(path: Path) -> Iterator[None]:
    """Show on a terminal how far the process is that writes its progress to `path`; nothing where stderr is a pipe."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # It clears itself, and what is printed meanwhile stands above it.
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        ended = threading.Event()
        thread = threading.Thread(target=_show_steps, args=(path, bars, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _show_steps(path: Path, bars: Progress, ended: threading.Event) -> None:
    tasks: dict[str, TaskID] = {}
    while not ended.wait(_SHOWN_EVERY_SECONDS):
        found = progress.read(path)
        for what, task in tasks.items():
            bars.update(task, visible=found is not None and found.what == what)
        if found is not None:
            if found.what not in tasks:
                tasks[found.what] = bars.add_task(found.what, total=found.steps)
            bars.update(tasks[found.what], completed=found.step)


def step_line(line: str) -> str | None:
    """Return what a person is told of a line of Dagster's log; None where it is nothing."""
    match = _EVENT.search(line)
    if match is None:
        return None
    seconds = _SECONDS.search(match["text"])
    return f"  {_WORDS[match['event']]:<8}{match['step']}" + (f"  {seconds['time']}" if seconds else "")


def told(lines: Iterable[str], warned: set[str]) -> Iterator[str]:
    """Yield what a person is told of a log, line by line.

    Parameters
    ----------
    lines : iterable of str
        The log.
    warned : set of str
        Warnings and summaries that were shown before; those that are yielded are added.
    """
    failed: str | None = None
    for line in lines:
        if failed is not None and line.strip():
            yield failed.replace(_WORDS["FAILURE"], "INTERRUPTED", 1) if _STOPPED.match(line.strip()) else failed
            failed = None
        event = _EVENT.search(line)
        warning = _WARNING.search(line)
        captured = _CAPTURED.search(line)
        if event is not None and event["event"] == "FAILURE":
            failed = step_line(line.rstrip())
        elif event is not None:
            yield str(step_line(line.rstrip()))
        elif captured is not None and (text := captured["text"].strip()) not in warned:
            warned.add(text)
            yield text
        elif warning is not None and (text := warning["text"].strip()) not in warned:
            warned.add(text)
            yield f"warning: {text}"
    if failed is not None:
        yield failed


def _follow(descriptor: int, last: list[str], warned: set[str]) -> None:
    with os.fdopen(descriptor, "r", encoding="utf-8", errors="replace") as file:
        for text in told(_noted(file, last), warned):
            say(text)


def _noted(lines: Iterable[str], last: list[str]) -> Iterator[str]:
    """Keep the last line that says something: none of a trace's frames, with their code and marks, nor its head."""
    framed = False
    for line in lines:
        framed = _FRAME.match(line) is not None or (framed and line.startswith("    "))
        if not framed and re.search(r"\w", line) and not line.startswith("Traceback (most recent call last)"):
            last[:] = [line.strip()]
        yield line


def _end(file: IO[bytes], thread: threading.Thread) -> None:
    file.close()
    # A process that outlives the child and kept an end of the pipe is not waited for.
    thread.join(timeout=5)
