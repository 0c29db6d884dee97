"""A bundle into a store.

Laws: nothing is written before the bundle has been read to its end and found right, and what is written is checked
once more while it is; objects are there before the manifests that name them, these before versions, and versions before
records, so an import that was cut off is simply repeated, and importing again changes nothing. A record that is here is
not taken again, whatever brought it. An import deletes nothing that was here before: a record of a deletion counts only
with what came by the same import. A version that is another artifact here stays, and both are named.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from repro_assets.artifacts import names, repository
from repro_assets.artifacts.exchange import Exchange
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import DECODERS, tree
from repro_assets.artifacts.retention import read_ledger
from repro_assets.artifacts.shared_claims import take_claim
from repro_assets.errors import UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.interchange.brought import Brought
from repro_assets.interchange.container import Reader, open_bundle
from repro_assets.interchange.selection import Lines, run_of
from repro_assets.interchange.verification import Contents, decoded, read_through
from repro_assets.journal import artifact_records, run_records
from repro_assets.journal.merged import alone, forms, read_form
from repro_assets.journal.parts import family_of, make_part
from repro_assets.journal.records import Process, Record
from repro_assets.journal.segments import Damage, journal_at
from repro_assets.store import durable
from repro_assets.store.home import Home
from repro_assets.store.layout import RAW, Form, trailer
from repro_assets.store.leases import lease_on
from repro_assets.store.objects import LocalObjects

_STREAMED = 16 << 20
_COMMIT = 32 << 20

_DELETIONS = artifact_records.VersionDeleted | run_records.CheckpointDeleted | run_records.RunDeleted
_CLAIMS = artifact_records.VersionClaimed | artifact_records.VersionDeleted


@dataclass(slots=True)
class Imported(Brought):
    """What the import of a bundle did, or would do.

    Parameters
    ----------
    evicted : list of str
        Artifacts of which the bundle has the manifest only, because they were evicted where it was made.
    anonymized : bool
        Whether names were taken out of it.
    wheels : list of dict
        ``environment`` and ``name``, the version that holds its packages, and ``missing`` ones.
    """

    evicted: list[str] = field(default_factory=list)
    anonymized: bool = False
    wheels: list[dict[str, Any]] = field(default_factory=list)


def import_bundle(
    home: Home | None, path: Path, *, dry_run: bool = False, progress: Callable[[int], None] | None = None
) -> Imported:
    """Verify a bundle and take what is in it.

    Parameters
    ----------
    home : Home or None
        The store; None, for a dry run only, is an empty one.
    path : Path
        The bundle.
    dry_run : bool
        Verify, tell what would come, and write nothing.
    progress : callable, optional
        Told the number of objects that were stored.

    Raises
    ------
    InvalidInput
        If it is no bundle, or anything in it is wrong; nothing was written then.
    UnsupportedFormat
        If a newer version wrote it, or something in it; nothing was written then.
    CorruptRecord
        If the journal here does not read.
    MachineError
        If the file cannot be read, or the store cannot be written.
    """
    with open_bundle(path) as file:
        found = read_through(file, path)
        done = Imported(
            str(path),
            dry_run=dry_run or home is None,
            evicted=sorted(map(str, found.alone)),
            anonymized=bool(found.document.get("anonymized")),
        )
        if home is None or dry_run:
            _foretell(home, found, done)
            return done
        _store_objects(LocalObjects(home, DECODERS), file, path, found, done, progress)
        deletions = (record.payload for record in found.records())
        claims = {(p.collection, p.version) for p in deletions if isinstance(p, artifact_records.VersionDeleted)}
        refused = _take_versions(home, found, claims, done)
        with alone(home):
            _keep_records(home, _new(home, found, refused, done), done)
        _restore(home, found)
        for item in found.document["wheels"]:
            _claim_wheels(home, found, item, done)
    return done


def _foretell(home: Home | None, found: Contents, done: Imported) -> None:
    objects = None if home is None else LocalObjects(home, DECODERS)
    there = {digest for digest in found.sizes if objects is not None and objects.has(digest)}
    done.objects, done.skipped = len(found.sizes) - len(there), len(there)
    done.bytes = sum(size for digest, size in found.stored.items() if digest not in there)
    refused: set[tuple[str, int]] = set()
    for version in _claimed(found):
        key = (version.collection, version.number)
        here = None if home is None else _version_here(home, version)
        if here is None:
            done.versions.append(str(version))
        else:
            refused.add(key)
            if here.digest != version.digest:
                done.conflicts.append({"name": str(version), "local": str(here.digest), "remote": str(version.digest)})
    for part in _new(home, found, refused, done).values():
        done.records += len(part.lines)


def _version_here(home: Home, version: names.Version) -> names.Version | None:
    try:
        return names.version(home, version.collection, version.number, deleted=True)
    except UnknownName:
        return None


def _claimed(found: Contents) -> Iterator[names.Version]:
    """Yield the versions of a bundle, each once."""
    seen: set[tuple[str, int]] = set()
    for record in found.records():
        claim = record.payload
        if isinstance(claim, artifact_records.VersionClaimed) and (claim.collection, claim.version) not in seen:
            seen.add((claim.collection, claim.version))
            digest = Digest.parse(claim.digest)
            yield names.Version(claim.collection, claim.version, digest, claim.artifact_kind, claim.run_id, claim.trial)


def _store_objects(
    objects: LocalObjects,
    file: io.BufferedIOBase,
    path: Path,
    found: Contents,
    done: Imported,
    progress: Callable[[int], None] | None,
) -> None:
    reader = Reader(file, path)
    for item in found.document["segments"]:
        reader.segment(item["size"])
    lease_on(objects.home).take(found.sizes)
    absent = {digest for digest in found.sizes if not objects.has(digest)}
    done.skipped = len(found.sizes) - len(absent)
    for count in (reader.document["parts"], reader.document["manifests"]):
        waiting: list[tuple[Digest, Form, bytes | Path]] = []
        size = 0
        try:
            for digest, form, blocks in reader.objects(count):
                if digest not in absent:
                    for _ in blocks:
                        pass
                    continue
                stored = _checked(objects.home, reader, digest, form, blocks)
                waiting.append((digest, form, stored))
                size += form.stored_size if isinstance(stored, bytes) else 0
                done.objects += 1
                done.bytes += form.stored_size
                if progress is not None:
                    progress(done.objects)
                if size > _COMMIT or len(waiting) >= 4096:
                    _commit(objects, waiting)
                    waiting, size = [], 0
            _commit(objects, waiting)
            waiting = []
        finally:
            for _, _, stored in waiting:
                if isinstance(stored, Path):
                    stored.unlink(missing_ok=True)


def _commit(objects: LocalObjects, waiting: list[tuple[Digest, Form, bytes | Path]]) -> None:
    with objects.batch() as batch:
        for digest, form, stored in waiting:
            batch.put_stored(digest, form, stored)


def _checked(home: Home, reader: Reader, digest: Digest, form: Form, blocks: Iterator[bytes]) -> bytes | Path:
    """Return the stored bytes, or a file with them and the trailer, hashed again: the bundle may have changed."""
    if form.codec != RAW or form.stored_size <= _STREAMED:
        stored = b"".join(blocks)
        if Digest.of(decoded(reader, digest, form, stored)) != digest:
            raise reader.wrong(f"the object {digest} changed while it was read")
        return stored
    hashed, check = hashlib.sha256(), xxhash.xxh3_128()
    descriptor, partial = durable.create_temporary(home.temporary)
    kept = False
    try:
        for block in blocks:
            hashed.update(block)
            check.update(block)
            durable.write_all(descriptor, [block])
        if hashed.hexdigest() != digest.hex:
            raise reader.wrong(f"the object {digest} changed while it was read")
        durable.write_all(descriptor, [trailer(digest, form)])
        durable.sync_descriptor(descriptor)
        kept = True
        return partial
    finally:
        os.close(descriptor)
        if not kept:
            partial.unlink()


def _take_versions(home: Home, found: Contents, deleted: set[Any], done: Imported) -> set[tuple[str, int]]:
    """Claim the versions of a bundle; return those of which no new record is to be taken."""
    claims = Exchange(done.path)
    refused: set[tuple[str, int]] = set()
    for version in _claimed(found):
        new = _version_here(home, version) is None
        if not take_claim(home, version, claims) or not new:
            refused.add((version.collection, version.number))
        elif (version.collection, version.number) in deleted:
            names.mark_deleted(home, version)
        if new:
            done.versions.append(str(version))
    done.conflicts = claims.conflicts
    return refused


def _new(home: Home | None, found: Contents, refused: set[tuple[str, int]], done: Imported) -> dict[str, Lines]:
    """Return the records of a bundle that are not here and are to be taken."""
    here: dict[str, set[int]] = {family_of(name): set() for name in found.segments}
    started: set[str] = set()
    for form in [] if home is None else forms(home).values():
        known = here.get(family_of(form.name))
        if home is None or known is None:
            continue
        for item, _ in read_form(home, form):
            if not isinstance(item, Damage):
                known.add(item.seq)
    conflicts = {item["name"] for item in done.conflicts}
    for name, part in found.segments.items():
        for _, record in part.lines:
            if isinstance(record.payload, run_records.RunStarted) and record.seq not in here[family_of(name)]:
                started.add(record.payload.run_id)
    done.runs = sorted(started)

    def is_taken(record: Record) -> bool:
        payload = record.payload
        if isinstance(payload, _CLAIMS):
            name = f"{payload.collection}:v{payload.version}"
            is_old = (payload.collection, payload.version) in refused
            return name not in conflicts and not (is_old and isinstance(payload, _DELETIONS))
        return not isinstance(payload, _DELETIONS) or run_of(payload) in started

    return {
        name: Lines(part.process, lines)
        for name, part in found.segments.items()
        if (lines := [i for i in part.lines if i[1].seq not in here[family_of(name)] and is_taken(i[1])])
    }


def _keep_records(home: Home, new: dict[str, Lines], done: Imported) -> None:
    for name, part in new.items():
        assert isinstance(part.process.payload, Process)
        file, data = make_part(name, part.process.payload, part.process.time, [line for line, _ in part.lines])
        durable.write_file(home.journal / file, [data], home.temporary, exclusive=True)
        done.records += len(part.lines)


def _restore(home: Home, found: Contents) -> None:
    """Record that the bytes of what was evicted here are there again."""
    ledger = read_ledger(home)
    back = [digest for digest in found.manifests if digest not in found.alone and ledger.eviction(digest) is not None]
    journal_at(home.journal).append(*(_stored(digest, found.manifests[digest]) for digest in back))


def _stored(digest: Digest, manifest: Manifest) -> artifact_records.ArtifactStored:
    return artifact_records.ArtifactStored(str(digest), manifest.kind, manifest.size, len(manifest.entries))


def _claim_wheels(home: Home, found: Contents, item: dict[str, Any], done: Imported) -> None:
    collection = f"wheels-{Digest.parse(item['environment']).hex[:12]}"
    told = {"environment": item["environment"], "name": None, "missing": item["missing"]}
    done.wheels.append(told)
    if item["artifact"] is None:
        return
    digest = Digest.parse(item["artifact"])
    known = [version for version in names.versions(home, collection) if version.digest == digest]
    if known:
        told["name"] = str(known[-1])
        return
    journal_at(home.journal).append(_stored(digest, found.manifests[digest]))
    claimed = repository.claim(Artifact(home, digest, tree.NAME), collection)
    told["name"] = str(claimed)
    done.versions.append(str(claimed))
