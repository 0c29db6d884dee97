"""Whose read it is that Python tells of, by the frames of the call.

Laws: the nearest frame that is neither the standard library's nor an installed package's decides: one of this project's
layers reads for its own ends, but for those that are recipes or call them; any other is the program's. A call of
libraries alone is the program's too, as in a worker that loads a data set, unless one of them is a tool that watches.
"""

from __future__ import annotations

import os
import sys
from types import FrameType

RECIPE, IMPORT, OWN = "recipe", "import", "own"

_STDLIB = os.path.dirname(os.__file__)  # noqa: PTH120 (as code objects spell it)
_OURS = "repro_assets."
_LISTENING = frozenset({__name__, "repro_assets.capture.undeclared", "repro_assets.capture.audit_events"})
_CALL_RECIPES = (
    "repro_assets.training.",
    "repro_assets.determinism.data_loading",
    "repro_assets.orchestration.bodies",
    "repro_assets.orchestration.execution",
    "repro_assets.recording.rank_process",
    "repro_assets.recording.recipes",
    "repro_assets.recording.rehearsal",
    "repro_assets.tracking.artifact_decorators",
    "repro_assets.tracking.cells",
    "repro_assets.tracking.decorators",
)
"""Modules of this project that are recipes, or call them."""
_WATCHING = frozenset(
    {"IPython", "dagster", "debugpy", "ipykernel", "mlflow", "opentelemetry", "pydevd", "tensorboard", "wandb"}
)
"""Packages whose threads read for their own ends."""
_CACHING = ("torch._inductor", "torch._dynamo", "torch._functorch", "triton.", "numba.", "matplotlib.font_manager")
"""Modules that keep what they have derived from code or from the machine, and read it again."""


def asker() -> str:
    """Return whose read it is that an audit event tells of: the recipe's, the import system's, or none of it."""
    frame: FrameType = sys._getframe(1)
    while frame.f_globals.get("__name__") in _LISTENING and frame.f_back is not None:
        frame = frame.f_back
    if frame.f_code.co_filename.startswith("<frozen importlib"):
        return IMPORT
    walked: FrameType | None = frame
    watching = False
    while walked is not None:
        name, file = walked.f_globals.get("__name__"), walked.f_code.co_filename
        name = name if isinstance(name, str) else ""
        if name.startswith(_OURS):
            return RECIPE if name.startswith(_CALL_RECIPES) else OWN
        if name.startswith(_CACHING):
            return OWN
        if not _is_library(name, file):
            return RECIPE
        watching = watching or name.partition(".")[0] in _WATCHING
        walked = walked.f_back
    return OWN if watching else RECIPE


def _is_library(name: str, file: str) -> bool:
    if file.startswith("<"):
        # What is typed, a cell, and code of the command line are the program's; what a library has generated is not.
        return name != "__main__"
    return file.startswith(_STDLIB) or "/site-packages/" in file or "/dist-packages/" in file
