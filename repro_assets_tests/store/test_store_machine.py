"""Any sequence of puts, reads, damage and losses, held against a dictionary."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from repro_assets.errors import CorruptObject, MissingObject
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.store.fsck import check
from repro_assets.store.home import make_store
from repro_assets.store.opening import open_objects


class StoreMachine(RuleBasedStateMachine):
    """`whole` is what must be readable, `damaged` what is there and wrong."""

    digests = Bundle("digests")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.objects = open_objects(make_store(self.folder / "store"))
        self.whole: dict[Digest, bytes] = {}
        self.damaged: set[Digest] = set()
        self.set_aside = 0
        self.ever_set_aside: set[Digest] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def _stored(self, digest: Digest, content: bytes) -> None:
        if digest in self.damaged:
            self._aside(digest)
        self.whole[digest] = content

    def _aside(self, digest: Digest) -> None:
        self.damaged.discard(digest)
        self.set_aside += 1
        self.ever_set_aside.add(digest)

    @rule(target=digests, content=st.binary(max_size=40))
    def put(self, content: bytes) -> Digest:
        digest = self.objects.put(content)
        self._stored(digest, content)
        return digest

    @rule(target=digests, content=st.binary(max_size=40))
    def put_file(self, content: bytes) -> Digest:
        (self.folder / "source").write_bytes(content)
        digest, size = self.objects.put_file(self.folder / "source")
        assert size == len(content)
        self._stored(digest, content)
        return digest

    @rule(digest=digests, place=st.integers(0), bit=st.integers(0, 7))
    def damage(self, digest: Digest, place: int, bit: int) -> None:
        if digest in self.whole:
            path = self.objects.path(digest)
            stored = bytearray(path.read_bytes())
            stored[place % len(stored)] ^= 1 << bit
            path.write_bytes(stored)
            del self.whole[digest]
            self.damaged.add(digest)

    @rule(digest=digests)
    def lose(self, digest: Digest) -> None:
        self.objects.path(digest).unlink(missing_ok=True)
        self.whole.pop(digest, None)
        self.damaged.discard(digest)

    @rule(digest=digests, fully=st.booleans())
    def read(self, digest: Digest, fully: bool) -> None:
        look = self.objects.verify if fully else self.objects.read
        if digest in self.whole:
            assert look(digest) == (None if fully else self.whole[digest])
        elif digest in self.damaged:
            with pytest.raises(CorruptObject, match=digest.hex):
                look(digest)
            self._aside(digest)
        else:
            with pytest.raises(MissingObject, match=digest.hex):
                look(digest)

    @rule(digests=st.lists(digests, max_size=4))
    def check(self, digests: list[Digest]) -> None:
        manifest = Manifest("segments", tuple(Entry(str(i), 1, (digest,)) for i, digest in enumerate(digests)))
        artifact = self.objects.put(manifest.encode())
        self._stored(artifact, manifest.encode())
        found = check(self.objects, {artifact: ["one"]}, full=True)
        gone = set(digests) - self.whole.keys() - self.damaged
        # What something needs and what is in quarantine is corrupt until it is put again.
        corrupt = self.damaged | (gone & self.ever_set_aside)
        assert {item["digest"] for item in found.corrupt} == {str(digest) for digest in corrupt}
        gone -= corrupt
        assert found.missing == [{"digest": item["digest"], "affects": ["one"]} for item in found.missing]
        assert {item["digest"] for item in found.missing} == {str(digest) for digest in gone}
        for digest in list(self.damaged):
            self._aside(digest)

    @invariant()
    def what_is_listed_is_what_is_there(self) -> None:
        assert set(self.objects.digests()) == self.whole.keys() | self.damaged

    @invariant()
    def nothing_is_left_over(self) -> None:
        home = self.objects.home
        assert list(home.temporary.iterdir()) == []
        assert (len(list(home.quarantine.iterdir())) if home.quarantine.is_dir() else 0) == self.set_aside


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
