"""Collection loses nothing that others use, put or collect meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from collecting import gc, noise, put

from repro_assets.artifacts import names, repository, retention
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.soundness import check_store
from repro_assets.errors import ReusedElsewhere
from repro_assets.identity.digest import Digest
from repro_assets.store.batch import FEW
from repro_assets.store.collection import collect
from repro_assets.store.home import make_store
from repro_assets.store.leases import Lease
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects
from repro_assets.store.packs import Packs
from repro_assets.store.staging import Part


def test_what_a_living_process_relies_on_stays(objects: LocalObjects) -> None:
    lease = Lease(objects.home)
    (digest, other) = put(objects, b"x" * 3000, b"y" * 3000)
    lease.take([digest])
    gc(objects)
    assert objects.has(digest) and not objects.has(other)
    lease.release()
    gc(objects)
    assert not objects.has(digest)


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
