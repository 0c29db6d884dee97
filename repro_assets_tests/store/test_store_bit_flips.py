"""One flipped bit in any kind of file is found: by what reads the file, and by the check."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import numpy
import pytest

from repro_assets.artifacts import names, repository
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.soundness import check_store
from repro_assets.errors import CorruptRecord, IntegrityError, ReproError
from repro_assets.identity.digest import Digest
from repro_assets.journal.segments import Damage, list_segments, read_segment
from repro_assets.store import leases
from repro_assets.store.home import MARKER, Home, make_store, open_store
from repro_assets.store.layout import HEADER_SIZE
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects
from repro_assets.store.pack_scanning import scan
from repro_assets.store.packs import Packs, packs_of
from repro_assets.store.sources import StatCache, stamp_of

VALUE = {f"layer{number}": numpy.arange(40, dtype="float32") * number for number in range(10)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A store with a file of every kind; each test puts back what it changes."""
    home = make_store(tmp_path_factory.mktemp("flips") / "store")
    repository.claim(repository.put(home, VALUE), "model")
    repository.put(home, os.urandom(3000))
    leases.lease_on(home).take([Digest.of(b"relied on")])
    source = home.root.parent / "source"
    source.write_bytes(b"source")
    os.utime(source, (1, 1))
    cache = StatCache(home, source)
    cache.learn(str(source), stamp_of(source), Digest.of(b"source"), time.time_ns() + 10**10)
    cache.save()
    return home


def fresh(home: Home) -> LocalObjects:
    objects = open_objects(home, DECODERS)
    objects.places.packs = Packs(home)
    return objects


def bits(size: int, count: int = 24) -> list[tuple[int, int]]:
    """Places and bits: the ends of a file, and others by chance."""
    chance = random.Random(size)
    return [(0, 0), (size - 1, 7), *((chance.randrange(size), chance.randrange(8)) for _ in range(count))]


class Flipped:
    """One bit of a file is another, until the end of the block."""

    def __init__(self, path: Path, place: int, bit: int) -> None:
        self.path, self.place, self.bit = path, place, bit
        self.data = path.read_bytes()

    def __enter__(self) -> None:
        changed = bytearray(self.data)
        changed[self.place] ^= 1 << self.bit
        self.path.write_bytes(changed)

    def __exit__(self, *_: object) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(self.data)
        quarantine = self.path
        while quarantine.name and not (quarantine / MARKER).is_file():
            quarantine = quarantine.parent
        for path in (quarantine / "quarantine").glob("*"):
            path.unlink()


def test_a_whole_store_is_whole(home: Home) -> None:
    for full in (False, True):
        found = check_store(home, full=full)
        assert found.ok, found.document()
        assert found.rebuilt == []


def test_every_loose_object_and_manifest(home: Home) -> None:
    loose = list(fresh(home).loose())
    assert len(loose) >= 2
    for digest in loose:
        path = fresh(home).path(digest)
        for place, bit in bits(path.stat().st_size):
            with Flipped(path, place, bit):
                with pytest.raises(IntegrityError, match=digest.hex):
                    fresh(home).read(digest)
            with Flipped(path, place, bit):
                found = check_store(home, full=True)
                assert str(digest) in {item["digest"] for item in found.corrupt}


def test_every_part_of_a_pack(home: Home) -> None:
    (pack,) = home.packs.glob("*.pack")
    size = pack.stat().st_size
    entries = [(offset, offset + HEADER_SIZE + form.stored_size, digest) for digest, offset, form in scan(pack)]
    for place, bit in [*((number, 3) for number in range(8)), *bits(size, 60), *bits(size - 1, 60)]:
        owner = next((digest for start, end, digest in entries if start <= place < end), None)
        if owner is not None:
            with Flipped(pack, place, bit):
                with pytest.raises(IntegrityError, match=owner.hex):
                    fresh(home).read(owner)
        with Flipped(pack, place, bit):
            found = check_store(home, full=True)
            assert not found.ok
            if owner is None:
                assert found.packs[0]["offset"] == 0
            else:
                assert str(owner) in {item["digest"] for item in found.corrupt}


