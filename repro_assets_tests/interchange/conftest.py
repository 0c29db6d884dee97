from __future__ import annotations

from pathlib import Path

import exported
import pytest
from bundled import Stored, fill

from repro_assets.interchange import formats
from repro_assets.interchange.bundle import export_bundle
from repro_assets.store.home import Home, make_store


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A store that tests read and do not change."""
    return fill(tmp_path_factory.mktemp("stored") / "store")


@pytest.fixture(scope="session")
def bundle(stored: Stored, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of its run `train`."""
    path = tmp_path_factory.mktemp("bundle") / "train.repro"
    export_bundle(stored.home, [stored.train], [], path)
    return path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> exported.World:
    """A store with something of everything, which tests read and do not change."""
    return exported.fill(tmp_path_factory.mktemp("world") / "store")


@pytest.fixture
def empty(tmp_path: Path) -> Home:
    return make_store(tmp_path / "empty")


@pytest.fixture(scope="session")
def in_mlflow(world: exported.World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with most runs of the world, as MLflow has them; making MLflow's tables takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "out"
    runs = (world.data, *world.trains, world.evaluation, world.failed, world.hostile)
    formats.export(*runs, to=path, format="mlflow", home=world.home)
    return path
