"""The check finds damage in packs, makes indexes again, and goes on where it was interrupted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry as Part
from repro_assets.identity.manifest import Manifest
from repro_assets.store import verified
from repro_assets.store.fsck import Findings, check
from repro_assets.store.home import Home, make_store
from repro_assets.store.layout import HEADER_SIZE
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects
from repro_assets.store.pack_index import Entry
from repro_assets.store.packs import Packs
from repro_assets.store.staging import Part as Given

CONTENTS = [os.urandom(50) for _ in range(10)]
DIGESTS = [Digest.of(content) for content in CONTENTS]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A store with one pack of ten objects."""
    home = make_store(tmp_path / "store")
    with open_objects(home).batch() as batch:
        batch.put_all([Given(content) for content in CONTENTS])
    return home


def fresh(home: Home) -> LocalObjects:
    """The objects as another process sees them."""
    objects = open_objects(home)
    objects.places.packs = Packs(home)
    return objects


def entry_of(home: Home, number: int) -> Entry:
    found = Packs(home).find(DIGESTS[number])
    assert found is not None
    return found


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def flip_in_pack(home: Home, number: int, place: int) -> Entry:
    """Change a byte of an entry, counted from its header."""
    entry = entry_of(home, number)
    flip(home.packs / f"{entry.pack}.pack", entry.offset + place)
    return entry


def needing(home: Home, *numbers: int) -> dict[Digest, list[str]]:
    """Put an artifact that needs some of the objects."""
    parts = (Part(str(number), 50, (DIGESTS[number],)) for number in numbers)
    return {fresh(home).put(Manifest("segments", tuple(parts)).encode()): ["model"]}


@pytest.mark.parametrize("full", [False, True])
def test_whole_packs_are_in_order_and_counted(home: Home, full: bool) -> None:
    found = check(fresh(home), {}, full=full)
    assert found == Findings(checked=10, packs_checked=1)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("place", [0, 8, 40, 60, 97, HEADER_SIZE - 1])
def test_a_damaged_header_is_named_with_its_pack_its_place_and_its_object(home: Home, full: bool, place: int) -> None:
    entry = flip_in_pack(home, 4, place)
    found = check(fresh(home), {DIGESTS[4]: ["model"]}, full=full)
    assert [(item["digest"], item["affects"]) for item in found.corrupt] == [(str(DIGESTS[4]), ["model"])]
    if not full:
        (damage,) = found.packs
        assert (damage["pack"], damage["offset"], damage["length"]) == (entry.pack, entry.offset, HEADER_SIZE + 50)
        assert damage["digests"] == [str(DIGESTS[4])]
    assert found.checked == 10


def test_a_damaged_header_without_an_index_is_still_damage_of_the_pack(home: Home) -> None:
    entry = flip_in_pack(home, 4, 20)
    (home.packs / f"{entry.pack}.idx").unlink()
    for full in (False, True, True):
        found = check(fresh(home), {DIGESTS[4]: ["model"]}, full=full)
        (damage,) = found.packs
        assert (damage["pack"], damage["offset"], damage["digests"]) == (entry.pack, entry.offset, [])
        # What was there cannot be known any more, but what needs it can.
        assert found.missing == [{"digest": str(DIGESTS[4]), "affects": ["model"]}]
        assert not found.ok


def test_changed_bytes_are_found_in_full_reported_until_they_are_put_again_and_then_no_more(home: Home) -> None:
    flip_in_pack(home, 7, HEADER_SIZE + 3)
    needed = needing(home, 7)
    assert check(fresh(home), needed).ok
    for full in (True, True, False):
        found = check(fresh(home), needed, full=full)
        (corrupt,) = found.corrupt
        assert (corrupt["digest"], corrupt["affects"]) == (str(DIGESTS[7]), ["model"])
        assert (found.missing, found.packs, found.quarantined) == ([], [], 1)
    assert "quarantine" in corrupt["reason"]
    fresh(home).put(CONTENTS[7])
    for full in (True, False):
        found = check(fresh(home), needed, full=full)
        assert found.ok
        assert found.quarantined == 1
    assert fresh(home).read(DIGESTS[7]) == CONTENTS[7]


