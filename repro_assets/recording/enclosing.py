"""The run that already records the code that is executing here, if some other layer has begun one.

Laws: a layer that executes a person's code registers how its run is found; whoever would begin a run asks first.
"""

from __future__ import annotations

from collections.abc import Callable

from repro_assets.recording.run import Run

Finder = Callable[[], Run | None]
_finders: list[Finder] = []


def register(find: Finder) -> None:
    """Ask `find` from now on; it returns None where it has no run here."""
    if find not in _finders:
        _finders.append(find)


def enclosing_run() -> Run | None:
    """Return the run that records the code that is executing here; None where nobody has begun one."""
    return next((run for find in _finders if (run := find()) is not None), None)
