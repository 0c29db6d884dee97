"""From the way in which code was left to the state of its run."""

from __future__ import annotations

import sys

from repro_assets.determinism.probe import Enough
from repro_assets.recording.run import COMPLETED, FAILED, INTERRUPTED
from repro_assets.tracking.opened import Reached, Signalled


class Stopped(Exception):
    """Why an experiment was ended, in a person's words."""


def state_of(error: BaseException | None) -> str:
    """Return the state in which a body ends that an error leaves; None stands for no error."""
    stops: tuple[type[BaseException], ...] = (KeyboardInterrupt, GeneratorExit, Signalled, Reached, Enough)
    if error is None or (isinstance(error, SystemExit) and not isinstance(error, stops) and not error.code):
        return COMPLETED
    cancelled = getattr(sys.modules.get("asyncio"), "CancelledError", None)
    if cancelled is not None:
        stops += (cancelled,)
    return INTERRUPTED if isinstance(error, stops) else FAILED
