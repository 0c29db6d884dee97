"""Runs and artifacts as a bundle: one file with all that a replay or a question about lineage needs in an empty store.

Laws: the file shows when it is whole; the same export of an unchanged store has the same bytes; every object is checked
while it is read, and one that is missing or damaged ends the export. Objects travel as they are stored, but for those
that need another object, or would grow more than an import lets them, which travel as they are.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from repro_assets.artifacts.kinds import DECODERS
from repro_assets.errors import CorruptObject, InvalidValue, MissingObject, from_os_error
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.interchange import anonymity
from repro_assets.interchange.container import FORMAT, Writer, may_hold
from repro_assets.interchange.selection import Lines, Selection, select
from repro_assets.interchange.wheels import Wheels, download
from repro_assets.journal.lines import write_line
from repro_assets.store import codecs, delta, durable
from repro_assets.store.home import Home, refuse_own
from repro_assets.store.layout import RAW, Form
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects

_STREAMED = 16 << 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was written: the file, and how much of what is in it.

    `runs` are those that were taken, ancestors included; `missing` names the packages that could not be had, with
    ``environment``, ``name``, ``version`` and ``reason``.
    """

    path: Path
    digest: Digest
    bytes: int
    runs: int
    artifacts: int
    objects: int
    records: int
    evicted: int
    wheels: int = 0
    missing: list[dict[str, Any]] = field(default_factory=list)


