"""A report that follows what happens in the store.

Laws: it is written again only when the catalog has changed; a signal ends it between two writings and never within one;
the more a writing costs, the longer it rests, so that following takes a quarter of one core at most.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from repro_assets.catalog.queries import connect
from repro_assets.report.folder import Folder
from repro_assets.report.writing import Options, Written, revision_of, write_report
from repro_assets.store.home import Home

RESTS = 2.0
SHARE = 3
"""How many times as long as a writing took it rests, at least."""
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def watch_report(
    home: Home,
    names: Sequence[str],
    folder: Folder,
    options: Options,
    *,
    stop: threading.Event,
    told: Callable[[Written], None],
    rests: float = RESTS,
) -> tuple[int, Written]:
    """Write a report, and again whenever the catalog has changed, until `stop` is set.

    Parameters
    ----------
    home, names, folder, options
        As `write_report` takes them.
    stop : threading.Event
        Ends it.
    told : callable
        Is given each report that was written.
    rests : float
        Seconds between two looks at the catalog, at least.

    Returns
    -------
    tuple of int and Written
        How often it was written, and the last one.

    Raises
    ------
    ReproError
        As `write_report` does.
    """
    times = 0
    while True:
        began = time.monotonic()
        written = write_report(home, names, folder, options)
        times += 1
        told(written)
        rest = max(rests, SHARE * (time.monotonic() - began))
        while True:
            if stop.wait(rest):
                return times, written
            with connect(home) as connection:
                if revision_of(connection) != written.revision:
                    break


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Return an event that Ctrl-C, SIGTERM and SIGHUP set while the scope lasts; only in the main thread."""
    stop = threading.Event()

    before = {number: signal.signal(number, lambda *_: stop.set()) for number in _ENDING}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
