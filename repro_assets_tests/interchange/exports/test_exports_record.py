"""``json`` and ``yaml``: all that is on record, as the command line says it, and the two say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from exported import ACCOUNT, ENVIRONMENT, HOST, REMOTE, World

from repro_assets.artifacts import repository
from repro_assets.catalog.descriptions import show_artifact, show_run
from repro_assets.interchange.anonymity import manifest_of
from repro_assets.interchange.formats import export
from repro_assets.journal.run_records import RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home
from repro_assets.wording import plain


def document(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def whole(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The record of a run, of the one with hostile names, and of an artifact."""
    path = tmp_path_factory.mktemp("record") / "record.json"
    export(world.trains[1], world.hostile, "dataset-files", to=path, format="json", home=world.home)
    found: dict[str, Any] = document(path)
    return found


def test_a_run_is_said_as_the_command_line_says_it(world: World, whole: dict[str, Any]) -> None:
    assert [run["run_id"] for run in whole["runs"]] == [world.trains[1], world.hostile]
    for run in whole["runs"]:
        shown = plain(show_run(world.home, run["run_id"]))
        assert {name: value for name, value in run.items() if name != "metric_history"} == shown
    assert whole["artifacts"] == [plain(show_artifact(world.home, "dataset-files"))]
    assert whole["runs"][0]["tags"] == ["kept"] and whole["runs"][0]["config"]["nested"] == {"layers": 2}


def test_every_point_of_every_metric_is_there_with_what_json_has_no_number_for(whole: dict[str, Any]) -> None:
    history = whole["runs"][0]["metric_history"]
    assert history["train/loss"]["step"] == [0, 1, 2, 3, 4]
    assert history["train/loss"]["value"] == [2.0, "NaN", "Infinity", "-Infinity", 1.5]
    assert history["accuracy"]["step"] == [None] and history["accuracy"]["value"] == [0.75]
    assert all(time.endswith("+00:00") for time in history["train/loss"]["time"])
    assert set(whole["runs"][1]["metric_history"]) == {row["name"] for row in whole["runs"][1]["metrics"]}


def test_environments_and_what_all_of_it_came_from_are_there(world: World, whole: dict[str, Any]) -> None:
    assert whole["environments"] == {whole["runs"][0]["environment"]: ENVIRONMENT}
    lineage = whole["lineage"]
    came = {node["key"] for node in lineage["nodes"]}
    wanted = {world.trains[1], world.trains[0], world.data, world.hostile, str(world.made["model-0"].digest)}
    assert wanted <= came and world.evaluation not in came
    assert {"source": str(world.made["model-0"].digest), "target": world.trains[1]}.items() <= next(
        edge for edge in lineage["edges"] if edge["slot"] == "start"
    ).items()


def test_yaml_says_the_same(world: World, whole: dict[str, Any], tmp_path: Path) -> None:
    for format in ("json", "yaml"):
        to = tmp_path / f"all.{format}"
        export(*world.trains, world.hostile, "dataset-flowers", to=to, format=format, home=world.home)
    said = document(tmp_path / "all.json")
    assert yaml.safe_load((tmp_path / "all.yaml").read_bytes()) == said
    assert isinstance(said["runs"][0]["started_at"], str) and said["runs"][0]["params"]["tag"] == "1e3"


def test_a_parent_stands_for_the_runs_under_it_and_a_run_for_its_whole_curve(
    home_of_a_chain: Home, tmp_path: Path
) -> None:
    export("pa" * 8, to=tmp_path / "a.json", format="json", home=home_of_a_chain)
    runs = document(tmp_path / "a.json")["runs"]
    assert [run["run_id"] for run in runs] == ["pa" * 8, "c1" * 8, "c2" * 8]
    points = runs[2]["metric_history"]["loss"]
    assert (points["step"], points["logged_by"]) == ([0, 1, 2], ["c1" * 8, "c1" * 8, "c2" * 8])


@pytest.fixture
def home_of_a_chain(empty: Home) -> Home:
    """A parent with a run and with another one that goes on from the first one's step 1."""
    from repro_assets.journal.run_records import ParentState, RunEnded, RunResumed

    journal_at(empty.journal).append(RunStarted("pa" * 8, "parent", "all"))
    first = begin(empty, RunStarted("c1" * 8, "asset", "first", parent_run_id="pa" * 8))
    for step in range(4):
        first.log_metric("loss", 1.0, step)
    saved = first.checkpoint("step", 1, {"w": [1.0]}, step=1)
    first.end("FAILED", ValueError("no"))
    second = begin(empty, RunStarted("c2" * 8, "asset", "second", parent_run_id="pa" * 8))
    journal_at(empty.journal).append(RunResumed("c2" * 8, "c1" * 8, "checkpoint_step_1", str(saved.digest), 1))
    second.log_metric("loss", 0.5, 2)
    second.end()
    journal_at(empty.journal).append(ParentState("pa" * 8, "FAILED", "FAILURE"), RunEnded("pa" * 8, "FAILED"))
    return empty


@pytest.mark.parametrize("format", ["json", "yaml"])
def test_nobody_is_named_where_that_is_asked(world: World, tmp_path: Path, format: str) -> None:
    path = tmp_path / f"a.{format}"
    export(world.trains[1], to=path, format=format, home=world.home, anonymize=True)
    text = path.read_text("utf-8")
    for name in (HOST, ACCOUNT, REMOTE, "GPU-12345678", "/home/"):
        assert name not in text, name
    said = yaml.safe_load(text)
    (run,), ((digest, environment),) = said["runs"], said["environments"].items()
    assert run["environment"] == digest == str(manifest_of(environment)[0].digest)
    assert run["host_facts"] == {"torch": {"threads": 1}} and run["source_facts"]["remote"] is None
    assert "host" not in environment and environment["packages"] == ENVIRONMENT["packages"]
    assert run["notes"][0]["text"] == "looks right on anonymous, in ~/work" and run["notes"][0]["account"] is None
    assert run["outputs"][0]["digest"] == str(world.made["model-1"].digest)


def test_what_is_gone_is_named_and_the_record_is_there_all_the_same(world: World, tmp_path: Path) -> None:
    changed = world.copied(tmp_path / "store")
    model = changed.made["model-0"]
    for digest in model.manifest.objects():
        for path in changed.home.root.glob(f"objects/*/{digest.hex[2:]}"):
            path.unlink()
    assert not repository.by_digest(changed.home, model.digest).is_whole()
    done = export(changed.trains[0], to=tmp_path / "a.json", format="json", home=changed.home)
    assert not done.verified and done.notes == (f"bytes of model-{changed.trains[0]} are gone from the store",)
    assert document(tmp_path / "a.json")["runs"][0]["run_id"] == changed.trains[0]
    assert export("dataset-files", to=tmp_path / "b.json", format="json", home=changed.home).verified
