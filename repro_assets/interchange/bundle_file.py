"""The format ``bundle``, by the names that a person gives."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from repro_assets.identity.digest import Digest
from repro_assets.interchange.bundle import export_bundle
from repro_assets.interchange.formats import Exported, Progress, Request, joined
from repro_assets.interchange.importing import Imported, import_bundle
from repro_assets.interchange.subjects import refuse_running, resolve
from repro_assets.interchange.targets import target_file
from repro_assets.store.home import Home

SUFFIX = ".repro"


def export(request: Request) -> Exported:
    """Write the bundle of runs and artifacts; a name that is a run's means the run.

    Raises
    ------
    UnknownName, AmbiguousName, InvalidValue
        If nothing is called so, or a run goes on.
    ReproError
        As `export_bundle`.
    """
    runs: list[str] = []
    artifacts: list[Digest] = []
    for name in request.names:
        found = resolve(request.home, name)
        if isinstance(found, str):
            runs.append(found)
        else:
            artifacts.append(found)
    refuse_running(request.home, runs)
    first = runs[0][:8] if runs else artifacts[0].hex[:8]
    path = target_file(request.path, f"{first}{SUFFIX}", force=request.force)
    done = export_bundle(
        request.home,
        runs,
        artifacts,
        path,
        with_environment=request.with_environment,
        anonymous=request.anonymize,
        progress=request.progress,
    )
    notes = [f"{done.evicted} artifacts were evicted: of these it has the manifests"] if done.evicted else []
    notes += [f"{lack['name']} {lack['version']} is not in it: {lack['reason']}" for lack in done.missing]
    facts = {name: value for name, value in asdict(done).items() if name not in ("path", "digest")}
    return Exported(path, "bundle", joined(request.names), str(done.digest), True, facts, tuple(notes))


def take_in(home: Home | None, path: str, *, dry_run: bool, progress: Progress | None = None) -> Imported:
    """Take a bundle in, as `import_bundle` does."""
    return import_bundle(home, Path(path), dry_run=dry_run, progress=progress)