def test_what_is_in_quarantine_and_needed_by_nothing_is_no_damage(home: Home) -> None:
    flip_in_pack(home, 7, HEADER_SIZE)
    assert not check(fresh(home), {}, full=True).ok
    found = check(fresh(home), {}, full=True)
    assert (found.ok, found.quarantined, found.checked) == (True, 1, 9)


def test_a_pack_that_was_cut_off_names_what_it_lost(home: Home) -> None:
    entry = max((entry_of(home, number) for number in range(10)), key=lambda entry: entry.offset)
    path = home.packs / f"{entry.pack}.pack"
    with path.open("rb+") as file:
        file.truncate(entry.offset + HEADER_SIZE + 10)
    found = check(fresh(home), {}, full=True)
    # The index is not of this size any more, so it cannot say what was there.
    assert [(item["offset"], item["length"]) for item in found.packs] == [(entry.offset, HEADER_SIZE + 10)]
    assert found.checked == 9


@pytest.mark.parametrize("place", [0, 9, 20, 50, -1])
def test_a_damaged_index_is_made_again_and_named(home: Home, place: int) -> None:
    (path,) = home.packs.glob("*.idx")
    before = path.read_bytes()
    flip(path, place)
    found = check(fresh(home), {}, full=True)
    assert found.ok
    assert [item["file"] for item in found.rebuilt] == [f"packs/{path.name}"]
    assert path.read_bytes() == before
    assert check(fresh(home), {}).rebuilt == []


def test_a_missing_index_is_made_again_and_named(home: Home) -> None:
    (path,) = home.packs.glob("*.idx")
    path.unlink()
    found = check(fresh(home), {})
    assert found.ok
    assert [(item["file"], item["reason"]) for item in found.rebuilt] == [(f"packs/{path.name}", "it was gone")]
    assert path.is_file()


def test_a_damaged_second_copy_is_found_and_the_first_one_is_still_read(home: Home) -> None:
    objects = fresh(home)
    flip_in_pack(home, 2, HEADER_SIZE + 1)
    # A putter that finds it damaged puts it again; the copy that comes back into use is the damaged one.
    assert objects.put(CONTENTS[2]) == DIGESTS[2]
    for file in home.quarantine.iterdir():
        file.unlink()
    needed = needing(home, 2)
    assert not check(fresh(home), needed, full=True).ok
    assert check(fresh(home), needed, full=True).ok
    assert fresh(home).read(DIGESTS[2]) == CONTENTS[2]


def test_a_damaged_loose_copy_beside_a_packed_one_is_found(home: Home) -> None:
    elsewhere = make_store(home.root.parent / "elsewhere")
    open_objects(elsewhere).put(CONTENTS[5])
    target = open_objects(home).path(DIGESTS[5])
    target.parent.mkdir(parents=True)
    open_objects(elsewhere).path(DIGESTS[5]).rename(target)
    assert check(fresh(home), {}, full=True).ok
    flip(target, 3)
    assert [item["file"] for item in check(fresh(home), {}, full=True).files] == [
        f"objects/{target.parent.name}/{target.name}"
    ]
    assert check(fresh(home), {}, full=True).ok


def test_a_needed_object_in_the_trash_is_checked(home: Home) -> None:
    objects = fresh(home)
    alone = objects.put(b"alone" * 9)
    home.trash.mkdir(exist_ok=True)
    objects.path(alone).rename(home.trash / alone.hex)
    assert check(fresh(home), {Digest.of(b"none"): []}, full=True).corrupt == []
    flip(home.trash / alone.hex, 2)
    manifest = Manifest("segments", (Part("0", 45, (alone,)),)).encode()
    artifact = objects.put(manifest)
    assert check(fresh(home), {}, full=True).ok
    for full in (True, False):
        found = check(fresh(home), {artifact: ["model"]}, full=full)
        assert [(item["digest"], item["affects"]) for item in found.corrupt] == [(str(alone), ["model"])]


