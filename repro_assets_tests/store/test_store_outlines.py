"""A folder that was put before is known as a whole: only unchanged, and only where all its bytes are still there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import xxhash

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import tree
from repro_assets.identity.digest import Digest
from repro_assets.store import delta, outlines
from repro_assets.store.batch import SMALL
from repro_assets.store.home import Home, make_store
from repro_assets.store.layout import Form
from repro_assets.store.leases import leased
from repro_assets.store.opening import open_objects
from repro_assets.store.pack_writing import PackWriter
from repro_assets.store.packs import Packs, packs_of
from repro_assets.store.sources import Stamp, damaged_caches

ALONE = "large"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files have rested: twelve that share a pack, one that lies alone, and what is no file."""
    root = tmp_path / "project"
    (root / "sub/empty").mkdir(parents=True)
    for number in range(12):
        (root / f"sub/{number}").write_bytes(os.urandom(200))
    (root / ALONE).write_bytes(os.urandom(SMALL + 1))
    (root / "link").symlink_to("sub/1")
    monkeypatch.setattr(Stamp, "rested", lambda *_: True)
    return root


class Reading:
    """Whether a folder's files were looked at one by one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.happened = False
        write = tree.write

        def noticed(*arguments: object) -> object:
            self.happened = True
            return write(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(tree, "write", noticed)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    return Reading(monkeypatch)


def put(home: Home, folder: Path, reading: Reading) -> tuple[Artifact, bool]:
    reading.happened = False
    return repository.put(home, folder), reading.happened


def test_an_unchanged_folder_is_recognized_as_a_whole(home: Home, folder: Path, reading: Reading) -> None:
    first, looked = put(home, folder, reading)
    assert looked
    again, looked = put(home, folder, reading)
    assert not looked
    assert again == first
    assert again.is_whole(read=True)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda folder: (folder / "sub/3").write_bytes(bytes(200)),
    "length": lambda folder: (folder / "sub/3").write_bytes(b""),
    "executable": lambda folder: (folder / "sub/3").chmod(0o755),
    "name": lambda folder: (folder / "sub/3").rename(folder / "sub/three"),
    "place": lambda folder: (folder / "sub/3").rename(folder / "three"),
    "two files change places": lambda folder: [
        (folder / old).rename(folder / new) for old, new in (("sub/3", "x"), ("sub/4", "sub/3"), ("x", "sub/4"))
    ],
    "new": lambda folder: (folder / "new").write_bytes(b""),
    "gone": lambda folder: (folder / "sub/3").unlink(),
    "link": lambda folder: ((folder / "link").unlink(), (folder / "link").symlink_to("sub/2")),
    "link made a file": lambda folder: ((folder / "link").unlink(), (folder / "link").write_bytes(b"sub/1")),
    "folder": lambda folder: (folder / "another").mkdir(),
    "no folder": lambda folder: (folder / "sub/empty").rmdir(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_one_is_not(home: Home, folder: Path, reading: Reading, tmp_path: Path, change: str) -> None:
    first, _ = put(home, folder, reading)
    CHANGES[change](folder)
    changed, looked = put(home, folder, reading)
    assert looked
    assert changed != first
    assert changed.digest == repository.put(make_store(tmp_path / "other"), folder).digest


def _flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _pack(home: Home) -> Path:
    (pack,) = home.packs.glob("*.pack")
    return pack


def _lone(home: Home, folder: Path) -> Path:
    return open_objects(home).path(Digest.of((folder / ALONE).read_bytes()))


def _set_aside(home: Home, folder: Path) -> None:
    digest = Digest.of((folder / "sub/3").read_bytes())
    entry = packs_of(home).find(digest)
    assert entry is not None
    packs_of(home).set_aside(digest, entry)


LOSSES: dict[str, Callable[[Home, Path], object]] = {
    "the pack is gone": lambda home, _: _pack(home).unlink(),
    "the pack is in the trash": lambda home, _: _pack(home).rename(home.trash / _pack(home).name),
    "a bit of the pack is another": lambda home, _: _flipped(_pack(home)),
    "the pack is cut": lambda home, _: os.truncate(_pack(home), _pack(home).stat().st_size - 1),
    "an entry was set aside": _set_aside,
    "what lies alone is gone": lambda home, folder: _lone(home, folder).unlink(),
    "a bit of what lies alone is another": lambda home, folder: _flipped(_lone(home, folder)),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_lost_is_put_again(
    home: Home, folder: Path, reading: Reading, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    first, _ = put(home, folder, reading)
    LOSSES[loss](home, folder)
    # As another process sees it.
    monkeypatch.setattr("repro_assets.store.places.packs_of", Packs)
    again, looked = put(home, folder, reading)
    assert looked
    assert again == first
    assert again.is_whole(read=True)


@pytest.mark.parametrize("lose", [Path.unlink, _flipped])
def test_a_lost_manifest_is_put_again(home: Home, folder: Path, reading: Reading, lose: Callable[[Path], None]) -> None:
    for number in range(10):
        (folder / f"sub/{number}").unlink()
    first, _ = put(home, folder, reading)
    assert not put(home, folder, reading)[1]
    lose(open_objects(home).path(first.digest))
    again, looked = put(home, folder, reading)
    assert looked
    assert again == first
    assert again.is_whole(read=True)


def test_a_lease_on_all_is_taken_before_the_look(
    home: Home, folder: Path, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = put(home, folder, reading)
    leases = list(home.leases.iterdir())
    for path in leases:
        path.unlink()
    needed = set(first.manifest.objects())
    missing: list[set[Digest]] = []
    is_whole = Packs.is_whole

    def look(self: Packs, pack: str, check: bytes) -> bool:
        missing.append(needed - leased(home, 0))
        return is_whole(self, pack, check)

    monkeypatch.setattr(Packs, "is_whole", look)
    assert not put(home, folder, reading)[1]
    assert missing == [set()]


def test_nothing_is_remembered_of_a_folder_that_was_just_written(
    home: Home, folder: Path, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stamp, "rested", lambda *_: False)
    put(home, folder, reading)
    assert not list(home.cache.glob("sources/*.outline"))


def test_a_flipped_bit_in_what_is_remembered_is_found(home: Home, folder: Path, reading: Reading) -> None:
    put(home, folder, reading)
    outline = tree.survey(folder).outline
    (file,) = home.cache.glob("sources/*.outline")
    data = file.read_bytes()
    assert outlines.recall(home, folder, outline) is not None
    for place in (0, 16, 17, 40, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        assert outlines.recall(home, folder, outline) is None
        assert damaged_caches(home) == [file.name]


def test_objects_in_a_pack_of_others_are_looked_at_one_by_one(home: Home, folder: Path, reading: Reading) -> None:
    with open_objects(home).batch() as batch:
        shared = [batch.put((folder / f"sub/{number}").read_bytes()) for number in range(12)]
        for number in range(40):
            batch.put(os.urandom(200 + number))
    put(home, folder, reading)
    known = outlines.recall(home, folder, tree.survey(folder).outline)
    assert known is not None
    assert not known.packs
    assert set(known.alone) >= set(shared)
    assert not put(home, folder, reading)[1]


def test_a_pack_with_a_difference_in_it_is_no_evidence(home: Home) -> None:
    stored = bytes(100)
    digest = Digest.of(b"another one")
    for codec, known in (("raw", True), (delta.DELTA, False), (delta.DELTA2, False)):
        writer = PackWriter(home)
        writer.add(digest, Form(codec, 100, 100, xxhash.xxh3_128_digest(stored)), stored)
        writer.close()
        packs = Packs(home)
        entry = next(entry for _, entry in packs.entries() if entry.pack == writer.pack)
        assert (packs.check_whole(writer.pack, [(digest, entry)], 0.5) is not None) == known
