"""Other tools, each in an environment of its own, so that nothing of theirs is installed beside ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.peer_side import OFFLINE

FOLDER = Path(__file__).parent / ".peers"
REQUIREMENTS = {
    "dvc": "dvc==3.67.1",
    "mlflow": "mlflow==3.17.2",
    "wandb": "wandb==0.31.0",
    "tensorboard": "tensorboardX==2.6.5",
    "trackio": "trackio==0.43.0",
}
_SIDE = Path(__file__).with_name("peer_side.py")


def program(name: str) -> Path:
    """Return a peer's command; its environment is made where it is missing (a download)."""
    return _made(name) / name


def measured(tracker: str, does: str, folder: Path, *numbers: float) -> Any:
    """Return what `peer_side.py` measures of a tracker, in a process of that tracker's environment.

    None where that process kills itself.
    """
    command = [_made(tracker) / "python", _SIDE, tracker, does, folder, *map(str, numbers)]
    # Settings of this process's own, such as an account of W&B, are no part of the measurement.
    others = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "MLFLOW_", "PYTHON"))}
    done = subprocess.run(
        command, env={**others, **OFFLINE}, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    if does == "die" and done.returncode == -9:
        return None
    if done.returncode:
        raise RuntimeError(f"{tracker} {does} ended with {done.returncode}: {done.stderr[-1000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _made(name: str) -> Path:
    """Return the folder of programs of a peer's environment; it is finished once the requirement is noted in it."""
    environment = FOLDER / name
    programs, note = environment / "bin", environment / "requirement"
    if not note.is_file() or note.read_text() != REQUIREMENTS[name]:
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        subprocess.run([programs / "python", "-m", "pip", "install", "-q", REQUIREMENTS[name]], check=True)
        note.write_text(REQUIREMENTS[name])
    return programs
