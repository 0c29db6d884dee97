"""Repositories, and what a capture says of their source trees."""

from __future__ import annotations

import subprocess
from pathlib import Path

from repro_assets.capture.source_tree import SourceCapture

TOKEN = "gh" + "p_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def paths(capture: SourceCapture) -> list[str]:
    return [file.path for file in capture.files]


def reasons(capture: SourceCapture) -> dict[str, str]:
    return dict(capture.left_out)
