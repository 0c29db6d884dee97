"""Wheels, and records of environments that are built from them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from repro_assets.capture.environment import capture_environment

# A build backend that needs nothing: what an editable install asks for is a wheel with a path in it.
BACKEND = """
import zipfile
from pathlib import Path

def wheel(folder, files):
    name = "mine-0.1-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder) / name, "w") as file:
        for path, text in files.items():
            file.writestr(path, text)
        file.writestr("mine-0.1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: mine\\nVersion: 0.1\\n")
        file.writestr("mine-0.1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        file.writestr("mine-0.1.dist-info/RECORD", "")
    return name

def build_wheel(folder, config_settings=None, metadata_directory=None):
    return wheel(folder, {"mine.py": "WHO = 'built'"})

def build_editable(folder, config_settings=None, metadata_directory=None):
    return wheel(folder, {"mine.pth": str(Path.cwd())})
"""


def wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        for path, text in files.items():
            file.writestr(path, text)
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", record)


def record(*packages: dict[str, Any], **members: Any) -> dict[str, Any]:
    """What a capture in an environment with these packages, and one variable that counts, would have said."""
    document = capture_environment(variables={"OMP_NUM_THREADS": "3"}).document
    unavailable = {name: why for name, why in document["unavailable"].items() if not name.startswith("packages.")}
    return {
        **document,
        "packages": list(packages),
        "shadowed_packages": [],
        "torch": None,
        "unavailable": unavailable,
        **members,
    }


ONE = {"name": "one", "version": "1.0"}
TWO = {"name": "two", "version": "0.5"}
