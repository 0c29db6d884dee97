"""The growing network as assets: one partition for each problem, what it learns from is on record, events are drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from repro_assets.definitions import defs
from repro_assets.errors import InvalidValue
from repro_assets.orchestration.assets import growth
from repro_assets.orchestration.instance import open_instance
from repro_assets.orchestration.metadata import picture
from repro_assets.orchestration.resource import Repro
from repro_assets.training.synthetic import PROBLEMS

ROOT = Path(__file__).parents[2]
TINY = {
    "data/synthetic": {"n_samples": 120},
    "models/morphogenesis": {
        "steps": 40, "batch_size": 33, "patience": 2, "least_improvement": 1.0, "blending_epochs": 2, "enough": 1.0
    },
}  # fmt: skip


def test_every_asset_of_growth_has_the_five_problems_as_partitions_and_none_is_in_the_default_job() -> None:
    graph = defs.resolve_asset_graph()
    keys = defs.resolve_job_def("growth").asset_layer.executable_asset_keys
    assert {key.to_user_string() for key in keys} == {
        "data/synthetic",
        "models/morphogenesis",
        "evaluations/morphogenesis_on_synthetic",
    }
    for key in keys:
        partitions = graph.get(key).partitions_def
        assert partitions is not None
        assert tuple(partitions.get_partition_keys()) == PROBLEMS
    assert not keys & defs.resolve_job_def("reference").asset_layer.executable_asset_keys


@pytest.mark.slow
def test_one_problem_is_generated_learnt_and_evaluated_on_record(project: Any) -> None:
    project.root = ROOT
    answer = project.run(
        module="repro_assets.definitions", job="growth", partition="spirals", assets=TINY, settings={"seed": 4}
    )
    made = project.digests(answer)
    products = {product["asset"]: product for product in answer["products"]}
    assert {product["partition"] for product in answer["products"]} == {"spirals"}
    data, model = products["data/synthetic"], products["models/morphogenesis"]
    evaluation = products["evaluations/morphogenesis_on_synthetic"]
    assert (data["version"], data["name"]) == ("dataset-synthetic-spirals:v1", "dataset-synthetic-spirals-v1")
    assert (model["version"], model["name"]) == ("model-morphogenesis-spirals:v1", f"model-{model['run_id']}")
    assert evaluation["version"] == "eval-morphogenesis-on-spirals:v1"

    inputs = project.rows("SELECT slot, digest FROM run_inputs WHERE run_id = $run", {"run": model["run_id"]})
    assert inputs == [{"slot": "synthetic", "digest": made["data/synthetic"]}]
    (run,) = project.rows("SELECT config FROM runs WHERE run_id = $run", {"run": data["run_id"]})
    assert json.loads(run["config"])["problem"] == "spirals"
    (row,) = project.rows("SELECT model, dataset, metrics FROM evaluations")
    assert (row["model"], row["dataset"]) == (made["models/morphogenesis"], made["data/synthetic"])
    assert {"accuracy_train", "accuracy_validation", "accuracy_test", "seeds_grown"} <= set(json.loads(row["metrics"]))

    events = project.rows(
        "SELECT event, step, details FROM events WHERE run_id = $run ORDER BY step, record", {"run": model["run_id"]}
    )
    kinds = [event["event"] for event in events]
    assert kinds[:3] == ["phase", "germination", "phase"]
    assert {"activation", "recovery"} <= set(kinds)
    jumps = [
        json.loads(event["details"])["jump"] for event in events if event["event"] in ("germination", "activation")
    ]
    assert jumps and set(jumps) == {0}
    alphas = project.rows(
        "SELECT value FROM metrics WHERE run_id = $run AND name = 'seed/0/alpha' ORDER BY step",
        {"run": model["run_id"]},
    )
    assert {0.0, 0.5, 1.0} == {row["value"] for row in alphas}

    with open_instance(project.home) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["models", "morphogenesis"]))
    assert event is not None and event.asset_materialization is not None
    assert "data:image/png;base64," in str(event.asset_materialization.metadata["curve"].value)
    assert project.rows("SELECT kind, name FROM undeclared_inputs") == []


def test_a_problem_other_than_the_partition_is_refused() -> None:
    context = dg.build_asset_context(partition_key="moons")
    with pytest.raises(InvalidValue, match="the problem is spirals and the partition moons"):
        growth.synthetic(context, repro=Repro(), config=growth.SyntheticAsset(problem="spirals"))


def test_events_change_the_picture_and_the_legend_names_each_kind_once() -> None:
    curves = {"seed/0/alpha": [(0, 0.0), (10, 1.0)], "epoch/accuracy": [(0, 0.5), (10, 0.9)]}
    plain = picture(curves, "title")
    marked = picture(curves, "title", [(2, "germination"), (5, "activation"), (7, "germination")])
    assert plain == picture(curves, "title", [])
    assert marked != plain
    assert marked == picture(curves, "title", [(2, "germination"), (5, "activation"), (7, "germination")])
