"""Objects and artifacts to be collected, and collection of them."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable
from typing import Any

from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.store.collection import Collected, Roots, collect
from repro_assets.store.home import Home
from repro_assets.store.leases import lease_on
from repro_assets.store.objects import LocalObjects

DAY = 24 * 3600.0


def put(objects: LocalObjects, *parts: bytes) -> list[Digest]:
    """Put objects as a process that has ended since."""
    with objects.batch() as batch:
        found = [batch.put(part) for part in parts]
    lease_on(objects.home).release()
    return found


def artifact(objects: LocalObjects, *parts: bytes) -> tuple[Digest, list[Digest]]:
    digests = put(objects, *parts)
    entries = tuple(
        Entry(str(number), len(part), (digest,))
        for number, (part, digest) in enumerate(zip(parts, digests, strict=True))
    )
    return put(objects, Manifest("bytes", entries).encode())[0], digests


def gc(objects: LocalObjects, *roots: Digest, alone: Iterable[Digest] = (), **options: Any) -> Collected:
    return collect(objects, lambda: Roots(roots, tuple(alone)), **{"delete": True, "now": True, **options})


def age(home: Home, seconds: float) -> None:
    for folder in (home.objects, home.packs, home.trash):
        for path in folder.rglob("*"):
            if path.is_file():
                os.utime(path, (time.time() - seconds,) * 2)


def noise(number: int, size: int = 1000) -> bytes:
    return random.Random(number).randbytes(size)
