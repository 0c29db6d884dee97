"""What MLflow's own client gives back of exported runs is what is on record of them."""

from __future__ import annotations

import datetime
import json
import math
import os
import shutil
import sqlite3
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported import ACCOUNT, ENVIRONMENT, HOST, REMOTE, World, start
from mlflow_places import client_of, emptied, runs_of

from repro_assets.artifacts import repository
from repro_assets.catalog.descriptions import show_run
from repro_assets.errors import InvalidValue, MachineError, ReusedElsewhere
from repro_assets.identity.digest import Digest
from repro_assets.interchange import formats
from repro_assets.interchange.exports import mlflow_files
from repro_assets.journal.run_records import ParentState, RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.mirrors.holding import as_text, flat
from repro_assets.mirrors.mlflow_writing import new_names
from repro_assets.recording.lifetime import begin
from repro_assets.recording.raw_inputs import store_manifest, store_raw
from repro_assets.store.home import make_store

MOST = 1.7976931348623157e308


@pytest.fixture(scope="module")
def client(in_mlflow: Path) -> Any:
    return client_of(in_mlflow / "mlflow.db")


@pytest.fixture(scope="module")
def runs(client: Any) -> dict[str, Any]:
    return runs_of(client)


@pytest.fixture
def fresh(in_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database that has its tables and nothing in them; MLflow puts its artifacts below the current folder."""
    monkeypatch.chdir(tmp_path)
    return emptied(in_mlflow / "mlflow.db", tmp_path / "fresh.db")


def files_of(run: Any) -> dict[str, bytes]:
    root = Path(run.info.artifact_uri)
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_a_run_is_who_it_was_when_it_was(world: World, client: Any, runs: dict[str, Any]) -> None:
    run, record = runs[world.trains[1]], show_run(world.home, world.trains[1])
    assert client.get_experiment(run.info.experiment_id).name == "flowers"
    assert (run.info.run_name, run.info.status) == ("train-seed1", "FINISHED")
    for there, here in ((run.info.start_time, "started_at"), (run.info.end_time, "ended_at")):
        assert abs(there / 1000 - (record[here] - datetime.datetime(1970, 1, 1)).total_seconds()) <= 0.001
    tags = run.data.tags
    assert (tags["kept"], tags["mlflow.note.content"]) == ("true", record["note"])
    assert tags["mlflow.source.git.commit"] == record["commit"]
    assert tags["repro.source"] == record["source"] and tags["repro.environment"] == record["environment"]
    assert tags["repro.inputs.data"] == str(world.made["dataset-flowers"].digest)
    assert tags["artifact.model"] == str(world.made["model-1"].digest)
    failed = runs[world.failed]
    assert (failed.info.status, failed.data.tags["repro.state"]) == ("FAILED", "FAILED")
    assert failed.data.tags["repro.error.message"] == "the loss became NaN"
    assert runs[world.trains[0]].data.tags["repro.replays"] == '["identical"]'


def test_parameters_are_texts_of_what_was_configured_and_logged(world: World, runs: dict[str, Any]) -> None:
    for run_id in (world.trains[0], world.hostile):
        record, names = show_run(world.home, run_id), new_names()
        wanted = {names.held(name): as_text(value) for name, value in flat({**record["config"], **record["params"]})}
        found = runs[run_id].data.params
        assert {name: found[name] for name in wanted} == wanted
        tags = runs[run_id].data.tags
        renamed = names.changed()
        assert {held: tags[f"name.{held}"[:250]] for held in renamed} == renamed


def test_the_whole_history_of_each_metric_is_there(world: World, client: Any, runs: dict[str, Any]) -> None:
    run = runs[world.trains[0]].info.run_id
    history = sorted(client.get_metric_history(run, "train/loss"), key=lambda point: point.step)
    values = [point.value for point in history]
    assert [point.step for point in history] == [0, 1, 2, 3, 4]
    assert math.isnan(values[1]) and (values[0], *values[2:]) == (2.0, MOST, -MOST, 0.5)
    assert [(point.step, point.value) for point in client.get_metric_history(run, "accuracy")] == [(0, 0.75)]


def test_environment_and_inputs_lie_beside_a_run(world: World, runs: dict[str, Any]) -> None:
    files = files_of(runs[world.trains[0]])
    assert json.loads(files["environment/environment.json"]) == ENVIRONMENT
    lines = files["environment/requirements.txt"].decode().splitlines()
    assert lines[0] == "# Python 3.11.9" and "numpy==2.1.0" in lines
    assert "pinned @ git+https://forge.example/pinned@c0ffee" in lines
    manifest = files["data_manifest/data.json"]
    assert Digest.of(manifest) == world.made["dataset-flowers"].digest
    params = runs[world.trains[0]].data.params
    told = {name: params[name] for name in ("python_version", "platform_system", "cpu_count", "gpu_count")}
    assert told == {"python_version": "3.11.9", "platform_system": "Linux", "cpu_count": "4", "gpu_count": "2"}
    assert (params["git_branch"], params["git_uncommitted_changes"]) == ("main", "True")


def test_what_was_not_captured_is_left_out(world: World, runs: dict[str, Any]) -> None:
    failed = runs[world.failed]
    assert failed.data.params == {} and failed.data.metrics == {}
    assert set(files_of(failed)) == {"repro/run.json"}
    assert not {"data_path", "manifest_version"} & runs[world.trains[0]].data.params.keys()


def test_products_are_laid_out_with_their_manifests(world: World, runs: dict[str, Any], tmp_path: Path) -> None:
    files = files_of(runs[world.data])
    for slot, artifact in world.made.items():
        if not slot.startswith(("dataset-", "raw-")) or slot == "dataset-hostile":
            continue
        artifact.lay_out(tmp_path / slot)
        laid = tmp_path / slot
        wanted = {slot: laid} if laid.is_file() else {str(f.relative_to(tmp_path)): f for f in laid.rglob("*")}
        assert all(files[name] == file.read_bytes() for name, file in wanted.items() if file.is_file())
        assert files[f"repro/manifests/{artifact.digest.hex}.json"] == artifact.manifest.encode()


def test_a_data_manifest_gives_parameters_and_figures(tmp_path: Path, fresh: Path) -> None:
    home = make_store(tmp_path / "store")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.csv").write_text("1,2\n")
    (tmp_path / "raw" / "b.csv").write_text("3\n")
    tree = store_raw(home, tmp_path, Path("raw"))
    run = begin(home, RunStarted("d" * 16, "script", "reads raw files", config={"git_branch": "mine"}))
    run.use("documents", tree)
    run.use("documents_manifest", store_manifest(home, tmp_path, Path("raw"), tree))
    run.end()
    formats.export("d" * 16, to=f"sqlite:///{fresh}", format="mlflow", home=home)
    found = runs_of(client_of(fresh))["d" * 16]
    assert found.data.params == {
        "git_branch": "mine", "data_path": "raw", "hash_algorithms": "sha256", "manifest_version": "1.0",
    }  # fmt: skip
    # A stored manifest has no times, so none is told.
    assert found.data.metrics == {"data_files_count": 2.0, "data_size_bytes": 6.0}
    files = files_of(found)
    document = json.loads(files["data_manifest/documents_manifest.json"])
    assert [item["relative_path"] for item in document["files"]] == ["a.csv", "b.csv"]
    assert Digest.of(files["data_manifest/documents.json"]) == tree.digest


def test_a_model_has_a_signature_of_what_it_was_trained_on(world: World, in_mlflow: Path, tmp_path: Path) -> None:
    models = import_module("mlflow.models")
    (file,) = [
        path for path in in_mlflow.rglob("model/MLmodel") if world.trains[0] in path.read_text()
    ]  # the other training has one, too
    model = models.Model.load(str(file.parent))
    types = {column.name: str(column.type) for column in model.get_input_schema().inputs}
    assert types["id"] == "DataType.long" and types["petal width (cm)"] == "DataType.float"
    assert (
        types["seen"] == "DataType.datetime" and types["votes"] == "Array(long)" and types["kind"] == "DataType.string"
    )
    assert model.get_output_schema() is None
    flavor = model.flavors["repro_assets"]
    assert (flavor["kind"], flavor["digest"]) == ("tensors", str(world.made["model-0"].digest))
    world.made["model-0"].lay_out(tmp_path / "laid")
    for laid in (tmp_path / "laid").iterdir():
        assert (file.parent / flavor["data"] / laid.name).read_bytes() == laid.read_bytes()


def test_tensors_give_a_signature_of_shapes(tmp_path: Path, fresh: Path) -> None:
    home = make_store(tmp_path / "store")
    data = repository.put(home, {"images": np.zeros((7, 8, 8), "float32"), "labels": np.arange(7), "scale": 2.0})
    base = repository.claim(repository.put(home, {"w": np.zeros(3)}), "model-base")
    run = begin(home, RunStarted("e" * 16, "script", "trains"))
    run.use("data", data)
    run.use("base", base)
    run.log_output("model", {"w": np.ones(3)}, name=f"model-{'e' * 16}")
    run.log_output("plain", {"w": [1.5]}, name="model-json")
    run.end()
    formats.export("e" * 16, to=f"sqlite:///{fresh}", format="mlflow", home=home)
    models = import_module("mlflow.models")
    files = {path.parent.name: models.Model.load(str(path)) for path in tmp_path.rglob("MLmodel")}
    inputs = {spec.name: (str(spec.type), spec.shape) for spec in files["model"].get_input_schema().inputs}
    assert inputs == {"data.images": ("float32", (-1, 8, 8)), "data.labels": ("int64", (-1,))}
    assert files["model"].metadata["tensors"] == [{"name": "w", "dtype": "float64", "shape": [3]}]
    assert set(files) == {"model", "plain"}


def test_runs_under_a_parent_are_nested(tmp_path: Path, fresh: Path) -> None:
    home = make_store(tmp_path / "store")
    parent, child = "a" * 16, "b" * 16
    journal_at(home.journal).append(RunStarted(parent, "parent", "all"))
    begin(home, RunStarted(child, "asset", "one", parent_run_id=parent)).end()
    journal_at(home.journal).append(ParentState(parent, "COMPLETED", "SUCCESS"))
    done = formats.export(child, parent, to=f"sqlite:///{fresh}", format="mlflow", home=home)
    assert done.facts["runs"] == [parent, child]
    found = runs_of(client_of(fresh))
    assert found[child].data.tags["mlflow.parentRunId"] == found[parent].info.run_id


def test_an_address_gets_each_run_once(world: World, in_mlflow: Path, tmp_path: Path) -> None:
    shutil.copy(in_mlflow / "mlflow.db", tmp_path / "mlflow.db")
    to = f"sqlite:///{tmp_path / 'mlflow.db'}"
    before = (tmp_path / "mlflow.db").read_bytes()
    written = {path: path.stat().st_mtime_ns for path in in_mlflow.rglob("*")}
    done = formats.export(*world.trains, to=to, format="mlflow", home=world.home)
    assert (done.path, done.verified, done.facts["runs"]) == (to, True, list(world.trains))
    assert (tmp_path / "mlflow.db").read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in in_mlflow.rglob("*")} == written
    client = client_of(tmp_path / "mlflow.db")
    run = runs_of(client)[world.trains[0]].info.run_id
    # One that was cut off is taken up again.
    client.delete_tag(run, "repro.content")
    formats.export(world.trains[0], to=to, format="mlflow", home=world.home)
    again = runs_of(client)[world.trains[0]]
    assert again.info.run_id == run and len(client.get_metric_history(run, "train/loss")) == 5
    assert again.data.tags["repro.content"].startswith("sha256:")


def test_names_are_taken_out(world: World, tmp_path: Path) -> None:
    formats.export(*world.trains, to=tmp_path / "out", format="mlflow", home=world.home, anonymize=True)
    for file in (tmp_path / "out").rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert not [name for name in (HOST, ACCOUNT, REMOTE, "GPU-12345678") if name.encode() in data], file
    note = runs_of(client_of(tmp_path / "out" / "mlflow.db"))[world.trains[1]].data.tags["mlflow.note.content"]
    assert note == "looks right on anonymous, in ~/work"


def test_bytes_that_are_gone_are_told_and_the_rest_is_there(world: World, tmp_path: Path, fresh: Path) -> None:
    mine = world.copied(tmp_path / "store")
    for part in mine.made["model-0"].manifest.objects():
        place = mine.home.objects / part.hex[:2] / part.hex[2:]
        place.unlink()
    done = formats.export(mine.trains[0], to=f"sqlite:///{fresh}", format="mlflow", home=mine.home)
    assert not done.verified
    assert done.notes == (f"bytes of model of run {mine.trains[0]} are gone from the store",)
    found = runs_of(client_of(fresh))[mine.trains[0]]
    assert found.data.tags["artifact.model"] == str(mine.made["model-0"].digest)
    assert "notes" in files_of(found) and not [name for name in files_of(found) if name.startswith("model/")]


def test_what_is_refused_leaves_nothing(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = world.copied(tmp_path / "store")
    start(mine)
    for run, said in ((mine.running, "has not ended"), (mine.deleted, "was deleted")):
        with pytest.raises(InvalidValue, match=said):
            formats.export(run, to=tmp_path / "out", format="mlflow", home=mine.home)
    full = tmp_path / "full"
    full.mkdir()
    (full / "theirs").write_text("theirs")
    with pytest.raises(ReusedElsewhere, match="not an empty folder"):
        formats.export(mine.data, to=full, format="mlflow", home=mine.home)

    def no_space(*_: object) -> None:
        raise OSError(28, os.strerror(28), "somewhere")

    monkeypatch.setattr(mlflow_files, "_write", no_space)
    with pytest.raises(MachineError, match="no space left"):
        formats.export(mine.trains[0], to=tmp_path / "out", format="mlflow", home=mine.home)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "store"]


def test_a_database_of_something_else_is_left_alone(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE mine (x)")
    before = other.read_bytes()
    with pytest.raises(InvalidValue, match="database of something else"):
        formats.export(world.data, to=f"sqlite:///{other}", format="mlflow", home=world.home)
    (tmp_path / "text").write_text("not a database at all" * 50)
    with pytest.raises(InvalidValue, match="no database"):
        formats.export(world.data, to=f"sqlite:///{tmp_path / 'text'}", format="mlflow", home=world.home)
    with pytest.raises(InvalidValue):
        formats.export(
            world.data, to=f"sqlite:///{world.home.root / 'catalog.duckdb'}", format="mlflow", home=world.home
        )
    assert other.read_bytes() == before


def test_a_server_that_is_away_is_one_error(world: World) -> None:
    with pytest.raises(MachineError, match=r"^http://127\.0\.0\.1:9 does not answer: ConnectionError \(start it"):
        formats.export(world.data, to="http://me:hunter2@127.0.0.1:9", format="mlflow", home=world.home)


@pytest.mark.parametrize(
    ("to", "meant"),
    [
        ("mlx.db", "sqlite:///mlx.db"),
        ("in/mlx.sqlite", "sqlite:///in/mlx.sqlite"),
        ("sqlite:", "sqlite:///mlflow.db"),
        ("sqlite://", "sqlite:///mlflow.db"),
        ("sqlite:///", "sqlite:///mlflow.db"),
        ("sqlite:///:memory:", "sqlite:///mlflow.db"),
        ("sqlite:mlx.db", "sqlite:///mlx.db"),
        ("sqlite://mlx.db", "sqlite:///mlx.db"),
        ("sqlite:/mlx.db", "sqlite:////mlx.db"),
        ("http:", "http://HOST"),
        ("https:/tracking.example", "https://tracking.example"),
        ("postgresql:x", "postgresql://x"),
    ],
)
def test_what_is_nearly_an_address_is_refused_with_what_was_meant(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, meant: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidValue) as raised:
        formats.export(world.data, to=to, format="mlflow", home=world.home)
    assert raised.value.remedy == f"did you mean {meant}?"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("to", "said"),
    [
        (
            "ftp://me:hunter2@x.example/a",
            r"^MLflow takes no runs at an address that begins with ftp: \(http://HOST:PORT, sqlite:///",
        ),
        ("https:/u:hunter2@x.example/a", r"^what --to says is neither a folder .*did you mean https://x\.example/a"),
        ("file:here", r"^MLflow takes no runs into a folder of files .* \(name the folder without file:"),
        (
            "postgresql+absent_driver://u:hunter2@127.0.0.1:1/x",
            r"an address that begins with postgresql\+absent_driver: ",
        ),
        (
            "postgresql://u:hunter2@127.0.0.1:1/x",
            r"reached with the Python package psycopg\w*, which is not .* \(install its driver: pip install 'psycopg",
        ),
    ],
)
def test_an_address_that_cannot_serve_is_one_short_line(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    for driver in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(InvalidValue, match=said) as raised:
        formats.export(world.data, to=to, format="mlflow", home=world.home)
    assert len(str(raised.value)) < 250 and "hunter2" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_that_was_kept_is_made_again_where_it_does_not_read(world: World, tmp_path: Path) -> None:
    mine = world.copied(tmp_path / "store")
    kept = mine.home.cache / f"mlflow-{import_module('mlflow').__version__}.db"
    kept.parent.mkdir(exist_ok=True)
    for spoilt in (b"", b"no database" * 9):
        kept.write_bytes(spoilt)
        formats.export(mine.failed, to=tmp_path / f"out{len(spoilt)}", format="mlflow", home=mine.home)
        out = tmp_path / f"out{len(spoilt)}"
        assert {path.name for path in out.iterdir()} == {"mlflow.db", "artifacts"}
        assert set(runs_of(client_of(out / "mlflow.db"))) == {mine.failed}
        assert kept.read_bytes().startswith(b"SQLite format 3\0")
