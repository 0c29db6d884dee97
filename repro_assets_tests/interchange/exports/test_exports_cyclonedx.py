"""``cyclonedx``: what a model is made of, valid by CycloneDX's own strict validator, and no more than is on record."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile_names
import pandas
import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from exported import ACCOUNT, HOST, REMOTE, World

from repro_assets.artifacts import repository
from repro_assets.errors import CheckFailed, InvalidValue
from repro_assets.interchange.exports import bill_model
from repro_assets.interchange.formats import export
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home

Document = dict[str, Any]


def exported_bill(home: Home, name: str, path: Path, **options: Any) -> Document:
    """Export, and hold what was written against CycloneDX's schema and its own classes."""
    done = export(name, to=path, format="cyclonedx", home=home, **options)
    text = Path(done.path).read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document: Document = json.loads(text)
    assert Bom.from_json(data=document).metadata.component is not None  # type: ignore[attr-defined]
    refs = list(references(document))
    assert len(refs) == len(set(refs))
    assert {ref for item in document["dependencies"] for ref in (item["ref"], *item.get("dependsOn", ()))} <= set(refs)
    assert done.verified and done.facts["spec_version"] == document["specVersion"] == "1.6"
    return document


def references(value: Any) -> Iterator[str]:
    """Yield the reference of everything that has one."""
    if isinstance(value, dict):
        yield from [value["bom-ref"]] if "bom-ref" in value else []
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def facts(item: Document) -> dict[str, str]:
    return {each["name"].removeprefix("repro:"): each["value"] for each in item.get("properties", ())}


@pytest.fixture(scope="module")
def first(world: World, tmp_path_factory: pytest.TempPathFactory) -> Document:
    """The bill of the model of the first seed, which was evaluated and replayed."""
    return exported_bill(world.home, world.trains[0], tmp_path_factory.mktemp("bill") / "a.cdx.json")


@pytest.fixture(scope="module")
def second(world: World, tmp_path_factory: pytest.TempPathFactory) -> Document:
    """The bill of the model of the second seed, which went on from the first."""
    return exported_bill(world.home, "model-flowers@production", tmp_path_factory.mktemp("bill") / "b.cdx.json")


def parts(document: Document) -> dict[str, Document]:
    return {item["bom-ref"]: item for item in document["components"]}


def test_the_model_has_its_version_digest_and_card(world: World, first: Document) -> None:
    model = first["metadata"]["component"]
    digest = world.made["model-0"].digest
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "model-flowers", "1")
    assert model["bom-ref"] == str(digest) and model["hashes"] == [{"alg": "SHA-256", "content": digest.hex}]
    assert model["description"] == "Learns to tell flowers apart."
    assert facts(model)["hash_of"] == "manifest" and facts(model)["run"] == world.trains[0]
    said = model["modelCard"]["modelParameters"]
    assert said["approach"] == {"type": "supervised"} and said["task"] == "classification"
    assert said["modelArchitecture"] == "two layers" and "architectureFamily" not in said
    datasets = [str(world.made[name].digest) for name in ("dataset-flowers", "dataset-images")]
    assert said["datasets"] == [{"ref": ref} for ref in datasets] and set(datasets) <= set(parts(first))
    assert facts(model["modelCard"])["numbers:float32"] == "6" and facts(model["modelCard"])["numbers:float64"] == "2"


def test_figures_have_their_slices_and_intervals(first: Document, second: Document) -> None:
    card = first["metadata"]["component"]["modelCard"]
    assert card["quantitativeAnalysis"]["performanceMetrics"] == [
        {
            "type": "accuracy_greedy", "value": "0.75", "slice": "dataset-images:v1",
            "confidenceInterval": {"lowerBound": "0.5", "upperBound": "1.0"},
        },
        {"type": "loss", "value": "NaN", "slice": "dataset-images:v1"},
        {"type": "precision", "value": "0.5", "slice": "dataset-images:v1, class setosa"},
        {"type": "recall", "value": "1", "slice": "dataset-images:v1, class setosa"},
    ]  # fmt: skip
    assert json.loads(facts(card)["evaluation:dataset-images:v1"])["confidence"] == 0.95
    assert "quantitativeAnalysis" not in second["metadata"]["component"]["modelCard"]


