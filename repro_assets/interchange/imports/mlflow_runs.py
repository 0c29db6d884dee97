"""A run as MLflow holds it, whatever it was read from, as a run of another tool.

Laws: a run that our export or mirror wrote comes back as it was: names, values with their types, tags, and products
under their digests, each only where it is what it should be; what the export had added is left out. Of any other run
the parameters and metrics are MLflow's, its tags are ``name=value``, its data sets ``dataset=name@digest``, and its
artifacts one tree. A run that goes on there is not taken.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro_assets.artifacts.kinds import tree
from repro_assets.errors import CorruptRecord
from repro_assets.identity import canonical
from repro_assets.interchange.exports.mlflow_files import FORMAT, RECORD
from repro_assets.interchange.imports.files import files_in, tree_of
from repro_assets.interchange.imports.foreign import ForeignOutput, ForeignRun, Points
from repro_assets.interchange.imports.laid_out import recognized
from repro_assets.mirrors.holding import as_text, flat
from repro_assets.mirrors.mlflow_writing import (
    ARTIFACT,
    CHANGED_PARAM,
    NEW_NAME,
    NO_PROJECT,
    NOTE,
    PARENT,
    RUN_ID,
    STATE,
    STATES,
    new_names,
)

TOOL = "mlflow"
SLOT = "artifacts"
RUN_NAME = "mlflow.runName"
LONGEST_TAG = 200
"""Letters of a tag that is shown as one; longer ones are among the details."""
_STATES = {there: here for here, there in STATES.items()}
_OURS = ("repro.", NEW_NAME, CHANGED_PARAM, ARTIFACT, "mlflow.")
_WHOLE = "… (whole in "


@dataclass(slots=True)
class Held:
    """A run as MLflow holds it; times are milliseconds, `folder` has its artifacts where there are any."""

    run_id: str
    name: str
    status: str
    started: int | None
    ended: int | None
    experiment_id: str
    experiment: str
    user: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, int, float, int]] = field(default_factory=list)
    datasets: list[dict[str, Any]] = field(default_factory=list)
    folder: Path | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended there; of a run of ours whose end nobody knows, nobody knows it there either."""
        return self.status not in _STATES and self.tags.get(STATE) != "UNKNOWN"


def foreign_run(held: Held, place: str) -> ForeignRun:
    """Return a run of MLflow as a run of another tool.

    Parameters
    ----------
    held : Held
        A run that has ended there.
    place : str
        Where it was, without credentials.

    Raises
    ------
    InvalidInput
        If something among its artifacts is no plain file.
    """
    files, empty = files_in(held.folder) if held.folder is not None else ({}, [])
    said = _record(files)
    ours = said if said is not None and said.get("run_id") == held.tags.get(RUN_ID) else None
    names = {tag.removeprefix(NEW_NAME): text for tag, text in held.tags.items() if tag.startswith(NEW_NAME)}
    if RUN_ID not in held.tags:
        names = {}
    config, params = _values(held, ours, names, files)
    run = ForeignRun(
        TOOL,
        place,
        held.run_id,
        held.name or held.tags.get(RUN_NAME, ""),
        _STATES.get(held.status),
        started=None if held.started is None else held.started / 1000,
        ended=None if held.ended is None or held.ended <= 0 else held.ended / 1000,
        project=_project(held, ours),
        note=held.tags.get(NOTE),
        parent=held.tags.get(PARENT),
        tags=_tags(held, ours, names),
        config=config,
        params=params,
        points=_points(held, ours, names),
        details=_details(held),
    )
    _add_outputs(run, held, ours, files, empty)
    return run


def _record(files: Mapping[str, Path]) -> dict[str, Any] | None:
    """Return what our export wrote beside a run; None where it did not, or it does not read."""
    if RECORD not in files:
        return None
    try:
        said = canonical.decode(files[RECORD].read_bytes())
    except CorruptRecord:
        return None
    wanted = {
        "run_id": str, "config": dict, "params": dict, "tags": list, "stepless": list, "infinite": list, "added": dict,
        "products": list,
    }  # fmt: skip
    sound = isinstance(said, dict) and all(isinstance(said.get(name), type) for name, type in wanted.items())
    return said if sound and said.get("format") == FORMAT else None


