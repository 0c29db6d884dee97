"""A DVC repository that is imported in steps, or from several clones: nothing twice, and no name led astray."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from dvc_by_hand import Theirs, taken
from dvc_command import git

from repro_assets.artifacts import names, repository
from repro_assets.catalog.descriptions import show_run
from repro_assets.store.home import Home

BEGAN = 1_600_000_000
PIPELINE = {"stages": {"train": {"cmd": "make", "deps": ["data.csv"], "outs": ["model.bin"], "metrics": ["m.json"]}}}


class Repository(Theirs):
    """A git repository of one stage, written by hand."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        git(root, "init", "-q", "-b", "main")
        (root / ".dvc" / "config").touch()
        (root / ".git" / "info" / "exclude").write_text(".dvc/cache\n")
        (root / "dvc.yaml").write_text(json.dumps(PIPELINE))
        self._time = BEGAN

    def write(self, model: bytes, figures: Any = None, data: bytes = b"rows") -> None:
        """Let the stage have made a model, and figures."""
        given = {"data.csv": data, "model.bin": model, "m.json": json.dumps(figures or {"loss": 1.0}).encode()}
        items = [{"path": path, "md5": self.keep(content), "hash": "md5"} for path, content in given.items()]
        stage = {"cmd": "make", "deps": items[:1], "outs": items[1:]}
        (self.root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"train": stage}}))

    def commit(self) -> str:
        self._time += 100
        git(self.root, "add", "-A")
        git(self.root, "commit", "-q", "-m", "more", time=self._time)
        return git(self.root, "rev-parse", "HEAD")


@pytest.fixture
def theirs(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "theirs")


def values(home: Home, collection: str) -> list[Any]:
    return [repository.handle(home, version).load() for version in names.versions(home, collection)]


def named(home: Home, name: str) -> Any:
    found = repository.by_name(home, name)
    assert found is not None
    return found.load()


def test_figures_that_json_does_not_have_come_back_from_their_texts(theirs: Repository, empty: Home) -> None:
    given = {"a": "NaN", "b": "Infinity", "by": {"c": "-Infinity", "d": 2}, "e": "nan", "f": True}
    theirs.write(b"model", given)
    theirs.commit()
    (run,) = taken(empty, theirs).runs
    found = {row["name"]: row["value"] for row in show_run(empty, run)["metrics"]}
    assert math.isnan(found.pop("a"))
    assert found == {"b": math.inf, "by.c": -math.inf, "by.d": 2.0}
