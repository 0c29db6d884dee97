"""Other tools, each in an environment of its own, so that nothing of theirs is installed beside ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / ".peers"
REQUIREMENTS = {"dvc": "dvc==3.67.1"}


def program(name: str) -> Path:
    """Return a peer's command; its environment is made where it is missing (a download)."""
    environment = FOLDER / name
    command = environment / "bin" / name
    if not command.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([environment / "bin" / "python", "-m", "pip", "install", "-q", REQUIREMENTS[name]], check=True)
    return command
