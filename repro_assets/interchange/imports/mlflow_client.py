"""Runs of a database or a server of MLflow, through MLflow's own client.

Laws: a database is read from a copy, made in one piece, so nothing is written to it, not even what a newer MLflow adds
to the tables of an older one. Artifacts on this machine are read where MLflow puts those of that run and nowhere else,
whatever folder the database names; those of a server are fetched under names that lead nowhere else.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from repro_assets.artifacts.kinds import tree
from repro_assets.determinism.process_variables import variables_set
from repro_assets.errors import InvalidInput, MachineError, UnsupportedFormat
from repro_assets.interchange.imports.mlflow_runs import Held
from repro_assets.mirrors.mlflow_writing import Place

PAGE = 1000
_TABLES = frozenset({"alembic_version", "experiments", "runs", "metrics", "params", "tags"})
_MAGIC = b"SQLite format 3\0"
_MOST_FILES, _DEEPEST = 1_000_000, 64
_ROOTS = ("artifacts", "mlruns", "mlartifacts")
"""Where the artifacts of a database that was moved are looked for, beside it."""
UPGRADE_SECONDS = 600


def is_database(file: Path) -> bool:
    """Tell whether a file is one of SQLite."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def copied(file: Path, folder: Path) -> Place:
    """Return a copy of a database of MLflow, in the form of the MLflow that is installed.

    Parameters
    ----------
    file : Path
        The database.
    folder : Path
        An empty folder.

    Raises
    ------
    InvalidInput
        If it is damaged, or a database of something else.
    UnsupportedFormat
        If a newer MLflow wrote it.
    """
    copy = folder / "mlflow.db"
    _copy(file, copy)
    uri = f"sqlite:///{copy}"
    from mlflow.exceptions import MlflowException

    place = Place(uri, str(folder / "artifacts"))
    try:
        with _quiet():
            place.client.search_experiments(max_results=1)
        return place
    except MlflowException:
        _upgrade(file, uri)
    place = Place(uri, str(folder / "artifacts"))
    try:
        place.client.search_experiments(max_results=1)
    except MlflowException as error:
        raise InvalidInput(f"{file} does not read: {' '.join(str(error).split())[:300]}", "restore a copy") from error
    return place


def _copy(file: Path, copy: Path) -> None:
    import sqlite3

    try:
        with (
            contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as there,
            contextlib.closing(sqlite3.connect(copy)) as here,
        ):
            there.backup(here)
            (sound,) = here.execute("PRAGMA integrity_check(1)").fetchone()
            kinds = here.execute("SELECT type, name FROM sqlite_master").fetchall()
    except sqlite3.DatabaseError as error:
        raise InvalidInput(f"{file} is damaged, or is no database: {error}", "restore a copy") from error
    if sound != "ok":
        raise InvalidInput(f"{file} is damaged: {sound}", "restore a copy")
    # A view may compute for ever when it is read, and MLflow makes none.
    if "view" in {kind for kind, _ in kinds}:
        raise InvalidInput(f"{file} has views, which MLflow does not make", "name a database of MLflow")
    if not {name for kind, name in kinds if kind == "table"} >= _TABLES:
        raise InvalidInput(f"{file} is no database of MLflow", "name one, or a folder of runs, or a server")


