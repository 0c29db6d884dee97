"""Laying out: every byte is verified, and what could not be is not left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from repro_assets.errors import CorruptObject, MissingObject
from repro_assets.identity.digest import Digest
from repro_assets.store.laying import LaidFile, lay_out_files
from repro_assets.store.objects import LocalObjects
from repro_assets.store.staging import Part

LARGE = os.urandom(3 << 20)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_files_hold_their_objects_one_after_the_other_with_their_mode(objects: LocalObjects, tmp_path: Path) -> None:
    parts = [objects.put(content) for content in (b"one ", b"two ", LARGE)]
    files = [
        LaidFile(str(tmp_path / "several"), parts),
        LaidFile(str(tmp_path / "program"), parts[:1], executable=True),
        LaidFile(str(tmp_path / "empty"), []),
        LaidFile(str(tmp_path / "large"), parts[2:]),
    ]
    lay_out_files(objects, files)
    assert (tmp_path / "several").read_bytes() == b"one two " + LARGE
    assert (tmp_path / "program").read_bytes() == b"one "
    assert (tmp_path / "empty").read_bytes() == b""
    assert (tmp_path / "large").read_bytes() == LARGE
    assert os.access(tmp_path / "program", os.X_OK)
    assert not os.access(tmp_path / "large", os.X_OK)


def test_more_files_than_one_group_are_all_laid_out(objects: LocalObjects, tmp_path: Path) -> None:
    contents = [b"file %d" % number for number in range(700)]
    with objects.batch() as batch:
        digests = batch.put_all([Part(content) for content in contents])
    (tmp_path / "out").mkdir()
    lay_out_files(objects, [LaidFile(str(tmp_path / "out" / str(n)), [digest]) for n, digest in enumerate(digests)])
    assert [(tmp_path / "out" / str(n)).read_bytes() for n in range(700)] == contents


def test_changing_what_was_laid_out_changes_nothing_in_the_store(objects: LocalObjects, tmp_path: Path) -> None:
    digest = objects.put(LARGE)
    lay_out_files(objects, [LaidFile(str(tmp_path / "file"), [digest])])
    flip(tmp_path / "file", 100)
    objects.verify(digest)
    assert (tmp_path / "file").stat().st_nlink == 1


@pytest.mark.parametrize("size", [100, 3 << 20])
@pytest.mark.parametrize("many", [False, True])
def test_a_file_whose_bytes_do_not_match_is_not_left_behind(
    objects: LocalObjects, tmp_path: Path, size: int, many: bool
) -> None:
    content = os.urandom(size)
    digest, whole = objects.put(content), objects.put(b"whole")
    flip(objects.path(digest), size - 5)
    wanted = [LaidFile(str(tmp_path / "bad"), [whole, digest] if many else [digest])]
    with pytest.raises(CorruptObject, match=digest.hex):
        lay_out_files(objects, wanted)
    assert not (tmp_path / "bad").exists()
    with pytest.raises(MissingObject):
        lay_out_files(objects, wanted)
    assert not (tmp_path / "bad").exists()


def test_a_file_that_is_there_is_never_written_over(objects: LocalObjects, tmp_path: Path) -> None:
    digest = objects.put(b"new")
    (tmp_path / "file").write_bytes(b"a person's own")
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "dangling"):
        with pytest.raises(FileExistsError):
            lay_out_files(objects, [LaidFile(str(tmp_path / name), [digest])])
    assert (tmp_path / "file").read_bytes() == b"a person's own"
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_not_stored_leaves_no_file(objects: LocalObjects, tmp_path: Path) -> None:
    with pytest.raises(MissingObject):
        lay_out_files(objects, [LaidFile(str(tmp_path / "file"), [Digest.of(b"never")])])
    assert not (tmp_path / "file").exists()


def test_nothing_is_laid_out_of_nothing(objects: LocalObjects) -> None:
    lay_out_files(objects, [])
