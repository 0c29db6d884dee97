"""Capturing what a run depends on, into the store.

Laws: a capture never stops a run: what could not be had is in the captured documents with its reason; source tree and
environment are artifacts, so unchanged ones are stored once; one process captures once for each parent run, before the
first recipe of it begins, because the code that runs is the code that was loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds.tree import TreeFile
from repro_assets.capture.environment import capture_environment
from repro_assets.capture.level import Level
from repro_assets.capture.notebook import NotebookCapture, capture_notebook
from repro_assets.capture.scanned import ScanCache
from repro_assets.capture.source import SourceCapture, SourceFile, capture_source
from repro_assets.errors import SourceChanged
from repro_assets.store.home import Home

ATTEMPTS = 4
ROOT_MARKS = ("workspace.yaml", "pyproject.toml", ".git")


@dataclass(frozen=True, slots=True)
class Captured:
    """What a run record says about environment and source."""

    level: Level
    environment: Artifact
    source: Artifact | None
    source_facts: dict[str, Any]
    host_facts: dict[str, Any]
    readings: dict[str, float]
    warnings: list[str] = field(default_factory=list)
    files: SourceCapture | None = None

    def edited(self) -> list[str]:
        """Name the source files of loaded modules that are newer than this process."""
        return sorted(self.files.edited_after_start()) if self.files is not None else []


def project_root(start: Path | None = None) -> Path:
    """Return the nearest folder upwards that is a project's top (`ROOT_MARKS`), else `start` itself."""
    folder = (start or Path.cwd()).absolute()
    for candidate in (folder, *folder.parents):
        if any((candidate / mark).exists() for mark in ROOT_MARKS):
            return candidate
    return folder


def capture(home: Home, level: Level, root: Path | None = None, *, with_source: bool = True) -> Captured:
    """Capture environment and, from the standard level on, the source tree.

    Parameters
    ----------
    home : Home
        Where the captured documents and files go.
    level : Level
        How much is captured.
    root : Path, optional
        The project's top folder; found from the current folder if left out.
    with_source : bool
        False where the source is known already, as in a replay.
    """
    environment = capture_environment(level)
    stored = repository.put(home, environment.document, "json", name="environment")
    host = environment.document.get("host", {})
    readings = dict(environment.readings)
    if not with_source:
        return Captured(level, stored, None, {}, host, readings)
    notebook = capture_notebook() if level.takes(Level.STANDARD) else None
    source, tree, moving = _source(home, root or project_root(), level, notebook)
    warnings = [f"{path} is not stored: it was being written while the source was captured" for path in moving]
    if source.document.get("dirty"):
        warnings.append("the source tree has uncommitted changes; they are stored with the run")
    for item in source.left_out:
        # What a rule of the person's own leaves out is in the document; these are no choice of anybody.
        if "secret" in item.reason or item.reason.startswith(("cannot be read", "changed while")):
            warnings.append(f"{item.path} is not stored: {item.reason}")
    if notebook is not None:
        warnings += [f"{cell} is not stored: {reason}" for cell, reason in notebook.left_out.items()]
    edited = source.edited_after_start()
    if edited:
        warnings.append(f"edited after the process started, so the run is not comparable: {', '.join(edited)}")
    return Captured(level, stored, tree, source.document, host, readings, warnings, source)


def _source(
    home: Home, root: Path, level: Level, notebook: NotebookCapture | None
) -> tuple[SourceCapture, Artifact | None, list[str]]:
    """Capture and store the tree; a file that is written all the while is left out and named."""
    cache = ScanCache(home.cache / "source")
    moving: set[str] = set()
    for attempt in range(ATTEMPTS):
        source = capture_source(root, level, cache=cache)
        if level is Level.BASIC:
            return source, None, []
        # What was scanned is what is stored: `SourceFile.read` refuses other bytes.
        files = [
            TreeFile(f.path, f.absolute, f.executable, f.link_target, f.read)
            for f in source.files
            if f.path not in moving
        ]
        if notebook is not None:
            files.append(_notebook_file(notebook, source))
        try:
            tree = repository.put(home, files, "tree", name="source")
        except SourceChanged:
            if attempt + 1 == ATTEMPTS:
                raise
            if attempt:
                moving |= {f.path for f in source.files if _changed(f)}
            continue
        cache.save()
        return source, tree, sorted(moving)
    raise AssertionError("unreachable")


def _notebook_file(notebook: NotebookCapture, source: SourceCapture) -> TreeFile:
    """Return the executed cells as a file of the tree, under a name that no file of it has; the record says which."""
    taken = {file.path for file in source.files}
    folder, _, name = notebook.document["path"].partition("/")
    path, number = f"{folder}/{name}", 0
    while taken & {path, path.partition("/")[0]}:
        number += 1
        path = f"{folder}-{number}/{name}"
    source.document["notebook"] = {**notebook.document, "path": path}
    source.document["left_out"] += [{"path": cell, "reason": reason} for cell, reason in notebook.left_out.items()]
    return TreeFile(path, source.root / path, read=lambda: notebook.data)


def _changed(file: SourceFile) -> bool:
    try:
        file.read()
    except (SourceChanged, OSError):
        return True
    return False
