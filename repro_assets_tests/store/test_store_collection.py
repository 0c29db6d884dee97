"""Collection takes what nothing names, and never what something names, whoever else is at work."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from repro_assets.artifacts import names, repository, retention
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.soundness import check_store
from repro_assets.errors import CorruptRecord, DiskFull, IntegrityError, MissingObject, ReusedElsewhere
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.journal.segments import list_segments
from repro_assets.store.batch import FEW, SMALL
from repro_assets.store.collection import Collected, Roots, collect
from repro_assets.store.home import Home, make_store
from repro_assets.store.layout import HEADER_SIZE
from repro_assets.store.leases import Lease, lease_on
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects
from repro_assets.store.pack_writing import PackWriter
from repro_assets.store.packs import Packs
from repro_assets.store.repack import Pair, repack
from repro_assets.store.staging import Part

DAY = 24 * 3600.0


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return open_objects(make_store(tmp_path / "store"))


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


def test_what_a_living_process_relies_on_stays(objects: LocalObjects) -> None:
    lease = Lease(objects.home)
    (digest, other) = put(objects, b"x" * 3000, b"y" * 3000)
    lease.take([digest])
    gc(objects)
    assert objects.has(digest) and not objects.has(other)
    lease.release()
    gc(objects)
    assert not objects.has(digest)


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


def test_two_collections_do_not_work_at_once(objects: LocalObjects) -> None:
    put(objects, b"x" * 3000)

    def during() -> list[Digest]:
        with pytest.raises(ReusedElsewhere):
            gc(objects)
        return []

    assert collect(objects, during, delete=True, now=True).freed_objects == 1


@pytest.mark.parametrize("packed", [False, True])
def test_a_put_before_the_second_look_keeps_the_object(objects: LocalObjects, packed: bool) -> None:
    """The put finds the object in place, and collection moves it away right after."""
    parts = [noise(number) for number in range(2 * FEW if packed else 1)]
    digests = put(objects, *parts)
    looks = 0

    def roots() -> list[Digest]:
        nonlocal looks
        looks += 1
        if looks == 1:
            with objects.batch() as batch:
                assert batch.put_all([Part(part) for part in parts]) == digests
                assert not batch.written
        return []

    # The first look has read the leases already when the put begins.
    done = collect(objects, roots, delete=True, now=True)
    assert (done.restored, done.freed_objects) == (len(digests), 0)
    assert [open_objects(objects.home).read(digest) for digest in digests] == parts
    assert set(objects.digests()) == set(digests)


@pytest.mark.parametrize("packed", [False, True])
def test_a_put_that_finds_an_object_in_the_trash_alone_writes_it_again(objects: LocalObjects, packed: bool) -> None:
    """The put comes after the second look has read the leases."""
    parts = [noise(number) for number in range(2 * FEW if packed else 1)]
    digests = put(objects, *parts)
    other = LocalObjects(objects.home)
    other.places.packs = Packs(objects.home)
    assert all(other.has(digest) for digest in digests), "it knows where they were"
    looks = 0

    def roots() -> list[Digest]:
        nonlocal looks
        looks += 1
        if looks == 2:
            assert not set(objects.digests())
            assert [other.read(digest) for digest in digests] == parts
            with other.batch() as batch:
                batch.put_all([Part(part) for part in parts])
                assert batch.written == set(digests)
        return []

    done = collect(objects, roots, delete=True, now=True)
    assert (done.restored, done.moved) == (0, len(digests))
    assert not list(objects.home.trash.iterdir())
    assert [open_objects(objects.home).read(digest) for digest in digests] == parts


def test_an_object_of_two_packs_is_found_when_one_of_them_goes(objects: LocalObjects) -> None:
    parts = [noise(number) for number in range(2 * FEW)]
    digests = put(objects, *parts)
    (first,) = objects.packs.names()
    hidden = objects.home.root / "hidden.pack"
    Path(objects.packs.path(first)).rename(hidden)
    put(objects, *parts)
    hidden.rename(objects.packs.path(first))
    reader = Packs(objects.home)
    assert len(reader.names()) == 2
    for pack in reader.names():
        away = Path(reader.path(pack)).rename(hidden)
        assert all(reader.find(digest) is not None for digest in digests) or not reader.refresh()
        time.sleep(0.01)
        away.rename(reader.path(pack))
        reader.refresh()


def test_what_a_killed_process_left_half_written_goes(objects: LocalObjects) -> None:
    left = objects.home.temporary / "left"
    objects.home.temporary.mkdir(exist_ok=True)
    left.write_bytes(b"x" * 1000)
    gc(objects)
    assert left.exists(), "it may still be written"
    os.utime(left, (time.time() - 2 * 3600.0,) * 2)
    assert gc(objects).freed_bytes == 1000 and not left.exists()


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


PUTTING = """
import os, random, sys, time
from pathlib import Path
from repro_assets.artifacts import repository
from repro_assets.store.home import open_store
from repro_assets.store.leases import lease_on

