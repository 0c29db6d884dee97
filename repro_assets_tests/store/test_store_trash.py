"""What is taken to the trash is read there, and comes back only where it is named and lies nowhere else."""

from __future__ import annotations

import os
import time

from repro_assets.identity.digest import Digest
from repro_assets.store.objects import LocalObjects
from repro_assets.store.staging import Part
from repro_assets.store.trash import Trash, modified

SMALL = [b"content %d" % number for number in range(10)]


def test_a_lone_object_is_read_in_the_trash_and_its_time_counts_from_the_move(objects: LocalObjects) -> None:
    digest = objects.put(b"alone")
    path = objects.path(digest)
    os.utime(path, (1, 1))
    trash = Trash(objects)
    assert trash.take(path, digest.hex)
    assert not trash.take(path, digest.hex), "it is gone"
    assert objects.read(digest) == b"alone"
    ((held, files),) = trash.contents()
    assert held == {digest}
    assert modified(files[0]) > time.time() - 60
    assert trash.restore([digest]) == 1
    assert path.is_file()
    assert list(trash.contents()) == []


def test_a_pack_goes_and_comes_back_with_its_index(objects: LocalObjects) -> None:
    with objects.batch() as batch:
        batch.put_all([Part(data) for data in SMALL])
    (pack,) = objects.packs.names()
    trash = Trash(objects)
    assert trash.take_pack(pack)
    assert [objects.read(Digest.of(data)) for data in SMALL] == SMALL
    assert trash.restore({Digest.of(b"something else")}) == 0
    assert trash.restore({Digest.of(SMALL[0])}) == 1
    assert sorted(path.name for path in objects.home.packs.iterdir()) == [f"{pack}.idx", f"{pack}.pack"]
    assert list(objects.home.trash.iterdir()) == []


def test_what_lies_in_its_place_as_well_stays_in_the_trash(objects: LocalObjects) -> None:
    digest = objects.put(b"twice")
    trash = Trash(objects)
    assert trash.take(objects.path(digest), digest.hex)
    objects.put(b"twice")
    assert trash.restore([digest]) == 0
    assert [held for held, _ in trash.contents()] == [{digest}]
