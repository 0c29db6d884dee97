"""Every object store keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest
from object_store import ObjectStoreContract
from s3_server import S3Server

from repro_assets.identity.digest import Digest
from repro_assets.store.home import make_store
from repro_assets.store.objects import LocalObjects, ObjectStore
from repro_assets.store.opening import open_objects
from repro_assets.store.remote.bucket import Bucket
from repro_assets.store.remote.objects import RemoteObjects


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


class TestFolderRemote(ObjectStoreContract):
    def make(self, folder: Path) -> ObjectStore:
        folder.mkdir(exist_ok=True)
        return RemoteObjects(Bucket(str(folder)))

    def damage(self, store: ObjectStore, digest: Digest) -> None:
        path = self._path(store, digest)
        stored = bytearray(path.read_bytes())
        stored[1] ^= 1
        path.write_bytes(stored)

    def remove(self, store: ObjectStore, digest: Digest) -> None:
        self._path(store, digest).unlink()

    def _path(self, store: ObjectStore, digest: Digest) -> Path:
        assert isinstance(store, RemoteObjects) and store.bucket.folder is not None
        return store.bucket.folder / "objects" / digest.hex[:2] / digest.hex[2:]


class TestS3Remote(ObjectStoreContract):
    @pytest.fixture(autouse=True)
    def _server(self, s3: S3Server, bucket: str) -> None:
        self.server, self.bucket = s3, bucket

    def make(self, folder: Path) -> ObjectStore:
        return RemoteObjects(Bucket(f"s3://{self.bucket}/{folder.name}"))

    def damage(self, store: ObjectStore, digest: Digest) -> None:
        stored = bytearray(self.server.read(self._path(digest)))
        stored[1] ^= 1
        self.server.write(self._path(digest), bytes(stored))

    def remove(self, store: ObjectStore, digest: Digest) -> None:
        self.server.delete(self._path(digest))

    def _path(self, digest: Digest) -> str:
        return f"{self.bucket}/store/objects/{digest.hex[:2]}/{digest.hex[2:]}"
