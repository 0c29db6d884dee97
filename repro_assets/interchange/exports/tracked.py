"""What the trackers are told of runs: MLflow, TensorBoard and W&B, by the code of their mirrors.

Laws: runs are read many at once, from one state of the catalog; what a tracker is told is what a mirror would have been
told while the run went on, and beside it what is on record now; what is not on record is not told.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.catalog import queries
from repro_assets.catalog.parameters import execute
from repro_assets.catalog.replayable import replay_commands
from repro_assets.errors import InvalidValue, MissingObject, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.interchange.exports.described import Described, describe
from repro_assets.interchange.formats import Exported, Progress, Request, joined
from repro_assets.interchange.subjects import ended_runs
from repro_assets.mirrors.mirror import Mirror, MirroredRun
from repro_assets.recording.readings import Point
from repro_assets.store.home import Home

RUNS_AT_ONCE = 64
_POINTS = """
    SELECT run_id, name, step, value, epoch_ns(time) AS time FROM metrics WHERE list_contains($runs, run_id)
    ORDER BY run_id, time, name, step
"""
_MODELS = """
    SELECT DISTINCT digest FROM run_outputs WHERE list_contains($runs, run_id)
        AND (starts_with(name, 'model-') OR starts_with(coalesce(collection, ''), 'model-')
        OR digest IN (SELECT model FROM evaluations))
"""
_EPOCH = datetime.datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Product:
    """What a run made: the row of its output, the name for a tracker, and its artifact, None where it is gone.

    `objects` is how many of it were hashed again.
    """

    row: dict[str, Any]
    name: str
    artifact: Artifact | None
    is_model: bool
    objects: int


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A run that is told to a tracker.

    Parameters
    ----------
    home : Home
        The store.
    record : dict
        What `describe` says of it.
    points : list of Point
        Its metrics in the order of their times.
    command : str or None
        What executes it again from its record.
    environment : dict or None
        The document, where it was captured and is there.
    products : list of Product
        What it made.
    inputs : dict
        Rows of the artifacts that it read, by slot.
    """

    home: Home
    record: dict[str, Any]
    points: list[Point]
    command: str | None
    environment: dict[str, Any] | None
    products: list[Product]
    inputs: dict[str, dict[str, Any]]

    @property
    def run_id(self) -> str:
        """Its id."""
        return str(self.record["run_id"])

    @property
    def started_ns(self) -> int:
        """When it began, in nanoseconds since 1970."""
        moment = self.record["started_at"] or self.record["ended_at"]
        if moment is None:
            raise InvalidValue(f"when run {self.run_id} began is not on record", "leave it out")
        return _nanoseconds(moment)

    @property
    def ended(self) -> float | None:
        """When it ended, in seconds since 1970."""
        moment = self.record["ended_at"]
        return None if moment is None else _nanoseconds(moment) / 1e9

    @property
    def mirrored(self) -> MirroredRun:
        """What a mirror is told first."""
        record = self.record
        return MirroredRun(
            self.run_id,
            record["name"] or self.run_id,
            record["experiment"],
            record["tags"],
            record["note"],
            record["config"] or {},
            self.started_ns,
        )

    def facts(self) -> dict[str, Any]:
        """Return what else is on record of it, as JSON has it."""
        record = self.record
        source = record["source_facts"] or {}
        error = {part: record[f"error_{part}"] for part in ("type", "message")}
        known = {
            "kind": record["run_kind"],
            "asset": record["asset"],
            "partition": record["partition"],
            "seed": record["seed"],
            "recipe": record["recipe"],
            "device": record["device"],
            "trial": record["trial"] or None,
            "replay_of": record["replay_of"],
            "parent_run_id": record["parent_run_id"],
            "command": self.command,
            "error": {name: text for name, text in error.items() if text} or None,
            "commit": source.get("commit"),
            "branch": source.get("branch"),
            "dirty": source.get("dirty"),
            "remote": source.get("remote"),
            "source": record["source"],
            "environment": record["environment"],
            "inputs": {slot: row["digest"] for slot, row in self.inputs.items()} or None,
            "outputs": {product.name: product.row["digest"] for product in self.products} or None,
            "replays": [row["verdict"] for row in record["replays"]] or None,
            "imported_from": record["imported_from"],
        }
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Tracked:
    """Runs that are exported, read as they are asked for; `progress` is told how many objects of theirs were hashed."""

    home: Home
    run_ids: list[str]
    anonymous: bool
    progress: Progress | None = None

    def __iter__(self) -> Iterator[TrackedRun]:
        hashed = 0
        for first in range(0, len(self.run_ids), RUNS_AT_ONCE):
            for run in self._read(self.run_ids[first : first + RUNS_AT_ONCE]):
                hashed += sum(product.objects for product in run.products)
                if self.progress is not None:
                    self.progress(hashed)
                yield run

    def _read(self, run_ids: list[str]) -> Iterator[TrackedRun]:
        described = describe(self.home, run_ids, anonymous=self.anonymous)
        points: defaultdict[str, list[Point]] = defaultdict(list)
        with queries.connect(self.home) as connection:
            given = {"runs": run_ids}
            for run_id, name, step, value, time in execute(connection, _POINTS, given).fetchall():
                points[run_id].append((described.value(name), step, value, time))
            models = {digest for (digest,) in execute(connection, _MODELS, given).fetchall()}
            commands = replay_commands(connection, run_ids)
        by_id = {run["run_id"]: run for run in described.runs}
        for run_id in run_ids:
            record = by_id[run_id]
            yield TrackedRun(
                self.home,
                record,
                points.pop(run_id, []),
                commands.get(run_id),
                described.environments.get(record["environment"]),
                self._products(record, models),
                {_called(row, record["inputs"]): _named(row, described) for row in record["inputs"]},
            )

    def _products(self, record: dict[str, Any], models: set[str]) -> list[Product]:
        found = []
        for row in record["outputs"]:
            name, objects = _called(row, record["outputs"]), 0
            try:
                artifact = repository.by_digest(
                    self.home, Digest.parse(row["digest"]), name=name, run_id=record["run_id"]
                )
                objects = artifact.verify()
            except (UnknownName, MissingObject):
                artifact = None
            found.append(Product(row, name, artifact, row["digest"] in models, objects))
        return found


