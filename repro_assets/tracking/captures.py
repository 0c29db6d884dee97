"""What the records of a tracked run say of captures, of settings, and of the run that a replay executes again."""

from __future__ import annotations

from typing import Any

from repro_assets.capture.notebook import executed_since
from repro_assets.determinism.settings import settings_record
from repro_assets.journal.run_records import NotebookCells
from repro_assets.journal.segments import journal_at
from repro_assets.recording.capturing import Captured
from repro_assets.recording.run import Run
from repro_assets.tracking.pinned import Pins, say_modules


def start_facts(captured: Captured | None, pins: Pins | None) -> dict[str, Any]:
    """Return fields of a `RunStarted`; under a replay the source is the one that is executed.

    Parameters
    ----------
    captured : Captured, optional
        The captures; None where a rank makes none.
    pins : Pins, optional
        What a replay pins.
    """
    settings = settings_record()
    facts: dict[str, Any] = {"settings": settings, "device": settings.get("device")}
    if captured is not None:
        facts |= {
            "environment": captured.environment_digest,
            "source": None if captured.source is None else str(captured.source.digest),
            "source_facts": captured.source_facts,
            "host_facts": captured.host_facts,
        }
    if pins is not None:
        run = pins.run
        facts |= {"replay_of": run.run_id, "source": run.source, "source_facts": dict(run.source_facts)}
    return facts


def note_end(run: Run, captured: Captured | None, pins: Pins | None) -> None:
    """Note what is known only where a run ends: source files edited meanwhile, and the cells executed meanwhile.

    Of a replay it is which modules this process has loaded.
    """
    if pins is not None:
        say_modules(pins.pinned)
    if captured is None:
        return
    captured.note_edited(run)
    notebook = captured.source_facts.get("notebook")
    if notebook is not None and (cells := executed_since(notebook["cells"])):
        journal_at(run.home.journal).append(NotebookCells(run.run_id, cells))
