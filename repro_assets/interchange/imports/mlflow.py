"""The import of ``mlflow``: runs of a database, of a folder ``mlruns``, or of a server.

Laws: all of it is read and found right before anything is written; a run that goes on there is named and left out; what
was deleted there is not taken. No environment, source or seed is claimed: what MLflow says of these is among the
details of where the run comes from. Values are MLflow's: its databases hold ±1.7976931348623157e308 for an infinity,
and whole milliseconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from repro_assets.capture.secrets import redact_url
from repro_assets.errors import InvalidInput
from repro_assets.extras import need
from repro_assets.interchange.exports.mlflow import DATABASE, understood
from repro_assets.interchange.imports import mlflow_folder
from repro_assets.interchange.imports.mlflow_client import copied, is_database, runs_of
from repro_assets.interchange.imports.mlflow_runs import Held, foreign_run
from repro_assets.interchange.imports.recording import Progress, Recorded, record
from repro_assets.mirrors.mlflow_writing import Place, is_on_network
from repro_assets.store.home import Home

FOLDER = "mlruns"
_SOURCES = "a file mlflow.db, a folder mlruns, one that holds either, or the address of a server"


def take_in(home: Home | None, path: str, *, dry_run: bool, progress: Progress | None = None) -> Recorded:
    """Take the runs of MLflow in.

    Parameters
    ----------
    home : Home or None
        The store; None, for a dry run only, is an empty one.
    path : str
        A database, a folder of runs, one that holds either, or the address of a server.
    dry_run : bool
        Tell what would come, and write nothing.
    progress : callable, optional
        Told how many objects are stored.

    Raises
    ------
    InvalidValue
        If MLflow is not installed.
    InvalidInput, UnsupportedFormat
        If it is nothing of MLflow's, is damaged or half-written, or a newer MLflow wrote it; nothing was written then.
    MachineError
        If a server is away, or the store cannot be written.
    """
    need("mlflow")
    with understood(), tempfile.TemporaryDirectory(prefix="repro-mlflow-") as made:
        place, found = _source(path, Path(made))
        done = Recorded(place, dry_run=dry_run)
        runs = []
        for held in found:
            if held.goes_on:
                name = held.name or held.run_id
                done.left_out.append({"run": held.run_id, "name": name, "reason": f"it is {held.status} there"})
            else:
                runs.append(foreign_run(held, place))
        # MLflow gives the newest first.
        runs.sort(key=lambda run: (run.started or 0.0, run.foreign_id))
        return record(home, done, runs, progress)


def _source(path: str, made: Path) -> tuple[str, Iterator[Held]]:
    """Return what a source is called, without credentials, and its runs."""
    if is_on_network(path):
        return redact_url(path), runs_of(Place(path), made)
    if path.startswith(("sqlite:", "file:")):
        address = urlsplit(path)
        path = unquote(address.path.removeprefix("/") if address.scheme == "sqlite" else address.path)
    elif "://" in path:
        raise InvalidInput(
            f"{redact_url(path)} is not read directly", "serve it: mlflow server --backend-store-uri …, and name that"
        )
    there = Path(path)
    if not there.exists():
        raise InvalidInput(f"{there} is not there", f"name {_SOURCES}")
    file, folder = (there / DATABASE, there / FOLDER) if there.is_dir() else (there, there)
    candidates = [each for each in (there, folder) if each.is_dir() and mlflow_folder.is_folder(each)]
    if is_database(file) and candidates:
        raise InvalidInput(f"{there} holds both a database and a folder of runs", f"name {file} or {candidates[0]}")
    if is_database(file):
        return str(there), runs_of(copied(file, made), made / "fetched", file.absolute().parent)
    if candidates:
        return str(there), mlflow_folder.runs_in(candidates[0])
    raise InvalidInput(f"{there} is nothing of MLflow's", f"name {_SOURCES}")
