"""The format ``wandb``: runs as W&B writes them offline, or sent to W&B.

Laws: what is written is what the mirror writes. Into a folder nothing is sent; to the address ``online`` only with
credentials. W&B's files name the files of artifacts by their whole paths, so the folder is made in its place, and taken
away again where something fails; and these paths name accounts, so there is no export without names.

Limit: W&B takes the moment of the export for the start of a run. The run's own is in its config, and its points have
their own times.
"""

from __future__ import annotations

from repro_assets.extras import need
from repro_assets.interchange.exports.tracked import TrackedRun, exported, tell, tracked
from repro_assets.interchange.formats import Exported, Request
from repro_assets.interchange.targets import new_folder
from repro_assets.mirrors.choosing import mirror_named

ONLINE = "online"
FINISH_SECONDS = 600.0
"""So long it is waited until all of a run is in its file, or sent."""


def export(request: Request) -> Exported:
    """Write runs for W&B.

    Raises
    ------
    UnknownName, AmbiguousName, InvalidValue
        If nothing is called so, a run goes on or was deleted, W&B is not installed, or has no credentials.
    InvalidInput, ReusedElsewhere
        If the folder cannot be made, or something is in it.
    MachineError
        If it cannot be written.
    """
    need("wandb")
    from repro_assets.mirrors.wandb_mirror import WandB

    runs = tracked(request)
    notes: list[str] = []
    if request.to == ONLINE:
        mirror_named("wandb:online")
        for run in runs:
            notes += tell(run, WandB(online=True, host=_host(run), finish_seconds=FINISH_SECONDS))
        return exported(request, "https://wandb.ai", "wandb", runs.run_ids, notes)
    with new_folder(request.path, in_place=True) as made:
        for run in runs:
            notes += tell(run, WandB(folder=made, host=_host(run), finish_seconds=FINISH_SECONDS))
    return exported(request, request.path, "wandb", runs.run_ids, notes)


def _host(run: TrackedRun) -> str:
    """Return where a run was executed, so that W&B does not say that it was here."""
    return str((run.record["host_facts"] or {}).get("name") or "unknown")
