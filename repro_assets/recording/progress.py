"""How far a recipe is, for whoever waits for its process.

Laws: nothing is written unless the variable ``REPRO_PROGRESS`` names a file; the file is replaced whole, so a reader
sees one state or another; it is for display only, and a write that fails costs a display and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repro_assets.recording.run import Run

VARIABLE = "REPRO_PROGRESS"
SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Progress:
    """What is executed, the newest step that it logged, and the last one that it will make, where that is known."""

    what: str
    step: int
    steps: int | None


def read(path: Path) -> Progress | None:
    """Return what was written last; None where nothing was."""
    try:
        return Progress(**json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def reported(run: Run, what: str, steps: int | None) -> Iterator[None]:
    """Write the newest step of a run twice a second during a scope, where somebody waits for it.

    Parameters
    ----------
    run : Run
        The run.
    what : str
        What is executed.
    steps : int, optional
        Its last step, where that is known.
    """
    place = os.environ.get(VARIABLE)
    if not place:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_report, args=(Path(place), run, what, steps, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        Path(place).unlink(missing_ok=True)


def _report(place: Path, run: Run, what: str, steps: int | None, ended: threading.Event) -> None:
    partial = place.with_name(f"{place.name}.{os.getpid()}")
    while not ended.wait(SECONDS):
        if run.newest_step is None:
            continue
        # The folder is the waiting command's, which may be gone.
        with contextlib.suppress(OSError):
            partial.write_text(json.dumps({"what": what, "step": run.newest_step, "steps": steps}))
            partial.rename(place)
