"""OpenLineage's events: each is read back through the library's own classes, and an endpoint takes them."""

from __future__ import annotations

import json
import math
import sys
import uuid
from pathlib import Path
from typing import Any

import exported
import graphed
import hostile_names
import jsonschema
import pytest
from lineage_reading import events_in, read_event, required
from openlineage.client.serde import Serde

from repro_assets.errors import InvalidValue, ReusedElsewhere
from repro_assets.interchange.exports.lineage_events import run_uuid
from repro_assets.interchange.exports.openlineage import whole_lineage
from repro_assets.interchange.formats import Exported, export


@pytest.fixture(scope="module")
def written(graph: graphed.Graphed, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The events of runs of every kind."""
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    runs = (
        *graphed.PARENTS,
        graph.script,
        graph.command,
        graph.notebook,
        graph.interrupted,
        graph.imported,
        graph.bare,
    )
    export(*runs, to=path, format="openlineage", home=graph.home)
    return events_in(path)


@pytest.fixture(scope="module")
def odd(world: exported.World, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The events of runs with data of every kind and hostile names."""
    path = tmp_path_factory.mktemp("odd") / "events.jsonl"
    runs = (world.data, *world.trains, world.evaluation, world.failed, world.hostile)
    export(*runs, to=path, format="openlineage", home=world.home)
    return events_in(path)


def of(events: list[dict[str, Any]], run_id: str) -> list[dict[str, Any]]:
    return [event for event in events if event["run"]["runId"] == run_uuid(run_id)]


def facet(event: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = event["run"]["facets"][name]
    return found


def test_every_event_reads_back_through_the_librarys_classes(
    written: list[dict[str, Any]], odd: list[dict[str, Any]]
) -> None:
    for document in (*written, *odd):
        assert Serde.to_dict(read_event(document)) == document
        assert list(required(document)) == []
    assert len({json.dumps(document) for document in written}) == len(written)
    broken = json.loads(json.dumps(odd[0]))
    facet(broken, "reproAssets_environment")["level"] = "some"
    with pytest.raises(jsonschema.ValidationError):
        read_event(broken)
    broken = {
        **odd[0],
        "eventTime": "2026-11-22T00:00:00",
        "run": {**odd[0]["run"], "runId": str(uuid.uuid4()).upper()},
    }
    assert len(list(required(broken))) == 2


def test_a_run_starts_and_ends_as_it_did(graph: graphed.Graphed, written: list[dict[str, Any]]) -> None:
    for run, types in {
        graphed.PARENTS[0]: ["START", "COMPLETE"],
        graphed.PARENTS[1]: ["START", "FAIL"],
        graph.trains[0]: ["START", "COMPLETE"],
        graph.evaluate: ["START", "FAIL"],
        graph.interrupted: ["START", "ABORT"],
        graph.imported: ["START", "COMPLETE"],
    }.items():
        found = of(written, run)
        assert [event["eventType"] for event in found] == types
        assert found[0]["eventTime"] < found[1]["eventTime"] and found[0]["outputs"] == []
        assert facet(found[1], "reproAssets_run")["run_id"] == run
    assert [event["eventTime"] for event in written] == sorted(event["eventTime"] for event in written)
    error = facet(of(written, graph.evaluate)[1], "errorMessage")
    assert (
        "too bad" in error["message"]
        and error["stackTrace"].startswith("ValueError")
        and error["programmingLanguage"] == "PYTHON"
    )
    assert "errorMessage" not in of(written, graph.interrupted)[1]["run"]["facets"]


def test_what_one_run_wrote_is_what_another_read(graph: graphed.Graphed, written: list[dict[str, Any]]) -> None:
    (wrote,) = of(written, graph.trains[1])[1]["outputs"]
    read = of(written, graph.evaluate)[1]["inputs"]
    assert (wrote["namespace"], wrote["name"]) == ("repro-assets", "model-small")
    (same,) = [item for item in read if item["name"] == "model-small"]
    assert same["facets"]["version"] == wrote["facets"]["version"]
    assert wrote["facets"]["reproAssets_artifact"]["version"] == 2
    assert wrote["facets"]["version"]["datasetVersion"] == wrote["facets"]["reproAssets_artifact"]["digest"]
    (table,) = of(written, graph.prepare)[1]["outputs"]
    assert table["facets"]["datasetType"] == {
        **table["facets"]["datasetType"],
        "datasetType": "TABLE",
        "subType": "table",
    }
    assert [(column["name"], column["type"]) for column in table["facets"]["schema"]["fields"]] == [
        ("x", "int64"),
        ("y", "string"),
    ]
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 3
    assert table["outputFacets"]["reproAssets_slots"]["slots"] == [
        {"slot": "result", "name": "dataset-small-v1", "asset": "data/small"}
    ]


def test_sizes_and_files_are_counted(world: exported.World, odd: list[dict[str, Any]]) -> None:
    outputs = {item["name"]: item["outputFacets"]["outputStatistics"] for item in of(odd, world.data)[1]["outputs"]}
    assert outputs["dataset-files"]["fileCount"] == len(exported.FILES)
    assert outputs["dataset-files"]["size"] == sum(map(len, exported.FILES.values()))
    assert "fileCount" not in outputs["raw-flowers.csv"] and outputs["raw-flowers.csv"]["size"] == 8


def test_a_run_says_its_parent_its_source_its_environment_and_what_it_was_given(
    graph: graphed.Graphed, written: list[dict[str, Any]]
) -> None:
    start, end = of(written, graph.trains[0])
    parent = facet(start, "parent")
    assert parent["run"]["runId"] == graphed.PARENTS[0] and parent["job"]["name"] == "__ASSET_JOB"
    assert of(written, graphed.PARENTS[0])[0]["job"]["name"] == parent["job"]["name"] == parent["root"]["job"]["name"]
    source = start["job"]["facets"]["sourceCodeLocation"]
    assert source["url"] == "ssh://git@forge.example/erika/secret-work.git" and source["repoUrl"] == exported.REMOTE
    assert (source["type"], source["version"], source["branch"]) == ("git", "c0ffee" * 6, "main")
    assert start["job"]["facets"]["jobType"]["jobType"] == "ASSET" and start["job"]["name"] == "models/small"
    assert facet(start, "processing_engine")["version"] == "1.13.27"
    assert {item["name"] for item in facet(start, "environmentVariables")["environmentVariables"]} == {
        "PYTHONHASHSEED",
        "OMP_NUM_THREADS",
    }
    assert facet(start, "reproAssets_environment")["python"]["version"] == "3.11.9"
    given = {item["key"]: item["value"] for item in facet(start, "executionParameters")["parameters"]}
    assert given == {
        "deep.none": "None", "deep.on": "True", "layers": "[1, null]", "lr": "0.1", "mixed": "0.5", "name": "same",
    }  # fmt: skip
    ours = facet(end, "reproAssets_run")
    assert json.loads(ours["config"]) == {"lr": 0.1, "layers": [1, None], "deep": {"on": True, "none": None}}
    assert ours["metrics"] == [
        {"name": "loss", "value": 1 / 3, "step": 2, "points": 3},
        {"name": "worst", "value": "-Infinity", "points": 1},
    ]
    assert [(item["verdict"], item["replay_run"]) for item in ours["replays"]] == [("identical", "ab" * 8)]
    assert ours["seed"] == 0 and ours["commit"] == "c0ffee" * 6 and ours["ended"] is True
    assert "sourceCodeLocation" not in of(written, graph.bare)[0]["job"]["facets"]
    assert of(written, graph.script)[0]["job"]["name"] == "train.py"


def test_ids_are_uuids_and_a_uuid_stays_what_it_is() -> None:
    assert run_uuid(graphed.PARENTS[0]) == graphed.PARENTS[0]
    made = {run_uuid(run) for run in ("a1" * 8, "a2" * 8, "A1" * 16, "\ud800", "")}
    assert len(made) == 5 and all(uuid.UUID(each).version == 5 for each in made)
    assert run_uuid("a1" * 8) == run_uuid("a1" * 8)


def test_names_that_mean_something_stay_what_they_are(world: exported.World, odd: list[dict[str, Any]]) -> None:
    names = [name for name in hostile_names.NAMES if "\ud800" not in name]
    ours = facet(of(odd, world.hostile)[1], "reproAssets_run")
    assert json.loads(ours["params"]) == {name: [name, 1, None] for name in names}
    assert {row["name"] for row in ours["metrics"]} == {name for name in names if name.strip()}


def test_the_same_export_gives_the_same_bytes_under_a_name_that_is_its_own(
    graph: graphed.Graphed, tmp_path: Path
) -> None:
    (tmp_path / "events").mkdir()
    done = export(graph.bare, to=tmp_path / "events", format="openlineage", home=graph.home)
    path = tmp_path / "events" / f"{graph.bare[:8]}.openlineage.jsonl"
    assert done == Exported(path, "openlineage", graph.bare, None, True, {"runs": [graph.bare], "events": 2})
    before = path.read_bytes()
    with pytest.raises(ReusedElsewhere):
        export(graph.bare, to=path, format="openlineage", home=graph.home)
    export(graph.bare, to=path, format="openlineage", home=graph.home, force=True)
    assert path.read_bytes() == before


def test_events_without_names_name_nobody(graph: graphed.Graphed, tmp_path: Path) -> None:
    named = (exported.HOST, exported.ACCOUNT, "forge.example", "/home/")
    for name, anonymize in (("plain.jsonl", False), ("clean.jsonl", True)):
        runs = (*graphed.PARENTS, graph.imported)
        export(*runs, to=tmp_path / name, format="openlineage", home=graph.home, anonymize=anonymize)
    plain, clean = ((tmp_path / name).read_text() for name in ("plain.jsonl", "clean.jsonl"))
    for word in named:
        assert word in plain and word not in clean, word
    (before,), (after,) = (
        {
            facet(event, "reproAssets_environment")["digest"]
            for event in events
            if "reproAssets_environment" in event["run"]["facets"]
        }
        for events in map(events_in, (tmp_path / "plain.jsonl", tmp_path / "clean.jsonl"))
    )
    assert before != after
    for event in events_in(tmp_path / "clean.jsonl"):
        assert "sourceCodeLocation" not in event["job"]["facets"]
        assert Serde.to_dict(read_event(event)) == event


def test_bytes_that_are_gone_are_named(world: exported.World, tmp_path: Path) -> None:
    changed = world.copied(tmp_path / "store")
    for digest in changed.made["model-0"].manifest.objects():
        for path in (tmp_path / "store").glob(f"objects/*/{digest.hex[2:]}"):
            path.unlink()
    done = export(changed.trains[0], to=tmp_path / "a.jsonl", format="openlineage", home=changed.home)
    assert not done.verified and done.notes == ("bytes of model-flowers:v1 are gone from the store",)


def test_the_whole_lineage_has_every_run_and_of_one_that_goes_on_its_start(
    world: exported.World, tmp_path: Path
) -> None:
    changed = world.copied(tmp_path / "store")
    exported.start(changed)
    runs, events = whole_lineage(changed.home)
    documents = [Serde.to_dict(event) for event in events]
    assert runs == len({document["run"]["runId"] for document in documents})
    assert [document["eventType"] for document in of(documents, changed.running)] == ["START"]
    with pytest.raises(InvalidValue, match="has not ended"):
        export(changed.running, to=tmp_path / "a.jsonl", format="openlineage", home=changed.home)
    assert not (tmp_path / "a.jsonl").exists()


def test_what_is_missing_is_said_with_what_brings_it(
    graph: graphed.Graphed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openlineage.client", None)
    with pytest.raises(InvalidValue, match=r"pip install 'repro-assets\[openlineage\]'"):
        export(graph.bare, to=tmp_path / "a.jsonl", format="openlineage", home=graph.home)
    assert list(tmp_path.glob("*.jsonl")) == []


def test_numbers_that_json_has_not_are_texts(world: exported.World, odd: list[dict[str, Any]]) -> None:
    (made,) = facet(of(odd, world.evaluation)[1], "reproAssets_run")["evaluations"]
    assert made["metrics"]["loss"] == "NaN" and not math.isnan(made["metrics"]["accuracy_greedy"])


def test_what_several_runs_made_alike_is_called_as_each_of_them_called_it(
    world: exported.World, odd: list[dict[str, Any]]
) -> None:
    for run_id in world.trains:
        end = of(odd, run_id)[-1]
        assert f"{run_id}/notes" in {made["name"] for made in end["outputs"]}
        assert not {made["name"] for made in end["outputs"]} & {
            f"{other}/notes" for other in world.trains if other != run_id
        }
