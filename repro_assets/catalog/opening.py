"""The published catalog as an open database, kept open for the next question.

Laws: a question sees the file that is published when it is asked, and its connection keeps that file whatever is
published later; what is open can neither write nor reach files, and its settings are locked; a forked child opens for
itself, because DuckDB's threads are not in it; one file is kept open, and no large one, so memory stays bounded. What
DuckDB says of a file that it cannot read, and of Ctrl-C, is said here in this project's words, for everybody.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from repro_assets.catalog import publication
from repro_assets.errors import CorruptObject, MachineError, ReproError
from repro_assets.store.home import Home

if TYPE_CHECKING:
    import duckdb

_INTERRUPTED = "Query interrupted"
"""DuckDB looks for signals while it works, and says Ctrl-C so, as a RuntimeError."""
KEPT_BYTES = 256 << 20
"""A larger catalog is opened anew by each question: DuckDB holds in memory what it has read of an open file."""

SMALL_BYTES = 16 << 20
"""A smaller catalog is read by one thread: handing the work out to more takes longer than the work."""

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


class _Kept:
    """What is open: the database, and the file that it reads as path, inode, size and time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.file: tuple[object, ...] | None = None
        self.database: duckdb.DuckDBPyConnection | None = None


_kept = _Kept()
_left_by_the_parent: list[_Kept] = []


def open_catalog(home: Home) -> duckdb.DuckDBPyConnection:
    """Return a connection to the published catalog, which is there; it is the caller's to close."""
    path = home.catalog
    file = (path, *(publication.file_facts(path) or ()))
    with _kept.lock:
        if _kept.database is None or _kept.file != file:
            # The old one is let go and not closed: connections that were handed out live on.
            _kept.file, _kept.database = None, None
            database = _open(home)
            # One that was published in between has other facts, and would pass for this one.
            if path.stat().st_size > KEPT_BYTES or (path, *(publication.file_facts(path) or ())) != file:
                return database
            _kept.file, _kept.database = file, database
        connection = _kept.database.cursor()
    connection.execute("USE catalog")
    return connection


def _open(home: Home) -> duckdb.DuckDBPyConnection:
    import duckdb

    # Attached to a private database in memory: connections to one path share the file that the first of them opened.
    threads = {"threads": 1} if home.catalog.stat().st_size < SMALL_BYTES else {}
    connection = duckdb.connect(":memory:", config={**_CONFIG, **threads})
    try:
        path = str(home.catalog).replace("'", "''")
        connection.execute(f"ATTACH '{path}' AS catalog (READ_ONLY); USE catalog")
        # Without external access DuckDB looks at Python's variables no more than at files.
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    except duckdb.Error:
        connection.close()
        raise
    return connection


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C be a KeyboardInterrupt while DuckDB works, too.

    DuckDB says it in words of its own, and where it meets an import that DuckDB does for itself, it is lost, or the
    import fails.
    """
    met = []

    def note(*_: object) -> None:
        met.append(True)
        raise KeyboardInterrupt

    usual = signal.default_int_handler
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is usual
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield
    except Exception as error:
        if met or str(error) == _INTERRUPTED:
            raise KeyboardInterrupt from error
        raise
    finally:
        if ours:
            signal.signal(signal.SIGINT, usual)
    if met:
        raise KeyboardInterrupt


@contextmanager
def understood() -> Iterator[None]:
    """Say in this project's words what DuckDB meets in a catalog, and Ctrl-C.

    Raises
    ------
    CorruptObject
        If the file is damaged.
    MachineError
        If somebody holds it for writing.
    KeyboardInterrupt
        If it is interrupted.
    """
    import duckdb

    with interruptible():
        try:
            yield
        except duckdb.Error as error:
            said = explained(error)
            if said is None:
                raise
            raise said from error


def explained(error: BaseException) -> ReproError | None:
    """Return what DuckDB says of a file that cannot be read, with what to do; None for any other error."""
    text = " ".join(str(error).split())
    if "Could not set lock on file" in text:
        return MachineError(
            "another program has opened the catalog for writing", "end it there, and open the file with -readonly"
        )
    if "Corrupt database file" in text or "checksum" in text:
        return CorruptObject("the catalog is damaged", "run: repro catalog rebuild")
    return None


def _after_fork() -> None:
    global _kept
    # Closing it would wait for threads that the child does not have.
    _left_by_the_parent.append(_kept)
    _kept = _Kept()


os.register_at_fork(after_in_child=_after_fork)
