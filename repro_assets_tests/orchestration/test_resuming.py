"""A training that is killed goes on to the model that it would have become, and its record says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from repro_assets.artifacts import repository
from repro_assets.definitions import defs
from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.journal.run_records import RunStarted
from repro_assets.orchestration import selection
from repro_assets.recording.lifetime import begin
from repro_assets.replay.launch import replay
from repro_assets.store.home import Home, make_store


def train(project: Any, **asked: Any) -> dict[str, Any]:
    """Execute, and return the answer with the product of the training, if there is one."""
    answer = project.run(selection=["trained"], **{"settings": {"seed": 1}, **asked})
    return {**answer, "made": next((item for item in answer["products"] if item["asset"] == "trained"), None)}


def killed(project: Any, step: int, **asked: Any) -> str:
    """Train until the executing process kills itself, and return the run."""
    request = project.request("killed", selection=["trained"], settings={"seed": 1}, **asked)
    process = project.start(request, SMALL_KILL_AT=str(step))
    assert process.wait(timeout=120) == -9
    (row,) = project.rows("SELECT run_id, state FROM runs WHERE asset = 'trained' ORDER BY started_at DESC LIMIT 1")
    assert row["state"] == "INTERRUPTED"
    return str(row["run_id"])


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_bits_and_replays_identical(project: Any, tmp_path: Path) -> None:
    first = killed(project, 3, with_missing=True)
    # The same command line again, twice.
    second = killed(project, 5, resume="auto")
    done = train(project, resume="auto")
    last = done["made"]["run_id"]
    resumes = project.rows("SELECT run_id, resumed_run_id, step FROM resumes ORDER BY time")
    assert [tuple(row.values()) for row in resumes] == [(second, first, 2), (last, second, 4)]
    curve = project.rows("SELECT step, logged_by FROM curves WHERE run_id = ? ORDER BY step", [last])
    assert [(row["step"], row["logged_by"]) for row in curve] == [
        *((1, first), (2, first), (3, second), (4, second), (5, last), (6, last)),
    ]
    (given,) = project.rows("SELECT made_by FROM run_inputs WHERE run_id = ? AND slot = 'resume'", [last])
    assert given["made_by"] == second

    # It was the work that was asked for, so asking for it again finds it.
    whole = train(project, settings={"seed": 1, "force": True})
    assert whole["made"]["digest"] == done["made"]["digest"]
    keys = project.rows("SELECT DISTINCT reuse_key, warnings FROM runs WHERE asset = 'trained'")
    assert len(keys) == 1, keys

    with (tmp_path / "log").open("wb") as log:
        report = replay(project.home, last, log=log)
    assert report.verdict == "identical", report.document()
    (row,) = project.rows("SELECT resumed_run_id, step FROM resumes WHERE run_id = ?", [report.replay_run])
    assert tuple(row.values()) == (second, 4)

    refused = train(project, resume=first, assets={"trained": {"rate": 0.25}})
    (error,) = refused["errors"]
    assert (error["exit_code"], error["type"]) == (2, "InvalidInput")
    recipes = project.root / "small" / "recipes.py"
    recipes.write_text(recipes.read_text().replace("* config.rate +", "* config.rate + 0.0 +"))
    other = train(project, resume=f"{first}/checkpoint_step_2", assets={"trained": {"steps": 8}})["made"]
    (row,) = project.rows("SELECT warnings, reuse_key FROM runs WHERE run_id = ?", [other["run_id"]])
    said = [line for line in row["warnings"] if f"goes on from {first}/checkpoint_step_2, but" in line]
    assert any("config steps was 6 and is 8" in line for line in said)
    assert any("code version was sha256:" in line for line in said)
    assert not any("the setting" in line or "the input" in line for line in said)
    assert row["reuse_key"] != keys[0]["reuse_key"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A store with a run of `models/sft` that saved a checkpoint."""
    home = make_store(tmp_path_factory.mktemp("saved") / "home")
    run = begin(home, RunStarted("a" * 16, "asset", "sft-seed0", asset="models/sft"))
    run.checkpoint("step", 5, {"step": 5}, step=5)
    run.end("FAILED")
    repository.put(home, {"no": "checkpoint"}, name="other")
    return home


def job_of(*keys: str) -> tuple[dg.JobDefinition, set[dg.AssetKey]]:
    chosen = [dg.AssetKey.from_user_string(key) for key in keys]
    return defs.get_repository_def().get_job("__ASSET_JOB").get_subset(asset_selection=set(chosen)), set(chosen)


def test_what_is_resumed_is_the_one_asset_that_the_checkpoint_is_of(saved: Home) -> None:
    job, keys = job_of("data/cota_raw", "models/sft", "models/rft")
    assert selection.resumed(job, keys, saved, "a" * 8) == {"models__sft": f"{'a' * 16}/checkpoint_step_5"}
    assert selection.resumed(job, keys, saved, "auto") == {"models__sft": "auto", "models__rft": "auto"}


@pytest.mark.parametrize(
    ("selected", "text", "error", "said"),
    [
        ("data/digits", "auto", InvalidValue, "nothing that is selected can be resumed"),
        ("models/rft", "a" * 8, InvalidValue, "is a checkpoint of models/sft, which is not selected"),
        ("models/sft", "nonsense", UnknownName, "there is no run or checkpoint 'nonsense'"),
    ],
)
def test_what_cannot_be_resumed_is_refused(
    saved: Home, selected: str, text: str, error: type[Exception], said: str
) -> None:
    job, keys = job_of(selected)
    with pytest.raises(error, match=said):
        selection.resumed(job, keys, saved, text)


def test_what_is_missing_upstream_is_what_nobody_made_and_no_artifact_stands_for() -> None:
    definition = defs.get_repository_def()
    graph = definition.asset_graph
    raw, rft = dg.AssetKey(["data", "cota_raw"]), dg.AssetKey(["models", "rft"])

    def missing(made: list[dg.AssetKey], pinned: dict[str, str], *, trial: bool = False) -> set[str]:
        with dg.DagsterInstance.ephemeral() as instance:
            for key in made:
                event = dg.AssetMaterialization(key, metadata={"trial": trial})
                instance.report_runless_asset_event(event)
            found = selection.with_missing_upstream(definition, {rft}, None, pinned, instance)
        return {key.to_user_string() for key in found}

    splits = {f"data/{name}" for name in ("sft_images", "cota_rft", "stream", "validation", "test")}
    everything = {"models/rft", "models/sft", "data/cota_sft", "data/cota_raw", "data/digits", *splits}
    assert missing([], {}) == everything
    assert missing(sorted(graph.get(rft).parent_keys), {}) == {"models/rft"}
    assert missing([raw], {}) == everything - {"data/cota_raw"}
    assert missing([raw], {}, trial=True) == everything
    assert missing([], {"sft": "model-sft:v1"}) == {"models/rft", "data/digits", *splits}
