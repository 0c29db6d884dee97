"""Objects from a remote into a store.

Laws: nothing shows in the store before its SHA-256 is right; a manifest shows after everything that it names; what has
arrived stays, so a fetch that was cut off goes on where it ended; one bad object keeps no other from coming. Before the
store is looked at, the process holds a lease on all that is wanted. At most `IN_FLIGHT` bytes wait in memory; a larger
object goes through a file.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import xxhash

from repro_assets.errors import CorruptObject, CorruptRecord, MissingObject, ReproError, UnsupportedFormat
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.store import durable
from repro_assets.store.decoding import Decoder
from repro_assets.store.home import Home
from repro_assets.store.layout import RAW, TRAILER_SIZE, Form, read_trailer
from repro_assets.store.leases import lease_on
from repro_assets.store.objects import LocalObjects
from repro_assets.store.remote.bucket import Bucket
from repro_assets.store.remote.configured import default_remote
from repro_assets.store.remote.objects import LANES, Place, RemoteObjects, loose_path

IN_FLIGHT = 64 << 20
"""Bytes that may be on their way at once."""
_STREAMED = 16 << 20
_RUN = 4 << 20
_COMMIT = 32 << 20
_REFUSED = (CorruptObject, MissingObject, UnsupportedFormat)


@dataclass(slots=True)
class Received:
    """What a fetch did.

    Parameters
    ----------
    objects, bytes : int
        Objects that came, and their stored bytes.
    skipped : int
        Objects that were there already.
    failed : dict
        Objects that did not come, and why.
    """

    objects: int = 0
    bytes: int = 0
    skipped: int = 0
    failed: dict[Digest, ReproError] = field(default_factory=dict)


class _Arrived(NamedTuple):
    """An object that came: its stored bytes, or the file that holds them."""

    digest: Digest
    form: Form
    stored: bytes | Path


def receive(
    objects: LocalObjects,
    remote: RemoteObjects,
    digests: Iterable[Digest],
    progress: Callable[[int], None] | None = None,
) -> Received:
    """Fetch the objects that are not there.

    Parameters
    ----------
    objects : LocalObjects
        The store.
    remote : RemoteObjects
        The remote, as it was when it was last listed.
    digests : iterable of Digest
        What is wanted.
    progress : callable, optional
        Told the number of objects that have come.

    Raises
    ------
    MachineError, UnknownName
        If the remote does not answer or refuses, or the store cannot be written. What had come stays.
    """
    wanted = list(dict.fromkeys(digests))
    lease_on(objects.home).take(wanted)
    absent = [digest for digest in wanted if not objects.has(digest)]
    done = Received(skipped=len(wanted) - len(absent))
    retry: list[Digest] = []
    for group in _committed(_all(objects, remote, absent, retry, done)):
        _store(objects, group, done, progress)
    for digest in retry:
        # Whatever was wrong with one place of it, another may have it whole.
        try:
            fetched = remote.fetch(digest)
        except _REFUSED as error:
            done.failed[digest] = error
            continue
        _store(objects, [_Arrived(digest, fetched.form, fetched.stored)], done, progress)
    return done


def receive_artifacts(
    objects: LocalObjects,
    remote: RemoteObjects,
    artifacts: Sequence[Digest],
    progress: Callable[[int], None] | None = None,
) -> tuple[Received, set[Digest]]:
    """Fetch artifacts with everything that they name.

    Returns
    -------
    received : Received
        What was done.
    whole : set of Digest
        The artifacts that are here now, with every object.

    Raises
    ------
    MachineError, UnknownName
        As `receive`.
    """
    lease_on(objects.home).take(artifacts)
    done = Received()
    manifests: dict[Digest, bytes] = {}
    needs: dict[Digest, list[Digest]] = {}
    with concurrent.futures.ThreadPoolExecutor(LANES, thread_name_prefix="repro-remote") as pool:
        pending = {
            digest: pool.submit(_manifest, objects, remote, digest, manifests) for digest in dict.fromkeys(artifacts)
        }
        for digest, future in pending.items():
            try:
                needs[digest] = future.result()
            except (*_REFUSED, CorruptRecord) as error:
                done.failed[digest] = error
    came = receive(objects, remote, (part for parts in needs.values() for part in parts), progress)
    done.objects, done.bytes, done.skipped = came.objects, came.bytes, came.skipped
    done.failed.update(came.failed)
    whole = {digest for digest, parts in needs.items() if not any(part in done.failed for part in parts)}
    with objects.batch() as batch:
        for digest in needs:
            if digest in whole and digest in manifests:
                batch.put(manifests[digest])
                done.objects += 1
                done.bytes += len(manifests[digest])
    done.skipped += len(whole - set(manifests))
    return done, whole


def repair(
    home: Home, remote: RemoteObjects, digests: Iterable[Digest]
) -> tuple[list[Digest], dict[Digest, ReproError]]:
    """Fetch objects that are damaged or gone, whatever lies in their place.

    Parameters
    ----------
    home : Home
        The store.
    remote : RemoteObjects
        Where whole ones may be.
    digests : iterable of Digest
        The objects.

    Returns
    -------
    repaired : list of Digest
        Objects that are here and verified now.
    lost : dict
        Objects that the remote does not have whole either, and why.

    Raises
    ------
    MachineError, UnknownName
        As `receive`.
    """
    wanted = list(dict.fromkeys(digests))
    objects = LocalObjects(home)
    # Reading them sets aside what is damaged, so that it is missing.
    objects.unsettled(wanted)
    remote.refresh()
    lost = receive(objects, remote, wanted).failed
    return [digest for digest in wanted if digest not in lost], lost


_fetchers: dict[tuple[Path, str, frozenset[str]], Callable[[Digest], bool]] = {}


def default_fetcher(home: Home, decoders: Mapping[str, Decoder]) -> Callable[[Digest], bool] | None:
    """Return what fetches a missing object from the default remote of a store; None if it has none.

    The remote is not asked before the first object is missing. With an object come those that were sent right behind
    it, because one artifact needs them together.

    Raises
    ------
    CorruptRecord, UnsupportedFormat
        If the list of remotes does not read.
    """
    known = default_remote(home)
    if known is None:
        return None
    key = (home.root, known.url, frozenset(decoders))
    if key not in _fetchers:
        opened: list[RemoteObjects] = []

        def fetch(digest: Digest) -> bool:
            if not opened:
                opened.append(RemoteObjects(Bucket(known.url), decoders, home))
            remote, objects = opened[0], LocalObjects(home)
            places = remote.places(digest)
            if not places:
                remote.refresh()
                places = remote.places(digest)
            if not places:
                return False
            near = [other for other, _ in remote.neighbours(places[0], _RUN)]
            done = receive(objects, remote, [digest, *near])
            if digest in done.failed:
                raise done.failed[digest]
            return True

        _fetchers[key] = fetch
    return _fetchers[key]


def _manifest(
    objects: LocalObjects, remote: RemoteObjects, digest: Digest, manifests: dict[Digest, bytes]
) -> list[Digest]:
    if objects.has(digest):
        data = objects.read(digest)
    else:
        data = manifests[digest] = remote.read(digest)
    return list(dict.fromkeys(Manifest.decode(data).objects()))


def _store(
    objects: LocalObjects, group: list[_Arrived], done: Received, progress: Callable[[int], None] | None
) -> None:
    with objects.batch() as batch:
        for item in group:
            batch.put_stored(item.digest, item.form, item.stored)
    for item in group:
        done.objects += 1
        done.bytes += item.form.stored_size
        if progress is not None:
            progress(done.objects)


def _committed(arrived: Iterator[_Arrived]) -> Iterator[list[_Arrived]]:
    """Yield groups that are stored together: few syncs, and little to fetch again after a cut."""
    group: list[_Arrived] = []
    size = 0
    try:
        for item in arrived:
            group.append(item)
            size += item.form.stored_size if isinstance(item.stored, bytes) else 0
            if size > _COMMIT or len(group) >= 4096:
                yield group
                group, size = [], 0
    except ReproError:
        # What has come is kept: a fetch that is repeated goes on from there.
        yield group
        raise
    yield group


def _all(
    objects: LocalObjects, remote: RemoteObjects, digests: list[Digest], retry: list[Digest], done: Received
) -> Iterator[_Arrived]:
    """Fetch objects on several lanes and yield those that are right; the others go into `retry` or `done.failed`."""
    jobs = deque(_jobs(remote, digests, done))
    pending: deque[tuple[concurrent.futures.Future[list[_Arrived]], int]] = deque()
    waiting = 0
    with concurrent.futures.ThreadPoolExecutor(LANES, thread_name_prefix="repro-remote") as pool:
        try:
            while jobs or pending:
                while jobs and (not pending or waiting + _weight(jobs[0]) <= IN_FLIGHT):
                    job = jobs.popleft()
                    pending.append((pool.submit(_fetch_job, objects, remote, job, retry), _weight(job)))
                    waiting += _weight(job)
                future, weight = pending.popleft()
                waiting -= weight
                yield from future.result()
        finally:
            for future, _ in pending:
                if not future.cancel() and future.exception() is None:
                    _discard(future.result())


def _discard(arrived: list[_Arrived]) -> None:
    for item in arrived:
        if isinstance(item.stored, Path):
            item.stored.unlink(missing_ok=True)


_Job = list[tuple[Digest, Place]]


def _weight(job: _Job) -> int:
    return min(_STREAMED, sum(place.size for _, place in job))


def _jobs(remote: RemoteObjects, digests: list[Digest], done: Received) -> Iterator[_Job]:
    """Group objects: one that lies alone by itself, entries that lie side by side in a pack together."""
    packed: dict[str, _Job] = {}
    for digest in digests:
        places = remote.places(digest)
        if not places:
            done.failed[digest] = MissingObject(
                f"{remote.bucket} has no bytes for {digest}", "push them from where they are"
            )
        elif places[0].pack is None:
            yield [(digest, places[0])]
        else:
            packed.setdefault(places[0].pack, []).append((digest, places[0]))
    for entries in packed.values():
        run: _Job = []
        for digest, place in sorted(entries, key=lambda item: item[1].offset):
            if run and (
                run[-1][1].offset + run[-1][1].size != place.offset
                or place.offset + place.size - run[0][1].offset > _RUN
            ):
                yield run
                run = []
            run.append((digest, place))
        if run:
            yield run


def _fetch_job(objects: LocalObjects, remote: RemoteObjects, job: _Job, retry: list[Digest]) -> list[_Arrived]:
    first, last = job[0][1], job[-1][1]
    if first.pack is None and first.size > _STREAMED:
        return _fetch_large(objects, remote, job[0][0], first, retry)
    if first.pack is None:
        data = remote.bucket.read(loose_path(job[0][0]))
    else:
        data = remote.bucket.read(f"packs/{first.pack}.pack", first.offset, last.offset + last.size - first.offset)
    found = []
    for digest, place in job:
        start = place.offset - first.offset
        try:
            if data is None:
                raise remote.wrong(digest)
            fetched = remote.opened(digest, place, data if first.pack is None else data[start : start + place.size])
            found.append(_Arrived(digest, fetched.form, fetched.stored))
        except (CorruptObject, UnsupportedFormat):
            retry.append(digest)
    return found


def _fetch_large(
    objects: LocalObjects, remote: RemoteObjects, digest: Digest, place: Place, retry: list[Digest]
) -> list[_Arrived]:
    """Fetch an object that lies alone through a file, in parts that are asked for again one by one."""
    path = loose_path(digest)
    end = remote.bucket.read(path, place.size - TRAILER_SIZE, TRAILER_SIZE) or b""
    try:
        form = read_trailer(end, digest, place.size)
    except CorruptObject:
        retry.append(digest)
        return []
    if form.codec != RAW:
        fetched = remote.opened(digest, place, remote.bucket.read(path) or b"")
        return [_Arrived(digest, fetched.form, fetched.stored)]
    hashed, check = hashlib.sha256(), xxhash.xxh3_128()
    descriptor, partial = durable.create_temporary(objects.home.temporary)
    kept = False
    try:
        for start in range(0, form.stored_size, _STREAMED // 2):
            block = remote.bucket.read(path, start, min(_STREAMED // 2, form.stored_size - start)) or b""
            hashed.update(block)
            check.update(block)
            durable.write_all(descriptor, [block])
        if hashed.hexdigest() == digest.hex and check.digest() == form.check:
            durable.write_all(descriptor, [end])
            durable.sync_descriptor(descriptor)
            kept = True
            return [_Arrived(digest, form, partial)]
        retry.append(digest)
        return []
    finally:
        os.close(descriptor)
        if not kept:
            partial.unlink()
