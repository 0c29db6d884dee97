"""The process in which runs are written for W&B: ``python -m`` this module, with what is asked on its standard input.

Laws: it writes what W&B holds, waits until W&B's own process has all of it, and only then says so, in the file that it
was told. Errors are said there, too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from repro_assets import errors
from repro_assets.capture.secrets import redact_text
from repro_assets.errors import MachineError, ReproError, from_os_error
from repro_assets.interchange.exports.tracked import Tracked, TrackedRun, tell
from repro_assets.mirrors.wandb_mirror import WandB
from repro_assets.store.home import open_store

FINISH_SECONDS = 600.0
"""So long the end of a run waits until all of it is in its file, or sent."""


def main() -> None:
    """Write runs, as the parent process asks."""
    asked = json.load(sys.stdin)
    try:
        said: dict[str, Any] = {"notes": _write(asked)}
    except ReproError as error:
        said = _error(error)
    except OSError as error:
        said = _error(from_os_error(error, error.filename or asked["to"]))
    except Exception as error:  # noqa: BLE001 - whatever W&B raises is for the person to read
        said = _error(MachineError(f"W&B fails: {redact_text(' '.join(str(error).split()))}"))
    Path(asked["answer"]).write_text(json.dumps(said), "utf-8")


def _error(error: ReproError) -> dict[str, Any]:
    """Return an error as one that `repro_assets.errors` has."""
    kind = next(each for each in type(error).__mro__ if hasattr(errors, each.__name__))
    return {"error": [kind.__name__, error.message, error.remedy]}


def _write(asked: dict[str, Any]) -> list[str]:
    import wandb

    notes = []
    for run in Tracked(open_store(Path(asked["store"])), asked["runs"], False):
        folder, online = Path(asked["to"]), bool(asked["online"])
        notes += tell(run, WandB(online=online, folder=folder, host=_host(run), finish_seconds=FINISH_SECONDS))
    wandb.teardown()
    return notes


def _host(run: TrackedRun) -> str:
    """Return where a run was executed, so that W&B does not say that it was here."""
    return str((run.record["host_facts"] or {}).get("name") or "unknown")


if __name__ == "__main__":
    main()