home, number, seconds = open_store(Path(sys.argv[1])), int(sys.argv[2]), float(sys.argv[3])
draw, end = random.Random(number), time.monotonic() + seconds
written = 0
while time.monotonic() < end or written < 3:
    for _ in range(1 + draw.randrange(3)):
        # Few at any time, so that they die and are put again under the hands of other processes.
        value = int(2 * time.time()), draw.randrange(4)
        tree = {f"part {part}": (f"{value} {part} " * 300).encode() for part in range(draw.choice([1, 12]))}
        folder = home.root.parent / f"work-{number}"
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for name, content in tree.items():
            (folder / name).write_bytes(content)
        stored = repository.put(home, folder)
        if draw.random() < 0.2:
            stored = repository.claim(stored, f"data-{number}")
            print(stored, stored.digest, flush=True)
        written += 1
    # What was recorded needs no lease, and what was not may go: as if another process began.
    lease_on(home).release()
"""
"""Every digest that it prints was acknowledged: the version is recorded."""


def put_and_collect(tmp_path: Path, processes: int, seconds: float) -> None:
    home = make_store(tmp_path / "store")
    running: list[subprocess.Popen[str]] = []
    acknowledged: set[str] = set()
    rounds = 0
    outputs: list[str] = []

    def follow(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        outputs.extend(process.stdout)

    threads = []
    for number in range(processes):
        words = [
            sys.executable,
            "-c",
            PUTTING,
            str(home.root),
            str(number),
            str(seconds * (0.3 + 0.7 * number / processes)),
        ]
        running.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        threads.append(threading.Thread(target=follow, args=(running[-1],)))
        threads[-1].start()
    freed = moved = restored = 0
    objects = open_objects(home, DECODERS)
    while any(process.poll() is None for process in running):
        done = collect(objects, lambda: retention.roots_of(home), delete=True, now=True)
        freed, moved, restored = freed + done.freed_objects, moved + done.moved, restored + done.restored
        rounds += 1
    for thread, process in zip(threads, running, strict=True):
        thread.join()
        assert process.returncode == 0, process.stderr.read() if process.stderr else ""
    acknowledged = {line.strip() for line in outputs}
    last = collect(objects, lambda: retention.roots_of(home), delete=True, now=True)
    print(f"{rounds} rounds, {moved} moved, {restored} moved back, {freed} freed; {len(outputs)} acknowledged")
    assert rounds and acknowledged and freed + last.freed_objects
    for collected in names.collections(home):
        for version in names.versions(home, collected):
            assert repository.handle(home, version).is_whole(read=True), f"{version} was lost"
    assert acknowledged <= {
        f"{version} {version.digest}" for each in names.collections(home) for version in names.versions(home, each)
    }
    found = check_store(home, full=True)
    assert found.ok, found.document()


def test_nothing_acknowledged_is_lost_while_collection_runs(tmp_path: Path) -> None:
    put_and_collect(tmp_path, 32, 4.0)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_nothing_acknowledged_is_lost_in_minutes_of_collection(tmp_path: Path) -> None:
    put_and_collect(tmp_path, 32, 300.0)
