"""Exports that Dagster executes: the job of the launchpad, and assets that are an export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.errors import InvalidValue
from repro_assets.orchestration import exported_asset, reproducible_asset, reproducible_resources
from repro_assets.orchestration.exporting import export_job
from repro_assets.store.home import Home, make_store


@reproducible_asset(
    metadata={"repro/collection": "table-{partition}"}, partitions_def=dg.StaticPartitionsDefinition(["a", "b"])
)
def parts() -> dict[str, int]:
    return {"x": 1}


@reproducible_asset
def numbers() -> dict[str, int]:
    return {"x": 1}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPRO_HOME", str(tmp_path / "store"))
    home = make_store(tmp_path / "store")
    with dg.instance_for_test():
        yield home


def found(home: Home, name: str) -> Artifact:
    artifact = repository.by_name(home, name)
    assert artifact is not None
    return artifact


def make(*assets: Any, **more: Any) -> dg.ExecuteInProcessResult:
    config = {"resources": {"repro": {"config": {"capture_level": "basic", "monitor": False}}}}
    return dg.materialize(
        list(assets), resources=reproducible_resources(), run_config=config, raise_on_error=False, **more
    )


def run_job(**config: Any) -> dg.ExecuteInProcessResult:
    return export_job.execute_in_process(
        run_config={"ops": {"export_records": {"config": config}}}, raise_on_error=False
    )


def failure(done: dg.ExecuteInProcessResult) -> str:
    (event,) = [event for event in done.all_events if event.event_type_value == "STEP_FAILURE"]
    return event.step_failure_data.user_failure_data.description


def test_an_exported_asset_writes_what_was_made_before_it_and_says_where(home: Home, tmp_path: Path) -> None:
    card = exported_asset("card", "numbers", format="json", to="out/numbers.json", deps=[numbers])
    assert card.specs_by_key[dg.AssetKey("card")].deps[0].asset_key == dg.AssetKey("numbers")
    for _ in range(2):
        done = make(numbers, card)
        assert done.success, failure(done)
    (artifact,) = json.loads((tmp_path / "out/numbers.json").read_text())["artifacts"]
    made = found(home, "numbers")
    assert artifact["digest"] == str(made.digest)
    (event,) = done.asset_materializations_for_node("card")
    assert event.metadata["path"].value == str(tmp_path / "out/numbers.json")
    assert event.metadata["format"].value == "json"


def test_places_of_a_partition_and_a_run_are_filled(home: Home, tmp_path: Path) -> None:
    asset = exported_asset(
        "record",
        "table-{partition}",
        format="yaml",
        to="out/{partition}-{run}.yaml",
        deps=[parts],
        partitions_def=parts.partitions_def,
    )
    done = make(parts, asset, partition_key="b")
    assert done.success, failure(done)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"b-{done.run_id}.yaml"]


def test_what_cannot_be_exported_fails_with_the_reason(home: Home, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    for what, format, to, said in (
        ("nothing", "json", "x.json", "nothing"),
        ("numbers", "dvc", "full", "full"),
    ):
        done = make(numbers, exported_asset("e", what, format=format, to=to, deps=[numbers]))
        assert not done.success
        assert said in failure(done)
    assert (tmp_path / "full" / "file").read_text() == "mine"
    for bad in (
        {"format": "json", "to": ""},
        {"format": "fax", "to": "x"},
        {"format": "json", "to": "{partition}"},
        {"format": "json", "to": "{"},
    ):
        with pytest.raises(InvalidValue):
            exported_asset("e", "numbers", deps=[numbers], **bad)


def test_the_job_exports_what_its_config_names(home: Home, tmp_path: Path) -> None:
    assert make(numbers).success
    done = run_job(what=["numbers"], format="json", to="a.json")
    assert done.success, failure(done)
    assert json.loads((tmp_path / "a.json").read_text())["artifacts"]
    again = run_job(what=["numbers"], format="json", to="a.json")
    assert not again.success
    assert "a.json" in failure(again)
    assert run_job(what=["numbers"], format="json", to="a.json", force=True).success
    assert "'fax' is not a format" in failure(run_job(what=["numbers"], format="fax", to="b"))


def test_the_job_takes_a_condition_as_the_command_does(home: Home, tmp_path: Path) -> None:
    assert make(numbers).success
    done = run_job(where="asset = 'numbers'", format="json", to="a.json")
    assert done.success, failure(done)
    (run,) = json.loads((tmp_path / "a.json").read_text())["runs"]
    assert run["asset"] == "numbers"
    done = run_job(what=["numbers"], where="asset = 'none'", format="json", to="b.json")
    assert done.success and json.loads((tmp_path / "b.json").read_text())["runs"] == []
    assert "no run has \"asset = 'none'\"" in failure(run_job(where="asset = 'none'", format="json", to="c.json"))
    assert "there is nothing to export" in failure(run_job(format="json", to="c.json"))
    assert "no_column" in failure(run_job(where="no_column = 1", format="json", to="c.json"))


def test_an_export_of_what_is_gone_fails_and_says_so(home: Home) -> None:
    assert make(numbers).success
    for digest in found(home, "numbers").manifest.objects():
        for path in home.root.glob(f"objects/*/{digest.hex[2:]}"):
            path.unlink()
    assert "are gone" in failure(run_job(what=["numbers"], format="json", to="a.json"))
