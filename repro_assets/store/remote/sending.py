"""Objects of a store into a remote.

Laws: what the remote has is not sent again, so a push that was cut off is simply repeated; a manifest is sent after
everything that it names; bytes are checked while they are read, and wrong ones never show in the remote; objects are
sent as they are stored, except that those whose codec needs other objects are sent in a form that needs none. Small
ones travel together in new packs. At most `LANES` requests and about `PACK` times half of that in bytes are on their
way.
"""

from __future__ import annotations

import concurrent.futures
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import xxhash

from repro_assets.errors import CorruptObject, CorruptRecord, MissingObject, ReproError, UnsupportedFormat
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.store import codecs
from repro_assets.store.batch import FEW, SMALL
from repro_assets.store.layout import Form
from repro_assets.store.leases import lease_on
from repro_assets.store.objects import LocalObjects
from repro_assets.store.remote.objects import RemoteObjects

PACK = 8 << 20
"""Bytes of small objects that travel in one pack."""
_LANES = 4
_STREAMED = 16 << 20
_REFUSED = (CorruptObject, MissingObject, UnsupportedFormat)


@dataclass(slots=True)
class Sent:
    """What a push of objects did.

    Parameters
    ----------
    objects, bytes : int
        Objects that were sent, and their stored bytes.
    skipped : int
        Objects that the remote had already.
    failed : dict
        Objects that could not be sent because they are damaged or gone here, and why.
    """

    objects: int = 0
    bytes: int = 0
    skipped: int = 0
    failed: dict[Digest, ReproError] = field(default_factory=dict)


def send(
    objects: LocalObjects,
    remote: RemoteObjects,
    digests: Iterable[Digest],
    progress: Callable[[int], None] | None = None,
) -> Sent:
    """Send the objects that the remote does not have.

    Parameters
    ----------
    objects : LocalObjects
        The store.
    remote : RemoteObjects
        The remote, as it was when it was last listed.
    digests : iterable of Digest
        What it must have.
    progress : callable, optional
        Told the number of objects that were sent.

    Raises
    ------
    MachineError, UnknownName
        If the remote does not answer or refuses. What arrived stays there.
    """
    wanted = list(dict.fromkeys(digests))
    lease_on(objects.home).take(wanted)
    absent = [digest for digest in wanted if not remote.places(digest)]
    done = Sent(skipped=len(wanted) - len(absent))
    _send_all(objects, remote, absent, done, progress, together=True)
    return done


def send_artifacts(
    objects: LocalObjects,
    remote: RemoteObjects,
    artifacts: Sequence[Digest],
    progress: Callable[[int], None] | None = None,
    *,
    verify: bool = False,
) -> tuple[Sent, set[Digest]]:
    """Send artifacts with everything that they name.

    Parameters
    ----------
    objects, remote, progress
        As `send`.
    artifacts : sequence of Digest
        Digests of manifests.
    verify : bool
        Read everything back; what the remote has wrong is sent once more.

    Returns
    -------
    sent : Sent
        What was done.
    whole : set of Digest
        The artifacts that the remote has now, with every object.

    Raises
    ------
    MachineError, UnknownName
        As `send`.
    """
    needs: dict[Digest, list[Digest]] = {}
    done = Sent()
    for digest in dict.fromkeys(artifacts):
        try:
            data = objects.read(digest) if objects.has(digest) else remote.read(digest)
            needs[digest] = list(dict.fromkeys(Manifest.decode(data).objects()))
        except (*_REFUSED, CorruptRecord) as error:
            done.failed[digest] = error
    parts = list(dict.fromkeys(part for listed in needs.values() for part in listed))
    _add(done, send(objects, remote, parts, progress))
    whole = [digest for digest, listed in needs.items() if not any(part in done.failed for part in listed)]
    _add(done, send(objects, remote, whole, progress))
    if verify:
        wrong = _wrong(remote, [digest for digest in (*parts, *whole) if digest not in done.failed])
        _send_all(objects, remote, wrong, done, progress, together=False)
        for digest in _wrong(remote, [digest for digest in wrong if digest not in done.failed]):
            done.failed[digest] = remote.wrong(digest)
    return done, {
        digest
        for digest in whole
        if digest not in done.failed and not any(part in done.failed for part in needs[digest])
    }