def _values(
    held: Held, ours: Mapping[str, Any] | None, names: Mapping[str, str], files: Mapping[str, Path]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return configuration and parameters: with their types where these are known and say what MLflow says."""
    texts = dict(held.params)
    if RUN_ID in held.tags:
        begun = len(CHANGED_PARAM)
        texts.update((tag[begun:], text) for tag, text in held.tags.items() if tag.startswith(CHANGED_PARAM))
        texts = {name: _whole(text, files) for name, text in texts.items()}
    if ours is None:
        return {}, {names.get(name, name): text for name, text in texts.items()}
    here = new_names()
    for name in ours["added"].get("params") or ():
        texts.pop(here.held(str(name)), None)
    config, params = dict(ours["config"]), dict(ours["params"])
    typed = {here.held(name): as_text(value) for name, value in (*flat(config), *flat(params))}
    if typed == texts:
        return config, params
    return {}, {names.get(name, name): text for name, text in texts.items()}


def _whole(text: str, files: Mapping[str, Path]) -> str:
    """Return the text of a parameter that was too long for MLflow."""
    shown, separator, rest = text.rpartition(_WHOLE)
    file = files.get(rest.removesuffix(")")) if separator and rest.startswith("params/") else None
    if file is None:
        return text
    whole = file.read_text("utf-8", "replace")
    return whole if whole.startswith(shown) else text


def _project(held: Held, ours: Mapping[str, Any] | None) -> str | None:
    if ours is not None and (ours.get("project") or NO_PROJECT) == held.experiment:
        return ours.get("project")
    return None if RUN_ID in held.tags and held.experiment == NO_PROJECT else held.experiment


def _tags(held: Held, ours: Mapping[str, Any] | None, names: Mapping[str, str]) -> list[str]:
    if ours is not None:
        return [str(tag) for tag in ours["tags"]]
    if RUN_ID in held.tags:
        words = [tag for tag, text in held.tags.items() if text == "true" and not tag.startswith(_OURS)]
        return [names.get(word, word) for word in words]
    found = [f"{name}={text}" for name, text in held.tags.items() if not name.startswith("mlflow.")]
    found += [f"dataset={each['name']}@{each['digest']}" for each in held.datasets]
    return [tag for tag in found if len(tag) <= LONGEST_TAG and tag.isprintable()]


def _points(held: Held, ours: Mapping[str, Any] | None, names: Mapping[str, str]) -> Points:
    here = new_names()
    added = {here.held(str(name)) for name in (ours["added"].get("metrics") or ())} if ours is not None else set()
    stepless, infinite = (set(ours[part]) if ours is not None else set() for part in ("stepless", "infinite"))
    points = Points()
    for name, step, value, time in held.metrics:
        if name not in added:
            known = names.get(name, name)
            meant = math.copysign(math.inf, value) if known in infinite and abs(value) == sys.float_info.max else value
            points.add(known, None if known in stepless else step, meant, time * 1000)
    return points


def _details(held: Held) -> dict[str, Any]:
    details: dict[str, Any] = {"experiment_id": held.experiment_id, "experiment": held.experiment, "tags": held.tags}
    if held.user:
        details["user"] = held.user
    if held.datasets:
        details["datasets"] = held.datasets
    return details


def _add_outputs(
    run: ForeignRun, held: Held, ours: Mapping[str, Any] | None, files: Mapping[str, Path], empty: Iterable[str]
) -> None:
    left, folders = dict(files), list(empty)
    root = held.folder or Path()
    for row in ours["products"] if ours is not None else ():
        slot, digest, path, manifest = (str(row.get(name)) for name in ("slot", "digest", "path", "manifest"))
        if not tree.is_inside(path) or manifest not in files or slot == SLOT:
            continue
        artifact = recognized(files[manifest].read_bytes(), digest, root / path)
        if artifact is None:
            run.warnings.append(f"{slot} is not what was exported any more: its files are kept as files")
            continue
        run.outputs.append(ForeignOutput(slot, artifact))
        left = {name: file for name, file in left.items() if not f"{name}/".startswith(f"{path}/")}
        folders = [name for name in folders if not f"{name}/".startswith(f"{path}/")]
    if left or folders:
        run.outputs.append(ForeignOutput(SLOT, tree_of(left, folders)))
