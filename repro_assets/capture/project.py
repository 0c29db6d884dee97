"""Where a project begins, and where its modules are imported from."""

from __future__ import annotations

from pathlib import Path

from repro_assets.store.home import find_project


def project_root(start: Path | None = None) -> Path:
    """Return the nearest folder upwards that is a project's top, else `start` itself."""
    folder = (start or Path.cwd()).absolute()
    return find_project(folder) or folder


def source_folders(root: Path) -> list[Path]:
    """Return the folders that a project's modules are imported from: its own, and ``src`` where that is no package."""
    inner = root / "src"
    return [root, inner] if inner.is_dir() and not (inner / "__init__.py").exists() else [root]
