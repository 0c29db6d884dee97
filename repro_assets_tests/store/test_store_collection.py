"""Collection takes what nothing names, and never what something names."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from collecting import DAY, age, artifact, gc, noise, put

from repro_assets.artifacts import repository, retention
from repro_assets.artifacts.soundness import check_store
from repro_assets.errors import CorruptRecord, DiskFull, IntegrityError, MissingObject
from repro_assets.journal.segments import list_segments
from repro_assets.store.batch import FEW, SMALL
from repro_assets.store.collection import collect
from repro_assets.store.home import make_store
from repro_assets.store.layout import HEADER_SIZE
from repro_assets.store.leases import Lease, lease_on
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects
from repro_assets.store.pack_writing import PackWriter
from repro_assets.store.repack import Pair, repack


def test_what_a_root_names_stays_and_the_rest_goes(objects: LocalObjects) -> None:
    kept, parts = artifact(objects, b"a" * 3000, b"shared" * 500)
    dead, gone = artifact(objects, b"b" * 3000, b"shared" * 500)
    done = gc(objects, kept)
    assert set(objects.digests()) == {kept, *parts}
    assert [objects.has(digest) for digest in (dead, gone[0], gone[1])] == [False, False, True]
    assert (done.objects, done.freed_objects, done.restored) == (2, 2, 0)
    assert done.freed_bytes == done.bytes > 0
    assert objects.read(parts[1]) == b"shared" * 500


def test_without_delete_nothing_is_touched_and_the_same_is_told(objects: LocalObjects) -> None:
    artifact(objects, *(noise(number) for number in range(3 * FEW)))
    before = {path: path.stat() for path in objects.home.root.rglob("*") if path.is_file()}
    told = gc(objects, delete=False)
    assert {path: path.stat() for path in objects.home.root.rglob("*") if path.is_file()} == before
    done = gc(objects)
    assert told.dry_run and not done.dry_run
    assert (told.objects, told.bytes) == (done.freed_objects, done.freed_bytes)


def test_the_young_stay_in_place_and_then_in_the_trash(objects: LocalObjects) -> None:
    (digest,) = put(objects, b"x" * 5000)
    young = gc(objects, now=False, grace=DAY)
    assert (young.objects, young.young_objects, young.moved) == (0, 1, 0)
    age(objects.home, 2 * DAY)
    moved = gc(objects, now=False, grace=DAY)
    assert (moved.moved, moved.freed_objects) == (1, 0)
    assert objects.read(digest) == b"x" * 5000
    assert (objects.home.trash / digest.hex).is_file()
    assert gc(objects, now=False, grace=DAY).freed_objects == 0
    age(objects.home, 2 * DAY)
    assert gc(objects, now=False, grace=DAY).freed_objects == 1
    with pytest.raises(MissingObject):
        objects.read(digest)


def test_what_is_named_while_it_lies_in_the_trash_comes_back(objects: LocalObjects) -> None:
    single, (part,) = artifact(objects, b"y" * 5000)
    packed, parts = artifact(objects, *(noise(number) for number in range(2 * FEW)))
    age(objects.home, 2 * DAY)
    assert gc(objects, now=False, grace=DAY).moved == 4 + 2 * FEW - 1
    assert not set(objects.digests())
    back = gc(objects, single, packed, now=False, grace=DAY)
    assert back.restored == 3 + 2 * FEW
    assert set(objects.digests()) == {single, part, packed, *parts}
    fresh = open_objects(objects.home)
    assert all(fresh.has(digest) for digest in (part, *parts)) and not list(objects.home.trash.iterdir())


def test_a_pack_goes_whole_is_written_again_or_stays(objects: LocalObjects) -> None:
    parts = put(objects, *(noise(number) for number in range(4 * FEW)))
    (first,) = objects.packs.names()
    assert gc(objects, alone=parts[2:]).freed_objects == 0, "less than a quarter is dead"
    assert objects.packs.names() == [first]
    kept = parts[: 2 * FEW]
    content = [objects.read(digest) for digest in kept]
    done = gc(objects, alone=kept)
    (second,) = objects.packs.names()
    assert second != first and done.freed_objects == 2 * FEW
    assert [open_objects(objects.home).read(digest) for digest in kept] == content
    assert gc(objects).freed_objects == 2 * FEW
    assert objects.packs.names() == [] and not list(objects.home.packs.iterdir())


def test_a_pack_that_cannot_be_written_again_stays_and_the_rest_goes(
    objects: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = put(objects, *(noise(number) for number in range(2 * FEW)))
    (single,) = put(objects, noise(99))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(PackWriter, "close", full)
    done = gc(objects, alone=parts[:FEW])
    assert [item["reason"] for item in done.kept_packs] == [os.strerror(errno.ENOSPC)]
    assert set(objects.digests()) == set(parts) and not objects.has(single)
    assert not list(objects.home.temporary.iterdir())


def test_a_damaged_entry_keeps_its_pack(objects: LocalObjects) -> None:
    parts = put(objects, *(noise(number) for number in range(2 * FEW)))
    entry = objects.packs.find(parts[0])
    assert entry is not None
    with Path(objects.packs.path(entry.pack)).open("r+b") as file:
        file.seek(entry.offset + HEADER_SIZE)
        file.write(b"damage")
    done = gc(objects, alone=parts[:FEW])
    assert len(done.kept_packs) == 1 and str(parts[0]) in done.kept_packs[0]["reason"]
    assert objects.read(parts[-1])


@pytest.mark.parametrize("what", ["damaged", "gone", "no manifest"])
def test_a_manifest_that_does_not_read_stops_it(objects: LocalObjects, what: str) -> None:
    dead, _ = artifact(objects, b"b" * 3000)
    kept, _ = artifact(objects, b"a" * 3000)
    if what == "damaged":
        with objects.path(kept).open("r+b") as file:
            file.write(b"x")
    elif what == "gone":
        objects.path(kept).unlink()
    else:
        (kept,) = put(objects, b"no manifest")
    with pytest.raises(IntegrityError, match=f"stopped.*{kept}"):
        gc(objects, kept)
    assert objects.has(dead)


def test_a_lease_that_does_not_read_stops_it(objects: LocalObjects) -> None:
    (dead,) = put(objects, b"x" * 3000)
    lease = Lease(objects.home)
    lease.take([dead])
    (path,) = objects.home.leases.iterdir()
    path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(CorruptRecord, match=path.name):
        gc(objects)
    assert objects.has(dead)
    lease.release()


def test_a_line_of_the_journal_that_does_not_read_stops_it(objects: LocalObjects) -> None:
    home = objects.home
    stored = repository.claim(repository.put(home, b"x" * 5000), "data")
    lease_on(home).release()
    (segment,) = list_segments(home.journal)
    segment.write_bytes(segment.read_bytes().replace(b'"seq":1', b'"seq":7'))
    with pytest.raises(CorruptRecord, match=segment.name):
        collect(objects, lambda: retention.roots_of(home), delete=True, now=True)
    assert stored.load() == b"x" * 5000


def test_a_repacked_version_stays_whole_when_the_version_that_it_differs_from_is_dead(objects: LocalObjects) -> None:
    older, newer = bytes(range(256)) * 64, bytes([1, *range(1, 256)]) * 64
    digests = [objects.put(older), objects.put(newer)]
    repack(objects, [Pair(digests[0], digests[1], 4)])
    assert list(objects.needs(digests[0])) == [digests[1]]
    gc(objects, alone=[digests[0]])
    assert objects.read(digests[0]) == older


def test_a_base_stays_for_what_needs_it(objects: LocalObjects) -> None:
    _, (delta, base, older, _) = artifact(objects, *(letter * 3000 for letter in (b"a", b"b", b"c", b"d")))
    chain = {delta: [base], base: [older]}
    gc(objects, alone=[delta], needs=lambda digest: chain.get(digest, ()))
    assert set(objects.digests()) == {delta, base, older}


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounts a small tmpfs")
def test_a_completely_full_disk_is_freed(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", mount], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted: {mounted.stderr.decode()}")
    try:
        objects = open_objects(make_store(mount / "store"))
        kept, parts = artifact(objects, *(noise(number) for number in range(2 * FEW)))
        put(objects, *(noise(number, 16) for number in range(4 * FEW)))
        (dead,) = put(objects, noise(1000, SMALL))
        with pytest.raises(DiskFull):
            put(objects, noise(1001, 3 * SMALL))
        lease_on(objects.home).release()
        with contextlib.suppress(OSError), (mount / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        assert os.statvfs(mount).f_bavail == 0
        done = gc(objects, kept)
        assert done.freed_bytes > SMALL and os.statvfs(mount).f_bavail * 4096 > SMALL
        assert set(objects.digests()) == {kept, *parts} and not objects.has(dead)
        assert check_store(objects.home).ok
    finally:
        subprocess.run(["umount", mount], check=True)