def tracked(request: Request) -> Tracked:
    """Return the runs that are to be exported to a tracker.

    Raises
    ------
    UnknownName, AmbiguousName, InvalidValue
        If nothing is called so, or a run goes on or was deleted.
    """
    run_ids = ended_runs(request.home, request.names)
    above = queries.rows(
        request.home,
        "SELECT run_id, parent_run_id FROM runs WHERE list_contains($runs, run_id) AND parent_run_id IS NOT NULL",
        {"runs": run_ids},
    )
    return Tracked(
        request.home,
        _parents_first(run_ids, {row["run_id"]: row["parent_run_id"] for row in above}),
        request.anonymize,
        request.progress,
    )


def _parents_first(run_ids: Sequence[str], parents: Mapping[str, str]) -> list[str]:
    """Return runs in their order, but each after the one that it is under."""
    wanted = set(run_ids)
    found: dict[str, None] = {}
    for run_id in run_ids:
        line = [run_id]
        while (parent := parents.get(line[-1])) in wanted and parent not in line and parent not in found:
            line.append(parent)
        found.update(dict.fromkeys(reversed(line)))
    return list(found)


def tell(run: TrackedRun, mirror: Mirror) -> list[str]:
    """Tell a mirror of a run from its beginning to its end; return a line for each product whose bytes are gone.

    Parameters
    ----------
    run : TrackedRun
        The run.
    mirror : Mirror
        One that was not started, and has a method ``about`` that takes `TrackedRun.facts`.
    """
    mirror.start(run.mirrored)
    mirror.params(run.record["params"])
    mirror.metrics(run.points)
    for product in run.products:
        if product.artifact is not None:
            mirror.artifact(product.name, product.artifact)
    mirror.about(run.facts())
    mirror.end(run.record["state"], run.ended)
    return gone_of(run)


def gone_of(run: TrackedRun) -> list[str]:
    """Return a line for each product of a run whose bytes are gone."""
    return [
        f"bytes of {product.name} of run {run.run_id} are gone from the store"
        for product in run.products
        if product.artifact is None
    ]


def exported(request: Request, path: Path | str, format: str, runs: Sequence[str], notes: Sequence[str]) -> Exported:
    """Return the answer of an export to a tracker."""
    return Exported(path, format, joined(request.names), None, not notes, {"runs": list(runs)}, tuple(notes))


def _called(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """Return the slot of an input or output, with its partition where several have the slot."""
    slot = str(row["slot"])
    if sum(other["slot"] == row["slot"] for other in rows) == 1:
        return slot
    return f"{slot}@{row['partition'] or Digest.parse(row['digest']).hex[:8]}"


def _named(row: dict[str, Any], described: Described) -> dict[str, Any]:
    return {**described.artifacts.get(row["digest"], {}), **row}


def _nanoseconds(moment: datetime.datetime) -> int:
    return (moment.replace(tzinfo=None) - _EPOCH) // datetime.timedelta(microseconds=1) * 1000
