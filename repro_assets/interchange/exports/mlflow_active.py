"""Into the run of MLflow that is active in this process: a run that is on record, or what is captured now.

Laws: the run stays the program's own: it is not ended, its name and its tags of MLflow are left alone, and a parameter
that it has keeps its value; ours is the tag `param.<name>` then.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from repro_assets.capture.data_manifest.creation import create_manifest
from repro_assets.capture.data_manifest.document import document_of
from repro_assets.capture.environment import capture_environment
from repro_assets.capture.level import Level
from repro_assets.capture.source import capture_source
from repro_assets.errors import InvalidValue
from repro_assets.extras import need
from repro_assets.interchange.exports.mlflow import tags_of, understood, write_run
from repro_assets.interchange.exports.mlflow_files import (
    environment_files,
    environment_params,
    manifest_params,
    write_manifest,
    write_texts,
)
from repro_assets.interchange.exports.tracked import Tracked, exported, gone_of
from repro_assets.interchange.formats import Exported, Request
from repro_assets.mirrors.mlflow_writing import RUN_ID, Place, RunWriter, new_names


def write_into_active(request: Request, runs: Tracked) -> Exported:
    """Write a run into the one that is active.

    Raises
    ------
    InvalidValue
        If there are several, or none is active.
    """
    if len(runs.run_ids) > 1:
        raise InvalidValue(
            f"{len(runs.run_ids)} runs are meant, and the active run of MLflow is one", "name one that has no others"
        )
    with understood(), tempfile.TemporaryDirectory(prefix="repro-mlflow-") as made:
        writer = _active(Path(made))
        (run,) = runs
        tags = {name: text for name, text in tags_of(run, writer.held).items() if not name.startswith("mlflow.")}
        environment = {} if run.environment is None else environment_files(run.environment)
        write_run(writer, run, Path(made), environment, {RUN_ID: run.run_id, **tags})
        writer.files(Path(made))
        return exported(request, f"runs:/{writer.id}", "mlflow", runs.run_ids, gone_of(run))


def capture_to_mlflow(
    data: str | Path | None = None, *, level: Level | str | int = Level.STANDARD, project: Path | None = None
) -> dict[str, Any]:
    """Write this process's environment, and the manifest of some data, into MLflow's active run.

    Parameters
    ----------
    data : str or Path, optional
        A file or folder that the run reads.
    level : Level or its name or number
        How much of the environment is captured.
    project : Path, optional
        The folder whose commit is told; the current one if left out.

    Returns
    -------
    dict
        ``run_id`` of MLflow, ``environment`` (its digest), ``params`` and ``metrics`` that were written.

    Raises
    ------
    InvalidValue
        If MLflow is not installed, no run is active, or `level` is no level.
    InvalidInput
        If the data cannot be read.
    Refused, MachineError
        If MLflow takes something at no time, or is away.
    """
    need("mlflow")
    folder = project or Path.cwd()
    captured = capture_environment(level, project=folder)
    source = capture_source(folder.absolute(), Level.BASIC)
    manifests = [] if data is None else [document_of(create_manifest(Path(data)))]
    params, metrics = manifest_params(manifests)
    params = environment_params(captured.document, source.document) | params
    with understood(), tempfile.TemporaryDirectory(prefix="repro-mlflow-") as made:
        writer = _active(Path(made))
        write_texts(Path(made), environment_files(captured.document))
        for manifest in manifests:
            write_manifest(Path(made), Path(str(data)).name or "data", manifest)
        began = writer.mlflow_run.info.start_time * 1_000_000
        points = [(name, 0, value, began) for name, value in metrics.items()]
        writer.write(params=params, points=points, tags={"repro.environment": str(captured.digest)})
        writer.files(Path(made))
    return {"run_id": writer.id, "environment": str(captured.digest), "params": params, "metrics": metrics}


def _active(folder: Path) -> RunWriter:
    import mlflow

    run = mlflow.active_run()
    if run is None:
        raise InvalidValue("no run of MLflow is active in this process", "begin one: mlflow.start_run()")
    place = Place(mlflow.get_tracking_uri())
    with place.asking() as client:
        return RunWriter(place, client.get_run(run.info.run_id), new_names(), folder)
