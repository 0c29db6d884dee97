"""RO-Crates: the library reads them back, each profile's requirements hold, and the official validator agrees."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import exported
import graphed
import hostile_names
import pandas
import pytest
from crate_requirements import PERMALINKS, kinds, listed, of_type, requirements
from rocrate.rocrate import ROCrate

from repro_assets.artifacts import repository
from repro_assets.errors import CorruptObject, InvalidValue, ReusedElsewhere
from repro_assets.interchange.formats import Exported, export
from repro_assets.store.home import Home

VALIDATOR = os.environ.get("REPRO_ROC_VALIDATOR")
PROFILES = {
    "process": "process-run-crate",
    "workflow": "workflow-run-crate",
    "provenance": "provenance-run-crate",
    "workflow-ro-crate": "workflow-ro-crate",
}


def crate(home: Home, *names: str, to: Path, **options: Any) -> tuple[Exported, ROCrate]:
    done = export(*names, to=to, format="rocrate", home=home, **options)
    return done, ROCrate(to)


@pytest.fixture(scope="module")
def whole(graph: graphed.Graphed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two Dagster runs with all that is under them."""
    to = tmp_path_factory.mktemp("whole") / "crate"
    export(*graphed.PARENTS, to=to, format="rocrate", home=graph.home)
    return to


