"""Which runs of an export for DVC become stages, and where each artifact lies in its folder.

Laws: taken are the runs that were asked for, and again and again those that made their inputs. A run is a stage if it
completed, made something and can be replayed; what any other run made is data. Each output of each run has a path of
its own, because DVC lets a path be the output of one stage only; what was read has the path under which its maker wrote
it, or one among the data. No two paths differ in case alone. Names that a path or DVC cannot hold are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.catalog import naming, queries
from repro_assets.catalog.replayable import replay_commands
from repro_assets.identity.digest import Digest
from repro_assets.interchange.exports.described import describe
from repro_assets.mirrors.holding import Names
from repro_assets.store.home import Home

DATA = "data"
OUTPUTS = "outputs"
METRICS = "metrics.json"
COMPLETED = "COMPLETED"
_LONGEST = 100
_LONGEST_STAGE = 40
_ID_DIGITS = 8
_SUFFIXES = {"table": ".parquet", "json": ".json"}
_NO_STAGE = re.compile(r"[^A-Za-z0-9_-]+")
_VERSION = re.compile(r":v(\d+)$")


@dataclass(slots=True)
class Place:
    """Where an artifact lies: its path, and what it is called in the store.

    `slot` is that of the run that made it, `stage` the stage that makes it again; None where there is none.
    """

    path: str
    artifact: Artifact
    name: str
    slot: str | None = None
    stage: str | None = None


@dataclass(slots=True)
class Stage:
    """A run as DVC has it; `replayable` if it can be made again, and so is a stage of DVC's.

    Parameters
    ----------
    name : str
        What it is called there.
    record : dict
        What `describe` says of the run.
    replayable : bool
        Whether DVC can execute it.
    inputs, outputs : list of str
        Paths.
    metrics : str or None
        That of its figures, where it has any.
    """

    name: str
    record: dict[str, Any]
    replayable: bool
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    metrics: str | None = None

    @property
    def run_id(self) -> str:
        """Its run."""
        return str(self.record["run_id"])


class Graph:
    """Runs and artifacts, each with the name and the path that it has in the folder."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._names = Names(r"[^A-Za-z0-9_.+-]", _LONGEST, r"\..*|.*\.dvc|dvc\.(?:yaml|lock)|\.gitignore|")
        self._taken: dict[str, str] = {}
        self.stages: dict[str, Stage] = {}
        self.places: dict[str, Place] = {}
        self._made: dict[tuple[str, str], str] = {}
        self._data: dict[str, str] = {}

    def place_data(self, digest: str) -> str:
        """Return the path of an artifact among the data."""
        if digest not in self._data:
            artifact = naming.known_artifact(self._home, digest)
            name = str(artifact)
            short = f"sha256-{digest[7:19]}" if name == digest else _VERSION.sub(r"-v\1", name)
            path = self._free(f"{DATA}/{self._suffixed(self._names.held(short), artifact)}", digest)
            self.places[path] = Place(path, artifact, name)
            self._data[digest] = path
        return self._data[digest]

    def add_run(self, record: dict[str, Any], artifacts: Mapping[str, dict[str, Any]], replayable: bool) -> None:
        """Give a run its name, and its outputs their paths."""
        run_id = str(record["run_id"])
        called = str(record["asset"] or record["name"] or "").rpartition("/")[2]
        short = _NO_STAGE.sub("-", called).strip("-")[:_LONGEST_STAGE] or "run"
        name = self._free(f"{short}-{_NO_STAGE.sub('-', run_id[:_ID_DIGITS])}", run_id)
        # An id that came with a bundle may be anything, and a stage's command is executed by a shell.
        runs = replayable and record["state"] == COMPLETED and not _NO_STAGE.search(run_id)
        # A replay knows what it made by the slots.
        slots = [slot for slot, _ in {(row["slot"], row["digest"]) for row in record["outputs"]}]
        runs = runs and 0 < len(slots) == len(set(slots))
        stage = self.stages[run_id] = Stage(name, record, runs)
        if record["metrics"] or record["evaluations"]:
            stage.metrics = self._free(f"{OUTPUTS}/{name}/{METRICS}", f"{run_id} {METRICS}")
        for row in record["outputs"]:
            artifact = self._artifact(row, artifacts)
            slot = "-".join([*str(row["slot"]).split("/"), *([row["partition"]] if row["partition"] else [])])
            path = self._free(
                f"{OUTPUTS}/{name}/{self._suffixed(self._names.held(slot), artifact)}", f"{run_id} {row['digest']}"
            )
            if path not in self.places:
                known = row["name"] if row["version"] is None else f"{row['collection']}:v{row['version']}"
                self.places[path] = Place(path, artifact, str(known), str(row["slot"]), name if runs else None)
                stage.outputs.append(path)
            self._made.setdefault((run_id, row["digest"]), path)

    def _artifact(self, row: Mapping[str, Any], artifacts: Mapping[str, dict[str, Any]]) -> Artifact:
        digest, name = Digest.parse(row["digest"]), str(row["name"])
        kind = artifacts[row["digest"]]["kind"]
        # What the catalog does not know of, the store may, or it says that there is nothing.
        return Artifact(self._home, digest, kind, name=name) if kind else repository.by_digest(self._home, digest)

    def join(self, run_id: str) -> None:
        """Give the inputs of a run, whose makers are all there, their paths."""
        stage = self.stages[run_id]
        for row in stage.record["inputs"]:
            # A run that read what it wrote itself would be its own dependency.
            made = self._made.get((row["made_by"], row["digest"])) if row["made_by"] != run_id else None
            path = made or self.place_data(row["digest"])
            if path not in stage.inputs:
                stage.inputs.append(path)

    def has_made(self, digest: str) -> bool:
        """Whether a run of the export made an artifact."""
        return any(made == digest for _, made in self._made)

    def _free(self, path: str, owner: str) -> str:
        """Return the path, or one like it that nothing else has; each is its owner's from then on."""
        stem, dot, suffix = path.rpartition(".") if "." in path.rpartition("/")[2] else (path, "", "")
        for number in range(len(self._taken) + 1):
            candidate = path if not number else f"{stem}-{number + 1}{dot}{suffix}"
            if self._taken.setdefault(candidate.casefold(), owner) == owner:
                return candidate
        raise AssertionError("there are more names than things that have one")

    def _suffixed(self, path: str, artifact: Artifact) -> str:
        suffix = _SUFFIXES.get(artifact.kind, "")
        return path if path.endswith(suffix) else path + suffix


