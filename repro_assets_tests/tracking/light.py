"""An interpreter that finds the distributions that it is given, and no other."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]


def lay_out(folder: Path, distributions: Iterable[str]) -> Path:
    """Fill a folder with what these distributions installed, as `pip install --no-deps` would."""
    folder.mkdir()
    for name in distributions:
        for file in importlib.metadata.files(name) or []:
            place = folder / file.parts[0]
            source = Path(str(file.locate())).resolve()
            if ".." in file.parts or place.name == "__pycache__":
                continue
            if len(file.parts) == 1:
                if not place.exists():
                    place.symlink_to(source)
                continue
            # Some share a folder, as namespaces do.
            target = folder / file
            if not target.exists() and source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source)
    return folder


def execute(script: Path, site: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Execute a script in an isolated interpreter that knows `site` and this project."""
    package = site / "repro_assets"
    if not package.exists():
        package.symlink_to(ROOT / "repro_assets")
    return subprocess.run(
        [sys.executable, "-I", "-S", str(script)],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "SITE": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
