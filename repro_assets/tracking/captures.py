"""What the start record of a tracked run says of captures, of settings, and of the run that a replay executes again."""

from __future__ import annotations

from typing import Any

from repro_assets.determinism.settings import settings_record
from repro_assets.recording.capturing import Captured
from repro_assets.tracking.pinned import Pins


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
        facts |= {"replay_of": pins.replay_of, "source": pins.source, "source_facts": dict(pins.source_facts)}
    return facts
