"""The folder ``mlruns``, in which MLflow kept runs as files.

Laws: what MLflow itself would pass over with a warning, a run or a point that does not read, refuses the whole, because
an import would lose it silently. Nothing is written there, and nothing that a link leads to is read.

MLflow 3.17 has put this form of its store into maintenance, and reads it only where ``MLFLOW_ALLOW_FILE_STORE`` is set.
Its form has not changed since MLflow 1: a folder for each experiment with ``meta.yaml``, in it one for each run with
``meta.yaml``, ``params``, ``tags``, ``metrics`` (lines of milliseconds, value, step), ``inputs`` and ``artifacts``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from repro_assets.errors import InvalidInput
from repro_assets.interchange.imports.files import files_in
from repro_assets.interchange.imports.mlflow_runs import Held

META = "meta.yaml"
_RESERVED = ("tags", "datasets", "traces", "models")
_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_STATUSES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_DELETED = "deleted"
_MOST_META = 1 << 20
_REMEDY = "mend or remove it, or migrate the folder: mlflow migrate-filestore"


def is_folder(folder: Path) -> bool:
    """Tell whether a folder is one in which MLflow kept runs."""
    return folder.is_dir() and any(_experiments(folder))


def runs_in(folder: Path) -> Iterator[Held]:
    """Yield the runs of a folder that were not deleted, with where their artifacts are.

    Raises
    ------
    InvalidInput
        If something of it is damaged, half-written, or no plain file.
    """
    for place in _experiments(folder):
        experiment = _meta(place / META)
        if experiment.get("lifecycle_stage", "active") == _DELETED:
            continue
        files, _ = files_in(place)
        datasets = _datasets(place, files)
        runs = sorted({path.split("/")[0] for path in files if "/" in path and path.split("/")[0] not in _RESERVED})
        for run in runs:
            if f"{run}/{META}" not in files:
                raise InvalidInput(f"{place / run} has no {META}: it is half-written", _REMEDY)
            meta = _meta(place / run / META)
            if meta.get("lifecycle_stage", "active") != _DELETED:
                own = {path.partition("/")[2]: file for path, file in files.items() if path.startswith(f"{run}/")}
                yield _held(place / run, meta, experiment, own, datasets)


def _experiments(folder: Path) -> Iterator[Path]:
    for place in sorted(folder.iterdir()):
        if _ID.fullmatch(place.name) and not place.name.startswith(".") and (place / META).is_file():
            if place.is_symlink() or (place / META).is_symlink():
                raise InvalidInput(f"{place} is a link", "put the folder itself there")
            yield place


def _held(
    place: Path,
    meta: Mapping[str, Any],
    experiment: Mapping[str, Any],
    files: Mapping[str, Path],
    datasets: Mapping[str, dict[str, Any]],
) -> Held:
    def texts(kind: str) -> dict[str, str]:
        prefix = f"{kind}/"
        return {path.removeprefix(prefix): _text(file) for path, file in files.items() if path.startswith(prefix)}

    run_id = str(meta.get("run_id") or meta.get("run_uuid") or "")
    if run_id != place.name:
        raise InvalidInput(f"{place / META} is of the run {run_id!r}", _REMEDY)
    status = meta.get("status", 1)
    status = _STATUSES.get(status, "") if isinstance(status, int) else str(status)
    if status not in _STATUSES.values():
        raise InvalidInput(f"{place / META} has the status {meta.get('status')!r}", _REMEDY)
    inputs = [
        datasets[source]
        for path, file in sorted(files.items())
        if re.fullmatch(rf"inputs/[^/]+/{META}", path) and (source := str(_meta(file).get("source_id"))) in datasets
    ]
    artifacts = place / "artifacts"
    return Held(
        run_id,
        str(meta.get("run_name") or meta.get("name") or ""),
        status,
        _milliseconds(meta.get("start_time"), place),
        _milliseconds(meta.get("end_time"), place),
        str(experiment.get("experiment_id", place.parent.name)),
        str(experiment.get("name") or place.parent.name),
        user=None if meta.get("user_id") in (None, "", "unknown") else str(meta["user_id"]),
        tags=texts("tags"),
        params=texts("params"),
        metrics=[
            point
            for path, file in sorted(files.items())
            if path.startswith("metrics/")
            for point in _points(path.removeprefix("metrics/"), file)
        ],
        datasets=inputs,
        folder=artifacts if artifacts.is_dir() else None,
    )


def _points(name: str, file: Path) -> Iterator[tuple[str, int, float, int]]:
    text = _text(file)
    if not text.endswith("\n"):
        raise InvalidInput(f"the last line of {file} is cut short", _REMEDY)
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split(" ")
        try:
            # Of MLflow 1.0 and before without a step; of 2.4 and later also with a data set's name and digest.
            if len(parts) not in (2, 3, 5):
                raise ValueError(f"{len(parts)} parts")
            yield name, int(parts[2]) if len(parts) > 2 else 0, float(parts[1]), int(parts[0])
        except ValueError as error:
            raise InvalidInput(f"line {number} of {file} is no point: {line[:80]!r}", _REMEDY) from error


def _datasets(place: Path, files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    found = {}
    for path, file in files.items():
        if match := re.fullmatch(rf"datasets/([^/]+)/{META}", path):
            meta = _meta(file)
            known = ("name", "digest", "source_type", "source", "schema", "profile")
            found[match[1]] = {name: str(meta[name]) for name in known if meta.get(name) is not None}
            if not {"name", "digest"} <= found[match[1]].keys():
                raise InvalidInput(f"{place / path} names no data set", _REMEDY)
    return found


def _meta(file: Path) -> dict[str, Any]:
    import yaml

    text = _text(file)
    try:
        # No alias is in what MLflow writes, and a few of them can make more than fits into memory.
        if len(text) > _MOST_META or any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise InvalidInput(f"{file} is nothing that MLflow wrote", _REMEDY)
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{file} is no YAML: {' '.join(str(error).split())[:200]}", _REMEDY) from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{file} is empty or half-written", _REMEDY)
    return found


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} is no text", _REMEDY) from error
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}", "check its owner and mode") from error


def _milliseconds(value: Any, place: Path) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise InvalidInput(f"{place / META} has {value!r} where a time should be", _REMEDY)
