"""Durable writes: all of the file under its name, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from repro_assets.errors import MachineError, ReusedElsewhere
from repro_assets.store import durable


def test_a_file_holds_all_chunks_and_nothing_temporary_stays(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    assert durable.write_file(path, [b"one", memoryview(b"two"), b""], tmp_path / "tmp")
    assert path.read_bytes() == b"onetwo"
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the table of mounts is Linux's")
def test_whether_another_machine_may_write_is_asked_of_the_table_of_mounts(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert durable.is_of_this_machine(small_disk)
    assert not durable.is_of_this_machine(Path("/proc"))
    assert not durable.is_of_this_machine(tmp_path / "none")
    monkeypatch.setattr(durable, "_ONE_MACHINES", frozenset({"ext4"}))
    assert not durable.is_of_this_machine(small_disk)


def test_a_later_write_replaces_and_an_exclusive_one_does_not(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert durable.write_file(path, [b"one"], tmp_path / "tmp", exclusive=True)
    assert not durable.write_file(path, [b"two"], tmp_path / "tmp", exclusive=True)
    assert path.read_bytes() == b"one"
    assert durable.write_file(path, [b"three"], tmp_path / "tmp")
    assert path.read_bytes() == b"three"
    assert path.stat().st_nlink == 1
    assert list((tmp_path / "tmp").iterdir()) == []


def test_of_many_exclusive_writers_one_wins_with_its_whole_content(tmp_path: Path) -> None:
    def write(number: int) -> bool:
        return durable.write_file(tmp_path / "file", [b"%d" % number] * 1000, tmp_path / "tmp", exclusive=True)

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(write, range(8)))
    assert won.count(True) == 1
    assert (tmp_path / "file").read_bytes() == b"%d" % won.index(True) * 1000


def test_a_writer_that_fails_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half of the new one"
        raise ArithmeticError

    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ArithmeticError):
        durable.write_file(path, chunks(), tmp_path / "tmp")
    assert path.read_bytes() == b"old"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_the_system_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MachineError, match=str(tmp_path / "file" / "below")):
        durable.write_file(tmp_path / "file" / "below", [b"x"], tmp_path / "tmp")
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("folder", [False, True])
def test_a_lock_is_held_by_one_and_freed(tmp_path: Path, folder: bool) -> None:
    path = tmp_path / "below" / "lock"
    with durable.locked(path, folder=folder):
        assert path.is_dir() is folder
        with (
            pytest.raises(ReusedElsewhere, match="another process holds"),
            durable.locked(path, folder=folder, wait=False),
        ):
            pass
    with durable.locked(path, folder=folder, wait=False):
        pass


def test_a_lock_whose_place_is_taken_is_the_machines_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "lock", tmp_path / "file"):
        with pytest.raises(MachineError), durable.locked(place, folder=True):
            pass
