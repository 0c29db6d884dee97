"""From the way in which code was left to the state of its run.

Law: where the end of a run cannot be recorded, as on a full disk, that is one error, and never in the place of the
body's own, which is told of it in a note.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from repro_assets.determinism.probe import Enough
from repro_assets.errors import MachineError
from repro_assets.recording import leaving
from repro_assets.recording.flushing import flusher
from repro_assets.recording.run import COMPLETED, FAILED, INTERRUPTED, Run
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


def not_recorded(run: Run, record: Callable[[], None]) -> MachineError | None:
    """Record the end of a run with `record`; where the machine refuses, return the error, and write no more of it."""
    try:
        record()
    except MachineError as failure:
        run.state = INTERRUPTED
        flusher.forget(run)
        leaving.forget(run.run_id)
        said = f"the end of run {run.run_id} is not on record, so it will be shown as INTERRUPTED: {failure.message}"
        return type(failure)(said, failure.remedy)
    return None


def tell_lost(lost: MachineError, error: BaseException | None) -> None:
    """Raise what `not_recorded` returned, or note it on the error that ended the body."""
    if error is None:
        raise lost from None
    error.add_note(str(lost))
