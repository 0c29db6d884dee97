"""A run that came as a bundle: in an empty store, with the project gone, it replays to the same bits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from repro_assets.interchange.bundle import export_bundle
from repro_assets.interchange.importing import import_bundle
from repro_assets.lineage.reading import lineage_of
from repro_assets.replay.launch import replay
from repro_assets.store.home import make_store

pytestmark = pytest.mark.slow


def test_an_imported_run_and_its_ancestors_replay_identical_in_an_empty_store(project: Any, tmp_path: Path) -> None:
    answer = project.run(job="chain", settings={"seed": 5})
    last = next(product for product in answer["products"] if product["asset"] == "plain/down")
    for name, anonymous in (("plain.repro", False), ("nobody.repro", True)):
        export_bundle(project.home, [last["run_id"]], [], tmp_path / name, anonymous=anonymous)
    shutil.rmtree(project.root)
    shutil.rmtree(project.home.root)
    for name in ("plain.repro", "nobody.repro"):
        home = make_store(tmp_path / f"home-{name}")
        done = import_bundle(home, tmp_path / name)
        # The steps, and the Dagster run above them.
        assert set(done.runs) == {*(product["run_id"] for product in answer["products"]), answer["run_id"]}
        _, graph = lineage_of(home, last["run_id"])
        assert {product["digest"] for product in answer["products"]} <= graph.nodes.keys()
        with (tmp_path / "log").open("wb") as log:
            report = replay(home, last["run_id"], log=log)
        assert report.verdict == "identical", report.document()
        assert report.document()["products"][0]["replayed"] == last["digest"]
