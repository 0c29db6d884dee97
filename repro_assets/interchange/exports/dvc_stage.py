"""A stage of an export for DVC: a run, executed again from its record in the folder of the export.

Laws: a replay takes what is on record and nothing else, so a stage whose inputs or parameters in the folder are others
is refused before anything is started: DVC would write into its lock that these had made the outputs. What is laid out
is what the replay made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.artifacts.checkout import check_out
from repro_assets.errors import InvalidInput, InvalidValue, UnknownName, UnsupportedFormat
from repro_assets.identity.digest import Digest
from repro_assets.interchange import dvc_objects
from repro_assets.interchange.exports.described import describe
from repro_assets.interchange.exports.dvc import FORMAT, KEY, PARAMS, figures_of, params_of
from repro_assets.interchange.plain_yaml import read_yaml
from repro_assets.replay.launch import Report
from repro_assets.store import outside
from repro_assets.store.home import Home


@dataclass(frozen=True, slots=True)
class RecordedStage:
    """A stage whose inputs and parameters in a folder are those of its run.

    Parameters
    ----------
    folder : Path
        The folder of the export.
    name : str
        The stage.
    outputs : dict
        Slot and path of each output.
    figures : dict
        Path and content of the file of metrics: what is on record, because a replay that made the same made these.
    """

    folder: Path
    name: str
    outputs: dict[str, str]
    figures: dict[str, bytes]

    def lay_out(self, home: Home, report: Report) -> list[str]:
        """Write what a replay made where the stage's outputs are, and return their paths.

        Raises
        ------
        InvalidValue
            If the replay did not make one of them.
        ReusedElsewhere, MachineError
            If something else is there, or it cannot be written.
        """
        made = {each["slot"]: each["replayed"] for record in report.records for each in record.products}
        for slot, path in self.outputs.items():
            if made.get(slot) is None:
                raise InvalidValue(f"the replay made no {slot!r} for {path}", "dvc checkout lays out the recorded one")
            check_out(repository.by_digest(home, Digest.parse(made[slot])), self.folder / path)
        for path, content in self.figures.items():
            outside.write(self.folder / path, content)
        return [*self.outputs.values(), *self.figures]


def recorded_stage(home: Home, run_id: str, folder: Path, name: str) -> RecordedStage:
    """Return a stage that may be executed, because everything in the folder is as on record.

    Parameters
    ----------
    home : Home
        The store.
    run_id : str
        The run.
    folder : Path
        That of the export.
    name : str
        The stage.

    Raises
    ------
    InvalidInput
        If the folder is no export for DVC, or a file of it does not read.
    UnknownName
        If it has no such stage.
    InvalidValue
        If the stage is another run's, or an input or a parameter is not what the run had.
    UnsupportedFormat
        If a newer version wrote it.
    """
    key = _read_key(folder / KEY)
    try:
        stage = key["runs"].get(name)
        if stage is None:
            raise UnknownName(f"{folder} has no stage {name!r}", f"one of {', '.join(key['runs'])}")
        if stage["run_id"] != run_id:
            raise InvalidValue(f"the stage {name} is the run {stage['run_id']}", f"see {KEY}")
        inputs = {path: key["artifacts"][path]["md5"] for path in stage["inputs"]}
        outputs = {key["artifacts"][path]["slot"]: path for path in stage["outputs"]}
        metrics = stage["metrics"]
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{folder / KEY} is not what an export writes", "git checkout it") from error
    for path, md5 in inputs.items():
        try:
            found = dvc_objects.hash_path(folder / path).md5
        except OSError as error:
            raise InvalidInput(f"{folder / path} cannot be read: {error.strerror}", f"dvc checkout {path}") from error
        if found != md5:
            raise InvalidValue(
                f"{path} is not what run {run_id} read, and a replay takes nothing else",
                f"dvc checkout {path}, or materialize anew with repro run",
            )
    (record,) = describe(home, [run_id]).runs
    recorded = params_of(record)
    given = read_yaml((folder / PARAMS).read_bytes(), str(folder / PARAMS)) if (folder / PARAMS).is_file() else {}
    if (given.get(name) or {}) != recorded:
        raise InvalidValue(
            f"the parameters of {name} in {PARAMS} are not those of run {run_id}, and a replay takes no others",
            f"git checkout {PARAMS}, or materialize anew with repro run",
        )
    return RecordedStage(folder, name, outputs, {} if metrics is None else {metrics: figures_of(record)})


def _read_key(path: Path) -> dict[str, Any]:
    try:
        key = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InvalidInput(
            f"{path.parent} is no export for DVC: there is no {path.name}",
            "go into the folder of one, which repro export RUN --format dvc --to DIR makes",
        ) from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", "check its rights") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not what an export writes: it is no JSON", "git checkout it") from error
    if not isinstance(key, dict) or not isinstance(key.get("format"), int):
        raise InvalidInput(f"{path} is not what an export writes", "name the stage in the folder of an export")
    if key["format"] > FORMAT:
        raise UnsupportedFormat(f"{path} has format {key['format']}", "use the version that wrote it")
    return key