def test_every_index(home: Home) -> None:
    (index,) = home.packs.glob("*.idx")
    written = index.read_bytes()
    digests = list(fresh(home).digests())
    for place, bit in bits(len(written), 60):
        with Flipped(index, place, bit):
            # A read finds it and makes it again.
            assert list(fresh(home).digests()) == digests
            assert index.read_bytes() == written
        with Flipped(index, place, bit):
            found = check_store(home)
            assert [item["file"] for item in found.rebuilt] == [f"packs/{index.name}"]
            assert index.read_bytes() == written


def test_an_index_is_named_before_anything_that_is_looked_for_mends_it(tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    # No version and no run keeps it, so the check asks whether it is there at all.
    repository.put(home, VALUE)
    (index,) = home.packs.glob("*.idx")
    with Flipped(index, 0, 0):
        # As in a process that comes after the damage.
        packs_of(home).__init__(home)  # type: ignore[misc]
        assert [item["file"] for item in check_store(home).rebuilt] == [f"packs/{index.name}"]


def test_every_line_of_the_journal(home: Home) -> None:
    (segment,) = list_segments(home.journal)
    for place, bit in bits(segment.stat().st_size, 120):
        with Flipped(segment, place, bit):
            read = [item for item, _ in read_segment(segment)]
            assert any(isinstance(item, Damage) for item in read), (place, bit)
            found = check_store(home)
            assert found.journal, (place, bit)
            assert not found.ok


def test_every_bit_of_a_claim(home: Home) -> None:
    claim = home.names / "model" / "1"
    for place in range(claim.stat().st_size):
        for bit in range(8):
            with Flipped(claim, place, bit):
                with pytest.raises(ReproError, match="model/1"):
                    names.newest(home, "model")
    for place, bit in bits(claim.stat().st_size):
        with Flipped(claim, place, bit):
            assert [item["claim"] for item in check_store(home).claims] == ["model/1"]


def test_every_bit_of_the_marker(home: Home) -> None:
    marker = home.root / MARKER
    for place in range(marker.stat().st_size):
        for bit in range(8):
            changed = bytearray(marker.read_bytes())
            changed[place] ^= 1 << bit
            other = home.root.parent / "copy"
            other.mkdir(exist_ok=True)
            (other / MARKER).write_bytes(changed)
            with pytest.raises(ReproError):
                open_store(other)


def test_claims_and_markers_that_were_written_without_a_checksum_still_read(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text(json.dumps({"format": 1, "store_id": "0" * 32}) + "\n")
    home = open_store(tmp_path)
    (home.names / "model").mkdir(parents=True)
    members = {"digest": str(Digest.of(b"x")), "kind": "bytes", "run_id": None, "trial": False}
    (home.names / "model" / "1").write_text(json.dumps(members) + "\n")
    assert names.newest(home, "model").digest == Digest.of(b"x")
    claimed, new = names.claim(home, "model", Digest.of(b"y"), "bytes", None, trial=False)
    assert (claimed.number, new) == (2, True)
    assert names.newest(home, "model") == claimed


def test_every_row_of_a_lease(home: Home) -> None:
    (lease,) = home.leases.iterdir()
    for place, bit in bits(lease.stat().st_size):
        with Flipped(lease, place, bit):
            with pytest.raises(CorruptRecord, match=lease.name):
                leases.leased(home, 3600)
            found = check_store(home)
            assert [item["file"] for item in found.files] == [f"leases/{lease.name}"]
            assert not found.ok


def test_every_stat_cache(home: Home) -> None:
    source = home.root.parent / "source"
    (cache,) = (home.cache / "sources").iterdir()
    assert StatCache(home, source).digest(str(source), stamp_of(source)) == Digest.of(b"source")
    for place, bit in bits(cache.stat().st_size):
        with Flipped(cache, place, bit):
            assert StatCache(home, source).digest(str(source), stamp_of(source)) is None
            found = check_store(home)
            # It is not needed, so the store is in order; but it is named.
            assert found.ok
            assert [item["file"] for item in found.rebuilt] == [f"cache/sources/{cache.name}"]