def test_data_has_its_digest_and_what_it_came_from(world: World, second: Document) -> None:
    data, model = world.made["dataset-flowers"], world.made["model-0"]
    item = parts(second)[str(data.digest)]
    assert (item["type"], item["name"], item["version"]) == ("data", "dataset-flowers", "1")
    assert item["hashes"][0]["content"] == data.digest.hex
    assert item["data"] == [{"type": "dataset", "name": "dataset-flowers:v1"}]
    needs = {each["ref"]: set(each.get("dependsOn", ())) for each in second["dependencies"]}
    assert {str(data.digest), str(model.digest)} <= needs[str(world.made["model-1"].digest)]
    assert needs[str(model.digest)] == {str(data.digest)} and needs[str(data.digest)] == set()
    (ancestor,) = second["metadata"]["component"]["pedigree"]["ancestors"]
    assert ancestor["hashes"][0]["content"] == model.digest.hex and facts(ancestor)["slot"] == "start"


def test_the_hash_of_a_file_is_that_of_its_bytes(world: World, empty: Home, tmp_path: Path) -> None:
    run = begin(empty, RunStarted("ab" * 8, "script", "one"))
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"weights")
    run.log_output("model", repository.put(empty, weights), name="model-one", collection="model-one")
    run.end()
    document = exported_bill(empty, "model-one", tmp_path / "a.cdx.json")
    model = document["metadata"]["component"]
    assert model["hashes"][0]["content"] == hashlib.sha256(b"weights").hexdigest()
    assert facts(model)["hash_of"] == "file" and facts(model)["digest"] == model["bom-ref"]


