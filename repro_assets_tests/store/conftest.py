from __future__ import annotations

from pathlib import Path

import pytest
from shared_stores import RemoteFiles

from repro_assets.store.home import Home, make_store
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects


def _folder(tmp_path: Path) -> RemoteFiles:
    (tmp_path / "remote").mkdir()
    return RemoteFiles(str(tmp_path / "remote"), None)


@pytest.fixture(params=["folder", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> RemoteFiles:
    if request.param == "folder":
        return _folder(tmp_path)
    return RemoteFiles(f"s3://{request.getfixturevalue('bucket')}/some/prefix", request.getfixturevalue("s3"))


@pytest.fixture
def folder(tmp_path: Path) -> RemoteFiles:
    return _folder(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_store(tmp_path / "store")


@pytest.fixture
def objects(home: Home) -> LocalObjects:
    return open_objects(home)
