"""Into the run of MLflow that a program has begun itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from exported import World
from mlflow_places import emptied

import repro_assets
from repro_assets.errors import InvalidValue
from repro_assets.interchange import formats


@pytest.fixture
def mlflow(in_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """MLflow, as a program uses it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "before")
    tool: Any = import_module("mlflow")
    before = tool.get_tracking_uri()
    tool.set_tracking_uri(f"sqlite:///{emptied(in_mlflow / 'mlflow.db', tmp_path / 'theirs.db')}")
    yield tool
    tool.set_tracking_uri(before)


def files_of(run: Any) -> dict[str, bytes]:
    root = Path(run.info.artifact_uri)
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_a_recorded_run_goes_into_the_active_one(world: World, mlflow: Any) -> None:
    with mlflow.start_run(run_name="mine") as active:
        mlflow.log_param("lr", 5)
        mlflow.set_tag("mine", "kept")
        done = repro_assets.export(world.trains[0], to="active", format="mlflow", home=world.home)
        assert mlflow.active_run().info.run_id == active.info.run_id
    assert done.path == f"runs:/{active.info.run_id}" and done.verified
    run = mlflow.MlflowClient().get_run(active.info.run_id)
    assert (run.info.run_name, run.info.status, run.data.tags["mine"]) == ("mine", "FINISHED", "kept")
    # A parameter that the program has logged stays its own.
    assert (run.data.params["lr"], run.data.tags["param.lr"]) == ("5", "0.1")
    assert run.data.params["python_version"] == "3.11.9"
    assert len(mlflow.MlflowClient().get_metric_history(active.info.run_id, "train/loss")) == 5
    assert "model/MLmodel" in files_of(run)
    assert not run.data.tags["mlflow.source.name"].startswith("small.learning")


def test_what_is_captured_now_goes_into_the_active_run(mlflow: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1,2\n")
    with mlflow.start_run() as active:
        said = repro_assets.capture_to_mlflow(tmp_path / "data", level="basic", project=tmp_path)
    run = mlflow.MlflowClient().get_run(active.info.run_id)
    assert said["run_id"] == active.info.run_id
    assert run.data.params == {name: str(value) for name, value in said["params"].items()}
    assert run.data.params["data_path"] == str(tmp_path / "data") and run.data.params["manifest_version"] == "1.0"
    # There is no git here, and the basic level looks at no processor: neither is told.
    assert not {"git_commit", "cpu_count", "gpu_count"} & run.data.params.keys()
    assert run.data.metrics == said["metrics"] and run.data.metrics["data_files_count"] == 1.0
    assert run.data.metrics["data_processing_time"] > 0
    files = files_of(run)
    document = json.loads(files["environment/environment.json"])
    assert document["level"] == "basic" and run.data.tags["repro.environment"] == said["environment"]
    assert json.loads(files["data_manifest/data.json"])["summary"]["total_files"] == 1
    assert b"numpy==" in files["environment/requirements.txt"]


def test_without_an_active_run_nothing_is_written(world: World, mlflow: Any) -> None:
    for write in (
        lambda: formats.export(world.trains[0], to="active", format="mlflow", home=world.home),
        repro_assets.capture_to_mlflow,
    ):
        with pytest.raises(InvalidValue, match=r"no run of MLflow is active in this process \(begin one"):
            write()
    with mlflow.start_run(), pytest.raises(InvalidValue, match="2 runs are meant"):
        formats.export(*world.trains, to="active", format="mlflow", home=world.home)
