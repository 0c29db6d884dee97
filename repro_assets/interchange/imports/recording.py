"""Runs of other tools into a store.

Laws: whoever calls has read all of the source and found it right; then objects come first, then the manifests that name
them, then versions, and last the records, all in one segment that shows whole or not at all. So an import that was cut
off is simply repeated. A run that is here is not taken again; of one that grew, what is new is added, and a source that
knows less of it than the store adds nothing. Nothing is said of an environment, a source or a seed. What looks like a
credential is kept out, as of every run.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from repro_assets.artifacts import repository
from repro_assets.artifacts.kinds import DECODERS, table
from repro_assets.catalog import queries
from repro_assets.errors import SourceChanged
from repro_assets.identity.digest import Digest
from repro_assets.interchange.brought import Brought
from repro_assets.interchange.imports.foreign import (
    ForeignArtifact,
    ForeignInput,
    ForeignOutput,
    ForeignRun,
    PointKey,
    StoredTable,
    point_key,
    run_id_of,
)
from repro_assets.interchange.imports.versions import Claimed, Versions, claim_versions
from repro_assets.journal.artifact_records import ArtifactStored
from repro_assets.journal.merged import alone
from repro_assets.journal.records import Payload
from repro_assets.journal.run_records import (
    Params,
    RunEnded,
    RunImported,
    RunInput,
    RunNoted,
    RunOutput,
    RunStarted,
    RunTagged,
)
from repro_assets.journal.segments import keep_whole
from repro_assets.recording.redaction import redact, redact_message, redact_start
from repro_assets.store.batch import STREAMED, Batch
from repro_assets.store.home import Home
from repro_assets.store.objects import LocalObjects
from repro_assets.store.staging import Known, SourceFile
from repro_assets.wording import counted

Progress = Callable[[int], None]


@dataclass(slots=True)
class Recorded(Brought):
    """What an import of another tool's runs did, or would do.

    Parameters
    ----------
    grown : list of str
        Runs that were here and got more points, products or an end.
    left_out : list of dict
        ``run`` (that tool's id), ``name`` and ``reason`` of each that was not taken.
    notes : list of str
        What a person is told.
    """

    grown: list[str] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def told(self) -> tuple[str, ...]:
        """Return the answer as lines for a person."""
        more = []
        if self.grown:
            were, have = ("was", "has") if len(self.grown) == 1 else ("were", "have")
            more = [f"{counted(len(self.grown), 'run')} that {were} here {have} grown"]
        left = [f"left out: {item['name']} ({item['run']}): {item['reason']}" for item in self.left_out]
        # The two-argument form does not find the class that a dataclass with slots makes anew.
        return (*Brought.told(self), *more, *left, *(f"note: {note}" for note in self.notes))


@dataclass(slots=True)
class _Known:
    """What is on record of an imported run."""

    content: str | None
    said: str | None
    state: str | None
    note: str | None
    inputs: set[tuple[str, str]] = field(default_factory=set)
    outputs: dict[tuple[str, str], int | None] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)


def record(home: Home | None, done: Recorded, runs: Sequence[ForeignRun], progress: Progress | None = None) -> Recorded:
    """Take runs into a store, or tell what would come where `done` is a dry run.

    Parameters
    ----------
    home : Home or None
        The store; None, for a dry run only, is an empty one.
    done : Recorded
        What is answered; it is filled in.
    runs : sequence of ForeignRun
        All runs of a source.
    progress : callable, optional
        Told the number of objects that were stored.

    Raises
    ------
    SourceChanged
        If something of the source is not as it was read any more; no record was written then.
    MachineError
        If the store cannot be written.
    """
    runs = list({run.run_id: run for run in runs}.values())
    if home is None or done.dry_run:
        done.dry_run = True
        known = {} if home is None else _known(home, runs)
        taken = _taken(home, runs, known)
        _count_objects(home, taken, done)
        done.records = len(_all_records(home, taken, known, _claimed(home, runs, known, done), done))
        return done
    # Objects wait for no turn: they are told apart by their digests, and whoever comes second finds them.
    _store(home, _taken(home, runs, _known(home, runs)), done, progress)
    with alone(home):
        known = _known(home, runs)
        taken = _taken(home, runs, known)
        payloads = _all_records(home, taken, known, _claimed(home, runs, known, done), done) if taken else []
        if payloads:
            keep_whole(home.journal, payloads, home.temporary)
    done.records = len(payloads)
    return done


def _known(home: Home, runs: Sequence[ForeignRun]) -> dict[str, _Known]:
    """Return what is on record of those of the runs that are here."""
    given = {"runs": [run.run_id for run in runs]}
    with queries.connect(home) as connection:

        def rows(columns: str, table: str) -> queries.Rows:
            asked = f"SELECT run_id, {columns} FROM {table} WHERE list_contains($runs, run_id)"
            return queries.read_rows(connection, asked, given)

        latest = (
            "(FROM run_imports QUALIFY row_number() OVER "
            "(PARTITION BY run_id ORDER BY time DESC, length(record) DESC, record DESC) = 1)"
        )
        found = {
            row["run_id"]: _Known(row["content"], row["said"], row["state"], row["note"])
            for row in rows(
                "i.details ->> 'content' AS content, i.details ->> 'said' AS said, state, note",
                f"{latest} i JOIN runs USING (run_id) LEFT JOIN latest_notes USING (run_id)",
            )
        }
        for row in rows("slot, digest", "run_inputs"):
            if row["run_id"] in found:
                found[row["run_id"]].inputs.add((row["slot"], row["digest"]))
        for row in rows("slot, digest, version", "run_outputs"):
            if row["run_id"] in found:
                found[row["run_id"]].outputs[row["slot"], row["digest"]] = row["version"]
        for row in rows("tag", "run_tags"):
            if row["run_id"] in found:
                found[row["run_id"]].tags.add(row["tag"])
    return found


def _taken(home: Home | None, runs: Sequence[ForeignRun], known: Mapping[str, _Known]) -> list[ForeignRun]:
    """Return the runs that are not here, or of which something is not."""
    return [run for run in runs if run.run_id not in known or _has_grown(home, run, known[run.run_id])]


def _has_grown(home: Home | None, run: ForeignRun, known: _Known) -> bool:
    """Whether a run that is here says something else than it did, or has got something."""
    if known.content == run.content():
        return False
    inputs = {(item.slot, str(item.artifact.digest)) for item in run.inputs}
    outputs = {(item.slot, str(item.artifact.digest)) for item in run.outputs}
    if known.said != run.said() or inputs - known.inputs or outputs - known.outputs.keys():
        return True
    return home is not None and len(run.points.beyond(_points(home, run.run_id))) > 0


def _claimed(home: Home | None, runs: Sequence[ForeignRun], known: Mapping[str, _Known], done: Recorded) -> Claimed:
    """Give versions to what is on no record of what all runs of the source wrote, taken or not."""
    there = {(run, *key): number for run, one in known.items() for key, number in one.outputs.items()}
    claimed = claim_versions(home, runs, there, dry_run=done.dry_run)
    done.versions += map(str, claimed.new)
    done.notes += claimed.notes
    return claimed


def _count_objects(home: Home | None, runs: Sequence[ForeignRun], done: Recorded) -> None:
    objects = None if home is None else LocalObjects(home, DECODERS)
    sizes: dict[Digest, int] = {}
    for artifact in _artifacts(runs).values():
        sizes.update(artifact.sizes)
        sizes[artifact.digest] = len(artifact.manifest.encode())
    there = {digest for digest in sizes if objects is not None and objects.has(digest)}
    done.objects, done.skipped = len(sizes) - len(there), len(there)
    done.bytes = sum(size for digest, size in sizes.items() if digest not in there)


def _artifacts(runs: Sequence[ForeignRun]) -> dict[Digest, ForeignArtifact]:
    return {artifact.digest: artifact for run in runs for artifact in run.artifacts()}


def _store(home: Home, runs: Sequence[ForeignRun], done: Recorded, progress: Progress | None) -> None:
    _count_objects(home, runs, done)
    objects = LocalObjects(home, DECODERS)
    stored = 0
    for artifact in _artifacts(runs).values():
        with objects.batch() as batch:
            _put(artifact, batch)
            stored += len(batch.written)
        if progress is not None:
            progress(stored)


def _put(artifact: ForeignArtifact, batch: Batch) -> None:
    large = {d: s for d, s in artifact.sources.items() if isinstance(s, Path) and artifact.sizes[d] > STREAMED}
    tables = {digest: source for digest, source in artifact.sources.items() if isinstance(source, StoredTable)}
    small = [
        Known(digest, source.read_bytes if isinstance(source, Path) else source)
        for digest, source in artifact.sources.items()
        if not isinstance(source, StoredTable) and digest not in large
    ]
    batch.put_known(small)
    found = [digest for digest, _ in batch.put_files([SourceFile(os.fspath(path)) for path in large.values()])]
    for source in tables.values():
        stored = source.path.read_bytes()
        found.append(batch.put_encoded(table.decode(stored), table.CODEC, stored))
    for expected, digest in zip((*large, *tables), found, strict=True):
        if digest != expected:
            raise SourceChanged(f"the bytes of {expected} have changed", "run again when nothing writes to them")
    batch.put(artifact.manifest.encode())


def _all_records(
    home: Home | None,
    runs: Sequence[ForeignRun],
    known: Mapping[str, _Known],
    claimed: Claimed,
    done: Recorded,
) -> list[Payload]:
    payloads: list[Payload] = [
        ArtifactStored(str(digest), artifact.manifest.kind, artifact.manifest.size, len(artifact.manifest.entries))
        for digest, artifact in _artifacts(runs).items()
    ]
    versions = claimed.versions
    payloads += [repository.record_of(version) for version in dict.fromkeys([*versions.values(), *claimed.again])]
    here = {run.foreign_id for run in runs} | _parents_here(home, runs)
    for run in runs:
        if run.run_id in known:
            payloads += _more(home, run, known[run.run_id], versions, done)
            done.grown.append(run.run_id)
        else:
            payloads += _whole(run, here, versions)
            done.runs.append(run.run_id)
    return payloads


def _parents_here(home: Home | None, runs: Sequence[ForeignRun]) -> set[str]:
    wanted = {run_id_of(run.tool, run.parent): run.parent for run in runs if run.parent is not None}
    if home is None or not wanted:
        return set()
    found = queries.rows(home, "SELECT run_id FROM runs WHERE list_contains($runs, run_id)", {"runs": list(wanted)})
    return {wanted[row["run_id"]] for row in found}


def _whole(run: ForeignRun, here: set[str], versions: Versions) -> Iterator[Payload]:
    params, found = redact(run.params, "params")
    parent = run_id_of(run.tool, run.parent) if run.parent in here and run.parent is not None else None
    yield redact_start(
        RunStarted(
            run.run_id,
            "imported",
            run.name or run.foreign_id,
            parent_run_id=parent,
            experiment=run.project,
            tags=list(dict.fromkeys(run.tags)),
            config=run.config,
            warnings=[*run.warnings, *found],
        )
    )
    yield _origin(run)
    if params:
        yield Params(run.run_id, params)
    if run.note:
        yield RunNoted(run.run_id, redact_message(run.note))
    for item in run.inputs:
        yield _input(run, item)
    yield from run.points.records(run.run_id)
    for output in run.outputs:
        yield _output(run, output, versions)
    if run.state is not None:
        yield RunEnded(run.run_id, run.state, run.error)


def _more(home: Home | None, run: ForeignRun, known: _Known, versions: Versions, done: Recorded) -> Iterator[Payload]:
    """Yield what a run that is here has got since."""
    assert home is not None
    params, _ = redact(run.params, "params")
    yield _origin(run)
    if params:
        yield Params(run.run_id, params)
    if run.note and (note := redact_message(run.note)) != known.note:
        yield RunNoted(run.run_id, note)
    tags = [tag for tag in redact(list(dict.fromkeys(run.tags)), "tags")[0] if tag not in known.tags]
    if tags:
        yield RunTagged(run.run_id, tags, [])
    for item in run.inputs:
        if (item.slot, str(item.artifact.digest)) not in known.inputs:
            yield _input(run, item)
    there = _points(home, run.run_id)
    more = run.points.beyond(there)
    if len(more) + there.total() != len(run.points):
        done.notes.append(f"{run.name or run.foreign_id} has points here that are not there any more; they stay")
    yield from more.records(run.run_id)
    for output in run.outputs:
        if (output.slot, str(output.artifact.digest)) not in known.outputs:
            yield _output(run, output, versions)
    if run.state is not None and run.state != known.state:
        yield RunEnded(run.run_id, run.state, run.error)


def _points(home: Home, run_id: str) -> Counter[PointKey]:
    found = queries.rows(
        home, "SELECT name, step, value, epoch_us(time) AS time FROM metrics WHERE run_id = $run", {"run": run_id}
    )
    return Counter(point_key(row["name"], row["step"], row["value"], row["time"]) for row in found)


def _origin(run: ForeignRun) -> RunImported:
    details, _ = redact({**run.details, "content": run.content(), "said": run.said()}, "details")
    return RunImported(run.run_id, run.tool, run.place, run.foreign_id, run.started, run.ended, details)


def _input(run: ForeignRun, item: ForeignInput) -> RunInput:
    made_by = item.made_by and run_id_of(run.tool, item.made_by)
    return RunInput(run.run_id, item.slot, str(item.artifact.digest), made_by=made_by, read_as=item.read_as)


def _output(run: ForeignRun, output: ForeignOutput, versions: Versions) -> RunOutput:
    version = versions.get((run.run_id, output.slot))
    return RunOutput(
        run.run_id,
        output.slot,
        str(output.artifact.digest),
        output.name or f"{run.run_id}/{output.slot}",
        collection=version.collection if version else None,
        version=version.number if version else None,
    )
