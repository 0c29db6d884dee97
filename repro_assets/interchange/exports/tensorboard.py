"""The format ``tensorboard``: a log directory with a folder of event files for each run.

Laws: what is written is what the mirror writes; equal records give equal bytes. TensorBoard's scalars have 32 bits:
what that does not hold is text beside them.
"""

from __future__ import annotations

from functools import partial

from repro_assets.extras import need
from repro_assets.interchange.exports.tracked import exported, tell, tracked
from repro_assets.interchange.formats import Exported, Request
from repro_assets.interchange.targets import new_folder


def export(request: Request) -> Exported:
    """Write runs as a log directory.

    Raises
    ------
    UnknownName, AmbiguousName, InvalidValue
        If nothing is called so, a run goes on or was deleted, or TensorBoard is not installed.
    InvalidInput, ReusedElsewhere
        If the folder cannot be made, or something is in it.
    MachineError
        If it cannot be written.
    """
    need("tensorboard")
    from repro_assets.mirrors.tensorboard_mirror import TensorBoard

    runs = tracked(request)
    notes: list[str] = []
    with new_folder(request.path) as made:
        for run in runs:
            # What has no time of its own was known at the end.
            at = run.ended if run.ended is not None else run.started_ns / 1e9
            notes += tell(run, TensorBoard(made, clock=partial(float, at), writer=run.run_id))
    return exported(request, request.path, "tensorboard", runs.run_ids, notes)
