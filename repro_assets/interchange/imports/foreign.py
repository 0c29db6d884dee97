"""A run of another tool, read whole, before anything of it is written; `recording` writes it.

Laws: the id of a run is a digest of the tool and of the run's id there, so it is the same wherever and however often it
is imported; what a run holds beside its bytes has a digest, by which a run that grew is known; an artifact is hashed
before it is taken, and what is taken must hash to the same.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from repro_assets.identity import canonical
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.journal.metrics import Metrics

POINTS_AT_ONCE = 4096
_ID_DIGITS = 16
_CONTENT = (
    "state",
    "error",
    "started",
    "ended",
    "project",
    "note",
    "parent",
    "tags",
    "config",
    "params",
    "details",
)


class StoredTable(NamedTuple):
    """A Parquet file that holds the canonical bytes of a table."""

    path: Path


Source = Path | StoredTable | Callable[[], bytes]
"""What has the bytes of an object: a file that is these bytes, a table's file, or what returns them."""
PointKey = tuple[str, int | None, bytes, int]


@dataclass(frozen=True, slots=True)
class ForeignArtifact:
    """Something of another tool that becomes an artifact.

    Parameters
    ----------
    manifest : Manifest
        What it is; its digests are those of the bytes that were read.
    sizes : dict
        Bytes of each object that the manifest names.
    sources : dict
        Where the bytes of each object are.
    """

    manifest: Manifest
    sizes: Mapping[Digest, int]
    sources: Mapping[Digest, Source]

    @property
    def digest(self) -> Digest:
        """The artifact's identity."""
        return self.manifest.digest


@dataclass(frozen=True, slots=True)
class ForeignInput:
    """What a run read: `made_by` is that tool's id of the run that made it, `read_as` how it is called there."""

    slot: str
    artifact: ForeignArtifact
    made_by: str | None = None
    read_as: str | None = None


@dataclass(frozen=True, slots=True)
class ForeignOutput:
    """What a run wrote; it becomes a version where a `collection` is named.

    `name` is the display name; ``RUN/slot`` if left out. `current`: the collection's name means this now.
    """

    slot: str
    artifact: ForeignArtifact
    collection: str | None = None
    name: str | None = None
    current: bool = False


class Points:
    """Metric points in the order in which they were logged; times are microseconds since 1970."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.steps: list[int | None] = []
        self.values: list[float] = []
        self.times: list[int] = []

    def __len__(self) -> int:
        return len(self.names)

    def add(self, name: str, step: int | None, value: float, time: int) -> None:
        """Take a point."""
        self.names.append(name)
        self.steps.append(step)
        self.values.append(value)
        self.times.append(time)

    def keys(self) -> Iterator[PointKey]:
        """Yield what tells each point from others; NaN is one value."""
        for name, step, value, time in zip(self.names, self.steps, self.values, self.times, strict=True):
            yield point_key(name, step, value, time)

    def beyond(self, known: Counter[PointKey]) -> Points:
        """Return the points that are not among those `known`, of which each counts as often as it is there."""
        left = known.copy()
        more = Points()
        for number, key in enumerate(self.keys()):
            if left[key] > 0:
                left[key] -= 1
            else:
                more.add(self.names[number], self.steps[number], self.values[number], self.times[number])
        return more

    def records(self, run_id: str) -> Iterator[Metrics]:
        """Yield the records that hold them."""
        for first in range(0, len(self), POINTS_AT_ONCE):
            part = slice(first, first + POINTS_AT_ONCE)
            yield Metrics.of_columns(run_id, self.names[part], self.steps[part], self.values[part], self.times[part])

    def digest(self) -> str:
        """Return a hash of them all, in their order."""
        state = hashlib.sha256()
        for key in self.keys():
            state.update(repr(key).encode("utf-8", "surrogatepass"))
        return state.hexdigest()


def point_key(name: str, step: int | None, value: float, time: int) -> PointKey:
    """Return what tells a point from others; every NaN is the same value."""
    return name, step, struct.pack("<d", math.nan if math.isnan(value) else value), time


@dataclass(slots=True)
class ForeignRun:
    """A run as another tool has it.

    Parameters
    ----------
    tool : str
        The tool.
    place : str
        The file, folder or server that it came from, without credentials.
    foreign_id : str
        Its id there; no two runs of a tool have the same.
    name : str
        Its display name; the id if empty.
    state : str or None
        COMPLETED, FAILED or INTERRUPTED; None where the tool does not know.
    error : dict, optional
        Type, message and trace, of a run that failed.
    started, ended : float, optional
        Seconds since 1970, where the tool knows them.
    project, note : str, optional
        What it belongs to, and what a person wrote about it.
    parent : str, optional
        The tool's id of the run under which it is.
    tags : list of str
        Words to find it by.
    config, params : dict
        JSON-like.
    points : Points
        Its metrics.
    inputs, outputs : list
        What it read and wrote.
    details : dict
        What else the tool says of where it comes from; JSON-like.
    warnings : list of str
        What of it is lacking here.
    """

    tool: str
    place: str
    foreign_id: str
    name: str
    state: str | None
    error: dict[str, str] | None = None
    started: float | None = None
    ended: float | None = None
    project: str | None = None
    note: str | None = None
    parent: str | None = None
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    points: Points = field(default_factory=Points)
    inputs: list[ForeignInput] = field(default_factory=list)
    outputs: list[ForeignOutput] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def run_id(self) -> str:
        """Its id here."""
        return run_id_of(self.tool, self.foreign_id)

    def artifacts(self) -> Iterator[ForeignArtifact]:
        """Yield all that it read and wrote."""
        yield from (item.artifact for item in self.inputs)
        yield from (item.artifact for item in self.outputs)

    def content(self) -> str:
        """Return a digest of all that is known of it but where it lies and what it is called."""
        facts = self._facts()
        facts["points"] = self.points.digest()
        facts["inputs"] = [[item.slot, str(item.artifact.digest)] for item in self.inputs]
        facts["outputs"] = [[item.slot, str(item.artifact.digest), item.collection] for item in self.outputs]
        return str(canonical.digest_of(facts))

    def said(self) -> str:
        """Return a digest of that, but for what can come piece by piece: points, inputs and outputs."""
        return str(canonical.digest_of(self._facts()))

    def _facts(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _CONTENT}


def run_id_of(tool: str, foreign_id: str) -> str:
    """Return the id that another tool's run has here: 16 hexadecimal digits."""
    return hashlib.sha256(f"{tool}\0{foreign_id}".encode("utf-8", "surrogatepass")).hexdigest()[:_ID_DIGITS]
