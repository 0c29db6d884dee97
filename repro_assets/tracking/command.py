"""``repro exec``: an unmodified command as a run.

Laws: the run is on the disk before the command begins; the command gets the words, the folder, the variables and the
streams that it was meant to get, and its exit code is passed on; what it wrote to its streams is the run's console; its
inputs are stored before it begins, so what it read is what is on record, and its outputs after it has ended.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any, BinaryIO

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.capture.level import Level
from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording import undeclared
from repro_assets.recording.capturing import Captured, capture
from repro_assets.recording.lifetime import begin
from repro_assets.recording.monitoring import monitored
from repro_assets.recording.raw_inputs import store_raw
from repro_assets.recording.run import COMPLETED, FAILED, INTERRUPTED, Run, new_run_id
from repro_assets.store import durable
from repro_assets.store.home import Home
from repro_assets.tracking import opened, program
from repro_assets.tracking.captures import note_end, start_facts
from repro_assets.tracking.command_files import Named, Watched
from repro_assets.tracking.pinned import Pins, pins_for, top
from repro_assets.tracking.words import recorded_words

_FORWARDED = (signal.SIGTERM, signal.SIGHUP)
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Command:
    """What to execute and what to record of it.

    Parameters
    ----------
    words : list of str
        The program and its arguments.
    name : str, optional
        What the run is called; the program's, the script's or the module's name if left out.
    project : str, optional
        What it belongs to.
    tags : list of str
        Tags.
    inputs : list of Path
        Files and folders that it reads, beside those among its words.
    outputs : list of str
        Patterns of the files and folders that it makes, beside files among its words.
    level : Level
        How much is captured.
    """

    words: list[str]
    name: str | None = None
    project: str | None = None
    tags: list[str] = field(default_factory=list)
    inputs: list[Path] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    level: Level = Level.STANDARD


@dataclass(frozen=True, slots=True)
class Executed:
    """How a command ended.

    Parameters
    ----------
    run_id : str
        Its run.
    state : str
        ``COMPLETED``, ``FAILED`` or ``INTERRUPTED``.
    exit_code : int
        The command's, or 128 and the number of the signal that ended it.
    products : dict
        What it made, by path.
    reason : str or None
        Why it did not complete.
    warnings : list of str
        What is not known of its files.
    """

    run_id: str
    state: str
    exit_code: int
    products: dict[str, Artifact]
    reason: str | None = None
    warnings: list[str] = field(default_factory=list)


def execute(home: Home, command: Command, *, stdout: BinaryIO, stderr: BinaryIO) -> Executed:
    """Execute a command in the current folder and record it.

    Parameters
    ----------
    home : Home
        The store.
    command : Command
        What to execute.
    stdout, stderr : binary file
        Where what it writes is passed on to.

    Raises
    ------
    InvalidValue
        If there is no such program, or a pattern leads into the store; nothing was executed then.
    InvalidInput
        If an input is not there; nothing was executed then.
    MachineError
        If the store cannot be written.
    """
    words = command.words
    if not words:
        raise InvalidValue("there is no command", "give one: repro exec -- python train.py")
    folder, root = Path.cwd(), top()
    missing = [path for path in command.inputs if not path.exists()]
    if missing:
        raise InvalidInput(f"the input {missing[0]} is not there", "check the path")
    named = Named(home, folder, command.outputs)
    watched = Watched(home, folder, root, words)
    name = command.name or _name_of(words)
    run_id, parent = new_run_id(), opened.parent_run()
    shown, replaced = recorded_words(words, "config.command")
    config = {"command": shown}
    pins = pins_for(run_id, name, parent, config, None)
    captured = capture(home, command.level, root, with_source=pins is None)
    said = watched.warnings(command.inputs)
    with ExitStack() as stack:
        files = {stream: stack.enter_context(_console(home, stream)) for stream in ("stdout", "stderr")}
        run = begin(
            home,
            _started(command, config, name, root, captured, pins, (run_id, parent), [*said, *replaced]),
            streams={stream: file.fileno() for stream, file in files.items()},
        )
        try:
            run.log_readings(captured.readings)
            inputs = [*command.inputs, *watched.inputs]
            for slot, artifact in _inputs(home, root, inputs, pins):
                run.use(slot, artifact, pinned=pins is not None)
            with monitored(run):
                ended = _executed(run, words, inputs, files, {"stdout": stdout, "stderr": stderr})
            note_end(run, captured, pins)
            products, lacking = _kept(run, root, named.made(), watched.changed())
        except BaseException as error:
            run.end(INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED, error)
            raise
        state, reason = _state(words, ended, lacking, named)
        run.log_params({"exit_code": ended.code})
        run.end(state, None if reason is None else CommandFailed(reason))
    return Executed(run.run_id, state, ended.code or (1 if lacking else 0), products, reason, said)


class CommandFailed(Exception):
    """Why a command's run did not complete."""


@dataclass(frozen=True, slots=True)
class _Ended:
    code: int
    signal: int | None
    told: int | None
    """The signal that this process was given and passed on."""


def _inputs(home: Home, root: Path, paths: Sequence[Path], pins: Pins | None) -> Iterator[tuple[str, Artifact]]:
    """Yield slot and artifact of what the command reads; what a replay pins lies at these paths already."""
    if pins is None:
        for path in paths:
            yield program.within(root, path), store_raw(home, root, path.absolute())
        return
    for slot, digest in pins.inputs.items():
        yield slot, repository.by_digest(home, Digest.parse(digest), name=slot)


