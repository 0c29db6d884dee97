"""The variables of a process that executes a run again.

Laws: those that decide bits are as they were: what was set is set, what was not set is removed, before the process
starts; of what Dagster did not execute the recorded environment says which those are. Modules come from the laid-out
tree first, and never from the project's working copy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repro_assets.capture.project import source_folders
from repro_assets.capture.variables import is_allowed
from repro_assets.determinism.mode import Mode
from repro_assets.determinism.process_start import warning_filters
from repro_assets.determinism.settings import RECORDED_VARIABLES
from repro_assets.recording import tracing
from repro_assets.replay.records import Recorded
from repro_assets.store.home import VARIABLE, Home
from repro_assets.tracking import opened
from repro_assets.tracking.pinned import PINS

_OF_THE_MACHINE = (
    "LD_PRELOAD", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
)  # fmt: skip
"""What says where something is here, or is given by a launcher."""
_OF_A_PARENT = (opened.RUN, opened.STORE, PINS, "RANK", "LOCAL_RANK")


def variables_of(home: Home, tree: Path, run: Recorded, document: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return all variables of the process.

    Parameters
    ----------
    home : Home
        The store.
    tree : Path
        The laid-out source tree.
    run : Recorded
        The run.
    document : mapping, optional
        Its recorded environment, of a run that Dagster did not execute.
    """
    folders = source_folders(tree)
    if run.run_kind == "asset":
        wanted, path = _of_asset(run), [str(folder) for folder in folders]
    else:
        wanted = _of_process(run, document or {})
        path = [str(folder) for folder in (*(tree / each for each in run.plan.get("path", [])), *folders)]
        path += _others(str(run.plan.get("project_root")))
    found = {
        **os.environ,
        **tracing.process_environment(),
        VARIABLE: str(home.root),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": warning_filters(os.environ),
    }
    for name, value in wanted.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = value
    return found


def to_set(run: Recorded, document: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that decide bits as they were set for a run that Dagster did not execute."""
    return {name: value for name, value in _of_process(run, document).items() if value is not None}


def _of_asset(run: Recorded) -> dict[str, str | None]:
    mode = Mode(**run.mode) if run.mode else Mode()
    wanted: dict[str, str | None] = dict(mode.environment())
    if run.settings:
        wanted |= {
            **_of_settings(run.settings),
            "CUBLAS_WORKSPACE_CONFIG": run.settings["cublas"]["workspace"],
        }
    return wanted


def _of_settings(settings: Mapping[str, Any]) -> dict[str, str | None]:
    return {
        **dict.fromkeys(RECORDED_VARIABLES),
        **settings["variables"],
        "PYTHONHASHSEED": settings["PYTHONHASHSEED"],
    }


def _of_process(run: Recorded, document: Mapping[str, Any]) -> dict[str, str | None]:
    recorded = document.get("variables")
    wanted: dict[str, str | None] = dict.fromkeys(_OF_A_PARENT)
    if recorded is not None:
        then = {name: str(value) for name, value in recorded.items() if name not in _OF_THE_MACHINE}
        wanted |= dict.fromkeys(name for name in os.environ if is_allowed(name) and name not in _OF_THE_MACHINE)
        wanted |= then
        if "OMP_NUM_THREADS" not in then and "threads" in run.settings:
            # It was the number of cores, which may be another one here.
            wanted["OMP_NUM_THREADS"] = str(run.settings["threads"])
    if run.settings:
        wanted |= _of_settings(run.settings)
    return wanted


def _others(project_root: str) -> list[str]:
    """Return the folders on this process's own path for modules that are no part of the recorded working copy."""
    entries: Sequence[str] = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    return [each for each in entries if not Path(each).absolute().is_relative_to(project_root)]
