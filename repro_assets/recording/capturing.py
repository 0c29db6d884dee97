"""Capturing what a run depends on, into the store.

Laws: a capture never stops a run: what could not be had is in the captured documents with its reason; source tree and
environment are artifacts, so unchanged ones are stored once; one process captures once for each parent run, before the
first recipe of it begins, because the code that runs is the code that was loaded. What this process stored last, and
finds again as it was, is only looked for: its lease keeps every object of it in the store.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds.tree import TreeFile
from repro_assets.capture.environment import capture_environment
from repro_assets.capture.level import Level
from repro_assets.capture.notebook import NotebookCapture, capture_notebook
from repro_assets.capture.project import project_root
from repro_assets.capture.remembered import Remembered
from repro_assets.capture.scanned import ScanCache
from repro_assets.capture.scheduler import scheduler_job
from repro_assets.capture.source import NO_REPOSITORY, capture_source
from repro_assets.capture.source_tree import SourceCapture, SourceFile
from repro_assets.errors import SourceChanged
from repro_assets.store.home import Home
from repro_assets.store.opening import open_objects

if TYPE_CHECKING:
    from repro_assets.recording.run import Run

ATTEMPTS = 4
_caches: dict[Path, tuple[ScanCache, Remembered]] = {}
_stored: dict[tuple[Path, str], tuple[Any, Artifact]] = {}
# The lease on these objects is the parent's.
os.register_at_fork(after_in_child=_stored.clear)


@dataclass(frozen=True, slots=True)
class Captured:
    """What a run record says about environment and source."""

    level: Level
    environment: Artifact | None
    document: dict[str, Any]
    source: Artifact | None
    source_facts: dict[str, Any]
    host_facts: dict[str, Any]
    readings: dict[str, float]
    warnings: list[str] = field(default_factory=list)
    files: SourceCapture | None = None

    def note_edited(self, run: Run) -> None:
        """Note, where a run ends, the loaded modules of which another form than the stored one may have run."""
        if self.files is None:
            return
        since = self.files.edited_since()
        run.edited_sources = sorted({**self.files.edited_after_start(), **since})
        if since:
            run.warnings.append(f"edited while the run went on, so the run is not comparable: {', '.join(since)}")

    @property
    def stored_files(self) -> SourceCapture | None:
        """What the stored source tree holds; None where none was stored."""
        return None if self.source is None else self.files

    def summary(self) -> str:
        """Say in one line what a person wants to see first: commit, changes, Python, torch, processors, digest."""
        if self.environment is None:
            return " · ".join([f"captured ({self.level.value})", *_source_words(self.source_facts), "NO ENVIRONMENT"])
        return summarize(self.document, self.source_facts, str(self.environment.digest))

    @property
    def environment_digest(self) -> str | None:
        """Digest of the environment's document; None where it was not to be captured."""
        return None if self.environment is None else str(self.environment.digest)


def capture(
    home: Home,
    level: Level,
    root: Path | None = None,
    *,
    with_source: bool = True,
    with_environment: bool = True,
) -> Captured:
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
    with_environment : bool
        False where a person has switched it off, of which there is a warning.
    """
    root = root or project_root()
    stored, document, host, readings = _environment(home, level, root) if with_environment else (None, {}, {}, {})
    if (job := scheduler_job(os.environ)) is not None:
        host["scheduler_job"] = job
    switched_off = [] if with_environment else ["the environment is not captured: capture_environment is off"]
    if not with_source:
        return Captured(level, stored, document, None, {}, host, readings, switched_off)
    notebook = capture_notebook() if level.takes(Level.STANDARD) else None
    source, tree, moving = _source(home, root, level, notebook)
    if source.diff:
        data = source.diff.encode()
        diff = _once(home, "diff", data, lambda: repository.put(home, data, "bytes", name="diff"))
        source.document["diff"] = str(diff.digest)
    warnings = switched_off
    warnings += [f"{path} is not stored: it was being written while the source was captured" for path in moving]
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
    return Captured(level, stored, document, tree, source.document, host, readings, warnings, source)


def _environment(
    home: Home, level: Level, root: Path
) -> tuple[Artifact, dict[str, Any], dict[str, Any], dict[str, float]]:
    """Capture and store the environment; also what is only this process's own, and the readings of the machine."""
    found = capture_environment(level, project=root, cache=home.cache / "environment", scratch=home.temporary)
    document = found.document
    stored = _once(home, "environment", document, lambda: repository.put(home, document, "json", name="environment"))
    host = {**document.get("host", {}), **{name: value for name, value in found.loaded.items() if value}}
    if found.missing:
        host["missing"] = found.missing
    return stored, document, host, dict(found.readings)


