"""The format ``dvc``: artifacts, and runs with all that they came from, as a DVC repository.

Laws: after ``dvc checkout`` in the folder DVC finds nothing changed, because every hash in it was taken of the bytes
that are written; every byte was verified before. A stage executes the run again from its record (`dvc_stage`), and
nothing in the folder leads to this machine: the store is found as anywhere. A folder whose files DVC would pass over is
refused. Figures are those on record; NaN and infinities, which JSON does not have, are texts, also among parameters,
where DVC would take a NaN for changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repro_assets.artifacts.handle import Artifact
from repro_assets.errors import InvalidValue, MachineError, from_os_error
from repro_assets.identity.digest import Digest
from repro_assets.interchange import dvc_objects
from repro_assets.interchange.dvc_objects import Hashed, object_path
from repro_assets.interchange.exports.dvc_graph import Graph, Place, Stage, graph_of
from repro_assets.interchange.formats import Exported, Progress, Request, joined
from repro_assets.interchange.subjects import ended_runs, resolve
from repro_assets.interchange.targets import new_folder
from repro_assets.mirrors.holding import holdable
from repro_assets.serialized import as_json, as_yaml
from repro_assets.wording import plain

FORMAT = 1
"""Of the file that says which run and artifact everything is."""
KEY = "repro.json"
PARAMS = "params.yaml"
_IGNORED = "/config.local\n/tmp\n/cache\n"
_IGNORING = "# What DVC is to pass over, in the words of a .gitignore.\n"


def export(request: Request) -> Exported:
    """Write the repository of runs and artifacts; a name that is a run's means the run.

    Raises
    ------
    UnknownName, AmbiguousName, InvalidValue
        If nothing is called so, a run goes on or was deleted, or DVC cannot hold what a folder has.
    InvalidInput, ReusedElsewhere, MachineError
        If the folder cannot be made, or git cannot make a repository of it.
    MissingObject, CorruptObject
        If bytes are gone or do not match.
    """
    names = {name: resolve(request.home, name) for name in request.names}
    runs = ended_runs(request.home, [name for name, found in names.items() if isinstance(found, str)])
    digests = [found for found in names.values() if isinstance(found, Digest)]
    with new_folder(request.path) as folder:
        graph = graph_of(request.home, runs, digests)
        try:
            _make_repository(folder)
            hashes = _fill_cache(folder, graph, request.progress)
            _write_files(folder, graph, hashes)
        except OSError as error:
            raise from_os_error(error, request.path) from error
    stages = [stage for stage in graph.stages.values() if stage.replayable]
    facts = {
        "stages": len(stages),
        "artifacts": len(graph.places),
        "bytes": sum(hashes[path].size for path in graph.places),
    }
    notes = [
        f"run {stage.run_id} is no stage, its products are data: {_why(stage)}"
        for stage in graph.stages.values()
        if not stage.replayable and stage.outputs
    ]
    notes += [note for place in graph.places.values() for note in _lost(place)]
    digest = str(digests[0]) if len(digests) == len(names) == 1 else None
    return Exported(request.path, "dvc", joined(request.names), digest, True, facts, tuple(notes))


def params_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's parameters as `PARAMS` has them: of its configuration, as logged, and the seed."""
    seed = {} if record["seed"] is None else {"seed": record["seed"]}
    found = {**seed, **(record["config"] or {}), **record["params"]}
    kept: dict[str, Any] = _texts(plain(found))
    return kept


def figures_of(record: Mapping[str, Any]) -> bytes:
    """Return a run's file of metrics: the last values, and the figures of its evaluations."""
    figures = {row["name"]: row["value"] for row in record["metrics"]}
    figures.update({row["name"]: row["metrics"] for row in record["evaluations"]})
    return as_json(_texts(plain(figures)))


def command_of(stage: Stage) -> str:
    """Return what DVC executes for a stage."""
    return f"repro replay {stage.run_id} --dvc-stage {stage.name}"


