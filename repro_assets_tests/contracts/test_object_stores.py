"""Every object store keeps the contract."""

from __future__ import annotations

from pathlib import Path

from object_store import ObjectStoreContract

from repro_assets.identity.digest import Digest
from repro_assets.store.home import make_store
from repro_assets.store.objects import LocalObjects, ObjectStore, open_objects


class TestLocalObjects(ObjectStoreContract):
    def make(self, folder: Path) -> ObjectStore:
        return open_objects(make_store(folder))

    def damage(self, store: ObjectStore, digest: Digest) -> None:
        assert isinstance(store, LocalObjects)
        path = store.home.objects / digest.hex[:2] / digest.hex[2:]
        stored = bytearray(path.read_bytes())
        stored[1] ^= 1
        path.write_bytes(stored)

    def remove(self, store: ObjectStore, digest: Digest) -> None:
        assert isinstance(store, LocalObjects)
        (store.home.objects / digest.hex[:2] / digest.hex[2:]).unlink()
