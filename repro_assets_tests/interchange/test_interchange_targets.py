from __future__ import annotations

from pathlib import Path

import pytest

from repro_assets.errors import InvalidInput, InvalidValue, ReusedElsewhere
from repro_assets.interchange.targets import new_folder
from repro_assets.store.home import make_store


def test_a_folder_shows_when_all_of_it_is_there(tmp_path: Path) -> None:
    to = tmp_path / "out"
    with new_folder(to) as made:
        (made / "a").write_text("a")
        assert not to.exists()
    assert (to / "a").read_text() == "a" and list(tmp_path.iterdir()) == [to]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out") as made:
        (made / "a").write_text("a")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real")
    with new_folder(link) as made:
        (made / "a").write_text("a")
    assert link.is_symlink() and (tmp_path / "real" / "a").read_text() == "a"


def test_what_is_there_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("mine")
    for name in ("file", "full"):
        with pytest.raises(ReusedElsewhere, match="not an empty folder"), new_folder(tmp_path / name):
            pass
    with pytest.raises(InvalidInput, match="its folder is not there"), new_folder(tmp_path / "none" / "out"):
        pass
    home = make_store(tmp_path / "store")
    with pytest.raises(InvalidValue, match="belongs to the store"), new_folder(home.root / "objects" / "out"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "store"]