def _upgrade(file: Path, uri: str) -> None:
    """Bring a copy into the form of the MLflow that is installed, with its own command."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "mlflow", "db", "upgrade", uri],
            capture_output=True,
            text=True,
            timeout=UPGRADE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"MLflow did not bring {file} into its form in {UPGRADE_SECONDS} s") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        if "Can't locate revision" in said:
            raise UnsupportedFormat(f"a newer MLflow wrote {file}", "pip install --upgrade mlflow-skinny")
        raise InvalidInput(f"MLflow cannot bring {file} into its form: {said[:300]}", "mlflow db upgrade a copy of it")


def runs_of(place: Place, downloads: Path, beside: Path | None = None) -> Iterator[Held]:
    """Yield the runs that were not deleted, with where their artifacts are.

    Parameters
    ----------
    place : Place
        The database or server.
    downloads : Path
        A folder for the artifacts that are not on this machine.
    beside : Path, optional
        The folder of the database, where its artifacts are looked for if they are not where it says.

    Raises
    ------
    InvalidInput
        If something of it leads where it should not, or does not read.
    MachineError
        If a server is away.
    """
    from mlflow.entities import ViewType

    for experiment in _pages(place, "search_experiments", view_type=ViewType.ACTIVE_ONLY):
        asked = {"experiment_ids": [experiment.experiment_id], "run_view_type": ViewType.ACTIVE_ONLY}
        for run in _pages(place, "search_runs", **asked):
            yield _held(place, run, experiment, downloads, beside)


def _pages(place: Place, question: str, **asked: Any) -> Iterator[Any]:
    token = None
    while True:
        with place.asking() as client:
            page = getattr(client, question)(max_results=PAGE, page_token=token, **asked)
        yield from page
        token = page.token
        if not token:
            return


def _held(place: Place, run: Any, experiment: Any, downloads: Path, beside: Path | None) -> Held:
    info, data = run.info, run.data
    held = Held(
        info.run_id,
        info.run_name or "",
        info.status,
        info.start_time,
        info.end_time,
        experiment.experiment_id,
        experiment.name,
        user=None if info.user_id in (None, "", "unknown") else info.user_id,
        tags=dict(data.tags),
        params=dict(data.params),
        datasets=[
            {
                name: value
                for name in ("name", "digest", "source_type", "source", "schema", "profile")
                if (value := getattr(item.dataset, name)) is not None
            }
            for item in run.inputs.dataset_inputs
        ],
    )
    if held.goes_on:
        return held
    for name in sorted(data.metrics):
        with place.asking() as client:
            history = client.get_metric_history(info.run_id, name)
        held.metrics += [(name, each.step, each.value, each.timestamp) for each in history]
    held.folder = _artifacts(place, info, downloads, beside)
    return held


def _artifacts(place: Place, info: Any, downloads: Path, beside: Path | None) -> Path | None:
    """Return the folder with the artifacts of a run; None where it has none."""
    address = urlsplit(info.artifact_uri or "")
    if address.scheme in ("", "file"):
        named = Path(unquote(address.path) if address.scheme else info.artifact_uri or "")
        if named.parts[-2:] != (info.run_id, "artifacts") or ".." in named.parts:
            raise InvalidInput(
                f"run {info.run_id} names {named} as its artifacts, where MLflow puts none of it", "see what that is"
            )
        moved = [beside / root / Path(*named.parts[-3:]) for root in _ROOTS] if beside is not None else []
        return next((folder for folder in (named, *moved) if folder.is_dir()), None)
    target = downloads / info.run_id
    for path in _listed(place, info.run_id):
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with variables_set({"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}), place.asking() as client:
            client.download_artifacts(info.run_id, path, str(file.parent))
        if not file.is_file():
            raise InvalidInput(f"the artifact {path!r} of run {info.run_id} did not arrive", "see the server's log")
    return target if target.is_dir() else None


def _listed(place: Place, run_id: str) -> Iterator[str]:
    """Yield the paths of a run's artifacts on a server, each inside."""
    waiting, count = [""], 0
    while waiting:
        above = waiting.pop()
        with place.asking() as client:
            found = client.list_artifacts(run_id, above or None)
        for item in found:
            inside = tree.is_inside(item.path) and item.path.startswith(f"{above}/" if above else "")
            count += 1
            if not inside or item.path == above or item.path.count("/") > _DEEPEST or count > _MOST_FILES:
                raise InvalidInput(f"run {run_id} has an artifact called {item.path!r}", "no such name is taken")
            if item.is_dir:
                waiting.append(item.path)
            else:
                yield item.path


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what alembic says of an older database to itself: it is brought into the newer form."""
    logger = logging.getLogger("mlflow.store.db.utils")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
