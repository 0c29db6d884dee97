"""The format ``wandb``: runs as W&B writes them offline, or sent to W&B.

Laws: what is written is what the mirror writes. Into a folder nothing is sent; to the address ``online`` only with
credentials. W&B is loaded in a process of its own (`wandb_process`), which ends when all is written, so the program's
own runs of W&B are left alone. W&B's files name the files of artifacts by their whole paths, so the folder is made in
its place, and taken away again where something fails; and these paths name accounts, so there is no export without
names.

Limit: W&B takes the moment of the export for the start of a run. The run's own is in its config, and its points have
their own times.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from repro_assets import errors
from repro_assets.capture.secrets import redact_text
from repro_assets.errors import MachineError
from repro_assets.extras import need
from repro_assets.interchange.exports.tracked import Tracked, exported, tracked
from repro_assets.interchange.formats import Exported, Request
from repro_assets.interchange.targets import new_folder

ONLINE = "online"
PROCESS = "repro_assets.interchange.exports.wandb_process"


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
    runs = tracked(request)
    if request.to == ONLINE:
        from repro_assets.mirrors.wandb_mirror import need_credentials

        need_credentials("name a folder, --to FOLDER, and send it later with wandb sync")
        with tempfile.TemporaryDirectory(prefix="repro-wandb-") as folder:
            notes = _write(runs, Path(folder), online=True)
        return exported(request, "https://wandb.ai", "wandb", runs.run_ids, notes)
    with new_folder(request.path, in_place=True) as made:
        notes = _write(runs, made, online=False)
    return exported(request, request.path, "wandb", runs.run_ids, notes)


def _write(runs: Tracked, folder: Path, *, online: bool) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="repro-wandb-") as made:
        answer = Path(made) / "answer.json"
        asked = {
            "store": str(runs.home.root.absolute()),
            "runs": runs.run_ids,
            "to": str(folder),
            "online": online,
            "answer": str(answer),
        }
        done = subprocess.run(
            [sys.executable, "-m", PROCESS],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            env={**os.environ, "WANDB_SILENT": "true"},
            check=False,
        )
        if done.returncode or not answer.is_file():
            said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise MachineError(f"W&B fails: {redact_text(said)}")
        found = json.loads(answer.read_text("utf-8"))
    if "error" in found:
        name, message, remedy = found["error"]
        raise getattr(errors, name)(message, remedy)
    return [str(note) for note in found["notes"]]
