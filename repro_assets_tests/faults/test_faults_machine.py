"""Any sequence of puts, reads, damage, deletions, collections, checks and crashes, held against a dictionary.

Laws: while nothing was damaged, everything that was acknowledged reads back equal and the full check is in order. After
damage a read gives the equal value or an error of its own, never another value; the check finds the damage; putting
everything again and restoring what has no second home makes all of it read back equal.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from fault_injection import run_in_child
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from repro_assets.artifacts import aliases, deletion, names, repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.soundness import check_store
from repro_assets.errors import IntegrityError
from repro_assets.identity.digest import Digest
from repro_assets.store.collection import collect
from repro_assets.store.home import Home, make_store
from repro_assets.store.opening import open_objects
from repro_assets.store.packs import packs_of

VALUES: dict[str, Callable[[int], Any]] = {
    "json": lambda seed: {"seed": seed, "text": "x" * (seed % 50)},
    "bytes": lambda seed: numpy.random.default_rng(seed).bytes(seed % 3000),
    "tensors": lambda seed: {
        f"layer{number}": numpy.random.default_rng(seed % 3 + number).normal(0, 1, 60).astype("float32")
        for number in range(10)
    },
}


class FaultMachine(RuleBasedStateMachine):
    """`kept` is what was acknowledged, by digest; `versions` what was claimed and not deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.kept: dict[str, tuple[str, Any]] = {}
        self.versions: dict[int, str] = {}
        self.aliases: dict[str, int] = {}
        self.flipped: dict[Path, bytes] = {}
        self.damaged = False

    @initialize()
    def make(self) -> None:
        self.home: Home = make_store(self.folder / "store")

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def value(self, kind: str, seed: int) -> Any:
        if kind != "tree":
            return VALUES[kind](seed)
        folder = self.folder / f"tree-{seed}"
        if not folder.exists():
            (folder / "sub").mkdir(parents=True)
            for number in range(seed % 12):
                (folder / "sub" / f"{number}").write_bytes(VALUES["bytes"](seed * 100 + number))
            (folder / "top").write_text(str(seed))
        return folder

    def assert_equal(self, artifact: Artifact, kind: str, value: Any) -> None:
        if kind == "tree":
            target = Path(tempfile.mkdtemp(dir=self.folder)) / "out"
            artifact.lay_out(target)
            files = {path.relative_to(value): path.read_bytes() for path in value.rglob("*") if path.is_file()}
            assert {p.relative_to(target): p.read_bytes() for p in target.rglob("*") if p.is_file()} == files
        elif kind == "tensors":
            found = artifact.load()
            assert found.keys() == value.keys()
            assert all((numpy.asarray(found[name]) == value[name]).all() for name in value)
        else:
            assert artifact.load() == value

    # --- what people do ---

    @rule(kind=st.sampled_from([*VALUES, "tree"]), seed=st.integers(0, 4000))
    def put(self, kind: str, seed: int) -> None:
        value = self.value(kind, seed)
        artifact = repository.put(self.home, value)
        self.kept[str(artifact.digest)] = (kind, value)
        self.assert_equal(artifact, kind, value)

    @precondition(lambda self: self.kept and not self.damaged)
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        digest = data.draw(st.sampled_from(sorted(self.kept)))
        artifact = repository.by_digest(self.home, Digest.parse(digest))
        version = repository.claim(artifact, "model").version
        assert version is not None
        assert self.versions.get(version, digest) == digest
        self.versions[version] = digest

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def get(self, data: st.DataObject) -> None:
        digest = data.draw(st.sampled_from(sorted(self.kept)))
        kind, value = self.kept[digest]
        artifact = Artifact(self.home, Digest.parse(digest), kind)
        if not self.damaged:
            self.assert_equal(artifact, kind, value)
            return
        try:
            self.assert_equal(artifact, kind, value)
        except IntegrityError:
            return

    @precondition(lambda self: self.versions and not self.damaged)
    @rule(data=st.data(), alias=st.sampled_from(["best", "production"]))
    def move_alias(self, data: st.DataObject, alias: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.versions)))
        aliases.move(self.home, names.version(self.home, "model", number), alias)
        self.aliases[alias] = number

    @precondition(lambda self: not self.damaged)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        free = sorted(self.versions.keys() - set(self.aliases.values()))
        if free:
            number = data.draw(st.sampled_from(free))
            deletion.delete_versions(self.home, [("model", number)])
            del self.versions[number]

    @precondition(lambda self: not self.damaged)
    @rule(now=st.booleans())
    def collect(self, now: bool) -> None:
        # The roots of this machine are its own: what it may not lose.
        live = [Digest.parse(digest) for digest in self.kept]
        collect(open_objects(self.home), lambda: live, delete=True, now=now)

    # --- what goes wrong ---

    @rule(place=st.integers(0), bit=st.integers(0, 7), data=st.data())
    def flip(self, place: int, bit: int, data: st.DataObject) -> None:
        files = [
            path
            for folder in (self.home.objects, self.home.packs, self.home.names)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]
        if not files:
            return
        path = data.draw(st.sampled_from(files))
        content = bytearray(path.read_bytes())
        content[place % len(content)] ^= 1 << bit
        if self.home.names in path.parents:
            self.flipped.setdefault(path, path.read_bytes())
        path.write_bytes(content)
        self._forget_what_is_in_memory()
        self.damaged = True
        found = check_store(self.home, full=True)
        # Another flip may have hit the same bit again, or bytes that were set aside before.
        assert not found.ok or found.rebuilt or found.quarantined or self.flipped

    @rule(at=st.integers(1, 60), kind=st.sampled_from([*VALUES, "tree"]), seed=st.integers(5000, 9000))
    def crash(self, at: int, kind: str, seed: int) -> None:
        value = self.value(kind, seed)

        def work() -> str:
            return str(repository.put(self.home, value).digest)

        ended = run_in_child(work, at, "killed")
        assert ended.killed or ended.error is None, ended.trace
        if not ended.killed:
            self.kept[ended.result] = (kind, value)
        if not self.damaged:
            assert check_store(self.home, full=True).ok

    # --- what is done about it ---

    @rule(full=st.booleans())
    def check(self, full: bool) -> None:
        found = check_store(self.home, full=full)
        if not self.damaged:
            assert found.ok, found.document()
            assert found.rebuilt == []

    @precondition(lambda self: self.damaged)
    @rule()
    def heal(self) -> None:
        check_store(self.home, full=True)
        for path, content in self.flipped.items():
            path.write_bytes(content)
        self.flipped.clear()
        for digest, (_, value) in self.kept.items():
            assert str(repository.put(self.home, value).digest) == digest
        found = check_store(self.home, full=True)
        assert (found.corrupt, found.missing, found.claims, found.journal) == ([], [], [], [])
        for digest, (kind, value) in self.kept.items():
            self.assert_equal(Artifact(self.home, Digest.parse(digest), kind), kind, value)
        # A stretch of a pack of which nothing is known stays named until its pack is written again.
        self.damaged = not found.ok
        if self.damaged:
            assert found.packs

    @invariant()
    def versions_are_those_that_were_claimed(self) -> None:
        if not self.damaged and hasattr(self, "home"):
            found = {version.number: str(version.digest) for version in names.versions(self.home, "model")}
            assert self.versions.items() <= found.items()

    def _forget_what_is_in_memory(self) -> None:
        # Damage on the disk is met by processes that come after it.
        packs = packs_of(self.home)
        packs.__init__(self.home)  # type: ignore[misc]


TestFaultMachine = FaultMachine.TestCase
TestFaultMachine.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)


@pytest.mark.soak
class TestFaultMachineLonger(FaultMachine.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
