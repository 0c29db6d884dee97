"""A lease is on the disk before its process looks, and tells what a process may rely on."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from repro_assets.errors import CorruptRecord, MachineError
from repro_assets.identity.digest import Digest
from repro_assets.store import durable, leases
from repro_assets.store.home import Home, make_store
from repro_assets.store.leases import Lease, damaged, lease_on, leased, sweep
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects

ONE, TWO, THREE = (Digest.of(content) for content in (b"one", b"two", b"three"))


def age(home: Home, seconds: float) -> None:
    for path in home.leases.iterdir():
        os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_what_is_taken_is_leased_and_what_is_released_is_not(home: Home) -> None:
    assert leased(home, 0) == set()
    lease = Lease(home)
    lease.take([ONE, TWO])
    lease.take([TWO, THREE])
    age(home, 999)
    assert leased(home, 0) == {ONE, TWO, THREE}
    lease.release()
    assert leased(home, 3600) == set()
    assert list(home.leases.iterdir()) == []


def test_a_second_take_of_the_same_writes_nothing(home: Home) -> None:
    lease = Lease(home)
    lease.take([ONE])
    (path,) = home.leases.iterdir()
    before = path.stat()
    lease.take([ONE, ONE])
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    lease.release()


def test_an_empty_take_makes_no_file(home: Home) -> None:
    Lease(home).take([])
    assert not home.leases.exists()


@pytest.mark.parametrize("of_this_machine", [True, False])
def test_the_lease_is_taken_before_the_batch_looks_and_on_the_disk_where_others_may_collect(
    home: Home, monkeypatch: pytest.MonkeyPatch, of_this_machine: bool
) -> None:
    seen: list[tuple[bool, int]] = []
    synced = [0]
    look, sync = LocalObjects.unsettled, os.fsync

    def recorded_sync(descriptor: int) -> None:
        if os.path.basename(os.path.dirname(os.readlink(f"/proc/self/fd/{descriptor}"))) == "leases":  # noqa: PTH119, PTH120, PTH115
            synced.append(os.fstat(descriptor).st_size)
        sync(descriptor)

    def watched(objects: LocalObjects, digests: list[Digest], codec: str | None = None) -> set[Digest]:
        (path,) = home.leases.iterdir()
        seen.append((set(digests) <= leased(home, 3600), path.stat().st_size - synced[-1]))
        return look(objects, digests, codec)

    monkeypatch.setattr(os, "fsync", recorded_sync)
    monkeypatch.setattr(LocalObjects, "unsettled", watched)
    monkeypatch.setattr(durable, "is_of_this_machine", lambda folder: of_this_machine)
    open_objects(home).put(b"one")
    open_objects(home).put(b"two")
    assert seen == [(True, 40 if of_this_machine else 0), (True, 80 if of_this_machine else 0)]


KILLED = """
import os, signal, sys
from pathlib import Path
from repro_assets.store.home import open_store
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects

def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

LocalObjects.unsettled = die
open_objects(open_store(Path(sys.argv[1]))).put(b"one")
"""


def test_the_lease_of_a_killed_process_counts_until_it_is_older_than_the_grace_time(home: Home) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, home.root], check=False)
    assert done.returncode == -signal.SIGKILL
    assert leased(home, 60) == {ONE}
    assert sweep(home, 60) == 0
    age(home, 61)
    assert leased(home, 60) == set()
    assert sweep(home, 60) == 1
    assert list(home.leases.iterdir()) == []


def test_the_lease_of_a_living_process_counts_however_old_it_is(home: Home) -> None:
    lease = Lease(home)
    lease.take([ONE])
    age(home, 10 * 86_400)
    assert leased(home, 60) == {ONE}
    assert sweep(home, 60) == 0
    lease.release()


def test_a_process_that_ends_removes_its_lease(home: Home) -> None:
    program = KILLED.replace("LocalObjects.unsettled = die", "")
    subprocess.run([sys.executable, "-c", program, home.root], check=True)
    assert list(home.leases.iterdir()) == []
    assert open_objects(home).read(ONE) == b"one"


def test_a_row_that_does_not_read_stops_whoever_asks(home: Home) -> None:
    lease = Lease(home)
    lease.take([ONE, TWO])
    (path,) = home.leases.iterdir()
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptRecord, match=path.name):
        leased(home, 60)
    assert damaged(home) == [path.name]
    lease.release()


def test_a_torn_last_row_was_never_relied_on(home: Home) -> None:
    lease = Lease(home)
    lease.take([ONE, TWO])
    (path,) = home.leases.iterdir()
    with path.open("rb+") as file:
        file.truncate(79)
    assert leased(home, 60) == {ONE}
    assert damaged(home) == []
    lease.release()


def test_a_half_written_row_never_stands_before_a_later_one(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease(home)
    lease.take([ONE])
    write = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) > 30:
            return write(descriptor, bytes(data)[:30])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(MachineError):
        lease.take([TWO])
    monkeypatch.undo()
    lease.take([ONE, TWO])
    assert leased(home, 60) >= {ONE, TWO}
    assert damaged(home) == []
    lease.release()


def test_a_forked_child_takes_a_lease_of_its_own_and_leaves_the_parents(home: Home) -> None:
    lease = lease_on(home)
    lease.take([ONE])
    child = os.fork()
    if child == 0:
        failed = 1
        try:
            lease_on(home).take([TWO])
            failed = int(len(list(home.leases.iterdir())) != 2)
        finally:
            os._exit(failed)
    assert os.waitpid(child, 0)[1] == 0
    age(home, 999)
    # The child is gone and its lock with it; the parent's is held.
    assert leased(home, 60) == {ONE}
    assert leased(home, 10_000) == {ONE, TWO}
    lease.release()


def test_a_child_that_lives_on_does_not_keep_its_parents_lock(home: Home) -> None:
    lease = Lease(home)
    lease.take([ONE])
    reading, writing = os.pipe()
    ready, begun = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.write(begun, b"x")
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    os.read(ready, 1)
    (path,) = home.leases.iterdir()
    assert lease._descriptor is not None
    os.close(lease._descriptor)
    lease._descriptor = None
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(writing)
    os.waitpid(child, 0)


def test_a_lease_whose_store_was_deleted_is_taken_anew(home: Home) -> None:
    lease = Lease(home)
    lease.take([ONE])
    for path in home.leases.iterdir():
        path.unlink()
    lease.take([TWO])
    assert leased(home, 60) == {TWO}
    lease.release()


def test_the_same_home_has_one_lease_in_a_process(home: Home) -> None:
    assert lease_on(home) is lease_on(Home(home.root))
    assert leases.lease_on(home) is not lease_on(make_store(home.root.parent / "other"))
