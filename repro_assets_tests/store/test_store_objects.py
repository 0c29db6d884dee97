"""Local objects: what is stored is whole, is checked whenever it is touched, and heals when it is put again."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import xxhash

from repro_assets.errors import CorruptObject, InvalidInput, MachineError, MissingObject, SourceChanged
from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home
from repro_assets.store.layout import Form, trailer
from repro_assets.store.objects import LocalObjects, Placement

# Nothing makes these bytes smaller, so they are stored as they are.
CONTENT = hashlib.shake_128(b"content").digest(380)

TRAILER = 64


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def change(path: Path, place: int, mask: int = 1) -> None:
    stored = bytearray(path.read_bytes())
    stored[place] ^= mask
    path.write_bytes(stored)


def test_an_object_is_one_file_that_begins_with_its_bytes(home: Home, objects: LocalObjects) -> None:
    digest = objects.put(CONTENT)
    (path,) = files(home.objects)
    assert path == home.objects / digest.hex[:2] / digest.hex[2:]
    assert path.read_bytes()[:-TRAILER] == CONTENT
    assert hashlib.sha256(path.read_bytes()[:-TRAILER]).hexdigest() == digest.hex
    assert objects.placement(digest) == Placement("raw", len(CONTENT), len(CONTENT))
    assert files(home.temporary) == []


def test_putting_twice_writes_once(home: Home, objects: LocalObjects, tmp_path: Path) -> None:
    digest = objects.put(CONTENT)
    (path,) = files(home.objects)
    before = path.stat()
    (tmp_path / "same").write_bytes(CONTENT)
    assert objects.put(CONTENT) == objects.put_file(tmp_path / "same")[0] == digest
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_files_object_has_the_digest_that_sha256sum_prints(objects: LocalObjects, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3 << 20))
    digest, size = objects.put_file(source)
    printed = subprocess.run(["sha256sum", source], capture_output=True, text=True, check=True).stdout
    assert digest.hex == printed.split()[0].lstrip("\\")
    assert size == 3 << 20
    assert objects.read(digest) == source.read_bytes()


def test_a_source_file_is_never_shared_with_the_store(home: Home, objects: LocalObjects, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    digest, _ = objects.put_file(source)
    change(source, 3)
    assert source.stat().st_nlink == 1
    assert objects.read(digest) == CONTENT


PLACES = {
    "first byte": lambda path: change(path, 0),
    "middle": lambda path: change(path, len(CONTENT) // 2, 0x80),
    "last byte of the content": lambda path: change(path, -TRAILER - 1),
    "magic": lambda path: change(path, -TRAILER),
    "codec": lambda path: change(path, -TRAILER + 8),
    "padding of the codec": lambda path: change(path, -TRAILER + 23),
    "size": lambda path: change(path, -TRAILER + 24),
    "digest": lambda path: change(path, -TRAILER + 32),
    "check of the content": lambda path: change(path, -TRAILER + 40),
    "check of the trailer": lambda path: change(path, -1),
    "cut in the trailer": lambda path: os.truncate(path, len(CONTENT) + TRAILER - 1),
    "cut in the content": lambda path: os.truncate(path, 100),
    "a byte cut from the front": lambda path: path.write_bytes(path.read_bytes()[1:]),
    "a byte more": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "zeros": lambda path: path.write_bytes(bytes(len(CONTENT) + TRAILER)),
    "empty": lambda path: os.truncate(path, 0),
}


@pytest.mark.parametrize("place", PLACES)
def test_damage_anywhere_is_found_set_aside_and_healed_by_the_next_put(
    home: Home, objects: LocalObjects, place: str
) -> None:
    digest, other = objects.put(CONTENT), objects.put(b"other")
    PLACES[place](objects.path(digest))
    with pytest.raises(CorruptObject, match=str(digest)):
        objects.read(digest)
    assert [path.name[:64] for path in files(home.quarantine)] == [digest.hex]
    with pytest.raises(MissingObject, match=str(digest)):
        objects.read(digest)
    assert objects.read(other) == b"other"
    objects.put(CONTENT)
    assert objects.read(digest) == CONTENT


@pytest.mark.parametrize("place", PLACES)
def test_damage_anywhere_is_found_by_a_put_of_the_same_file(
    home: Home, objects: LocalObjects, tmp_path: Path, place: str
) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    digest, _ = objects.put_file(tmp_path / "source")
    PLACES[place](objects.path(digest))
    assert objects.put_file(tmp_path / "source")[0] == digest
    assert objects.read(digest) == CONTENT
    assert len(files(home.quarantine)) == 1


def test_every_single_bit_counts(objects: LocalObjects) -> None:
    digest = objects.put(b"content")
    path = objects.path(digest)
    right = path.read_bytes()
    for place in range(len(right)):
        for bit in range(8):
            wrong = bytearray(right)
            wrong[place] ^= 1 << bit
            path.write_bytes(wrong)
            with pytest.raises(CorruptObject):
                objects.read(digest)


def test_a_whole_object_under_the_name_of_another_is_damage(objects: LocalObjects) -> None:
    digest, other = objects.put(CONTENT), objects.put(b"other")
    objects.path(digest).write_bytes(objects.path(other).read_bytes())
    with pytest.raises(CorruptObject, match=str(digest)):
        objects.read(digest)
    assert objects.read(other) == b"other"


def test_bytes_under_a_valid_trailer_are_still_hashed_by_verify(home: Home, objects: LocalObjects) -> None:
    digest = objects.put(CONTENT)
    other = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    form = Form("raw", len(other), len(other), xxhash.xxh3_128_digest(other))
    objects.path(digest).write_bytes(other + trailer(digest, form))
    assert objects.read(digest) == other
    with pytest.raises(CorruptObject, match="another digest"):
        objects.verify(digest)
    assert not objects.has(digest)


def test_foreign_files_are_no_objects(home: Home, objects: LocalObjects) -> None:
    digest = objects.put(CONTENT)
    (objects.path(digest).parent / ".DS_Store").write_bytes(b"x")
    (objects.path(digest).parent / digest.hex).write_bytes(b"x")
    (home.objects / "lost+found").mkdir()
    (home.objects / "lost+found" / digest.hex[2:]).write_bytes(b"x")
    assert list(objects.digests()) == [digest]


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir], ids=["missing", "a folder"])
def test_a_source_that_is_no_file_is_named(objects: LocalObjects, tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "source")
    with pytest.raises(InvalidInput, match=str(tmp_path / "source")):
        objects.put_file(tmp_path / "source")


def test_a_source_that_fails_while_it_is_read_is_named_and_not_the_store(home: Home, objects: LocalObjects) -> None:
    # The kernel refuses to read another process's memory at address 0.
    source = Path("/proc/self/mem")
    if not source.exists():
        pytest.skip("this system has no file that opens and cannot be read")
    with pytest.raises(MachineError, match="/proc/self/mem"):
        objects.put_file(source)
    assert files(home.temporary) == []


@pytest.mark.parametrize("hidden", [False, True], ids=["openly", "with the time set back"])
def test_a_file_that_is_written_meanwhile_is_refused_or_stored_as_it_was_at_one_moment(
    home: Home, objects: LocalObjects, tmp_path: Path, hidden: bool
) -> None:
    source = tmp_path / "source"
    step, steps = 1 << 14, 160
    source.write_bytes(b"a" * step * steps)
    stop = threading.Event()

    def write() -> None:
        # From front to back and again: at every moment the file holds at most two letters, each in one piece.
        descriptor = os.open(source, os.O_WRONLY)
        while not stop.is_set():
            for letter in (b"b", b"a"):
                for place in range(steps):
                    os.pwrite(descriptor, letter * step, place * step)
                    if hidden:
                        os.utime(source, ns=(0, 0))
        os.close(descriptor)

    writer = threading.Thread(target=write)
    writer.start()
    refused = 0
    try:
        for _ in range(40):
            try:
                digest, _ = objects.put_file(source)
            except SourceChanged as error:
                assert str(source) in str(error)
                refused += 1
            else:
                letters = objects.read(digest)[::step]
                assert sum(one != other for one, other in itertools.pairwise(letters)) <= 1
    finally:
        stop.set()
        writer.join()
    assert refused
    assert files(home.temporary) == []


@pytest.fixture
def coarse_clock(tmp_path: Path) -> Iterator[Path]:
    """A file system whose times advance with the kernel's tick, as all did before Linux 6.13."""
    folder = tmp_path / "ramfs"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "ramfs", "ramfs", folder], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file system with a coarse clock can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_change_within_one_step_of_the_file_systems_clock_is_seen(
    objects: LocalObjects, coarse_clock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, changed, unseen = os.pread, set(), 0

    def read_and_change(descriptor: int, size: int, offset: int) -> bytes:
        nonlocal unseen
        data = read(descriptor, size, offset)
        place = os.fspath(Path(f"/proc/self/fd/{descriptor}").readlink())
        if place not in changed and place.startswith(os.fspath(coarse_clock)):
            changed.add(place)
            before = os.fstat(descriptor).st_ctime_ns
            with io.FileIO(place, "r+") as writer:
                writer.write(b"b")
            unseen += os.fstat(descriptor).st_ctime_ns == before
        return data

    monkeypatch.setattr(os, "pread", read_and_change)
    for number in range(100):
        source = coarse_clock / f"source{number}"
        source.write_bytes(b"a" * 100)
        with pytest.raises(SourceChanged):
            objects.put_file(source)
    assert len(changed) == 100
    if not unseen:
        pytest.skip("every change was given a time of its own")


def test_a_large_file_is_stored_checked_and_verified_in_constant_memory(objects: LocalObjects, tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(48 << 20)
    tracemalloc.start()
    try:
        digest, _ = objects.put_file(source)
        objects.put_file(source)
        objects.verify(digest)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


PUT_SAME = """
import sys
from pathlib import Path
from repro_assets.store.home import open_store
from repro_assets.store.opening import open_objects

objects = open_objects(open_store(Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    content = b"%d" % number * 3000
    assert objects.read(objects.put(content)) == content
"""


def test_eight_processes_that_put_the_same_leave_each_object_once(home: Home, objects: LocalObjects) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PUT_SAME, str(home.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.wait(60) for process in processes] == [0] * 8
    for process in processes:
        process.communicate()
    assert sorted(objects.digests()) == sorted(Digest.of(b"%d" % number * 3000) for number in range(20))
    for digest in objects.digests():
        objects.verify(digest)
    assert files(home.temporary) == files(home.quarantine) == []
