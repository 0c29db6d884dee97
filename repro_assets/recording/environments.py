"""The environment that a person means: a run's, an artifact, a file, or ``current``.

Law: a document that does not read is refused by its name, never taken for an empty one. A file needs no store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.capture.environment import capture_environment
from repro_assets.capture.level import Level
from repro_assets.capture.project import project_root
from repro_assets.capture.source import capture_source
from repro_assets.capture.system_info import write_files
from repro_assets.errors import InvalidInput, NoStore, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.recording.capturing import summarize
from repro_assets.store.home import Home, find_store

CURRENT = "current"


@dataclass(frozen=True, slots=True)
class KnownEnvironment:
    """A captured environment, and where it is from.

    Parameters
    ----------
    name : str
        How to name it to a person.
    document : dict
        As captured; of a run also its ``settings`` that change bits, as they held.
    run_id : str or None
        The run that was executed in it.
    home, source : Home and Digest, or None
        Where that run's source tree is, if it was captured.
    """

    name: str
    document: dict[str, Any]
    run_id: str | None = None
    home: Home | None = None
    source: Digest | None = None


@dataclass(frozen=True, slots=True)
class CapturedFiles:
    """An environment that was captured into files.

    Parameters
    ----------
    digest : Digest
        Of the artifact as which a store holds this environment.
    level : Level
        How much was captured.
    files : list of Path
        What was written.
    summary : str
        One line for a person.
    """

    digest: Digest
    level: Level
    files: list[Path]
    summary: str


def captured_into(folder: Path, level: Level) -> CapturedFiles:
    """Capture this process's environment into files; no store is needed, and nothing is stored.

    Parameters
    ----------
    folder : path
        Where `repro_assets.capture.system_info.write_files` writes.
    level : Level
        How much is captured.

    Raises
    ------
    InvalidInput, MachineError
        As `write_files`.
    """
    root = project_root()
    try:
        cache = find_store().cache / "environment"
    except NoStore:
        cache = None  # every installed file is compared again then
    captured = capture_environment(level, project=root, cache=cache, scratch=folder)
    source = capture_source(root, Level.BASIC)
    digest = captured.digest
    files = write_files(captured, source, folder)
    return CapturedFiles(digest, level, files, summarize(captured.document, source.document, str(digest)))


def known_environment(text: str, home: Callable[[], Home]) -> KnownEnvironment:
    """Return the environment that `text` names.

    Parameters
    ----------
    text : str
        ``current``, the path of a JSON file, a run, or an artifact.
    home : callable
        Gives the store, its catalog refreshed; only asked where `text` is neither ``current`` nor a file.

    Raises
    ------
    UnknownName, AmbiguousName
        If nothing is called that.
    InvalidInput
        If what is called that holds no environment.
    """
    if text == CURRENT:
        return KnownEnvironment(CURRENT, capture_environment(Level.STANDARD).document)
    path = Path(text)
    if path.is_file():
        return KnownEnvironment(text, _read_file(path))
    from repro_assets.catalog import naming, queries

    store = home()
    try:
        run_id = queries.resolve_run(store, text)
    except UnknownName:
        run_id = None
    if run_id is not None:
        return _of_run(store, run_id)
    try:
        artifact = naming.resolve_artifact(store, text)
    except UnknownName as error:
        raise UnknownName(
            f"there is no run, environment or file named {text!r}", "see: repro runs list, or say current"
        ) from error
    return KnownEnvironment(str(artifact), _load(artifact))


def load_environment(home: Home, digest: str) -> dict[str, Any]:
    """Return the document of a stored environment.

    Raises
    ------
    UnknownName, MissingObject, CorruptObject
        If it is gone, or its bytes are gone or do not match.
    InvalidInput
        If it holds no environment.
    """
    return _load(repository.by_digest(home, Digest.parse(digest), name=f"environment {digest}"))


def _of_run(home: Home, run_id: str) -> KnownEnvironment:
    from repro_assets.catalog import queries

    (run,) = queries.rows(
        home, "SELECT run_kind, environment, source, settings FROM runs WHERE run_id = $run", {"run": run_id}
    )
    if run["environment"] is None:
        parent = run["run_kind"] == "parent"
        remedy = "name one of the runs that it groups, see: repro runs show" if parent else "name a run of an asset"
        raise InvalidInput(f"run {run_id} ({run['run_kind']}) has no environment on record", remedy)
    document = load_environment(home, run["environment"])
    settings = json.loads(run["settings"]) if run["settings"] else None
    if settings:
        document = {**document, "settings": settings}
    source = None if run["source"] is None else Digest.parse(run["source"])
    return KnownEnvironment(f"run {run_id}", document, run_id, home, source)


def _load(artifact: Artifact) -> dict[str, Any]:
    if artifact.kind != "json":
        raise InvalidInput(
            f"{artifact} is of the kind {artifact.kind}, and an environment is JSON", "name a run or its environment"
        )
    return _checked(artifact.load(), str(artifact))


def _read_file(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", "check the path") from error
    except ValueError as error:
        raise InvalidInput(f"{path} is not JSON: {error}", "give a file that repro env capture wrote") from error
    if isinstance(document, Mapping) and isinstance(document.get("environment"), Mapping):
        document = document["environment"]
    return _checked(document, str(path))


def _checked(document: Any, name: str) -> dict[str, Any]:
    if not isinstance(document, dict) or not {"packages", "python"} & set(document):
        raise InvalidInput(
            f"{name} holds no captured environment: it has neither packages nor python",
            "give what repro env capture wrote",
        )
    return document
