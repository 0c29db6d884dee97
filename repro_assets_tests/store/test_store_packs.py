"""Packs: read without an index, past damage, while others come and go."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from packed import CONTENTS, assert_reads, flip, fresh, packed

from repro_assets.errors import CorruptObject, MissingObject
from repro_assets.identity.digest import Digest
from repro_assets.store import pack_index
from repro_assets.store import packs as module
from repro_assets.store.home import Home, make_store
from repro_assets.store.layout import HEADER_SIZE
from repro_assets.store.pack_scanning import scan
from repro_assets.store.pack_writing import PackWriter
from repro_assets.store.packs import Packs


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

    monkeypatch.setattr(pack_index, "scan", goes)
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
