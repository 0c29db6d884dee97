"""What every object store must do, as tests that are run on each of them.

A subclass says how to make a store, and how to reach its stored form without it (`damage`, `remove`), so that the
store under test is never its own witness.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from repro_assets.errors import CorruptObject, IntegrityError, MissingObject
from repro_assets.identity.digest import Digest
from repro_assets.store.objects import ObjectStore, concatenate

CONTENTS = (b"", b"\0", b"one", bytes(range(256)) * 5000)


class ObjectStoreContract:
    """Tests of `ObjectStore`; a subclass gives the three methods below."""

    def make(self, folder: Path) -> ObjectStore:
        raise NotImplementedError

    def damage(self, store: ObjectStore, digest: Digest) -> None:
        """Change one stored bit of the object."""
        raise NotImplementedError

    def remove(self, store: ObjectStore, digest: Digest) -> None:
        """Take the object away."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return self.make(tmp_path / "store")

    @pytest.mark.parametrize("content", CONTENTS, ids=len)
    def test_bytes_come_back_under_their_digest(self, store: ObjectStore, content: bytes) -> None:
        digest = store.put(content)
        assert digest == Digest.of(content)
        assert store.has(digest)
        assert store.read(digest) == content

    def test_a_view_is_stored_as_its_bytes(self, store: ObjectStore) -> None:
        assert store.read(store.put(memoryview(b"abcdef")[1:4])) == b"bcd"

    def test_an_empty_store_holds_nothing(self, store: ObjectStore) -> None:
        assert list(store.digests()) == []
        assert not store.has(Digest.of(b"x"))

    def test_what_is_not_there_is_missing_by_name(self, store: ObjectStore) -> None:
        store.put(b"other")
        with pytest.raises(MissingObject, match=Digest.of(b"x").hex):
            store.read(Digest.of(b"x"))

    def test_all_digests_are_listed_once_and_in_order(self, store: ObjectStore) -> None:
        digests = [store.put(b"%d" % (number % 20)) for number in range(40)]
        assert list(store.digests()) == sorted(set(digests))

    def test_objects_are_read_one_after_the_other(self, store: ObjectStore) -> None:
        assert concatenate(store, [store.put(b"ab"), store.put(b""), store.put(b"c"), store.put(b"ab")]) == b"abcab"

    def test_damage_is_never_returned_and_names_the_digest(self, store: ObjectStore) -> None:
        digest, other = store.put(b"right" * 100), store.put(b"untouched")
        self.damage(store, digest)
        with pytest.raises(CorruptObject, match=digest.hex):
            store.read(digest)
        with pytest.raises(IntegrityError):
            store.read(digest)
        assert store.read(other) == b"untouched"

    def test_putting_again_heals_what_was_damaged(self, store: ObjectStore) -> None:
        digest = store.put(b"right" * 100)
        self.damage(store, digest)
        assert store.put(b"right" * 100) == digest
        assert store.read(digest) == b"right" * 100

    def test_putting_again_restores_what_was_removed(self, store: ObjectStore) -> None:
        digest = store.put(b"right")
        self.remove(store, digest)
        assert not store.has(digest)
        assert store.put(b"right") == digest
        assert store.read(digest) == b"right"

    def test_threads_that_put_the_same_do_not_disturb_each_other(self, store: ObjectStore) -> None:
        def put_all() -> None:
            for number in range(10):
                content = b"%d" % number * 1000
                assert store.read(store.put(content)) == content

        with ThreadPoolExecutor(4) as threads:
            for done in [threads.submit(put_all) for _ in range(4)]:
                done.result()
        assert len(list(store.digests())) == 10
