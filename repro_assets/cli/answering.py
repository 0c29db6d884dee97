"""From exceptions to exit codes, and from a folder to its store: the one place where the command line does either.

Laws: a command returns its exit code (None for 0) or raises. An error of this project becomes one line on stderr and
its own exit code; the system's errors are the machine's (3); what nobody foresaw is named in one line and counts as the
machine's, too; Ctrl-C is 130. stdout stays empty on an error. A traceback is shown only where ``REPRO_DEBUG`` is set.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

from repro_assets.errors import MachineError, NotWritable, ReproError, from_os_error

if TYPE_CHECKING:
    from repro_assets.store.home import Home

DEBUG = "REPRO_DEBUG"
INTERRUPTED = 130
UNFORESEEN = 3
# typer's own copy of click's UsageError or click's, whichever this typer builds on.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]


def exit_code_of(command: Callable[[], Any]) -> int:
    """Run a command line and return its exit code; what it raises has been said on stderr.

    Parameters
    ----------
    command : callable
        Parses and executes; returns an exit code or None.
    """
    try:
        code = command()
    except Exception as error:  # noqa: BLE001 (the edge of the program: every error becomes a code)
        return _said(error)
    except KeyboardInterrupt:
        say_error("interrupted")
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def say_error(text: str) -> None:
    """Write one line about an error to stderr."""
    print(f"error: {' '.join(text.split())}", file=sys.stderr)


def say(text: str) -> None:
    """Write a line for a person to stderr, where it is in nobody's way."""
    print(text, file=sys.stderr)


def here(*, make: bool = False) -> Home:
    """Return the store that a command in this folder means; made first if `make` is set and there is none.

    Raises
    ------
    NoStore
        If there is none.
    """
    from repro_assets.errors import NoStore
    from repro_assets.store.home import find_store

    if not make:
        return find_store()
    try:
        return find_store()
    except NoStore:
        home = find_store(make=True)
        say(f"made a store in {home.root}")
        return home


def readable() -> Home:
    """Return the store of this folder for questions, its catalog refreshed, or as published where it is read-only.

    Raises
    ------
    NoStore
        If there is none.
    MachineError
        If the catalog has to be brought up to date and cannot be written, and none can be read as it was published.
    """
    from repro_assets.catalog import projection

    home = here()
    try:
        projection.refresh(home)
    except NotWritable as error:
        if not projection.take_as_published(home):
            raise
        say(f"note: the catalog is as it was published; it could not be refreshed: {error.message}")
    return home


def settled(*, to_write: bool = False) -> Home:
    """Return the store of this folder as `readable` does, the states of runs up to date where it can be written.

    Parameters
    ----------
    to_write : bool
        Whether the command goes on to write, so that a store which cannot be written is an error.

    Raises
    ------
    NoStore, MachineError
        As `readable` does.
    """
    from repro_assets.catalog.projection import refresh
    from repro_assets.orchestration.settling import settle

    home = here() if to_write else readable()
    if to_write:
        refresh(home)
    try:
        settle(home)
    except MachineError as error:
        # The question can still be answered: a run whose process is gone shows as INTERRUPTED.
        say(f"warning: Dagster's last word on its runs could not be recorded: {error}")
    return home


def stopped_like_ctrl_c() -> None:
    """Have SIGTERM and SIGHUP end this command as Ctrl-C does.

    What it executes has a session of its own, so whatever ends the command must be passed on.
    """
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)


def _said(error: Exception) -> int:
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    if isinstance(error, _USAGE_ERROR):
        return _said_usage(error)
    if isinstance(error, typer.Abort):
        say_error("interrupted")
        return INTERRUPTED
    if isinstance(error, OSError):
        if error.errno == errno.EPIPE:
            # Whoever read stdout has gone, and the interpreter would complain again when it flushes.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return UNFORESEEN
        error = from_os_error(error, error.filename or "a file")
    if isinstance(error, ReproError):
        say_error(str(error))
        return error.exit_code
    say_error(f"{type(error).__name__}: {error} (this was not foreseen; set {DEBUG}=1 to see where)")
    return UNFORESEEN


def _said_usage(error: Any) -> int:
    message = error.format_message()
    path = error.ctx.command_path if getattr(error, "ctx", None) is not None else "repro"
    if not message or "\n" in message.strip():
        # A group without a command: its help is the message.
        if message:
            say(message)
        return 2
    say_error(f"{message.rstrip('.')} (see: {path} --help)")
    return 2
