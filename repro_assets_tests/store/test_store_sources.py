"""Files of a person's own: read at one moment, recognized only when they cannot have changed."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from repro_assets.errors import InvalidInput, MachineError, ReproError, SourceChanged
from repro_assets.identity.digest import Digest
from repro_assets.store import sources
from repro_assets.store.home import Home
from repro_assets.store.opening import open_objects
from repro_assets.store.sources import (
    REST_NS,
    Stamp,
    StatCache,
    read_stable,
    read_stamped,
    stamp_of,
    stream_stable,
    unreadable,
)
from repro_assets.store.staging import SourceFile


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that has rested."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


LATER = REST_NS + 1


def learnt(home: Home, file: Path) -> StatCache:
    cache = StatCache(home, file.parent)
    stamp = stamp_of(file)
    cache.learn(str(file), stamp, Digest.of(file.read_bytes()), max(stamp.mtime_ns, stamp.ctime_ns) + LATER)
    cache.save()
    return StatCache(home, file.parent)


def test_an_unchanged_file_is_recognized(home: Home, file: Path) -> None:
    assert learnt(home, file).digest(str(file), stamp_of(file)) == Digest.of(b"content")


def test_a_file_that_changed_in_the_same_second_is_not(home: Home, file: Path) -> None:
    cache = learnt(home, file)
    file.write_bytes(b"CONTENT")
    assert cache.digest(str(file), stamp_of(file)) is None


def test_a_time_that_was_set_back_hides_nothing(home: Home, file: Path) -> None:
    before = file.stat()
    cache = learnt(home, file)
    file.write_bytes(b"CONTENT")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert cache.digest(str(file), stamp_of(file)) is None


def test_another_file_that_took_the_place_is_not_recognized(home: Home, file: Path) -> None:
    before = file.stat()
    cache = learnt(home, file)
    other = file.with_name("other")
    other.write_bytes(b"CONTENT")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(file)
    assert cache.digest(str(file), stamp_of(file)) is None


def test_a_file_that_had_not_rested_is_not_learnt(home: Home, file: Path) -> None:
    cache, stamp = StatCache(home, file.parent), stamp_of(file)
    for read_ns in (stamp.mtime_ns, stamp.mtime_ns + REST_NS // 2, stamp.ctime_ns + REST_NS, stamp.mtime_ns - 10**12):
        cache.learn(str(file), stamp, Digest.of(b"content"), read_ns)
    assert cache.digest(str(file), stamp) is None
    cache.save()
    assert not (home.cache / "sources").exists()


def test_a_file_from_the_future_is_never_learnt(home: Home, file: Path) -> None:
    os.utime(file, (time.time() + 999, time.time() + 999))
    cache, stamp = StatCache(home, file.parent), stamp_of(file)
    cache.learn(str(file), stamp, Digest.of(b"content"), time.time_ns())
    assert cache.digest(str(file), stamp) is None


@pytest.mark.parametrize("damage", [b"", b"x", b"{}", b"0" * 16 + b"\n{}", b"\xff" * 99])
def test_a_damaged_cache_is_not_used_and_replaced_by_the_next(home: Home, file: Path, damage: bytes) -> None:
    learnt(home, file)
    (path,) = (home.cache / "sources").iterdir()
    path.write_bytes(damage)
    assert StatCache(home, file.parent).digest(str(file), stamp_of(file)) is None
    assert sources.damaged_caches(home) == [path.name]
    assert learnt(home, file).digest(str(file), stamp_of(file)) == Digest.of(b"content")
    assert sources.damaged_caches(home) == []


def test_a_known_file_whose_object_was_lost_is_read_and_stored_again(home: Home, file: Path) -> None:
    objects = open_objects(home)
    cache = learnt(home, file)
    for _ in range(2):
        with objects.batch() as batch:
            assert batch.put_files([SourceFile(str(file))], cache) == [(Digest.of(b"content"), 7)]
        assert objects.read(Digest.of(b"content")) == b"content"
        objects.path(Digest.of(b"content")).unlink()


def test_a_known_file_is_not_read(home: Home, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_objects(home).put(b"content")
    cache = learnt(home, file)

    def never(path: str) -> tuple[bytes, Stamp]:
        raise AssertionError(path)

    monkeypatch.setattr("repro_assets.store.staging.read_stamped", never)
    with open_objects(home).batch() as batch:
        assert batch.put_files([SourceFile(str(file))], cache) == [(Digest.of(b"content"), 7)]


def test_an_expected_stamp_that_is_not_the_files_is_refused(file: Path) -> None:
    stamp = stamp_of(file)
    assert read_stable(file, stamp) == b"content"
    file.write_bytes(b"CONTENT")
    with pytest.raises(SourceChanged, match="file"):
        read_stable(file, stamp)


def test_a_file_that_is_written_all_the_time_is_never_taken_for_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0" * 100)
    over = threading.Event()

    def write() -> None:
        with path.open("rb+", buffering=0) as file:
            for number in range(10**9):
                if over.is_set():
                    return
                file.seek(0)
                # One call: a reader sees blocks of two of them, never a torn byte.
                file.write(b"%d" % (number % 10) * 100)

    writer = threading.Thread(target=write)
    writer.start()
    changed = 0
    try:
        for _ in range(15):
            try:
                data, _ = read_stamped(path)
                assert len(set(data)) == 1
            except SourceChanged:
                changed += 1
            try:
                blocks: list[bytes] = []
                stream_stable(path, blocks.append)
                assert len(set(b"".join(blocks))) == 1
            except SourceChanged:
                changed += 1
    finally:
        over.set()
        writer.join()
    assert changed > 0


def test_a_file_that_is_gone_or_no_file_is_the_persons_to_mend(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "none" / "below"):
        with pytest.raises(InvalidInput, match="none"):
            stamp_of(path)
        with pytest.raises(InvalidInput, match="none"):
            stream_stable(path, lambda block: None)
    with pytest.raises(InvalidInput, match="cannot be read"):
        stream_stable(tmp_path, lambda block: None)


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [(errno.EIO, MachineError, 3), (errno.EMFILE, MachineError, 3), (errno.EACCES, InvalidInput, 2)],
)
def test_a_bad_disk_is_the_machines_failure_and_a_closed_file_the_files(
    tmp_path: Path, number: int, kind: type[ReproError], code: int
) -> None:
    error = unreadable(tmp_path / "a", OSError(number, os.strerror(number)))
    assert type(error) is kind and error.exit_code == code
    assert str(tmp_path / "a") in str(error) and os.strerror(number) in str(error)
