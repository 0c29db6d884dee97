"""Packs: read without an index, past damage, while others come and go."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from repro_assets.errors import CorruptObject, MissingObject
from repro_assets.identity.digest import Digest
from repro_assets.store import packs as module
from repro_assets.store.batch import Part
from repro_assets.store.home import Home, make_store
from repro_assets.store.layout import HEADER_SIZE
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects
from repro_assets.store.packs import Packs, PackWriter, gaps, scan

CONTENTS = [os.urandom(64) for _ in range(12)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_store(tmp_path / "store")


def packed(home: Home, contents: list[bytes]) -> Path:
    """Put contents into one pack and return its path."""
    before = set(home.packs.glob("*.pack"))
    with open_objects(home).batch() as batch:
        batch.put_all([Part(content) for content in contents])
    (made,) = set(home.packs.glob("*.pack")) - before
    return made


def fresh(home: Home) -> LocalObjects:
    objects = open_objects(home)
    objects.places.packs = Packs(home)
    return objects


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)


def assert_reads(home: Home, contents: list[bytes]) -> None:
    objects = fresh(home)
    for content in contents:
        assert objects.read(Digest.of(content)) == content


def test_a_pack_describes_itself(home: Home) -> None:
    pack = packed(home, CONTENTS)
    assert [digest for digest, _, _ in scan(pack)] == [Digest.of(content) for content in CONTENTS]
    assert gaps(pack) == []


def test_a_lost_index_is_made_again_by_a_read(home: Home) -> None:
    index = packed(home, CONTENTS).with_suffix(".idx")
    written = index.read_bytes()
    index.unlink()
    assert_reads(home, CONTENTS)
    assert index.read_bytes() == written


def test_any_flipped_byte_of_an_index_costs_no_object(home: Home) -> None:
    index = packed(home, CONTENTS[:8]).with_suffix(".idx")
    written = index.read_bytes()
    for place in range(len(written)):
        flip(index, place)
        assert_reads(home, CONTENTS[:2])
        assert index.read_bytes() == written


def test_the_index_of_another_pack_of_the_same_size_is_not_believed(home: Home) -> None:
    first, second = packed(home, CONTENTS[:8]), packed(home, [os.urandom(64) for _ in range(8)])
    assert first.stat().st_size == second.stat().st_size
    index = first.with_suffix(".idx")
    index.write_bytes(second.with_suffix(".idx").read_bytes())
    assert_reads(home, CONTENTS[:8])
    assert not home.quarantine.exists()


def test_a_cut_off_index_is_made_again(home: Home) -> None:
    index = packed(home, CONTENTS).with_suffix(".idx")
    written = index.read_bytes()
    for size in (0, 3, 16, 24, len(written) - 48, len(written) - 1):
        index.write_bytes(written[:size])
        assert_reads(home, CONTENTS)


@pytest.mark.parametrize("place", [0, 9, 45, 60, 70, 90, HEADER_SIZE - 1])
def test_the_search_goes_on_behind_a_damaged_header(home: Home, place: int) -> None:
    pack = packed(home, CONTENTS)
    offset = list(scan(pack))[5][1]
    flip(pack, offset + place)
    pack.with_suffix(".idx").unlink()
    left = [digest for digest, _, _ in scan(pack)]
    assert left == [Digest.of(content) for content in CONTENTS if content != CONTENTS[5]]
    assert gaps(pack) == [(offset, offset + HEADER_SIZE + 64)]
    assert_reads(home, CONTENTS[:5] + CONTENTS[6:])
    with pytest.raises(MissingObject):
        fresh(home).read(Digest.of(CONTENTS[5]))


def test_content_that_looks_like_a_header_is_none(home: Home) -> None:
    inner = packed(home, CONTENTS).read_bytes()[8:300]
    false = [b"reproPE1" * 30, *(bytes([number]) + os.urandom(90) for number in range(8)), os.urandom(7) + inner]
    pack = packed(home, false)
    pack.with_suffix(".idx").unlink()
    assert [digest for digest, _, _ in scan(pack)] == [Digest.of(content) for content in false]
    flip(pack, next(scan(pack))[1])
    # The search meets the magic inside the damaged entry, and no header there.
    assert [digest for digest, _, _ in scan(pack)] == [Digest.of(content) for content in false[1:]]


def test_a_whole_copy_is_read_once_the_damaged_one_is_set_aside(home: Home) -> None:
    other = make_store(home.root.parent / "other")
    packed(home, CONTENTS)
    twin = packed(other, CONTENTS)
    for path in (twin, twin.with_suffix(".idx")):
        (home.packs / path.name).write_bytes(path.read_bytes())
    objects = fresh(home)
    digest = Digest.of(CONTENTS[3])
    entry = objects.packs.find(digest)
    assert entry is not None
    flip(home.packs / f"{entry.pack}.pack", entry.offset + HEADER_SIZE)
    with pytest.raises(CorruptObject, match=digest.hex):
        objects.read(digest)
    second = objects.packs.find(digest)
    assert second is not None
    assert second.pack != entry.pack
    for reader in (objects, fresh(home)):
        assert reader.read(digest) == CONTENTS[3]


def test_one_entry_is_set_aside_and_the_rest_of_its_pack_goes_on(home: Home) -> None:
    pack = packed(home, CONTENTS)
    objects, digest = fresh(home), Digest.of(CONTENTS[3])
    entry = objects.packs.find(digest)
    assert entry is not None
    objects.packs.set_aside(digest, entry)
    assert (home.quarantine / f"{digest.hex}.{entry.pack}-{entry.offset}").read_bytes()[HEADER_SIZE:] == CONTENTS[3]
    for reader in (objects, fresh(home)):
        assert not reader.has(digest)
        assert digest not in set(reader.digests())
    assert_reads(home, CONTENTS[:3] + CONTENTS[4:])
    assert [digest for digest, _, _ in scan(pack)] == [Digest.of(content) for content in CONTENTS]


def test_a_pack_that_comes_is_found_at_once_and_one_that_goes_is_missed(home: Home) -> None:
    objects = fresh(home)
    digest = Digest.of(CONTENTS[0])
    assert not objects.has(digest)
    pack = packed(home, CONTENTS)
    assert objects.read(digest) == CONTENTS[0]
    pack.unlink()
    with pytest.raises(MissingObject):
        objects.read(digest)


def test_what_came_within_the_step_of_the_clock_is_found(home: Home) -> None:
    objects = fresh(home)
    made = packed(home, CONTENTS[:8])
    assert objects.has(Digest.of(CONTENTS[0]))
    stamp = home.packs.stat()
    packed(home, [os.urandom(40) for _ in range(7)] + [b"late" * 10])
    # A folder whose time did not move, as on a file system with a coarse clock.
    os.utime(home.packs, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert objects.has(Digest.of(b"late" * 10))
    assert made.exists()


def test_a_folder_that_rested_is_not_listed_again(home: Home) -> None:
    packed(home, CONTENTS)
    old = time.time_ns() - 10 * 10**9
    os.utime(home.packs, ns=(old, old))
    packs = Packs(home)
    assert packs.refresh()
    assert not packs.refresh()
    os.utime(home.packs)
    assert packs.refresh()


def test_a_reader_keeps_what_it_has_opened_when_the_pack_is_removed(home: Home) -> None:
    pack = packed(home, CONTENTS)
    objects, digest = fresh(home), Digest.of(CONTENTS[0])
    entry = objects.packs.find(digest)
    assert entry is not None
    opened = objects.packs.open(digest, entry)
    assert opened is not None
    pack.unlink()
    assert os.pread(opened[0], 64, entry.offset + HEADER_SIZE) == CONTENTS[0]
    os.close(opened[0])
    assert objects.packs.open(digest, entry) is None


def test_a_pack_that_went_to_the_trash_is_read_there(home: Home) -> None:
    pack = packed(home, CONTENTS)
    objects = fresh(home)
    assert objects.read(Digest.of(CONTENTS[1])) == CONTENTS[1]
    home.trash.mkdir(exist_ok=True)
    for path in (pack, pack.with_suffix(".idx")):
        path.rename(home.trash / path.name)
    for reader in (objects, fresh(home)):
        assert reader.read(Digest.of(CONTENTS[1])) == CONTENTS[1]


@pytest.mark.parametrize("look", ["check_index", "find"])
def test_a_pack_that_goes_while_its_index_is_made_again_is_missed_and_no_error(
    home: Home, monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    pack = packed(home, CONTENTS)
    pack.with_suffix(".idx").unlink()

    def goes(path: Path) -> object:
        pack.rename(home.trash / pack.name)
        return scan(path)

    monkeypatch.setattr(module, "scan", goes)
    packs = Packs(home)
    assert (packs.check_index(pack.stem) if look == "check_index" else packs.find(Digest.of(b"unknown"))) is None
    assert (home.trash / pack.name).is_file()


def test_a_large_index_is_searched_where_it_is(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TO_DICTIONARY", 4)
    pack = packed(home, CONTENTS)
    small = packed(home, [CONTENTS[0][:9] + bytes([number]) for number in range(8)])
    monkeypatch.setattr(module, "_TO_DICTIONARY", 10)
    packs = Packs(home)
    assert {entry.pack for _, entry in packs.entries()} == {pack.stem, small.stem}
    for content in CONTENTS:
        entry = packs.find(Digest.of(content))
        assert entry is not None
        assert entry.pack == pack.stem
    assert packs.find(Digest.of(b"never put")) is None
    digest = Digest.of(CONTENTS[2])
    found = packs.find(digest)
    assert found is not None
    packs.set_aside(digest, found)
    assert packs.find(digest) is None
    assert_reads(home, CONTENTS[:2] + CONTENTS[3:])


def test_more_entries_than_a_dictionary_takes_are_all_found(home: Home) -> None:
    count = (1 << 16) + 3
    writer = PackWriter(home)
    from repro_assets.store.layout import Form

    for number in range(count):
        writer.add(Digest(f"{number * 7919:064x}"), Form("raw", 0, 0, bytes(16)), b"")
    writer.close()
    packs = Packs(home)
    assert packs._large.keys() == set() and packs.refresh()
    assert list(packs._large) == packs.names()
    for number in (0, 1, 2, count // 2, count - 2, count - 1):
        assert packs.find(Digest(f"{number * 7919:064x}")) is not None
    assert packs.find(Digest(f"{7918:064x}")) is None
    assert sum(1 for _ in packs.entries()) == count


def test_readers_find_everything_while_packs_come(home: Home) -> None:
    rounds = [[os.urandom(30) for _ in range(9)] for _ in range(12)]
    shown: list[bytes] = []
    errors: list[BaseException] = []
    objects = fresh(home)
    over = threading.Event()

    def read() -> None:
        try:
            while not over.is_set():
                for content in list(shown):
                    assert objects.read(Digest.of(content)) == content
        except BaseException as error:  # noqa: BLE001  (a thread's error would be lost)
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for contents in rounds:
        packed(home, contents)
        shown += contents
    over.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert_reads(home, shown)


def test_a_pack_that_was_abandoned_leaves_nothing(home: Home) -> None:
    from repro_assets.store.layout import Form

    writer = PackWriter(home)
    writer.add(Digest.of(b"x"), Form("raw", 1, 1, bytes(16)), b"x")
    writer.abandon()
    writer.abandon()
    assert list(home.temporary.iterdir()) == []
    assert not home.packs.exists()