@pytest.fixture(scope="module")
def mixed(graph: graphed.Graphed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of every kind."""
    to = tmp_path_factory.mktemp("mixed") / "crate"
    runs = (*graphed.PARENTS, graph.script, graph.command, graph.notebook, graph.program, graph.interrupted)
    export(*runs, graph.imported, graph.bare, to=to, format="rocrate", home=graph.home)
    return to


@pytest.fixture(scope="module")
def odd(world: exported.World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of every kind, and hostile names."""
    to = tmp_path_factory.mktemp("odd") / "crate"
    export(
        world.data,
        *world.trains,
        world.evaluation,
        world.failed,
        world.hostile,
        to=to,
        format="rocrate",
        home=world.home,
    )
    return to


def action_of(found: ROCrate, run_id: str) -> Any:
    (action,) = [entity for entity in of_type(found, "CreateAction") if entity["identifier"] == run_id]
    return action


def test_every_file_of_a_crate_is_there_with_its_size_and_digest(whole: Path, mixed: Path, odd: Path) -> None:
    for folder in (whole, mixed, odd):
        described = {unquote(entity.id): entity for entity in of_type(ROCrate(folder), "File")}
        there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert set(described) == there - {"ro-crate-metadata.json"}
        for name, entity in described.items():
            data = (folder / name).read_bytes()
            assert entity["sha256"] == hashlib.sha256(data).hexdigest() and entity["contentSize"] == str(len(data))


def test_artifacts_of_every_kind_are_files_as_they_are_laid_out(
    world: exported.World, odd: Path, tmp_path: Path
) -> None:
    found = ROCrate(odd)
    named = {entity.get("identifier"): entity for entity in found.data_entities}
    for name, artifact in world.made.items():
        if name == "deleted":
            continue
        entity = named[str(artifact.digest)]
        artifact.lay_out(tmp_path / "plain")
        theirs, ours = odd / unquote(entity.id), tmp_path / "plain"
        if ours.is_file():
            assert theirs.read_bytes() == ours.read_bytes()
            ours.unlink()
            continue
        assert entity.type == "Dataset" and {unquote(part.id) for part in listed(entity["hasPart"])} == {
            f"{unquote(entity.id)}{path.relative_to(ours)}" for path in ours.rglob("*") if path.is_file()
        }
        for path in ours.rglob("*"):
            assert not path.is_file() or (theirs / path.relative_to(ours)).read_bytes() == path.read_bytes()
        shutil.rmtree(ours)
    (table,) = [entity for entity in named.values() if entity.get("name") == "dataset-flowers:v1"]
    pandas.testing.assert_frame_equal(pandas.read_parquet(odd / table.id)[["id"]], exported.frame()[["id"]])
    assert table["encodingFormat"] == "application/vnd.apache.parquet" and table["version"] == "1"


def test_a_run_is_an_action_with_what_it_read_wrote_was_given_and_measured(graph: graphed.Graphed, whole: Path) -> None:
    found = ROCrate(whole)
    action = action_of(found, graph.trains[0])
    assert action["instrument"]["name"] == "small.learning:learn" and action["instrument"]["softwareVersion"] == "v1"
    assert "learning.py" in action["instrument"]["isBasedOn"].id
    given = {entity["name"]: entity.get("value") for entity in action["object"] if entity.type == "PropertyValue"}
    assert given == {
        "deep.none": "null", "deep.on": True, "layers": "[1, null]", "lr": 0.1, "mixed": 0.5, "name": "same", "seed": 0,
    }  # fmt: skip
    assert [entity["name"] for entity in action["object"] if "File" in kinds(entity)] == ["dataset-small:v1"]
    model, loss, worst = action["result"]
    assert (model["name"], loss["name"], loss["value"]) == ("model-small:v1", "loss", 1 / 3)
    assert loss["description"] == "The last of 3 points, at step 2." and worst["value"] == "-Infinity"
    assert action["startTime"] < action["endTime"] and action["actionStatus"].endswith("/CompletedActionStatus")
    assert "identical" in action["description"] and {entity["name"] for entity in action["environment"]} == {
        "PYTHONHASHSEED",
        "OMP_NUM_THREADS",
    }
    assert {entity["name"] for entity in action["instrument"]["softwareRequirements"]} >= {"numpy"}
    about = {Path(entity.id).name: entity for entity in of_type(found, "File") if action in listed(entity.get("about"))}
    assert set(about) == {"run.json", "metrics.csv", "stdout.txt", "environment.json", "requirements.txt"}
    curve = pandas.read_csv(whole / about["metrics.csv"].id)
    assert list(curve["step"])[:3] == [0, 1, 2] and str(curve["value"][1]) == "nan" and curve["value"][3] == -math.inf
    record = json.loads((whole / about["run.json"].id).read_text())
    assert record["run_id"] == graph.trains[0] and record["params"] == {"name": "same", "mixed": 0.5}
    assert (whole / about["stdout.txt"].id).read_text() == "a line\n"
    failed = action_of(found, graph.evaluate)
    assert failed["actionStatus"].endswith("/FailedActionStatus") and "too bad" in failed["error"]


def test_the_metadata_is_json_also_where_values_are_none_of_it(whole: Path, odd: Path) -> None:
    for folder in (whole, odd):
        text = (folder / "ro-crate-metadata.json").read_text()
        json.loads(text, parse_constant=pytest.fail)


def test_who_executed_a_run_is_said_where_an_account_is_on_record(graph: graphed.Graphed, mixed: Path) -> None:
    found = ROCrate(mixed)
    assert action_of(found, graph.script)["agent"].type == "Person"
    assert "agent" not in action_of(found, graph.imported)
    assert "mlflow" in action_of(found, graph.imported)["description"]


@pytest.mark.parametrize(
    ("name", "profiles"),
    [
        ("whole", ["process", "workflow", "provenance", "workflow-ro-crate"]),
        ("mixed", ["process", "workflow", "workflow-ro-crate"]),
        ("odd", ["process"]),
    ],
)
def test_a_crate_fulfils_what_the_profiles_that_it_names_require(
    request: pytest.FixtureRequest, name: str, profiles: list[str]
) -> None:
    found = ROCrate(request.getfixturevalue(name))
    assert list(requirements(found)) == []
    assert [entity.id for entity in listed(found.root_dataset["conformsTo"])] == [PERMALINKS[each] for each in profiles]


def test_what_is_required_is_seen_to_be_missing(whole: Path, tmp_path: Path) -> None:
    document = json.loads((whole / "ro-crate-metadata.json").read_text())
    for number, kind in enumerate(("HowToStep", "ComputerLanguage", "OrganizeAction")):
        broken = tmp_path / str(number)
        shutil.copytree(whole, broken, symlinks=True)
        graph = [{**entity, "@type": "Thing"} if entity["@type"] == kind else entity for entity in document["@graph"]]
        (broken / "ro-crate-metadata.json").write_text(json.dumps({**document, "@graph": graph}))
        found = list(requirements(ROCrate(broken)))
        assert found or kind == "OrganizeAction", kind


@pytest.mark.skipif(VALIDATOR is None, reason="REPRO_ROC_VALIDATOR names no command of roc-validator")
@pytest.mark.parametrize("name", ["whole", "mixed", "odd"])
def test_the_official_validator_finds_nothing_that_is_required(request: pytest.FixtureRequest, name: str) -> None:
    folder = request.getfixturevalue(name)
    claimed = {entity.id for entity in listed(ROCrate(folder).root_dataset["conformsTo"])}
    asked = [word for each, link in PERMALINKS.items() if link in claimed for word in ("-p", PROFILES[each])]
    words = [*shlex.split(str(VALIDATOR)), "--no-paging", "-f", "json", "-l", "REQUIRED", *asked, str(folder)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    answer = json.loads(ended.stdout)
    assert answer["passed"] is True, answer["issues"]
    assert answer["statistics"]["total_passed_checks"] >= 42


def test_steps_stand_after_those_whose_products_they_read(whole: Path) -> None:
    steps = {step["name"]: int(step["position"]) for step in of_type(ROCrate(whole), "HowToStep")}
    assert sorted(steps, key=lambda name: steps[name]) == ["data/small", "models/small", "evaluations/small"]


def test_the_run_of_a_workflow_read_what_came_from_outside_and_wrote_what_its_steps_wrote(whole: Path) -> None:
    found = ROCrate(whole)
    first, second = (action_of(found, parent) for parent in graphed.PARENTS)
    assert first["instrument"] is found.mainEntity and "object" not in first
    assert [entity["name"] for entity in listed(second["object"])] == ["dataset-small:v1"]
    assert [entity["name"] for entity in second["result"]] == ["model-small:v2", "eval-small:v1"]
    assert second["actionStatus"].endswith("/FailedActionStatus")
    (engine,) = {entity["instrument"] for entity in of_type(found, "OrganizeAction")}
    assert (engine["name"], engine["softwareVersion"]) == ("Dagster", "1.13.27")


def test_the_same_export_gives_the_same_bytes_also_as_a_zip(
    graph: graphed.Graphed, whole: Path, tmp_path: Path
) -> None:
    for name in ("a.zip", "b.zip"):
        done = export(*graphed.PARENTS, to=tmp_path / name, format="rocrate", home=graph.home)
        assert done.path == tmp_path / name and done.verified
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip"]
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        there = {str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file() or path.is_symlink()}
        assert names == there and {Path(name).name for name in names if not (whole / name).is_file()} == {
            "dangling",
            "up",
        }
        for name in names:
            is_file = (whole / name).is_file()
            assert archive.read(name) == (
                (whole / name).read_bytes() if is_file else os.fsencode((whole / name).readlink())
            )
            assert (archive.getinfo(name).external_attr >> 16 & 0o120000 == 0o120000) is not is_file
    assert list(requirements(ROCrate(tmp_path / "a.zip"))) == []
    with pytest.raises(ReusedElsewhere, match="is there already"):
        export(graph.bare, to=tmp_path / "a.zip", format="rocrate", home=graph.home)
    assert export(graph.bare, to=tmp_path / "a.zip", format="rocrate", home=graph.home, force=True).verified


def test_which_profiles_it_conforms_to_is_said_by_what_is_on_record(graph: graphed.Graphed, tmp_path: Path) -> None:
    for number, (run, profiles) in enumerate(
        {
            graph.bare: ["process"],
            graph.imported: ["process"],
            graph.script: ["process", "workflow", "workflow-ro-crate"],
            graph.notebook: ["process", "workflow", "workflow-ro-crate"],
            graph.trains[1]: ["process", "workflow", "provenance", "workflow-ro-crate"],
        }.items()
    ):
        done, found = crate(graph.home, run, to=tmp_path / str(number))
        assert done.facts["profiles"] == profiles and list(requirements(found)) == []
    _, found = crate(graph.home, "model-small:v2", to=tmp_path / "by name")
    assert action_of(found, graph.trains[1])["identifier"] == graph.trains[1]


def test_what_is_gone_is_an_entity_that_says_so(world: exported.World, tmp_path: Path) -> None:
    changed = world.copied(tmp_path / "store")
    model = changed.made["model-0"]
    for digest in model.manifest.objects():
        for path in (tmp_path / "store").glob(f"objects/*/{digest.hex[2:]}"):
            path.unlink()
    done, found = crate(changed.home, changed.trains[0], to=tmp_path / "crate")
    assert not done.verified and done.notes == ("bytes of model-flowers:v1 are gone from the store",)
    (entity,) = [each for each in found.get_entities() if each.get("identifier") == str(model.digest)]
    assert entity.type == "CreativeWork" and entity["creativeWorkStatus"] == "gone"
    assert entity in action_of(found, changed.trains[0])["result"] and list(requirements(found)) == []


@pytest.mark.parametrize("name", ["crate", "crate.zip"])
def test_damage_ends_the_export_and_nothing_shows(world: exported.World, tmp_path: Path, name: str) -> None:
    changed = world.copied(tmp_path / "store")
    for digest in changed.made["model-0"].manifest.objects():
        for path in (tmp_path / "store").glob(f"objects/*/{digest.hex[2:]}"):
            path.chmod(0o644)
            path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(CorruptObject, match="model-flowers"):
        export(changed.trains[0], to=tmp_path / name, format="rocrate", home=changed.home)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_crate_without_names_names_nobody(graph: graphed.Graphed, tmp_path: Path) -> None:
    named = (exported.HOST, exported.ACCOUNT, exported.REMOTE, "GPU-12345678-aaaa", "/home/")
    written = {}
    for name, anonymize in (("plain", False), ("clean", True)):
        export(
            *graphed.PARENTS, graph.imported, to=tmp_path / name, format="rocrate", home=graph.home, anonymize=anonymize
        )
        files = [path for path in (tmp_path / name).rglob("*") if path.is_file() and "source" not in path.parts]
        written[name] = "\n".join(path.read_text(errors="replace") for path in files)
    for word in named:
        assert word in written["plain"], word
        assert word not in written["clean"], word
    found = ROCrate(tmp_path / "clean")
    assert of_type(found, "Person") == [] and list(requirements(found)) == []
    assert "seen by anonymous's eyes" in written["clean"]


def test_names_that_mean_something_stay_what_they_are(world: exported.World, odd: Path) -> None:
    found = ROCrate(odd)
    action = action_of(found, world.hostile)
    names = [name for name in hostile_names.NAMES if "\ud800" not in name]
    given = {
        entity["name"]: json.loads(entity["value"])
        for entity in action["object"]
        if str(entity.get("value")).startswith("[")
    }
    assert given == {name: [name, 1, None] for name in names}
    assert {entity["name"] for entity in action["result"] if entity.type == "PropertyValue"} == {
        name for name in names if name.strip()
    }
    assert not any(path.name.startswith(".") or "\n" in str(path) for path in (odd / "runs").rglob("*"))


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(
    graph: graphed.Graphed, world: exported.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = world.copied(tmp_path / "store")
    exported.start(changed)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    given = repository.put(changed.home, {"a": 1})
    for name, to, said in (
        (changed.running, tmp_path / "a", "has not ended"),
        (changed.deleted, tmp_path / "a", "was deleted"),
        (str(given.digest), tmp_path / "a", "no run on record made"),
        ("nothing", tmp_path / "a", "there is no run or artifact 'nothing'"),
        (changed.failed, tmp_path / "full", "is not an empty folder"),
        (changed.failed, tmp_path / "store" / "objects" / "crate", "belongs to the store"),
        (changed.failed, tmp_path / "no" / "crate.zip", "its folder is not there"),
    ):
        with pytest.raises(Exception, match=said) as refused:
            export(name, to=to, format="rocrate", home=changed.home)
        assert refused.value.exit_code == 2, name  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rocrate", None)
    with pytest.raises(InvalidValue, match=r"pip install 'repro-assets\[rocrate\]'"):
        export(graph.bare, to=tmp_path / "a", format="rocrate", home=graph.home)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "store"]


def test_what_another_run_made_alike_is_called_as_this_one_called_it(world: exported.World, tmp_path: Path) -> None:
    for run_id in world.trains:
        _, found = crate(world.home, run_id, to=tmp_path / run_id)
        assert f"{run_id}/notes" in {entity.get("name") for entity in action_of(found, run_id)["result"]}
