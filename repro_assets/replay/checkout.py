"""Laying out all of a run without executing anything.

Laws: the folder is made beside its place and renamed there when it is whole; nothing that is there already is touched.
What the store lacks of the products is named and left out; of what the run needs, it stops the checkout. The script
that executes the run again names no place but its own folder, and the store where it needs one.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.capture.system_info import requirement
from repro_assets.catalog.descriptions import show_run
from repro_assets.errors import IntegrityError, InvalidValue, ReproError, ReusedElsewhere, from_os_error
from repro_assets.identity.digest import Digest
from repro_assets.recording.environments import load_environment
from repro_assets.replay import entries
from repro_assets.replay.needs import check_objects
from repro_assets.replay.places import Places
from repro_assets.replay.records import Asked, Recorded, asked_for
from repro_assets.replay.variables import to_set
from repro_assets.store.home import VARIABLE, Home, refuse_own

SOURCE, INPUTS, PRODUCTS, SCRIPT = "source", "inputs", "products", "run.sh"
_HERE, _PYTHON = "@repro-here@", "@repro-python@"


@dataclass(slots=True)
class CheckedOutRun:
    """What lies in the folder.

    Parameters
    ----------
    path : str
        The folder.
    command : str
        What executes the run again there; nothing of it is compared or recorded as a replay.
    run_id : str
        The run.
    inputs, products : dict
        Where each lies, by slot.
    notes : list of str
        What is not as it was.
    """

    path: str
    command: str
    run_id: str
    inputs: dict[str, str] = field(default_factory=dict)
    products: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def check_out_run(home: Home, run_id: str, to: Path) -> CheckedOutRun:
    """Lay out source tree, inputs, products, environment and configuration of a run, and a script that executes it.

    Parameters
    ----------
    home : Home
        The store.
    run_id : str
        The run; a parent stands for its runs.
    to : Path
        A folder that is empty or not there.

    Raises
    ------
    ReusedElsewhere
        If something is there.
    InvalidValue
        If the folder is in the store, or the run has no source tree on record.
    MissingObject
        If the store lacks the source tree, an input or the environment.
    MachineError
        If it cannot be written; nothing is there then.
    """
    target = to.absolute()
    refuse_own(target)
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise ReusedElsewhere(f"there is something at {target}", "name an empty folder, or one that is not there")
    asked = asked_for(home, run_id)
    if not asked.runs:
        raise InvalidValue("there is no run of an asset to lay out here", "name a run of: repro runs list")
    for run in asked.runs:
        if run.source is None or run.source != asked.runs[0].source:
            said = "has no source tree on record" if run.source is None else "has another source tree than its siblings"
            raise InvalidValue(f"run {run.run_id} {said}", "name another run")
    check_objects(home, asked.runs, environment=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    made = CheckedOutRun(str(target), f"sh {shlex.quote(str(target / SCRIPT))}", run_id)
    try:
        beside.mkdir(parents=True)
        try:
            _fill(home, asked, beside, made)
            beside.rename(target)
        finally:
            if beside.exists():
                shutil.rmtree(beside)
    except OSError as error:
        raise from_os_error(error, target) from error
    return made


def _fill(home: Home, asked: Asked, folder: Path, made: CheckedOutRun) -> None:
    entry = asked.entry or asked.runs[0]
    _artifact(home, str(entry.source), "source tree").lay_out(folder / SOURCE)
    everything = asked.family or asked.runs
    for run in everything:
        under = run.run_id if len(everything) > 1 else ""
        for slot, _, digest in run.inputs:
            place = _laid(home, folder, f"{INPUTS}/{under}", str(slot), str(digest))
            made.inputs[f"{under}/{slot}" if under else str(slot)] = place
            _link(folder, str(slot), place, run)
    for run in asked.runs:
        under = run.run_id if len(everything) > 1 else ""
        for slot, (name, digest) in run.products.items():
            try:
                place = _laid(home, folder, f"{PRODUCTS}/{under}", slot, digest)
            except IntegrityError as error:
                made.notes.append(f"the product {name} is not laid out: {error.message}")
            else:
                made.products[f"{under}/{slot}" if under else slot] = place
    document: Mapping[str, Any] = {}
    if entry.environment is not None:
        document = load_environment(home, entry.environment)
        _write(folder / "environment.json", json.dumps(document, indent=1, sort_keys=True))
        _write(
            folder / "requirements.txt", "".join(f"{requirement(each)}\n" for each in document.get("packages") or [])
        )
    else:
        made.notes.append("no environment is on record")
    record = show_run(home, entry.run_id)
    _write(folder / "run.json", json.dumps(record, indent=1, sort_keys=True, default=str))
    lines = _by_dagster(home, asked) if asked.entry is None else _by_process(home, entry, folder, document, made)
    said = (
        f"# Executes run {made.run_id} ({entry.name}) again in this folder; repro replay {made.run_id} also compares."
    )
    # It makes runs too, in this store unless the variable names another.
    store = f'[ -n "${{{VARIABLE}:-}}" ] || {VARIABLE}={shlex.quote(str(home.root))}; export {VARIABLE}'
    _write(
        folder / SCRIPT,
        "\n".join(["#!/bin/sh", said, "set -eu", 'here=$(cd "$(dirname "$0")" && pwd)', store, *lines, ""]),
    )
    (folder / SCRIPT).chmod(0o755)


def _by_dagster(home: Home, asked: Asked) -> list[str]:
    return [
        f'cd "$here/{SOURCE}"',
        *(show_run(home, run.run_id)["fresh_command"] for run in asked.runs),
    ]


def _by_process(home: Home, run: Recorded, folder: Path, document: Mapping[str, Any], made: CheckedOutRun) -> list[str]:
    """Return the lines that execute the process of a run that Dagster did not."""
    plan = run.plan
    here = Path(_HERE) / SOURCE
    places = Places(here, here, {str(plan.get("project_root")): str(here)})
    for slot, place in made.inputs.items():
        if Path(slot).is_absolute():
            places.moved[slot] = f"{_HERE}/{place}"
    cells = None
    try:
        if plan["form"] == "notebook":
            cells = Path(_HERE) / "cells.ipynb"
            found = {"cells": entries.cells_of(home, run)[0], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
            _write(folder / "cells.ipynb", json.dumps(found, indent=1))
        else:
            entries.check_entry(home, run, _PYTHON)
        words = [places.there(word) for word in entries.command_of(run, _PYTHON, cells=cells)]
    except ReproError as error:
        made.notes.append(f"it cannot be executed again: {error}")
        made.command = ""
        return [f"echo {shlex.quote(str(error))} >&2", "exit 2"]
    path = [str(here / each) for each in plan.get("path", [])]
    variables = {**to_set(run, document), "PYTHONPATH": os.pathsep.join(dict.fromkeys([*path, str(here)]))}
    there = Path(str(plan["working_folder"]))
    begins = Path(_HERE) if there.is_absolute() else here / there
    return [
        *(f"export {name}={_quoted(value)}" for name, value in sorted(variables.items())),
        f"cd {_quoted(str(begins))}",
        f"exec {' '.join(map(_quoted, words))}",
    ]


def _quoted(word: str) -> str:
    """Quote a word for a shell; what stands for the folder and the interpreter becomes a variable."""
    quoted = shlex.quote(word)
    inside = quoted.startswith("'")
    for mark, variable in ((_HERE, "$here"), (_PYTHON, "${PYTHON:-python3}")):
        quoted = quoted.replace(mark, f"'\"{variable}\"'" if inside else f'"{variable}"')
    return quoted


def _laid(home: Home, folder: Path, under: str, slot: str, digest: str) -> str:
    """Lay an artifact out at its slot, and return where it lies in the folder."""
    parts = ["_up" if part == ".." else part for part in Path(slot).parts if part not in (os.sep, ".")]
    place = Path(under, *(parts or ["value"]))
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    _artifact(home, digest, slot).lay_out(folder / place)
    return place.as_posix()


def _link(folder: Path, slot: str, place: str, run: Recorded) -> None:
    """Let a file that is read by its path in the project be found there."""
    there = folder / SOURCE / slot
    path = Path(slot)
    if path.is_absolute() or ".." in path.parts or not (run.run_kind == "command" or _is_path(folder, slot)):
        return
    if there.is_dir() and not there.is_symlink():
        return
    there.unlink(missing_ok=True)
    there.parent.mkdir(parents=True, exist_ok=True)
    there.symlink_to(os.path.relpath(folder / place, there.parent))


def _is_path(folder: Path, slot: str) -> bool:
    """Whether a slot is the path of a file or folder: it is one in the source tree, or has a suffix or a folder."""
    return (folder / SOURCE / slot).exists() or bool(Path(slot).suffix) or "/" in slot


def _artifact(home: Home, digest: str, name: str) -> Artifact:
    return repository.by_digest(home, Digest.parse(digest), name=name)


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
