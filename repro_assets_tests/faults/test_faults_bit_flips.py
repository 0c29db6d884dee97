"""One flipped bit in a small file of a store: setting, plan, cache, trash. Every file has a kind that is tried.

Objects, packs, journal, claims, leases and the marker are in `store/test_store_bit_flips.py`, the catalog is in
`catalog/test_catalog_bit_flips.py`, merges of the journal in `catalog/test_catalog_merging.py`.
"""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from repro_assets.artifacts import policy, repository, sharing
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.shared_claims import Claims
from repro_assets.artifacts.soundness import check_store
from repro_assets.capture.remembered import Remembered
from repro_assets.capture.scanned import ScanCache, Scanned
from repro_assets.catalog import merging, projection, publication
from repro_assets.errors import CorruptRecord, IntegrityError
from repro_assets.identity.digest import Digest
from repro_assets.orchestration import settling
from repro_assets.recording import reuse
from repro_assets.store import exclusive, sealed
from repro_assets.store.home import Home, make_store
from repro_assets.store.objects import LocalObjects
from repro_assets.store.remote import configured
from repro_assets.store.remote.bucket import Bucket
from repro_assets.store.remote.objects import RemoteObjects
from repro_assets.store.sources import Stamp
from repro_assets.store.verified import VerifiedPass

KEY = Digest.of(b"work")
TRASHED = b"nobody needs it " * 30
REMOTE = "remote"


def fails(read: Callable[[Home], object]) -> Callable[[Home], bool]:
    def found(home: Home) -> bool:
        try:
            read(home)
        except CorruptRecord:
            return True
        return False

    return found


def remote_of(home: Home) -> RemoteObjects:
    return RemoteObjects(Bucket(str(home.root.parent / REMOTE)), DECODERS, home)