def summarize(environment: Mapping[str, Any], source: Mapping[str, Any], digest: str) -> str:
    """Say in one line what was captured.

    Parameters
    ----------
    environment : mapping
        The environment's document.
    source : mapping
        The source's facts; empty where the source was not captured.
    digest : str
        The environment's digest.
    """
    parts = [f"captured ({environment['level']})", *_source_words(source)]
    parts.append(f"Python {(environment.get('python') or {}).get('version', 'unknown')}")
    torch = environment.get("torch")
    if torch:
        cuda = f" (CUDA {torch['cuda']})" if torch.get("cuda") else ""
        parts.append(f"torch {torch.get('version')}{cuda}")
    parts.append(f"{len(environment['packages'])} packages")
    hardware = environment.get("hardware")
    if hardware:
        cpu = hardware.get("cpu") or {}
        parts.append(f"{cpu.get('model') or 'unknown CPU'}, {cpu.get('logical_cores')} cores")
        gpus = Counter(gpu["name"] for gpu in hardware.get("gpus") or [])
        parts += [f"{count} x {name}" if count > 1 else str(name) for name, count in gpus.items()] or ["no GPU"]
    edited = environment.get("edited_packages")
    if edited:
        parts.append(f"EDITED packages: {', '.join(edited)}")
    parts.append(f"environment {digest[:19]}")
    return " · ".join(parts)


def _source_words(source: Mapping[str, Any]) -> list[str]:
    if not source:
        return []
    if not source.get("git"):
        reason = source.get("unavailable", {}).get("git", NO_REPOSITORY)
        return ["no git repository" if reason == NO_REPOSITORY else f"NO COMMIT: {' '.join(reason.split())}"]
    place = f"commit {source['commit'][:12]}" if source.get("commit") else "no commit yet"
    branch = f" on {source['branch']}" if source.get("branch") else ""
    numbers = [f"{len(source[what])} {what}" for what in ("changed", "untracked") if source.get(what)]
    dirty = f"dirty ({', '.join(numbers)})" if numbers else "dirty"
    return [place + branch, dirty if source.get("dirty") else "clean"]


def _source(
    home: Home, root: Path, level: Level, notebook: NotebookCapture | None
) -> tuple[SourceCapture, Artifact | None, list[str]]:
    """Capture and store the tree; a file that is written all the while is left out and named."""
    folder = home.cache / "source"
    if folder not in _caches:
        _caches[folder] = ScanCache(folder), Remembered(folder, "git")
    cache, remembered = _caches[folder]
    moving: set[str] = set()
    for attempt in range(ATTEMPTS):
        source = capture_source(root, level, cache=cache, remembered=remembered)
        remembered.save()
        if level is Level.BASIC:
            return source, None, []
        # What was scanned is what is stored: `SourceFile.read` refuses other bytes.
        files = [
            TreeFile(
                f.path,
                f.absolute,
                f.executable,
                f.link_target,
                f.read,
                known=None if f.digest is None else (f.digest, f.size),
            )
            for f in source.files
            if f.path not in moving
        ]
        if notebook is not None:
            files.append(_notebook_file(notebook, source))
        try:
            tree = _once(home, "source", _known(files), partial(repository.put, home, files, "tree", name="source"))
        except SourceChanged:
            if attempt + 1 == ATTEMPTS:
                raise
            if attempt:
                moving |= {f.path for f in source.files if _changed(f)}
            continue
        cache.save()
        return source, tree, sorted(moving)
    raise AssertionError("unreachable")


def _once(home: Home, what: str, content: Any, put: Callable[[], Artifact]) -> Artifact:
    """Store with `put`, unless this process stored the same `content` last; None is never the same."""
    known = _stored.get((home.root, what))
    same = content is not None and known is not None and known[0] == content
    if known is not None and same and open_objects(home).has(known[1].digest):
        return known[1]
    artifact = put()
    _stored[home.root, what] = content, artifact
    return artifact


def _known(files: list[TreeFile]) -> list[tuple[Any, ...]] | None:
    """Return what decides the tree that these files make; None where the bytes of one have to be read for that."""
    if any(file.known is None and file.link_target is None for file in files):
        return None
    return [(file.path, file.executable, file.link_target, file.known) for file in files]


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