def test_packages_and_the_machine_are_as_they_were_captured(first: Document) -> None:
    found = parts(first)
    assert found["pypi:numpy"]["purl"] == "pkg:pypi/numpy@2.1.0"
    assert found["pypi:torch"]["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert "purl" not in found["pypi:my-project"] and facts(found["pypi:my-project"])["editable"] == "true"
    assert "vcs_url=git" in found["pypi:pinned"]["purl"]
    assert found["conda:openssl"]["purl"] == "pkg:conda/openssl@3.3.1?build=h1&channel=conda-forge"
    assert not any("licenses" in item or "hashes" in item for ref, item in found.items() if ref.startswith("pypi:"))
    assert (found["python"]["type"], found["python"]["version"]) == ("platform", "3.11.9")
    assert found["operating-system"]["name"] == "Debian GNU/Linux 12 (bookworm)"
    assert found["gpu-driver:550.1"]["type"] == "device-driver" and found["gpu:1"]["type"] == "device"
    assert facts(first["metadata"])["unavailable:gpus[0].ecc"] == "Not Supported"


def test_a_container_is_there_where_the_run_was_in_one(empty: Home, tmp_path: Path) -> None:
    for runtime, image in (("docker", "trainer:1"), ("none", None)):
        environment = {"container": {"runtime": runtime, "image": image, "image_id": None, "limits": {"cpus": 2}}}
        digest = str(repository.put(empty, environment, "json").digest)
        run = begin(empty, RunStarted(f"{len(runtime):016d}", "script", runtime, environment=digest))
        run.log_output("model", {"w": [runtime]}, name=f"model-{runtime}", collection=f"model-{runtime}")
        run.end()
    (container,) = exported_bill(empty, "model-docker", tmp_path / "a.cdx.json")["components"]
    assert (container["type"], container["name"], facts(container)["runtime"]) == ("container", "trainer:1", "docker")
    assert "components" not in exported_bill(empty, "model-none", tmp_path / "b.cdx.json")


def test_how_it_was_trained_is_there(world: World, first: Document) -> None:
    ((workflow,),) = [each["workflows"] for each in first["formulation"]]
    assert (workflow["uid"], workflow["name"]) == (world.trains[0], "train-seed0")
    assert workflow["steps"][0]["commands"] == [{"executed": "python learn.py"}]
    given = {each["name"]: each["value"] for item in workflow["inputs"] for each in item.get("parameters", ())}
    assert given["config.lr"] == "0.1" and given["config.nested"] == '{"layers": 2}' and given["params.odd"] == "nan"
    variables = [item["environmentVars"] for item in workflow["inputs"] if "environmentVars" in item]
    assert {"name": "PYTHONHASHSEED", "value": "0"} in variables[0]
    refs = [item["resource"]["ref"] for item in (*workflow["inputs"], *workflow["outputs"]) if "resource" in item]
    assert refs == [str(world.made["dataset-flowers"].digest), str(world.made["model-0"].digest)]
    (metrics,) = [item["data"] for item in workflow["outputs"] if item["type"] == "metrics"]
    assert json.loads(metrics["content"]) == {"accuracy": 0.75, "train/loss": 0.5}
    assert facts(workflow)["seed"] == "0" and json.loads(facts(workflow)["replay:1"])["verdict"] == "identical"
    source = next(item for item in first["components"] if item["name"] == "source")
    assert source["pedigree"]["commits"][0]["uid"] == "c0ffee" * 6 + "c0ff"
    assert source["data"] == [{"type": "source-code", "name": "source"}]


def test_the_same_record_gives_the_same_bytes_and_another_one_another_serial_number(
    world: World, first: Document, second: Document, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        export("model-flowers:v1", to=tmp_path / f"{name}.cdx.json", format="cyclonedx", home=world.home)
    assert (tmp_path / "a.cdx.json").read_bytes() == (tmp_path / "b.cdx.json").read_bytes()
    assert json.loads((tmp_path / "a.cdx.json").read_text()) == first
    assert uuid.UUID(first["serialNumber"]) != uuid.UUID(second["serialNumber"])
    assert first["metadata"]["timestamp"] == first["formulation"][0]["workflows"][0]["timeEnd"]


def test_nobody_is_named_where_that_is_asked(world: World, tmp_path: Path) -> None:
    plain = exported_bill(world.home, "model-flowers:v2", tmp_path / "plain.cdx.json")
    said = exported_bill(world.home, "model-flowers:v2", tmp_path / "a.cdx.json", anonymize=True)
    for name in (ACCOUNT, REMOTE, "/home/"):
        assert name in json.dumps(plain), name
        assert name not in json.dumps(said), name
    assert HOST not in json.dumps(said)
    assert said["metadata"]["component"]["bom-ref"] == plain["metadata"]["component"]["bom-ref"]


def test_a_model_that_nobody_recorded_the_making_of_has_a_bill(empty: Home, tmp_path: Path) -> None:
    made = repository.claim(repository.put(empty, {"w": [1.0]}), "weights")
    document = exported_bill(empty, "weights", tmp_path / "a.cdx.json")
    assert document["metadata"]["component"]["bom-ref"] == str(made.digest)
    assert "formulation" not in document and "components" not in document


def test_names_that_mean_something_stay_what_they_are(world: World, empty: Home, tmp_path: Path) -> None:
    names = [name for name in hostile_names.NAMES if "\ud800" not in name]
    started = RunStarted("ab" * 8, "script", names[0], config={name: name for name in names}, tags=names)
    run = begin(empty, started)
    run.use(names[1], repository.put(empty, {"x": 1}))
    run.log_output(names[2], {"w": [1.0]}, name=f"model-{names[0]}", collection="model-hostile")
    run.end()
    document = exported_bill(empty, run.run_id, tmp_path / "a.cdx.json")
    ((workflow,),) = [each["workflows"] for each in document["formulation"]]
    given = {each["name"]: each["value"] for item in workflow["inputs"] for each in item.get("parameters", ())}
    assert given == {f"config.{name}": name for name in names}
    assert workflow["name"] == names[0]


def test_an_environment_that_does_not_read_is_said(empty: Home, tmp_path: Path) -> None:
    environment = str(repository.put(empty, {"packages": ["numpy"]}, "json").digest)
    run = begin(empty, RunStarted("ab" * 8, "script", "odd", environment=environment))
    run.log_output("model", {"w": [1.0]}, name="model-odd", collection="model-odd")
    run.end()
    done = export("model-odd", to=tmp_path / "a.cdx.json", format="cyclonedx", home=empty)
    assert done.verified and done.notes == (f"its packages are not in it: environment {environment} does not read",)
    assert "components" not in json.loads((tmp_path / "a.cdx.json").read_text())


def test_what_is_no_model_is_refused(world: World, empty: Home, tmp_path: Path) -> None:
    run = begin(empty, RunStarted("ab" * 8, "script", "none"))
    run.log_output("result", pandas.DataFrame({"x": [1]}), name="dataset-none", collection="dataset-none")
    run.end()
    for home, name, said in (
        (world.home, "dataset-flowers", "is a data set and not a model"),
        (empty, run.run_id, "made no model"),
    ):
        with pytest.raises(InvalidValue, match=said):
            export(name, to=tmp_path / "a.cdx.json", format="cyclonedx", home=home)
    assert not (tmp_path / "a.cdx.json").exists()


def test_a_document_that_is_not_valid_is_not_written(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bill_model, "APPROACHES", ("supervised", "guessing"))
    monkeypatch.setattr(bill_model, "said", lambda run, *names: "guessing" if "approach" in names else None)
    with pytest.raises(CheckFailed, match="not valid CycloneDX"):
        export("model-flowers:v1", to=tmp_path / "a.cdx.json", format="cyclonedx", home=world.home)
    assert not (tmp_path / "a.cdx.json").exists()
