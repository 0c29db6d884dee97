"""A run from its beginning to its end, whatever ends it.

Laws: what `begin` returns is on the disk as a run that has begun; leaving `recorded` ends it, once, in the state that
the way of leaving says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from repro_assets.errors import InvalidValue
from repro_assets.journal import run_records
from repro_assets.recording import leaving, undeclared
from repro_assets.recording.capturing import Captured
from repro_assets.recording.run import COMPLETED, FAILED, INTERRUPTED, Run
from repro_assets.store.home import Home


def begin(
    home: Home,
    started: run_records.RunStarted,
    *,
    late: bool = False,
    streams: Mapping[str, int] | None = None,
    captured: Captured | None = None,
) -> Run:
    """Record the start of a run and return its handle.

    Parameters
    ----------
    home : Home
        The store.
    started : RunStarted
        What is recorded.
    late, streams
        See `recording.console.places`; for `late` also `recording.undeclared`.
    captured : Captured, optional
        What was captured for it.

    Raises
    ------
    InvalidValue
        If the seed is out of range or the run has no name.
    MachineError
        If the journal cannot be written.
    """
    if not started.name:
        raise InvalidValue("a run has no name", "give one")
    run = Run(home, started, late=late, streams=streams)
    undeclared.watch(started, None if captured is None else captured.stored_files, late=late)
    return run


def attached(home: Home, started: run_records.RunStarted, *, resumed_from: str | None = None) -> Run:
    """Return a handle of a run that another process began and will end; this one only adds to it.

    Parameters
    ----------
    home : Home
        The store.
    started : RunStarted
        What was recorded at its start.
    resumed_from : str, optional
        Digest of the checkpoint that it goes on from.
    """
    run = Run(home, started, owned=False)
    run.resumed_from = resumed_from
    undeclared.watch(started, recorded_in=home)
    leaving.watch(run.run_id, home.journal, attached=True)
    return run


@contextlib.contextmanager
def recorded(run: Run, interruptions: tuple[type[BaseException], ...] = ()) -> Iterator[Run]:
    """End `run` as the body ends: COMPLETED, FAILED with its error, or INTERRUPTED; its span is current meanwhile.

    Parameters
    ----------
    run : Run
        A run that has begun.
    interruptions : tuple of exception types
        What counts as a cancellation beside KeyboardInterrupt and SystemExit.
    """
    stops: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit, GeneratorExit, *interruptions)
    try:
        with run.span.current():
            yield run
    except stops as error:
        run.end(INTERRUPTED, error)
        raise
    except BaseException as error:
        run.end(FAILED, error)
        raise
    run.end(COMPLETED)
