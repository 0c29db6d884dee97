"""Reading a bundle through without writing anything: is all of it what it says, and is nothing missing?

Laws: every byte is hashed with SHA-256, every record is read as the catalog would read it, every manifest as whoever
lays it out would; what a record names is in the bundle, unless a record there says that it was deleted or evicted, and
nothing is in the bundle that no record names. One thing that is wrong refuses the whole. Memory is taken for one object
at a time, and for the records.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro_assets.artifacts import names
from repro_assets.artifacts.kinds import KINDS, json_value, raw_bytes, table, tree
from repro_assets.catalog.points import columns_of, table_of
from repro_assets.catalog.rows import microseconds, rows_of
from repro_assets.errors import ReproError, UnsupportedFormat
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.interchange.container import PARQUET, Reader
from repro_assets.interchange.selection import Lines, required_of
from repro_assets.journal import artifact_records
from repro_assets.journal.lines import read_line
from repro_assets.journal.metrics import Metrics
from repro_assets.journal.parts import family_of, is_segment_name
from repro_assets.journal.records import Process, Record
from repro_assets.store import codecs
from repro_assets.store.layout import RAW, Form

_MALFORMED = (ReproError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, IndexError)
# The kinds whose parts are their objects, one after the other, and nothing else.
_PLAIN = (tree.NAME, raw_bytes.NAME, json_value.NAME, table.NAME)


@dataclass(slots=True)
class Contents:
    """What a bundle holds.

    Parameters
    ----------
    document : dict
        What it says of itself.
    segments : dict
        Its records, by the segment that they are of.
    sizes, stored : dict
        Uncompressed and stored size of each object.
    manifests : dict
        Its manifests, by their digests.
    alone : set of Digest
        Those of them whose objects need not be there.
    """

    document: dict[str, Any]
    segments: dict[str, Lines] = field(default_factory=dict)
    sizes: dict[Digest, int] = field(default_factory=dict)
    stored: dict[Digest, int] = field(default_factory=dict)
    manifests: dict[Digest, Manifest] = field(default_factory=dict)
    alone: set[Digest] = field(default_factory=set)

    def records(self) -> Iterator[Record]:
        """Yield every record but those that name processes."""
        for part in self.segments.values():
            yield from (record for _, record in part.lines)


def read_through(file: io.BufferedIOBase, path: Path) -> Contents:
    """Read a bundle to its end and return what it holds, without its objects.

    Parameters
    ----------
    file : binary file
        The bundle.
    path : Path
        What it is called.

    Raises
    ------
    InvalidInput
        If it is no bundle, or anything in it is not what it should be.
    UnsupportedFormat
        If a newer version wrote it, or something in it.
    """
    reader = Reader(file, path)
    found = Contents(reader.document)
    try:
        parts, manifests = (_count(reader.document[name]) for name in ("parts", "manifests"))
        listed = [(str(item["name"]), _count(item["size"]), item["sha256"]) for item in reader.document["segments"]]
        asked = {Digest.parse(text) for text in reader.document["artifacts"]}
        wheels = [item["artifact"] for item in reader.document["wheels"] if item["artifact"] is not None]
        added = asked | {Digest.parse(text) for text in wheels}
        for item in reader.document["wheels"]:
            Digest.parse(item["environment"])
        if not all(isinstance(run, str) for run in reader.document["runs"]):
            raise TypeError("a run that was asked for is no text")
    except _MALFORMED as error:
        raise reader.unread("its document does not read", error) from error
    families: set[str] = set()
    for name, size, sha256 in listed:
        if not is_segment_name(name) or family_of(name) in families:
            raise reader.wrong(f"{name!r} cannot name a segment of a journal, or is there twice")
        families.add(family_of(name))
        data = reader.segment(size)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise reader.wrong(f"the segment {name} hashes to another digest")
        try:
            found.segments[name] = _segment(name, data)
        except UnsupportedFormat:
            raise
        except _MALFORMED as error:
            raise reader.unread(f"the segment {name} does not read", error) from error
    try:
        required = required_of(found.records())
    except _MALFORMED as error:
        raise reader.unread("a record does not read", error) from error
    found.alone = required.alone
    for digest, form, blocks in reader.objects(parts):
        found.sizes[digest], found.stored[digest] = form.size, form.stored_size
        _hash(reader, digest, form, blocks, keep=False)
    for digest, form, blocks in reader.objects(manifests):
        if digest in found.sizes:
            raise reader.wrong(f"the object {digest} is there twice")
        found.sizes[digest], found.stored[digest] = form.size, form.stored_size
        data = _hash(reader, digest, form, blocks, keep=True)
        try:
            found.manifests[digest] = _manifest(data)
        except UnsupportedFormat:
            raise
        except _MALFORMED as error:
            raise reader.unread(f"the manifest {digest} does not read", error) from error
    reader.end()
    _check_complete(reader, found, (required.artifacts | added) - required.alone)
    return found


def _segment(name: str, data: bytes) -> Lines:
    lines: list[tuple[bytes, Record]] = []
    process: Record | None = None
    last = -1
    for line in io.BytesIO(data):
        record = read_line(line, name)
        if not line.endswith(b"\n") or type(record.seq) is not int or record.seq <= last:
            raise ValueError(f"its record {record.seq!r} is cut short or out of its place")
        if not all(isinstance(item, str) for item in record.follows):
            raise TypeError(f"its record {record.seq} follows what is no record")
        last = record.seq
        if isinstance(record.payload, Metrics):
            columns_of(record.payload), table_of(record.payload)
        list(rows_of(record, microseconds(record.time)))
        if process is None:
            process = record
            if not isinstance(record.payload, Process) or record.seq != 0:
                raise ValueError("its first record does not say which process wrote it")
            continue
        if isinstance(record.payload, Process | artifact_records.AliasMoved):
            raise ValueError(f"a bundle holds no record of the kind {record.payload.kind!r}")
        if isinstance(record.payload, artifact_records.VersionClaimed | artifact_records.VersionDeleted):
            names.check_collection(record.payload.collection)
            if type(record.payload.version) is not int or not 0 < record.payload.version < 10**18:
                raise ValueError(f"{record.payload.version!r} is no version")
        lines.append((line, record))
    if process is None:
        raise ValueError("it is empty")
    return Lines(process, lines)


def _hash(reader: Reader, digest: Digest, form: Form, blocks: Iterator[bytes], *, keep: bool) -> bytes:
    """Check an object; return its bytes where they are kept."""
    if form.codec == RAW and not keep:
        if Digest.of_chunks(blocks) != digest:
            raise reader.wrong(f"the object {digest} hashes to another digest")
        return b""
    data = decoded(reader, digest, form, b"".join(blocks))
    if len(data) != form.size or Digest.of(data) != digest:
        raise reader.wrong(f"the object {digest} hashes to another digest")
    return data


def decoded(reader: Reader, digest: Digest, form: Form, stored: bytes) -> bytes:
    """Return the uncompressed bytes of an object, in no more memory than its form tells.

    Raises
    ------
    InvalidInput
        If they are not what the form tells.
    """
    if form.codec == RAW:
        return stored
    try:
        if form.codec == PARQUET:
            check_parquet(form.size, stored)
            return table.decode(stored)
        out = bytearray(form.size)
        codecs.decode_into(form.codec, memoryview(stored), memoryview(out))
    except (*_MALFORMED, OSError, MemoryError) as error:
        raise reader.unread(f"the object {digest} does not decode", error) from error
    return bytes(out)


def check_parquet(size: int, stored: bytes) -> None:
    """Refuse a table that would have more values than its canonical bytes, of this size, have room for.

    Raises
    ------
    ValueError
        If it would.
    """
    facts = table.parquet_file(stored).metadata
    groups = [facts.row_group(number) for number in range(facts.num_row_groups)]
    values = [group.column(number).num_values for group in groups for number in range(group.num_columns)]
    packed = sum(
        group.column(number).total_uncompressed_size for group in groups for number in range(group.num_columns)
    )
    if facts.num_rows > size or sum(values) > 2 * size or packed > 2 * size + len(stored):
        raise ValueError(f"it has {facts.num_rows} rows and {sum(values)} values in {size} bytes")


def _manifest(data: bytes) -> Manifest:
    manifest = Manifest.decode(data)
    if manifest.encode() != data:
        raise ValueError("it is not canonical")
    if manifest.kind not in KINDS:
        raise ValueError(f"{manifest.kind!r} is no kind of artifact")
    if manifest.kind == tree.NAME:
        tree.check_paths(manifest)
    elif len({entry.name for entry in manifest.entries}) != len(manifest.entries):
        raise ValueError("it has two parts of one name")
    return manifest


def _check_complete(reader: Reader, found: Contents, whole: set[Digest]) -> None:
    needed: set[Digest] = set()
    for digest in (*sorted(whole), *sorted(found.alone)):
        if digest not in found.manifests:
            raise reader.wrong(f"a record names the artifact {digest}, and it is not in the bundle")
    for digest in sorted(whole):
        manifest = found.manifests[digest]
        for entry in manifest.entries:
            lacking = [part for part in entry.objects if part not in found.sizes]
            if lacking:
                raise reader.wrong(f"the artifact {digest} needs the object {lacking[0]}, and it is not in the bundle")
            if manifest.kind in _PLAIN and sum(found.sizes[part] for part in entry.objects) != entry.size:
                raise reader.wrong(f"the part {entry.name!r} of the artifact {digest} has another size")
            needed.update(entry.objects)
    surplus = (found.sizes.keys() - found.manifests.keys() - needed) | (found.manifests.keys() - whole - found.alone)
    if surplus:
        raise reader.wrong(f"nothing in it names the object {min(surplus)}")
    for record in found.records():
        payload = record.payload
        if isinstance(payload, artifact_records.ArtifactStored) and Digest.parse(payload.digest) not in found.manifests:
            raise reader.wrong(f"a record names the artifact {payload.digest}, and it is not in the bundle")


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is no number of bytes or objects")
    return value
