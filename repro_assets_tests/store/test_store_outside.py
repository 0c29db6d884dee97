"""A file that a person asked for: whole or not at all, through links and pipes, never inside a store."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from repro_assets.errors import InvalidValue, MachineError
from repro_assets.store import outside
from repro_assets.store.home import MARKER, Home


def test_a_file_is_replaced_and_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "deep" / "table.csv", tmp_path / "table.csv"
    target.parent.mkdir()
    target.write_bytes(b"before")
    link.symlink_to(target)

    outside.write(link, b"after")

    assert link.is_symlink()
    assert target.read_bytes() == b"after"
    assert sorted(path.name for path in target.parent.iterdir()) == ["table.csv"]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()

    outside.write(pipe, b"through")

    reader.join(10)
    assert read == [b"through"]
    assert pipe.is_fifo()


def test_a_part_of_a_store_is_refused(home: Home) -> None:
    marker = home.root / MARKER
    content = marker.read_bytes()

    with pytest.raises(InvalidValue, match="store"):
        outside.write(marker, b"mine")

    assert marker.read_bytes() == content


def test_a_folder_that_is_not_there_is_the_machines_failure(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="nowhere"):
        outside.write(tmp_path / "nowhere" / "table.csv", b"")