def _add(done: Sent, more: Sent) -> None:
    done.objects += more.objects
    done.bytes += more.bytes
    done.skipped += more.skipped
    done.failed.update(more.failed)


def _wrong(remote: RemoteObjects, digests: Sequence[Digest]) -> list[Digest]:
    """Read objects back and return those that are not right in any place."""

    def is_wrong(digest: Digest) -> bool:
        try:
            remote.read(digest)
        except _REFUSED:
            return True
        return False

    with concurrent.futures.ThreadPoolExecutor(_LANES, thread_name_prefix="repro-remote") as pool:
        return [digest for digest, bad in zip(digests, pool.map(is_wrong, digests), strict=True) if bad]


def _send_all(
    objects: LocalObjects,
    remote: RemoteObjects,
    digests: list[Digest],
    done: Sent,
    progress: Callable[[int], None] | None,
    *,
    together: bool,
) -> None:
    pending: deque[concurrent.futures.Future[list[Form]]] = deque()

    def settle() -> None:
        for form in pending.popleft().result():
            done.objects += 1
            done.bytes += form.stored_size
            if progress is not None:
                progress(done.objects)

    with concurrent.futures.ThreadPoolExecutor(_LANES, thread_name_prefix="repro-remote") as pool:
        try:
            for group in _groups(objects, digests, done, together=together):
                send_group = _send_pack if together and len(group) >= FEW else _send_loose
                pending.append(pool.submit(send_group, objects, remote, group, done.failed))
                while len(pending) > _LANES:
                    settle()
            while pending:
                settle()
        finally:
            for future in pending:
                future.cancel()


def _groups(objects: LocalObjects, digests: list[Digest], done: Sent, *, together: bool) -> Iterator[list[Digest]]:
    """Yield large objects one by one, and small ones in the order of `digests` in groups of about `PACK` bytes."""
    group: list[Digest] = []
    size = 0
    for digest in digests:
        try:
            stored = objects.placement(digest).stored_size
        except _REFUSED as error:
            done.failed[digest] = error
            continue
        if stored > SMALL or not together:
            yield [digest]
            continue
        if size + stored > PACK:
            yield group
            group, size = [], 0
        group.append(digest)
        size += stored
    if group:
        yield group


def _send_pack(
    objects: LocalObjects, remote: RemoteObjects, group: list[Digest], failed: dict[Digest, ReproError]
) -> list[Form]:
    entries: list[tuple[Digest, Form, bytes]] = []
    for digest in group:
        try:
            entries.append((digest, *_standing_alone(objects, remote, digest)))
        except _REFUSED as error:
            failed[digest] = error
    if entries:
        remote.put_pack(entries)
    return [form for _, form, _ in entries]


def _send_loose(
    objects: LocalObjects, remote: RemoteObjects, group: list[Digest], failed: dict[Digest, ReproError]
) -> list[Form]:
    sent = []
    for digest in group:
        try:
            with objects.open_stored(digest) as (form, blocks):
                if form.stored_size > _STREAMED and remote.portable(form.codec):
                    remote.put_loose(digest, form, blocks)
                    sent.append(form)
                    continue
            form, stored = _standing_alone(objects, remote, digest)
            remote.put_loose(digest, form, [stored])
            sent.append(form)
        except _REFUSED as error:
            failed[digest] = error
    return sent


def _standing_alone(objects: LocalObjects, remote: RemoteObjects, digest: Digest) -> tuple[Form, bytes]:
    """Return an object's verified stored bytes, in a form that needs no other object."""
    placed = objects.placement(digest)
    stored, codec = objects.read_stored(digest)
    size = placed.size
    if not remote.portable(codec):
        data = objects.read(digest)
        codec, encoded = codecs.encode(data)
        stored, size = bytes(encoded), len(data)
    return Form(codec, size, len(stored), xxhash.xxh3_128_digest(stored)), stored
