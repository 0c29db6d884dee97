"""What was evicted, and therefore cannot travel between a store and a remote.

Laws: an artifact counts as dropped only where the journal says that it was evicted and neither side has all of its
bytes; so nothing that was lost passes for one of these, and what one side still has does travel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from repro_assets.artifacts.retention import Ledger
from repro_assets.errors import InvalidValue, MissingObject, ReproError
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.journal.merged import read_journal
from repro_assets.journal.records import Record
from repro_assets.store.home import Home
from repro_assets.store.objects import LocalObjects
from repro_assets.store.remote.objects import RemoteObjects


def dropped(
    home: Home, remote: RemoteObjects, wanted: Iterable[Digest], arriving: Iterable[Record] = ()
) -> dict[Digest, str]:
    """Return the evicted ones of some artifacts whose bytes are on neither side, with the run that makes each again.

    Parameters
    ----------
    home : Home
        The store.
    remote : RemoteObjects
        The remote, as it was when it was last listed.
    wanted : iterable of Digest
        Digests of manifests.
    arriving : iterable of Record
        Records that the store does not have yet.

    Raises
    ------
    MachineError, UnknownName
        If the remote does not answer or refuses.
    """
    ledger = Ledger()
    for item in (*read_journal(home), *arriving):
        # What does not read is named by fsck; here it evicts nothing.
        with contextlib.suppress(InvalidValue):
            if isinstance(item, Record):
                ledger.take(item)
    objects = LocalObjects(home)
    return {
        digest: eviction.run_id
        for digest in dict.fromkeys(wanted)
        if (eviction := ledger.eviction(digest)) is not None and _is_incomplete(objects, remote, digest)
    }


def _is_incomplete(objects: LocalObjects, remote: RemoteObjects, digest: Digest) -> bool:
    try:
        data = objects.read(digest) if objects.has(digest) else remote.read(digest)
        return not all(objects.has(part) or remote.places(part) for part in Manifest.decode(data).objects())
    except MissingObject:
        return True
    except ReproError:
        # A manifest that is wrong is damage, and shows where it is sent or fetched.
        return False