def test_what_a_bad_base_affects_is_named(home: Home) -> None:
    flip_in_pack(home, 1, 0)
    first = fresh(home).put(Manifest("segments", (Part("0", 50, (DIGESTS[0],)),)).encode())

    def chains(digest: Digest) -> Iterable[Digest]:
        return [DIGESTS[1]] if digest == DIGESTS[0] else []

    found = check(fresh(home), {first: ["model"]}, chains=chains)
    assert [(item["digest"], item["affects"]) for item in found.corrupt] == [(str(DIGESTS[1]), ["model"])]


class Stopped(Exception):
    pass


def interrupted(home: Home, after: int) -> None:
    def stop(count: int) -> None:
        if count == after:
            raise Stopped

    with pytest.raises(Stopped):
        check(fresh(home), {}, full=True, progress=stop)


def test_an_interrupted_full_check_goes_on_where_it_was(home: Home) -> None:
    interrupted(home, 6)
    interrupted(home, 8)
    found = check(fresh(home), {}, full=True)
    assert (found.checked, found.resumed, found.ok) == (10, 8, True)
    assert list(home.cache.iterdir()) == []
    assert check(fresh(home), {}, full=True).resumed == 0


def test_what_was_verified_before_the_interruption_is_verified_again_only_on_request_or_after_a_week(
    home: Home,
) -> None:
    first = sorted(DIGESTS)[0]
    interrupted(home, 6)
    flip_in_pack(home, DIGESTS.index(first), HEADER_SIZE)
    interrupted(home, 9)
    file = home.cache / "fsck-full"
    remembered = file.read_bytes()
    assert check(fresh(home), {}, full=True, restart=True).corrupt[0]["digest"] == str(first)
    file.write_bytes(remembered)
    old = time.time() - verified.PASS_SECONDS - 1
    os.utime(file, (old, old))
    assert check(fresh(home), {}, full=True).resumed == 0


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"x" + data[1:], lambda data: b""])
def test_a_damaged_place_to_go_on_from_costs_time_and_nothing_else(home: Home, damage: object) -> None:
    interrupted(home, 6)
    file = home.cache / "fsck-full"
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    interrupted(home, 7)
    found = check(fresh(home), {}, full=True)
    assert found.ok
    assert found.checked == 10
    assert found.resumed <= 7


def test_bad_objects_are_never_remembered_as_verified(home: Home) -> None:
    flip_in_pack(home, DIGESTS.index(sorted(DIGESTS)[0]), HEADER_SIZE)
    needed = needing(home, *range(10))
    interrupted(home, 5)
    for _ in range(2):
        assert [item["digest"] for item in check(fresh(home), needed, full=True).corrupt] == [str(sorted(DIGESTS)[0])]


def test_an_index_without_its_pack_is_unfinished_and_no_damage(home: Home) -> None:
    (home.packs / f"{'a' * 32}.idx").write_bytes(b"")
    found = check(fresh(home), {}, full=True)
    assert (found.ok, found.unfinished) == (True, 1)


@pytest.mark.parametrize("place", [HEADER_SIZE + 1, 20])
def test_damage_of_the_copy_that_no_reader_gets_is_found(home: Home, place: int) -> None:
    other = make_store(home.root.parent / "other")
    with open_objects(other).batch() as batch:
        batch.put_all([Given(content) for content in CONTENTS])
    for path in other.packs.iterdir():
        (home.packs / path.name).write_bytes(path.read_bytes())
    assert check(fresh(home), {}, full=True) == Findings(checked=10, packs_checked=2)
    read = entry_of(home, 3)
    (spare,) = (path for path in home.packs.glob("*.pack") if path.stem != read.pack)
    flip(spare, read.offset + place)
    found = check(fresh(home), {}, full=True)
    assert found.corrupt == []
    assert {(item["pack"], item["offset"]) for item in found.packs} == {(spare.stem, read.offset)}
    assert fresh(home).read(DIGESTS[3]) == CONTENTS[3]
    assert check(fresh(home), {}, full=True).ok


def test_a_row_that_does_not_match_its_checksum_makes_nothing_verified(home: Home) -> None:
    flip_in_pack(home, 0, HEADER_SIZE)
    home.cache.mkdir()
    (home.cache / "fsck-full").write_bytes(bytes.fromhex(DIGESTS[0].hex) + bytes(8))
    assert [item["digest"] for item in check(fresh(home), {}, full=True).corrupt] == [str(DIGESTS[0])]