def _make_repository(folder: Path) -> None:
    """Make a git repository without hooks, and DVC's own folder in it."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "init", "--quiet", "--template=", "."],
            cwd=folder, env=variables, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError as error:
        raise MachineError(
            f"git cannot be started: {error.strerror}", "install git: DVC works in its repositories"
        ) from error
    if done.returncode != 0:
        raise MachineError(f"git makes no repository: {done.stderr.strip()}")
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / ".gitignore").write_text(_IGNORED)
    (folder / ".dvc" / "config").write_text("[core]\n")
    (folder / ".dvcignore").write_text(_IGNORING)


def _fill_cache(folder: Path, graph: Graph, progress: Progress | None) -> dict[str, Hashed]:
    """Put the bytes of artifacts, and of metrics as DVC does, into its cache; return what it calls each."""
    objects = folder / ".dvc" / "cache" / dvc_objects.OBJECTS
    known: dict[Digest, Hashed] = {}
    found = {}
    for stage in graph.stages.values():
        if stage.metrics is not None:
            figures = folder / ".dvc" / "figures"
            figures.write_bytes(figures_of(stage.record))
            found[stage.metrics] = _keep(figures, objects)
    for number, (path, place) in enumerate(graph.places.items(), 1):
        digest = place.artifact.digest
        if digest not in known:
            place.artifact.verify()
            known[digest] = _put(place.artifact, folder / ".dvc" / "laid-out", objects)
        found[path] = known[digest]
        if progress is not None:
            progress(number)
    return found


def _put(artifact: Artifact, laid_out: Path, objects: Path) -> Hashed:
    artifact.lay_out(laid_out)
    try:
        if not laid_out.is_dir():
            return _keep(laid_out, objects)
        files, total = {}, 0
        names = dvc_objects.files_of(laid_out)
        for name in names:
            if not dvc_objects.UNKEPT.isdisjoint(name.split("/")):
                raise InvalidValue(
                    f"{artifact} has the file {name!r}, which DVC does not keep in a folder", "export it as a bundle"
                )
            if not (laid_out / name).is_file():
                raise InvalidValue(f"{artifact} has the link {name!r} to nothing", "export it as a bundle")
            files[name], size = dvc_objects.hash_file(laid_out / name)
            total += size
        # Links first: what they name is moved away.
        for name in sorted(names, key=lambda name: not (laid_out / name).is_symlink()):
            _move(laid_out / name, object_path(objects, files[name]))
        data = dvc_objects.listing(files)
        md5 = dvc_objects.listing_md5(data)
        kept = laid_out.with_name("listing")
        kept.write_bytes(data)
        _move(kept, object_path(objects, md5))
        return Hashed(md5, total, len(files))
    finally:
        if laid_out.is_dir():
            shutil.rmtree(laid_out)


def _keep(path: Path, objects: Path) -> Hashed:
    md5, size = dvc_objects.hash_file(path)
    _move(path, object_path(objects, md5))
    return Hashed(md5, size)


def _move(path: Path, place: Path) -> None:
    """Make a file an object of the cache, as DVC keeps them; a link becomes the file that it names."""
    if place.exists():
        path.unlink()
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        shutil.copyfile(path, place)
        path.unlink()
    else:
        path.rename(place)
    place.chmod(dvc_objects.OBJECT_MODE)


def _write_files(folder: Path, graph: Graph, hashes: Mapping[str, Hashed]) -> None:
    for path, place in graph.places.items():
        above = folder / Path(path).parent
        above.mkdir(parents=True, exist_ok=True)
        with (above / ".gitignore").open("a") as file:
            file.write(f"/{Path(path).name}\n")
        if place.stage is None:
            out = {**hashes[path].fields(), "path": Path(path).name, "desc": holdable(place.name)}
            (folder / f"{path}.dvc").write_bytes(as_yaml({"outs": [out]}))
    (folder / KEY).write_bytes(as_json(_key(graph, hashes)))
    if not graph.stages:
        return
    params = {stage.name: found for stage in graph.stages.values() if (found := params_of(stage.record))}
    stages = {stage.name: stage for stage in graph.stages.values() if stage.replayable}
    pipeline: dict[str, Any] = {}
    metrics = []
    for stage in graph.stages.values():
        if stage.metrics is not None:
            (folder / stage.metrics).parent.mkdir(parents=True, exist_ok=True)
            (folder / stage.metrics).write_bytes(figures_of(stage.record))
            if stage.name not in stages:
                metrics.append(stage.metrics)
    if stages:
        pipeline["stages"] = {name: _stage(stage, name in params) for name, stage in stages.items()}
        lock = {name: _locked(stage, hashes, params.get(name)) for name, stage in stages.items()}
        (folder / "dvc.lock").write_bytes(as_yaml({"schema": "2.0", "stages": lock}))
    if params:
        pipeline["params"] = [PARAMS]
        (folder / PARAMS).write_bytes(as_yaml(params))
    if metrics:
        pipeline["metrics"] = metrics
    if pipeline:
        (folder / "dvc.yaml").write_bytes(as_yaml(pipeline))


def _stage(stage: Stage, has_params: bool) -> dict[str, Any]:
    given: dict[str, Any] = {"cmd": command_of(stage)}
    if stage.inputs:
        given["deps"] = sorted(stage.inputs)
    if has_params:
        given["params"] = [stage.name]
    given["outs"] = sorted(stage.outputs)
    if stage.metrics is not None:
        given["metrics"] = [{stage.metrics: {"cache": False}}]
    return given


def _locked(stage: Stage, hashes: Mapping[str, Hashed], params: dict[str, Any] | None) -> dict[str, Any]:
    def listed(paths: list[str]) -> list[dict[str, Any]]:
        return [{"path": path, **hashes[path].fields()} for path in sorted(paths)]

    given: dict[str, Any] = {"cmd": command_of(stage)}
    if stage.inputs:
        given["deps"] = listed(stage.inputs)
    if params is not None:
        given["params"] = {PARAMS: {stage.name: params}}
    return {**given, "outs": listed([*stage.outputs, *([stage.metrics] if stage.metrics is not None else [])])}


def _key(graph: Graph, hashes: Mapping[str, Hashed]) -> dict[str, Any]:
    """Return which run each stage is, and which artifact each path."""
    runs = {
        stage.name: {
            **{name: stage.record[name] for name in ("run_id", "name", "asset", "partition", "state")},
            "replayable": stage.replayable,
            "inputs": stage.inputs,
            "outputs": stage.outputs,
            "metrics": stage.metrics,
        }
        for stage in graph.stages.values()
    }
    places = {
        path: {
            "name": place.name,
            "slot": place.slot,
            "digest": str(place.artifact.digest),
            "kind": place.artifact.kind,
            "md5": hashes[path].md5,
        }
        for path, place in graph.places.items()
    }
    return {"format": FORMAT, "runs": runs, "artifacts": places}


def _why(stage: Stage) -> str:
    if stage.record["state"] != "COMPLETED":
        return f"it is {stage.record['state']}"
    return "its record does not say how to execute it again"


def _lost(place: Place) -> list[str]:
    """Say what DVC does not keep of a folder."""
    if place.artifact.kind != "tree":
        return []
    lost = []
    for what, fact in (("links", "link"), ("empty folders", "folder"), ("executable bits", "executable")):
        count = sum(1 for entry in place.artifact.manifest.entries if entry.facts.get(fact))
        if count:
            lost.append(f"{count} {what}")
    return [f"DVC does not keep {' and '.join(lost)} of the folder {place.path}"] if lost else []


def _texts(value: Any) -> Any:
    """Return a JSON value whose texts UTF-8 can hold."""
    if isinstance(value, str):
        return holdable(value)
    if isinstance(value, dict):
        return {holdable(name): _texts(item) for name, item in value.items()}
    return [_texts(item) for item in value] if isinstance(value, list) else value