def _started(
    command: Command,
    config: dict[str, Any],
    name: str,
    root: Path,
    captured: Captured,
    pins: Pins | None,
    ids: tuple[str, str | None],
    said: list[str],
) -> RunStarted:
    warnings = [*captured.warnings, *said]
    other = _other_python(command.words[0])
    if other is not None:
        warnings.append(f"the command runs another Python ({other}), whose packages are not captured")
    return RunStarted(
        run_id=ids[0],
        run_kind="command",
        name=name,
        parent_run_id=ids[1],
        experiment=command.project,
        tags=list(dict.fromkeys(command.tags)),
        capture_level=command.level.value,
        config=config,
        plan={
            "format": program.FORMAT,
            "form": "command",
            **config,
            **({"redacted": True} if config["command"] != command.words else {}),
            "working_folder": program.within(root, Path.cwd()),
            "project_root": str(root),
            "path": program.within_path(root, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))),
            "inputs": [program.within(root, path) for path in command.inputs],
            "outputs": command.outputs,
            "python": sys.executable,
        },
        warnings=warnings,
        **start_facts(captured, pins),
    )


def _name_of(words: Sequence[str]) -> str:
    """Name a command by its program; what Python executes by its script or module."""
    program_name = Path(words[0]).name
    if program_name.startswith("python"):
        for before, word in itertools.pairwise(words):
            if before == "-m":
                return word.rpartition(".")[2]
            if word.endswith(".py"):
                return Path(word).stem
    return program_name


def _other_python(word: str) -> str | None:
    """Return the path of the Python that a program is, where it has other packages than this one."""
    found = shutil.which(word)
    if found is None:
        if os.sep in word and Path(word).is_file():
            raise InvalidValue(f"{word} may not be executed", f"chmod +x {word}, or name its interpreter before it")
        raise InvalidValue(f"there is no program {word!r}", "check its name, or give its path")
    path = Path(found).absolute()
    if not path.name.startswith("python") or path.parent == Path(sys.executable).absolute().parent:
        return None
    return str(path)


@contextlib.contextmanager
def _console(home: Home, stream: str) -> Iterator[IO[bytes]]:
    """Open a file for a stream; at the end its text is on record, and the file goes."""
    folder = home.cache / "console"
    durable.ensure_folder(folder)
    path = folder / f"{os.getpid()}-{new_run_id()}.{stream}"
    with path.open("wb", buffering=0) as file:
        try:
            yield file
        finally:
            path.unlink(missing_ok=True)


def _executed(
    run: Run,
    words: Sequence[str],
    inputs: Sequence[Path],
    files: Mapping[str, IO[bytes]],
    out: Mapping[str, BinaryIO],
) -> _Ended:
    told: list[int] = []
    variables = {**os.environ, opened.RUN: run.run_id, opened.STORE: str(run.home.root), **undeclared.variable(inputs)}
    try:
        started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables)
    except OSError as error:
        remedy = "check its first line, or name its interpreter before it"
        raise InvalidValue(f"{words[0]} cannot be executed: {error.strerror}", remedy) from error
    with started as process:
        pipes = {"stdout": process.stdout, "stderr": process.stderr}
        threads = [
            threading.Thread(target=_passed_on, args=(pipes[stream], files[stream], out[stream]), daemon=True)
            for stream in pipes
        ]
        for thread in threads:
            thread.start()
        with _forwarded(process, told):
            code = process.wait()
        for thread in threads:
            thread.join()
    return _Ended(code if code >= 0 else 128 - code, -code if code < 0 else None, told[0] if told else None)


@contextlib.contextmanager
def _forwarded(process: subprocess.Popen[bytes], told: list[int]) -> Iterator[None]:
    """Pass on what this process is told; a terminal tells the command itself of Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def take(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        if number != signal.SIGINT or not os.isatty(0):
            process.send_signal(number)

    before = {number: signal.signal(number, take) for number in (*_FORWARDED, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _passed_on(pipe: Any, file: IO[bytes], out: BinaryIO) -> None:
    """Copy a stream as it comes; where nobody reads it any more it is still kept."""
    reading = True
    while data := os.read(pipe.fileno(), _PIECE):
        file.write(data)
        if reading:
            try:
                out.write(data)
                out.flush()
            except (BrokenPipeError, ValueError):
                reading = False


def _kept(
    run: Run, root: Path, named: Mapping[str, list[Path]], changed: Sequence[Path]
) -> tuple[dict[str, Artifact], list[str]]:
    """Keep what was made, and name the patterns that nothing fits."""
    lacking = [pattern for pattern, paths in named.items() if not paths]
    products: dict[str, Artifact] = {}
    for path in dict.fromkeys([*(path for paths in named.values() for path in paths), *changed]):
        slot = program.within(root, path)
        stored = repository.put(run.home, path, name=slot)
        products[slot] = run.log_output(slot, stored, name=f"{run.run_id}/{slot}")
    return products, lacking


def _state(words: Sequence[str], ended: _Ended, lacking: Sequence[str], named: Named) -> tuple[str, str | None]:
    if ended.told is not None:
        return INTERRUPTED, signal.Signals(ended.told).name
    if ended.signal is not None:
        name = signal.Signals(ended.signal).name
        return (INTERRUPTED if ended.signal == signal.SIGINT else FAILED), f"{words[0]} was ended by {name}"
    if ended.code:
        return FAILED, f"{words[0]} returned {ended.code}"
    if lacking and named.is_there(lacking[0]):
        return FAILED, (
            f"the output {lacking[0]!r} was there before, and the command left it as it was (remove it, or name what "
            "the command makes)"
        )
    if lacking:
        return FAILED, (
            f"nothing fits the output {lacking[0]!r} (name what the command makes, as seen from the folder where repro "
            "exec was called; a pattern stands in quotes)"
        )
    return COMPLETED, None
