"""What a replay is told, and what it answers: two versioned JSON formats.

The child of an old source tree reads the plan of a new launcher and the other way round, so a format is never changed,
only followed by a next one. A plan of format 1 has the members of `Plan`, a result those of `Result`.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_assets.errors import CorruptRecord, InvalidValue, UnsupportedFormat
from repro_assets.replay.records import Recorded

FORMAT = 1


@dataclass(frozen=True, slots=True)
class OriginalRun:
    """One run to be executed again.

    Parameters
    ----------
    run_id, asset, partition : str
        Which step it was.
    inputs : list
        ``[slot, partition or null, digest]`` of each input.
    """

    run_id: str
    asset: str
    partition: str | None
    inputs: list[list[str | None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the child needs.

    Parameters
    ----------
    home, tree : str
        The store, and the folder where the source tree was laid out.
    code_location : dict
        ``module`` and ``attribute`` of the definitions.
    job : str
        Name of the job; ``__ASSET_JOB`` for a plain selection of assets.
    selection : list of str
        Asset keys to execute.
    partition : str or None
        Partition key of all of them.
    dynamic_partitions : dict
        Name of a dynamic partitions definition to the key that must be added first.
    run_config, tags : dict
        As recorded, reduced to what the selection needs.
    originals : list of OriginalRun
        The runs, one for each step.
    source : str or None
        Digest of the source tree.
    source_facts : dict
        What the record said of it.
    parent : str
        Id of the replay's parent run.
    """

    home: str
    tree: str
    code_location: dict[str, str]
    job: str
    selection: list[str]
    partition: str | None
    dynamic_partitions: dict[str, str]
    run_config: dict[str, Any]
    tags: dict[str, str]
    originals: list[OriginalRun]
    source: str | None
    source_facts: dict[str, Any]
    parent: str
    format: int = FORMAT

    def write(self, path: Path) -> None:
        """Write the plan as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1))

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read a plan.

        Raises
        ------
        UnsupportedFormat
            If a newer launcher wrote it.
        """
        raw = _read(path)
        return cls(**{**raw, "originals": [OriginalRun(**item) for item in raw["originals"]]})


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one original run: the replay's run, its products by slot, its settings, its last metrics."""

    original: str
    run_id: str
    state: str
    products: dict[str, str]
    settings: dict[str, Any]
    environment: str | None
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Result:
    """What the child answers.

    Parameters
    ----------
    replays : list of Replayed
        One for each step that began.
    wrong_code : list of str
        First-party modules that did not come from the tree, or whose bytes are not the recorded ones.
    error : dict or None
        ``type``, ``message`` and ``trace`` of what stopped the execution.
    """

    replays: list[Replayed]
    wrong_code: list[str]
    error: dict[str, str] | None = None
    format: int = FORMAT

    def write(self, path: Path) -> None:
        """Write the result as JSON, under its name only when it is whole."""
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(dataclasses.asdict(self)))
        partial.rename(path)

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read a result."""
        raw = _read(path)
        return cls(**{**raw, "replays": [Replayed(**item) for item in raw["replays"]]})


def make_plan(runs: list[Recorded], *, home: Path, tree: Path, parent: str) -> Plan:
    """Make the plan of runs that share one source tree, job, partition and settings.

    Raises
    ------
    InvalidValue
        If they do not.
    """
    first = runs[0]
    shared = ("job", "partition", "code_location")
    if any(
        run.source != first.source or [run.plan[k] for k in shared] != [first.plan[k] for k in shared] for run in runs
    ):
        raise InvalidValue("these runs do not share one source tree, job and partition", "replay them one by one")
    selection = sorted({key for run in runs for key in run.plan["selection"]})
    ops = {run.plan["op"] for run in runs}
    config = {name: value for name, value in first.plan["run_config"].items() if name not in ("execution", "ops")}
    config["ops"] = {op: value for op, value in first.plan["run_config"].get("ops", {}).items() if op in ops}
    return Plan(
        home=str(home),
        tree=str(tree),
        code_location=first.plan["code_location"],
        job=first.plan["job"],
        selection=selection,
        partition=first.plan["partition"],
        dynamic_partitions=first.plan["dynamic_partitions"],
        run_config=config,
        tags=first.plan["tags"],
        originals=[OriginalRun(r.run_id, r.plan["asset"], r.plan["partition"], r.inputs) for r in runs],
        source=first.source,
        source_facts=first.source_facts,
        parent=parent,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        raw: dict[str, Any] = json.loads(path.read_text())
        version = raw["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptRecord(f"{path} is not a replay plan or result: {error}") from error
    if version > FORMAT:
        raise UnsupportedFormat(f"{path} has format {version}", "use the child of a newer source tree")
    return raw
