"""Online adaptation as assets: one run makes model and buffer, and its evaluations name both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repro_assets.artifacts import repository
from repro_assets.identity.digest import Digest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FEW: dict[str, dict[str, Any]] = {
    "sft": {"steps": 2},
    "rft": {"steps": 1},
    "cota_raw": {"per_image": 1},
    "splits": {"stream": 40, "test": 20, "validation": 10, "rft": 40, "sft": 80},
    "ttrl_on_test": {"samples_per_image": 1},
    "ttrl_on_test_a": {"samples_per_image": 1},
}
BRIEF = {"steps": 2, "group_size": 4, "agreement": 0.0, "snapshot_every": 1, "checkpoint_every": 1}


def test_a_model_and_its_buffer_are_products_of_one_run(make_project: Callable[[str], Any]) -> None:
    project = make_project("online")
    project.root = ROOT
    chosen = ['+key:"models/ttrl"', "evaluations/ttrl_on_test_a", "evaluations/ttrl_on_test"]
    answer = project.run(module="repro_assets.definitions", selection=chosen, assets={**FEW, "ttrl": BRIEF})
    assert answer["state"] == "COMPLETED", answer["errors"]
    made = project.digests(answer)
    runs = {product["asset"]: product["run_id"] for product in answer["products"]}
    assert runs["models/ttrl"] == runs["buffers/experience"] != runs["models/rft"]
    evaluated = project.rows("SELECT name, model, dataset FROM evaluations WHERE model = ?", [made["models/ttrl"]])
    assert {row["dataset"] for row in evaluated} == {made["data/test_a"], made["data/test"]}
    buffer = repository.by_digest(project.home, Digest.parse(made["buffers/experience"]))
    assert buffer.kind == "segments" and set(buffer.load().columns["source"]) == set(range(40))
    last = "SELECT digest, step FROM experience_snapshots WHERE run_id = ? ORDER BY step"
    shots = project.rows(last, [runs["models/ttrl"]])
    assert [row["step"] for row in shots] == [1, 2] and shots[1]["digest"] == made["buffers/experience"]
    assert project.rows("SELECT kind, name FROM undeclared_inputs") == []
