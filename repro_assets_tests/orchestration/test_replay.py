"""Replay: the same bits from the record alone, and a plain word where that fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from repro_assets.errors import InvalidValue
from repro_assets.orchestration.instance import open_instance
from repro_assets.recording.tracers import tracers
from repro_assets.replay import dagster_runs, launch
from repro_assets.replay.launch import replay
from repro_assets.replay.records import recorded_runs

pytestmark = pytest.mark.slow


def verdicts(report: Any) -> dict[str, str]:
    return {product["name"]: product["verdict"] for product in report.document()["products"]}


@pytest.fixture
def log(tmp_path: Path) -> Any:
    with (tmp_path / "replay.log").open("wb") as file:
        yield file


def test_every_step_of_a_run_replays_identical_with_the_checkout_gone(project: Any, log: Any) -> None:
    answer = project.run(job="chain", settings={"seed": 5}, executor="multiprocess")
    spans = project.rows("SELECT * FROM spans")
    assert {row["trace_id"] for row in spans} == {answer["run_id"].replace("-", "")}
    (top,) = (row for row in spans if row["parent_span_id"] is None)
    assert (top["kind"], top["run_id"]) == ("run", answer["run_id"])
    assets = {row["name"]: row for row in spans if row["kind"] == "asset"}
    assert {row["parent_span_id"] for row in assets.values()} == {top["span_id"]}
    # Each step is a process of its own.
    assert len({row["file"] for row in assets.values()} | {top["file"]}) == 1 + len(assets) == 4
    runs = {row["run_id"]: row for row in spans if row["kind"] == "run" and row is not top}
    assert {row["parent_span_id"] for row in runs.values()} == {row["span_id"] for row in assets.values()}
    assert runs.keys() == {product["run_id"] for product in answer["products"]}
    rebuilt = project.run(selection=["plain/up"], settings={"seed": 6})
    assert rebuilt["state"] == "COMPLETED"
    shutil.rmtree(project.root)
    report = replay(project.home, answer["run_id"], log=log)
    assert report.verdict == "identical", report.document()
    assert len(report.records) == 3
    original = {record.original_run for record in report.records}
    assert original == {product["run_id"] for product in answer["products"]}
    rows = project.rows("SELECT original_run, verdict FROM replays")
    assert {row["original_run"] for row in rows} == original
    assert {row["verdict"] for row in rows} == {"identical"}
    # A replay gives no version and is never what others load by default.
    assert project.rows("SELECT count(*) AS n FROM versions WHERE collection = 'plain-up'") == [{"n": 2}]
    runs = project.rows("SELECT run_id, state FROM runs WHERE replay_of IS NOT NULL")
    assert len(runs) == 3
    assert {row["state"] for row in runs} == {"COMPLETED"}
    # A replay stands for what it executed again.
    assert {run.run_id for run in recorded_runs(project.home, str(report.replay_run))} == original
    assert [run.run_id in original for run in recorded_runs(project.home, runs[0]["run_id"])] == [True]
    # What the child did lies under the replay that started it.
    tracers.flush_files()
    replayed = project.rows(
        "SELECT DISTINCT s.trace_id, top.name FROM run_traces s JOIN runs USING (run_id) "
        "LEFT JOIN spans top ON top.trace_id = s.trace_id AND top.parent_span_id IS NULL WHERE replay_of IS NOT NULL"
    )
    assert [row["name"] for row in replayed] == [f"replay {answer['run_id']}"]


def test_partitions_dynamic_partitions_plain_assets_and_pinned_inputs_replay_identical(project: Any, log: Any) -> None:
    with open_instance(project.home) as instance:
        instance.add_dynamic_partitions("days", ["2026-01-01"])
    answers = [
        project.run(selection=["parts/up", "parts/mid"], partition="b", settings={"seed": 3}),
        project.run(selection=["daily"], partition="2026-01-01"),
        project.run(selection=["frame", "total", "plain/up"], settings={"seed": 1}),
        project.run(selection=["plain/up"], settings={"seed": 2}),
        project.run(selection=["plain/mid"], pins={"up": "plain-up:v1"}, assets={"mid": {"size": 3}}),
    ]
    for answer in answers:
        project.digests(answer)
    for answer in answers[:3] + answers[4:]:
        report = replay(project.home, answer["run_id"], log=log)
        assert report.verdict == "identical", report.document()


def test_a_recipe_that_draws_from_elsewhere_replays_diverged(project: Any, log: Any) -> None:
    answer = project.run(selection=["noise"])
    report = replay(project.home, answer["products"][0]["run_id"], log=log)
    assert report.verdict == "diverged"
    assert list(verdicts(report).values()) == ["diverged"]
    (product,) = report.document()["products"]
    assert product["original"] != product["replayed"]


def test_uncommitted_code_is_replayed_later_edits_take_no_part_and_the_answer_is_json(project: Any, log: Any) -> None:
    recipes = project.root / "small" / "recipes.py"
    text = recipes.read_text()
    recipes.write_text(text.replace("standard_normal(config.size)", "standard_normal(config.size) + 17"))
    answer = project.run(selection=["plain/up"])
    recipes.write_text(text.replace("standard_normal(config.size)", "standard_normal(config.size) - 17"))
    report = replay(project.home, answer["products"][0]["run_id"], log=log)
    assert report.verdict == "identical", report.document()
    document = json.loads(json.dumps(report.document()))
    assert set(document) >= {"verdict", "original_run", "replay_run", "products", "differences", "metrics"}
    assert {"name", "original", "replayed"} <= set(document["metrics"][0])


def test_another_setting_that_decides_bits_makes_a_difference_not_comparable(
    project: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = project.run(selection=["noise", "plain/up"])
    original = dagster_runs.variables_of

    def another(*arguments: Any) -> dict[str, str]:
        return {**original(*arguments), "PYTHONHASHSEED": "77"}

    monkeypatch.setattr(dagster_runs, "variables_of", another)
    report = replay(project.home, answer["run_id"], log=log)
    assert report.verdict == "not_comparable"
    of = {product["run_id"]: product["asset"] for product in answer["products"]}
    records = {of[record.original_run]: record for record in report.records}
    assert {asset: record.verdict for asset, record in records.items()} == {
        "noise": "not_comparable",
        "plain/up": "identical",
    }
    for record in records.values():
        assert "PYTHONHASHSEED" in {item["setting"] for item in record.differences}, "listed also where bits are equal"


def test_code_from_outside_the_recorded_tree_is_named(
    project: Any, log: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = project.run(selection=["plain/up"])
    shadow = tmp_path / "shadow"
    shutil.copytree(project.root, shadow)
    original = dagster_runs.variables_of

    def shadowed(home: Any, tree: Path, run: Any) -> dict[str, str]:
        shutil.rmtree(tree / "small")
        return {**original(home, tree, run), "PYTHONPATH": str(shadow)}

    monkeypatch.setattr(dagster_runs, "variables_of", shadowed)
    report = replay(project.home, answer["products"][0]["run_id"], log=log)
    assert report.verdict == "not_comparable"
    assert "wrong code" in str(report.document()["reason"])
    assert "small.recipes" in str(report.document()["reason"])


def test_what_cannot_be_replayed_is_refused_before_anything_starts(project: Any, log: Any) -> None:
    failed = project.run(selection=["failing"])
    with pytest.raises(InvalidValue, match="no run of an asset"):
        replay(project.home, failed["run_id"], log=log)
    basic = project.run(selection=["plain/up"], settings={"capture_level": "basic"})
    with pytest.raises(InvalidValue, match="without its source tree"):
        replay(project.home, basic["products"][0]["run_id"], log=log)


def test_a_replay_that_takes_too_long_is_ended_with_all_that_it_started(project: Any, log: Any) -> None:
    started = project.home.root.parent / "started"
    answer = project.run({"SMALL_STARTED": str(started), "SMALL_SECONDS": "0"}, selection=["slow"])
    started.unlink()
    project.variables = {}
    import os

    os.environ.update({"SMALL_STARTED": str(started), "SMALL_SECONDS": "120"})
    try:
        with pytest.raises(launch.ReplayFailed, match="more than"):
            replay(project.home, answer["products"][0]["run_id"], timeout=25, log=log)
    finally:
        del os.environ["SMALL_STARTED"], os.environ["SMALL_SECONDS"]
    assert started.is_file()
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_reuse_executes_nothing_force_executes_again_and_another_seed_gives_other_bits(project: Any) -> None:
    first = project.run(job="chain", settings={"seed": 1})
    again = project.run(job="chain", settings={"seed": 1})
    assert [item["reused"] for item in again["products"]] == [True, True, True]
    assert {item["run_id"] for item in again["products"]} == {item["run_id"] for item in first["products"]}
    assert project.digests(again) == project.digests(first)
    forced = project.run(job="chain", settings={"seed": 1, "force": True})
    assert not any(item["reused"] for item in forced["products"])
    assert project.digests(forced) == project.digests(first)
    only = project.run(job="chain", settings={"seed": 1}, assets={"mid": {"force": True}})
    assert {item["asset"]: item["reused"] for item in only["products"]} == {
        "plain/up": True,
        "plain/mid": False,
        "plain/down": True,
    }
    recipes = project.root / "small" / "recipes.py"
    recipes.write_text(recipes.read_text().replace('source["values"] * 2', 'source["values"] * 2.0 + 0'))
    changed = project.run(job="chain", settings={"seed": 1})
    assert not any(item["reused"] for item in changed["products"])
    assert project.digests(changed) == project.digests(first)
    made = project.digests(first)
    other = project.digests(project.run(job="chain", settings={"seed": 2}))
    assert all(other[asset] != digest for asset, digest in made.items())
    rows = project.rows("SELECT collection, max(version) AS v FROM versions GROUP BY collection ORDER BY collection")
    assert rows == [{"collection": f"plain-{name}", "v": 2} for name in ("down", "mid", "up")]
