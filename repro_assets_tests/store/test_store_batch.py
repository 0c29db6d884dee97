"""Batches: what shows when, what is written once, what is left behind by nothing."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from repro_assets.errors import InvalidInput, SourceChanged
from repro_assets.identity.digest import Digest
from repro_assets.store import batch as module
from repro_assets.store import staging
from repro_assets.store.batch import FEW, SMALL
from repro_assets.store.home import Home
from repro_assets.store.layout import HEADER_SIZE
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects
from repro_assets.store.packs import Packs
from repro_assets.store.staging import Known, Part, SourceFile


def fresh(home: Home) -> LocalObjects:
    objects = open_objects(home)
    objects.places.packs = Packs(home)
    return objects


def left_over(home: Home) -> list[Path]:
    return list(home.temporary.iterdir())


def small(count: int, size: int = 40) -> list[bytes]:
    return [os.urandom(size) for _ in range(count)]


class Order:
    """The names under which files show, in the order in which they do, and what was synced before each."""

    def __init__(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.shown: list[str] = []
        self.unsynced: list[str] = []
        self._synced: set[int] = set()
        rename, fsync = os.rename, os.fsync

        def renamed(source: Any, target: Any, **named: Any) -> None:
            if Path(target).suffix != ".idx" and home.cache not in Path(target).parents:
                if os.stat(source).st_ino not in self._synced:  # noqa: PTH116
                    self.unsynced.append(os.fspath(target))
                self.shown.append(os.path.relpath(target, home.root))
            rename(source, target, **named)

        def synced(descriptor: int) -> None:
            fsync(descriptor)
            self._synced.add(os.fstat(descriptor).st_ino)

        monkeypatch.setattr(os, "rename", renamed)
        monkeypatch.setattr(os, "fsync", synced)


@pytest.mark.parametrize("packed", [0, FEW, 3 * FEW])
@pytest.mark.parametrize("loose", [0, 2])
@pytest.mark.parametrize("last", [30, SMALL + 1])
def test_the_last_object_shows_after_all_others_and_each_is_on_the_disk_before(
    home: Home, monkeypatch: pytest.MonkeyPatch, packed: int, loose: int, last: int
) -> None:
    order = Order(home, monkeypatch)
    contents = [*small(packed), *(os.urandom(SMALL + 9) for _ in range(loose))]
    with open_objects(home).batch() as batch:
        batch.put_all([Part(content) for content in contents])
        final = batch.put(os.urandom(last))
    assert order.unsynced == []
    entry = Packs(home).find(final)
    expected = f"packs/{entry.pack}.pack" if entry else f"objects/{final.hex[:2]}/{final.hex[2:]}"
    assert order.shown[-1] == expected
    assert len(order.shown) == loose + (packed >= FEW) + (entry is None)


def test_nothing_shows_before_the_batch_ends(home: Home, objects: LocalObjects) -> None:
    with objects.batch() as batch:
        digests = batch.put_all([Part(content) for content in [*small(20), os.urandom(SMALL * 2)]])
        assert not any(fresh(home).has(digest) for digest in digests)
    assert all(fresh(home).has(digest) for digest in digests)
    assert left_over(home) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_batch_that_is_left_by_an_error_leaves_no_file(
    home: Home, objects: LocalObjects, error: type[BaseException]
) -> None:
    with pytest.raises(Exception if error is OSError else error):
        with objects.batch() as batch:
            batch.put_all([Part(content) for content in [*small(20), os.urandom(SMALL * 2)]])
            raise error
    assert left_over(home) == []
    assert list(fresh(home).digests()) == []


def test_equal_parts_are_stored_once(home: Home, objects: LocalObjects) -> None:
    content, large = os.urandom(99), os.urandom(SMALL + 1)
    with objects.batch() as batch:
        first = batch.put_all([Part(content), Part(large), Part(content), *map(Part, small(FEW)), Part(content)])
        again = batch.put_all([Part(large), Part(content)])
        assert batch.put(content) == first[0]
    assert first[0] == first[2] == first[-1] == again[1]
    assert first[1] == again[0]
    packs = Packs(home)
    entries = [digest for digest, _ in packs.entries()]
    assert len(entries) == len(set(entries)) == FEW + 1
    assert list(fresh(home).loose()) == [first[1]]


def test_an_empty_object_and_an_empty_batch(home: Home, objects: LocalObjects) -> None:
    with objects.batch() as batch:
        assert batch.put_all([]) == []
    assert list(objects.digests()) == []
    assert objects.read(objects.put(b"")) == b""
    with objects.batch() as batch:
        digests = batch.put_all([Part(b""), *map(Part, small(FEW))])
    assert fresh(home).read(digests[0]) == b""


def test_memory_holds_a_window_and_no_more(objects: LocalObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "WINDOW", 1 << 20)
    taken = 0
    ahead = []

    def parts() -> Any:
        nonlocal taken
        for number in range(64):
            taken += 1
            yield Part(bytes([number]) * (1 << 18))

    batch_missing = module.Batch._missing

    def watched(batch: module.Batch, digests: Any, codec: str | None = None) -> set[Digest]:
        digests = list(digests)
        ahead.append(taken - len(batch.written) - len(digests))
        return batch_missing(batch, digests, codec)

    monkeypatch.setattr(module.Batch, "_missing", watched)
    with objects.batch() as batch:
        digests = batch.put_all(parts())
    assert len(set(digests)) == 64
    # One part was drawn to see that it does not fit.
    assert max(ahead) <= 1
    assert len(ahead) == 16


@pytest.mark.parametrize("delta", [-1, 0, 1])
def test_the_sizes_at_which_the_way_changes(
    home: Home, objects: LocalObjects, tmp_path: Path, delta: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STREAMED", 1 << 17)
    for number, size in enumerate((SMALL + delta, (1 << 17) + delta)):
        content = os.urandom(size)
        (tmp_path / str(number)).write_bytes(content)
        digest, found = objects.put_file(tmp_path / str(number))
        assert (digest, found) == (Digest.of(content), size)
        assert fresh(home).read(digest) == content
    with objects.batch() as batch:
        contents = [os.urandom(SMALL + delta) for _ in range(FEW)]
        digests = batch.put_all([Part(content) for content in contents])
    assert len(list(Packs(home).entries())) == (FEW if delta <= 0 else 0)
    assert [fresh(home).read(digest) for digest in digests] == contents


def test_a_streamed_file_that_is_there_is_not_written_again(
    home: Home, objects: LocalObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STREAMED", 1 << 16)
    path = tmp_path / "large"
    path.write_bytes(os.urandom(3 << 20))
    digest, _ = objects.put_file(path)
    before = objects.path(digest).stat()
    assert objects.put_file(path) == (digest, 3 << 20)
    after = objects.path(digest).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert left_over(home) == []
    objects.verify(digest)


def test_several_streamed_files_of_equal_content_are_one_object(
    home: Home, objects: LocalObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STREAMED", 1 << 16)
    content = os.urandom(1 << 18)
    for name in "abc":
        (tmp_path / name).write_bytes(content)
    with objects.batch() as batch:
        found = batch.put_files([SourceFile(str(tmp_path / name)) for name in "abc"])
    assert found == [(Digest.of(content), 1 << 18)] * 3
    assert list(fresh(home).loose()) == [Digest.of(content)]
    assert left_over(home) == []


@pytest.mark.parametrize("size", [40, SMALL + 9])
def test_putting_what_is_there_checks_it_and_heals_it(home: Home, objects: LocalObjects, size: int) -> None:
    contents = small(FEW, size)
    parts = [Part(content) for content in contents]
    with objects.batch() as batch:
        digests = batch.put_all(parts)
    for digest in digests[2:4]:
        entry = Packs(home).find(digest)
        path, place = (
            (objects.path(digest), 5)
            if entry is None
            else (home.packs / f"{entry.pack}.pack", entry.offset + HEADER_SIZE)
        )
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)
    with fresh(home).batch() as batch:
        assert batch.put_all(parts) == digests
        assert batch.written == set(digests[2:4])
    assert [fresh(home).read(digest) for digest in digests] == contents
    assert len(list(home.quarantine.iterdir())) == 2


def test_putting_what_is_whole_writes_nothing(home: Home, objects: LocalObjects) -> None:
    parts = [Part(content) for content in small(20)]
    with objects.batch() as batch:
        batch.put_all(parts)
    files = sorted(path for path in home.root.rglob("*") if path.is_file())
    with objects.batch() as batch:
        batch.put_all(parts)
        assert batch.written == set()
    assert sorted(path for path in home.root.rglob("*") if path.is_file()) == files


def test_a_file_that_cannot_be_read_leaves_nothing(home: Home, objects: LocalObjects, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 99)
    with pytest.raises(InvalidInput, match="none"):
        with objects.batch() as batch:
            batch.put_files([SourceFile(str(tmp_path / "a")), SourceFile(str(tmp_path / "none"))])
    assert left_over(home) == []
    assert list(fresh(home).digests()) == []


def test_threads_put_the_same_and_other_things_at_once(home: Home, objects: LocalObjects) -> None:
    shared = small(12)
    errors: list[BaseException] = []
    own = [small(12) for _ in range(6)]

    def put(number: int) -> None:
        try:
            with objects.batch() as batch:
                batch.put_all([Part(content) for content in [*shared, *own[number]]])
        except BaseException as error:  # noqa: BLE001  (a thread's error would be lost)
            errors.append(error)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for content in [*shared, *(content for contents in own for content in contents)]:
        assert fresh(home).read(Digest.of(content)) == content
    assert left_over(home) == []


def test_a_forked_child_puts_while_its_parent_does(home: Home, objects: LocalObjects) -> None:
    contents = small(12)
    with objects.batch() as batch:
        batch.put_all([Part(content) for content in contents])
        child = os.fork()
        if child == 0:
            failed = 1
            try:
                with open_objects(home).batch() as own:
                    own.put_all([Part(content + b"child") for content in contents])
                failed = 0
            finally:
                os._exit(failed)
        assert os.waitpid(child, 0)[1] == 0
    for content in contents:
        assert fresh(home).read(Digest.of(content)) == content
        assert fresh(home).read(Digest.of(content + b"child")) == content + b"child"
    assert left_over(home) == []


def test_a_pack_that_has_grown_is_closed_and_the_next_begun(
    home: Home, objects: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PACK_BYTES", 2000)
    contents = small(60, 200)
    with objects.batch() as batch:
        digests = batch.put_all([Part(content) for content in contents])
    assert len(Packs(home).names()) > 3
    assert [fresh(home).read(digest) for digest in digests] == contents


def test_known_bytes_are_read_only_where_the_store_lacks_them(home: Home) -> None:
    here, absent = small(2)
    with fresh(home).batch() as batch:
        batch.put(here)
    asked: list[bytes] = []

    def known(data: bytes) -> Known:
        def read() -> bytes:
            asked.append(data)
            return data

        return Known(Digest.of(data), read)

    with fresh(home).batch() as batch:
        batch.put_known([known(here), known(absent), known(absent)])
    assert asked == [absent]
    assert fresh(home).read(Digest.of(absent)) == absent
    with pytest.raises(SourceChanged), fresh(home).batch() as batch:
        batch.put_known([Known(Digest.of(b"what was there"), lambda: b"what is there")])
    assert left_over(home) == []