def graph_of(home: Home, runs: Sequence[str], digests: Iterable[Digest]) -> Graph:
    """Return what belongs to some runs and artifacts.

    Parameters
    ----------
    home : Home
        The store.
    runs : sequence of str
        Ids.
    digests : iterable of Digest
        Of artifacts.

    Raises
    ------
    UnknownName, CorruptRecord
        If an artifact's manifest is gone or does not read.
    """
    graph = Graph(home)
    level = list(dict.fromkeys(runs))
    while level:
        found = describe(home, level)
        with queries.connect(home) as connection:
            commands = replay_commands(connection, level)
        for record in found.runs:
            # What a parent stands for is under it.
            if record["run_kind"] != "parent":
                graph.add_run(record, found.artifacts, record["run_id"] in commands)
        level = _makers(home, found.runs, graph.stages)
    graph.stages = dict(sorted(graph.stages.items(), key=lambda item: (str(item[1].record["started_at"]), item[0])))
    for run_id in graph.stages:
        graph.join(run_id)
    for digest in digests:
        if not graph.has_made(str(digest)):
            graph.place_data(str(digest))
    return graph


def _makers(home: Home, records: Sequence[dict[str, Any]], known: Mapping[str, Stage]) -> list[str]:
    """Return the runs that made the inputs of others and are not known; what a person deleted is not brought back."""
    wanted = {row["made_by"] for record in records for row in record["inputs"]} - {None, *known}
    sql = "SELECT run_id FROM runs ANTI JOIN deleted_runs USING (run_id) WHERE list_contains($runs, run_id) ORDER BY 1"
    return [row["run_id"] for row in queries.rows(home, sql, {"runs": sorted(wanted)})] if wanted else []
