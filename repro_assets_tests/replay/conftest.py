from __future__ import annotations

import os
from pathlib import Path

import pytest
from persons import ROOT, Person
from restorable import BACKEND, wheel

from repro_assets.store.home import make_store


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place from which pip installs."""
    folder = tmp_path / "wheels"
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    # What a person's configuration says of other installations has no say in this one.
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    wheel(folder, "one", "1.0", {"one.py": "VALUE = 1\n"})
    wheel(folder, "one", "2.0", {"one.py": "VALUE = 2\n"})
    wheel(folder, "two", "0.5", {"two/__init__.py": ""})
    wheel(folder, "backend", "1", {"backend.py": BACKEND})
    return folder


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    """Somebody with an empty project and a store outside of it."""
    for name in ("REPRO_HOME", "REPRO_RUN", "REPRO_RUN_HOME", "REPRO_PINS", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    root = tmp_path / "theirs"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\nname = 'theirs'\nversion = '1'\n")
    return Person(root, make_store(tmp_path / "home"), tmp_path / "replay.log")
