"""What of a store a bundle takes: runs, all that they came from, and every record and artifact of these.

Laws: taken are the runs that were asked for, those under a parent run that was, and from there on, again and again, the
parent of each, the runs that made its inputs, the run that it resumed and the one that it replays; nothing that came of
them later but the verdicts of their replays. A record is taken if it is of such a run, or of an artifact that such a
record names. Aliases stay: they say what one store prefers. Runs that were deleted here are not taken. What a taken
record says must be kept has to be whole here, or nothing is exported; of what was evicted there is the manifest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import xxhash

from repro_assets.artifacts import names
from repro_assets.artifacts.merged_points import open_segment
from repro_assets.artifacts.retention import Ledger, dependence
from repro_assets.errors import CorruptRecord, InvalidValue, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.journal import artifact_records, run_records
from repro_assets.journal.lines import read_line
from repro_assets.journal.merged import Form, forms
from repro_assets.journal.parts import family_of, is_part, is_segment_name
from repro_assets.journal.records import Payload, Process, Record, segment_of
from repro_assets.store.home import Home

_METRICS = re.compile(rb'\{"v":\d+,"kind":"metrics",')
_RUN = re.compile(rb'"run_id":"([^"\\]*)"')


@dataclass(slots=True)
class Lines:
    """What is taken of one segment: its process, and its other lines in order, as they are and as read."""

    process: Record
    lines: list[tuple[bytes, Record]] = field(default_factory=list)


@dataclass(slots=True)
class Selection:
    """What a bundle takes.

    Parameters
    ----------
    runs, artifacts : list
        Ids and digests that were asked for.
    taken : set of str
        Ids of all runs that are taken, without those that are only named.
    segments : dict
        What is taken of each segment, by its name.
    whole, alone : set of Digest
        Artifacts that are taken with all of their objects, and those of which only the manifest is.
    environments : set of Digest
        Those of them that are environment documents.
    """

    runs: list[str]
    artifacts: list[Digest]
    taken: set[str] = field(default_factory=set)
    segments: dict[str, Lines] = field(default_factory=dict)
    whole: set[Digest] = field(default_factory=set)
    alone: set[Digest] = field(default_factory=set)
    environments: set[Digest] = field(default_factory=set)


def select(home: Home, runs: Iterable[str], artifacts: Iterable[Digest]) -> Selection:
    """Find what belongs to some runs and artifacts.

    Parameters
    ----------
    home : Home
        The store.
    runs : iterable of str
        Ids of runs; one of a parent stands for all runs under it, and for those whose work it used.
    artifacts : iterable of Digest
        Digests of manifests.

    Raises
    ------
    UnknownName
        If no record is of a run.
    InvalidValue
        If a run was deleted.
    CorruptRecord
        If the journal does not read; what is missing would be missing in the bundle.
    """
    found = Selection(sorted(set(runs)), sorted(set(artifacts)))
    chosen = _segments(home)
    journal = _Journal(home, chosen)
    for run in found.runs:
        if run not in journal.starts:
            raise UnknownName(f"the journal has no run {run}", "see: repro runs list")
        if run in journal.ledger.deleted_runs:
            raise InvalidValue(f"run {run} was deleted", "name another")
    found.taken = journal.closure(found.runs, found.artifacts)
    digests = {*map(str, found.artifacts), *journal.named_by(found.taken)}
    takes = _Choice(journal, found.taken, digests)
    for name, form in chosen.items():
        taken = _lines_of(home, name, form, takes)
        if taken.lines:
            place = _name_of(name, taken.process)
            known = found.segments.get(place)
            # Parts of one segment become one again.
            merged = {record.seq: (line, record) for line, record in (*(known.lines if known else ()), *taken.lines)}
            found.segments[place] = Lines(taken.process, [merged[seq] for seq in sorted(merged)])
    required = required_of(record for part in found.segments.values() for _, record in part.lines)
    found.whole = required.artifacts | set(found.artifacts) - required.alone
    found.alone = set(required.alone)
    kept = {str(digest) for digest in found.whole | found.alone}
    for part in found.segments.values():
        part.lines = [
            item
            for item in part.lines
            if not isinstance(item[1].payload, artifact_records.ArtifactStored) or item[1].payload.digest in kept
        ]
        starts = (r.payload for _, r in part.lines if isinstance(r.payload, run_records.RunStarted))
        found.environments |= {Digest.parse(s.environment) for s in starts if s.environment is not None}
    found.segments = {name: part for name, part in sorted(found.segments.items()) if part.lines}
    return found


@dataclass(frozen=True, slots=True)
class Required:
    """Artifacts that records need whole, and those of which they need the manifest."""

    artifacts: set[Digest]
    alone: set[Digest]


def required_of(records: Iterable[Record]) -> Required:
    """Return what some records name and must find.

    Raises
    ------
    InvalidValue
        If one names something that is no digest.
    """
    ledger = Ledger()
    for record in records:
        ledger.take(record)
    roots = ledger.roots()
    return Required(set(roots.artifacts), set(roots.alone))


class _Journal:
    """The journal as far as it says what came of what."""

    def __init__(self, home: Home, chosen: dict[str, Form]) -> None:
        self.ledger = Ledger()
        self.starts: dict[str, run_records.RunStarted] = {}
        self.under: dict[str, set[str]] = {}
        self.above: dict[str, set[str]] = {}
        self.reads: dict[str, set[str]] = {}
        self.writers: dict[str, list[str]] = {}
        self.claimers: dict[str, set[str]] = {}
        self.names: dict[str, set[str]] = {}
        self.first: dict[str, tuple[float, str]] = {}
        self.claims = {
            (v.collection, v.number): v.digest for c in names.collections(home) for v in names.versions(home, c)
        }
        for name, form in chosen.items():
            for _, record in _records(home, name, form):
                if record is not None:
                    self._take(record)

    def _take(self, record: Record) -> None:
        self.ledger.take(record)
        payload = record.payload
        run = run_of(payload)
        if run is not None:
            named = [digest for digest, _ in dependence(payload)]
            self.names.setdefault(run, set()).update(named)
            if not isinstance(payload, run_records.RunStarted | run_records.RunInput):
                for digest in named:
                    self.writers.setdefault(digest, []).append(run)
        match payload:
            case run_records.RunStarted():
                self.starts.setdefault(payload.run_id, payload)
                if payload.parent_run_id is not None:
                    self.under.setdefault(payload.parent_run_id, set()).add(payload.run_id)
                self._above(payload.run_id, payload.parent_run_id, payload.replay_of)
            case run_records.RunInput():
                self.reads.setdefault(payload.run_id, set()).add(payload.digest)
                self._above(payload.run_id, payload.made_by)
            case run_records.RunResumed():
                self._above(payload.run_id, payload.resumed_run_id)
            case run_records.WorkReused():
                self.under.setdefault(payload.parent_run_id, set()).add(payload.run_id)
            case artifact_records.ArtifactStored():
                self.first[payload.digest] = min(
                    self.first.get(payload.digest, (record.time, record.id)), (record.time, record.id)
                )
            case artifact_records.VersionClaimed() if payload.run_id is not None:
                self.claimers.setdefault(payload.digest, set()).add(payload.run_id)
            case _:
                pass

    def _above(self, run: str, *others: str | None) -> None:
        self.above.setdefault(run, set()).update(other for other in others if other is not None)

    def closure(self, runs: list[str], artifacts: list[Digest]) -> set[str]:
        """Return the runs and all that they came from."""
        waiting = [*runs, *(under for run in runs for under in self.under.get(run, ()))]
        waiting += [maker for digest in artifacts for maker in self._makers(str(digest))]
        found: set[str] = set()
        while waiting:
            run = waiting.pop()
            if run in found or run not in self.starts or run in self.ledger.deleted_runs:
                continue
            found.add(run)
            waiting += self.above.get(run, ())
            for digest in self.reads.get(run, ()):
                waiting += self._makers(digest)
        return found

    def _makers(self, digest: str) -> list[str]:
        """Return the first run that wrote an artifact and is no replay, and those that claimed versions of it."""
        writers = [run for run in self.writers.get(digest, ()) if run in self.starts]
        own = [run for run in writers if self.starts[run].replay_of is None]
        return [*(own or writers)[:1], *self.claimers.get(digest, ())]

    def named_by(self, runs: set[str]) -> set[str]:
        """Return the digests that records of these runs name."""
        return {digest for run in runs for digest in self.names.get(run, ())}


class _Choice:
    """Which records are taken."""

    def __init__(self, journal: _Journal, runs: set[str], digests: set[str]) -> None:
        self.runs = runs
        self._digests = digests
        self._claims = journal.claims
        self._first = {record for _, record in journal.first.values()}

    def takes(self, record: Record) -> bool:
        """Tell whether a record is."""
        match payload := record.payload:
            case artifact_records.ArtifactStored():
                return payload.digest in self._digests and record.id in self._first
            case artifact_records.VersionClaimed() | artifact_records.VersionDeleted():
                # Of two stores that claimed one number, the other one's record may be here too.
                claim = self._claims.get((payload.collection, payload.version))
                return payload.digest in self._digests and str(claim) == payload.digest
            case artifact_records.ArtifactEvicted():
                return payload.digest in self._digests
            case artifact_records.AliasMoved() | Process():
                return False
            case run_records.WorkReused():
                return payload.parent_run_id in self.runs and payload.run_id in self.runs
            case run_records.ReplayMade():
                return payload.original_run in self.runs
            case _:
                return run_of(payload) in self.runs


def run_of(payload: Payload) -> str | None:
    """Return the run that a record is of."""
    if isinstance(payload, artifact_records.VersionClaimed | artifact_records.ArtifactEvicted):
        return None
    run = getattr(payload, "run_id", None)
    return run if isinstance(run, str) else None


def _segments(home: Home) -> dict[str, Form]:
    """Return each segment once, by the name of its file, and the parts of those that are not here."""
    found = forms(home)
    own = {name for name in found if not is_part(name)}
    heads: dict[bytes, str] = {}
    for name in sorted(own, key=lambda name: (not is_segment_name(name), -found[name].size, name)):
        with open_segment(home, found[name]) as file:
            heads.setdefault(file.readline(), name)
    families = {family_of(name) for name in own}
    parts = [name for name in found if is_part(name) and family_of(name) not in families]
    return {name: found[name] for name in (*sorted(heads.values()), *sorted(parts))}


def _name_of(name: str, process: Record) -> str:
    """Return the name that a segment has in a bundle."""
    name = segment_of(name)
    if is_segment_name(name):
        return name
    # A file that a person named, or a host whose name is no word.
    return f"segment-0-{xxhash.xxh3_128_hexdigest(f'{name}:{process.time!r}'.encode())}.jsonl"


def _lines_of(home: Home, name: str, form: Form, choice: _Choice) -> Lines:
    process: Record | None = None
    lines: list[tuple[bytes, Record]] = []
    for line, read in _records(home, name, form):
        run = _RUN.search(line) if read is None else None
        if run is not None and run[1].decode() not in choice.runs:
            continue
        record = read or read_line(line, name)
        if process is None:
            process = record
        if choice.takes(record):
            lines.append((line, record))
    if process is None or not isinstance(process.payload, Process):
        if lines:
            raise CorruptRecord(
                f"the journal segment {name} does not say which process wrote it", "see: repro store fsck"
            )
        process = Record(name, 0, 0.0, (), Process("", "", "", 0, []))
    return Lines(replace(process, segment=name), lines)


def _records(home: Home, name: str, form: Form) -> Iterator[tuple[bytes, Record | None]]:
    """Yield each whole line of a segment and its record; None for a line of metrics, which is not read."""
    with open_segment(home, form) as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line, None if _METRICS.match(line) else read_line(line, name)