STEERING: dict[str, Callable[[Home], bool]] = {
    "remotes.json": fails(configured.list_remotes),
    "retention.json": fails(policy.read_policy),
    "repack.json": fails(exclusive.read_plan),
}
"""What steers the store: whether its reader refuses it."""
CACHES: dict[str, Callable[[Home], bool]] = {
    "cache/catalog/published.json": lambda home: publication.current_note(home) is None,
    "cache/catalog/unmerged.json": lambda home: merging._read_left(home) == 0,
    "cache/settled.json": lambda home: settling._last_question(home) is None,
    "cache/reuse/*/*.json": lambda home: reuse.find(home, KEY) is None,
    "cache/source/secret-scan.json": lambda home: ScanCache(home.cache / "source")._entries == {},
    "cache/source/git.json": lambda home: Remembered(home.cache / "source", "git").stamp_of(str(KEY)) is None,
    "cache/environment/environment.json": lambda home: (
        Remembered(home.cache / "environment", "environment").stamp_of(str(KEY)) is None
    ),
    "cache/remotes/*/names.json": lambda home: Claims(remote_of(home))._known == {},
}
"""What can be deleted at any time: whether its reader does without."""
ELSEWHERE = (
    "repro-store.json", ".gitignore", "packs/*.pack", "packs/*.idx", "objects/*", "journal/*.jsonl", "journal/*.merged",
    "names/*/*", "leases/*", "cache/sources/*.json", "catalog.duckdb", "cache/catalog/catalog.duckdb",
    "cache/catalog.lock",
)  # fmt: skip
"""What other tests flip; the lock is empty, and what git is told is read by git alone."""
HERE = (*STEERING, *CACHES, "trash/*", "cache/fsck-full", "cache/remotes/*/*.idx")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A store with a file of every kind."""
    home = make_store(tmp_path_factory.mktemp("flips") / "store")
    made = repository.claim(repository.put(home, {"a": 1}), "model")
    tree = home.root.parent / "tree"
    tree.mkdir()
    for number in range(12):
        (tree / f"{number}").write_text(f"file {number}\n" * 9)
    repository.claim(repository.put(home, tree), "tree")
    (home.root.parent / REMOTE).mkdir()
    sharing.push(home, str(home.root.parent / REMOTE))
    sharing.pull(home, str(home.root.parent / REMOTE))
    configured.add_remote(home, "origin", str(home.root.parent / REMOTE))
    policy.write_policy(home, policy.Policy({"model-*": 3}, policy.CheckpointRule(2, "loss")))
    exclusive.plan(home, ["0" * 32], ["1" * 32], complete=False)
    reuse.remember(home, KEY, "a" * 16, {"result": made}, {"loss": 0.5})
    scanned = ScanCache(home.cache / "source")
    scanned._entries = {"/a/file": (Stamp(1, 2, 3, 4), Scanned((), Digest("0" * 64)))}
    scanned._changed = True
    scanned.save()
    for folder, name in (("source", "git"), ("environment", "environment")):
        remembered = Remembered(home.cache / folder, name)
        remembered.put(str(KEY), [["0" * 32]], "an answer")
        remembered.save()
    sealed.keep(home.cache / "settled.json", {"runs": ["a" * 16], "storage": [["runs.db", 1, 2]]})
    merging._keep_left(home)
    projection.refresh(home)
    dead = LocalObjects(home).put(TRASHED)
    LocalObjects(home).path(dead).rename(home.trash / dead.hex)
    with pytest.raises(InterruptedError), VerifiedPass(home) as verified:
        verified.add(KEY)
        raise InterruptedError
    return home


def flips(home: Home, pattern: str, count: int) -> Iterator[Path]:
    """Yield the one file of a kind with one bit after the other changed, and put it back."""
    (path,) = home.root.glob(pattern)
    whole, chance = path.read_bytes(), random.Random(3)
    some = chance.sample(range(len(whole)), min(count, len(whole)))
    places = range(len(whole)) if count == 0 else [0, len(whole) - 2, *some]
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        yield path
    path.write_bytes(whole)


def test_every_file_is_of_a_kind_that_is_tried(home: Home) -> None:
    files = [str(path.relative_to(home.root)) for path in home.root.rglob("*") if path.is_file()]
    assert [file for file in files if not any(fnmatch.fnmatch(file, kind) for kind in (*HERE, *ELSEWHERE))] == []
    assert [kind for kind in HERE if not fnmatch.filter(files, kind)] == []
    found = check_store(home)
    assert (found.ok, found.rebuilt) == (True, []), found.document()


@pytest.mark.parametrize("pattern", STEERING)
def test_what_steers_the_store_is_refused_and_named(home: Home, pattern: str) -> None:
    assert not STEERING[pattern](home)
    for _ in flips(home, pattern, 0):
        assert STEERING[pattern](home)
    for _ in flips(home, pattern, 4):
        found = check_store(home)
        assert ([item["file"] for item in found.files], found.ok) == ([pattern], False)


@pytest.mark.parametrize("pattern", CACHES)
def test_a_cache_is_not_used_and_named(home: Home, pattern: str) -> None:
    for _ in flips(home, pattern, 60):
        assert CACHES[pattern](home)
    assert not CACHES[pattern](home)
    for path in flips(home, pattern, 2):
        found = check_store(home)
        assert found.ok
        assert [item["file"] for item in found.rebuilt] == [str(path.relative_to(home.root))]


def test_an_object_in_the_trash(home: Home) -> None:
    digest = Digest.of(TRASHED)
    assert LocalObjects(home).read(digest) == TRASHED
    for path in flips(home, "trash/*", 30):
        with pytest.raises(IntegrityError, match=digest.hex):
            LocalObjects(home).read(digest)
        # It is in quarantine now.
        for aside in home.quarantine.iterdir():
            aside.unlink()
        assert not path.exists()
    assert LocalObjects(home).read(digest) == TRASHED


def test_what_a_full_check_has_verified_is_verified_again(home: Home) -> None:
    for number, _ in enumerate(flips(home, "cache/fsck-full", 0)):
        with pytest.raises(InterruptedError), VerifiedPass(home) as verified:
            assert KEY not in verified, number
            raise InterruptedError
    with pytest.raises(InterruptedError), VerifiedPass(home) as verified:
        assert KEY in verified
        raise InterruptedError


def test_the_index_of_a_remotes_pack_is_fetched_again(home: Home) -> None:
    (index,) = home.root.glob("cache/remotes/*/*.idx")
    whole, listed = index.read_bytes(), list(remote_of(home).digests())
    for _ in flips(home, "cache/remotes/*/*.idx", 30):
        assert list(remote_of(home).digests()) == listed
        assert index.read_bytes() == whole