def export_bundle(
    home: Home,
    runs: Iterable[str],
    artifacts: Iterable[Digest],
    to: Path,
    *,
    with_environment: bool = False,
    anonymous: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Bundle:
    """Write a bundle of runs and artifacts, and of all that they came from.

    Parameters
    ----------
    home : Home
        The store.
    runs, artifacts : iterable of str and of Digest
        Ids of runs, digests of artifacts.
    to : Path
        The file; one that is there is replaced.
    with_environment : bool
        Also the packages of the runs' environments, as pip downloads them.
    anonymous : bool
        Without names of hosts and persons, folders of homes, remotes and serials of devices.
    progress : callable, optional
        Told the number of objects that were written.

    Raises
    ------
    UnknownName, InvalidValue
        If a run is not there or was deleted, or `to` is a part of a store.
    CorruptRecord, MissingObject, CorruptObject
        If something that belongs to it does not read; there is no file then.
    MachineError
        If the file cannot be written, or an index of packages cannot be reached.
    """
    refuse_own(to)
    objects = open_objects(home, DECODERS)
    selection = select(home, runs, artifacts)
    with tempfile.TemporaryDirectory(prefix="repro-wheels-") as folder:
        wanted = sorted(selection.environments) if with_environment else []
        wheels = {digest: download(objects, digest, Path(folder) / digest.hex) for digest in wanted}
        return _export(objects, selection, wheels, to, anonymous, progress)


def _export(
    objects: LocalObjects,
    selection: Selection,
    wheels: dict[Digest, Wheels],
    to: Path,
    anonymous: bool,
    progress: Callable[[int], None] | None,
) -> Bundle:
    own: dict[Digest, bytes | Path] = {}
    if anonymous:
        found = anonymity.anonymize(selection, objects)
        selection = found.selection
        own.update(found.objects)
        wheels = {found.environments[old]: item for old, item in wheels.items()}
    for item in wheels.values():
        own.update(item.objects)
    source = _Source(objects, own)
    manifests = {
        *selection.whole,
        *selection.alone,
        *(item.artifact for item in wheels.values() if item.artifact is not None),
    }
    parts = {part for digest in manifests - selection.alone for part in source.manifest(digest).objects()} - manifests
    segments = {name: _segment(lines) for name, lines in selection.segments.items()}
    document = {
        "format": FORMAT,
        "runs": selection.runs,
        "artifacts": [str(digest) for digest in selection.artifacts],
        "anonymized": anonymous,
        "segments": [
            {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in segments.items()
        ],
        "parts": len(parts),
        "manifests": len(manifests),
        "wheels": [item.document(digest) for digest, item in sorted(wheels.items())],
    }
    target = to.resolve()
    try:
        with durable.temporary_file(target.parent) as (descriptor, partial):
            with open(descriptor, "wb", closefd=False) as file:
                writer = Writer(file)
                writer.begin(document)
                for data in segments.values():
                    writer.write(data)
                for number, digest in enumerate((*sorted(parts), *sorted(manifests)), 1):
                    source.write(writer, digest)
                    if progress is not None:
                        progress(number)
                whole = writer.end()
                size = file.tell()
            durable.sync_descriptor(descriptor)
            partial.rename(target)
            durable.sync_folder(target.parent)
    except OSError as error:
        raise from_os_error(error, to) from error
    return Bundle(
        path=to,
        digest=whole,
        bytes=size,
        runs=len(selection.taken),
        artifacts=len(selection.whole),
        objects=len(parts) + len(manifests),
        records=sum(len(lines.lines) for lines in selection.segments.values()),
        evicted=len(selection.alone),
        wheels=sum(item.count for item in wheels.values()),
        missing=[
            {"environment": str(digest), **lack} for digest, item in sorted(wheels.items()) for lack in item.missing
        ],
    )


def _segment(lines: Lines) -> bytes:
    head = write_line(lines.process.payload, seq=0, time=lines.process.time)
    return b"".join([head, *(line for line, _ in lines.lines)])


class _Source:
    """Objects of a store, and some that are only in memory."""

    def __init__(self, objects: LocalObjects, own: dict[Digest, bytes | Path]) -> None:
        self._objects = objects
        self._own = own

    def manifest(self, digest: Digest) -> Manifest:
        own = self._own.get(digest)
        try:
            return Manifest.decode(own if isinstance(own, bytes) else self._objects.read(digest))
        except MissingObject as error:
            raise MissingObject(
                f"the artifact {digest} belongs to what is exported and is not in the store",
                "repro store fsck says what needs it; repro store fsck --repair REMOTE",
            ) from error

    def write(self, writer: Writer, digest: Digest) -> None:
        own = self._own.get(digest)
        if isinstance(own, Path):
            check = xxhash.xxh3_128()
            for block in _blocks(own):
                check.update(block)
            size = own.stat().st_size
            form = Form(RAW, size, size, check.digest())
            writer.write_object(digest, form, _checked(digest, form, _blocks(own)))
            return
        if own is not None:
            writer.write_object(digest, *_encoded(own))
            return
        placed = self._objects.placement(digest) if self._objects.has(digest) else None
        if placed is not None and placed.codec == RAW and placed.stored_size > _STREAMED:
            with self._objects.open_stored(digest) as (form, blocks):
                writer.write_object(digest, form, _checked(digest, form, blocks))
            return
        stored, codec = self._objects.read_stored(digest)
        size = self._objects.placement(digest).size
        form = Form(codec, size, len(stored), xxhash.xxh3_128_digest(stored))
        if placed is not None and delta.is_difference(placed.codec):
            form, (stored,) = _encoded(stored)
        if not may_hold(form):
            if codec in DECODERS:
                raise InvalidValue(
                    f"the table {digest} has {size} bytes in {len(stored)}, more than a bundle lets one grow",
                    "send it to a remote: repro store push",
                )
            form, (stored,) = _plain(self._objects.read(digest))
        writer.write_object(digest, form, [stored])


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(lambda: file.read(durable.BLOCK), b"")


def _encoded(data: bytes) -> tuple[Form, list[bytes]]:
    codec, stored = codecs.encode(data)
    form = Form(codec, len(data), len(stored), xxhash.xxh3_128_digest(stored))
    return (form, [bytes(stored)]) if may_hold(form) else _plain(data)


def _plain(data: bytes) -> tuple[Form, list[bytes]]:
    return Form(RAW, len(data), len(data), xxhash.xxh3_128_digest(data)), [data]


def _checked(digest: Digest, form: Form, blocks: Iterable[bytes]) -> Iterator[bytes]:
    seen = xxhash.xxh3_128()
    for block in blocks:
        seen.update(block)
        yield block
    if seen.digest() != form.check:
        raise CorruptObject(f"the bytes stored under {digest} do not match", "repro store fsck --repair REMOTE")
