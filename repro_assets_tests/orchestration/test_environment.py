"""In Dagster: a run that its environment does not suit fails first; a change of it is on the asset's page."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from repro_assets.artifacts import repository
from repro_assets.identity.digest import Digest
from repro_assets.orchestration.changes import environment_change
from repro_assets.orchestration.instance import open_instance
from repro_assets.store.home import make_store

KEY = dg.AssetKey(["models", "small"])
ENVIRONMENT: dict[str, Any] = {
    "packages": [{"name": "numpy", "version": "2.1"}, {"name": "torch", "version": "2.13.0"}],
    "variables": {f"OMP_{number}": "1" for number in range(20)},
    "unavailable": {},
}


@pytest.mark.slow
def test_a_run_that_its_environment_does_not_suit_fails_before_its_first_asset(project: Any) -> None:
    settings = {"required_packages": ["numpy>=2", "numpy<1", "no-such-package"], "min_gpu_memory_gb": 100_000}
    answer = project.run(selection=["plain/up"], settings=settings)
    assert answer["state"] == "FAILED" and not answer["products"]
    (error,) = answer["errors"]
    assert error["exit_code"] == 1
    assert "and <1 is required" in error["message"] and "no-such-package is not installed" in error["message"]
    assert "GPU" in error["message"]
    (row,) = project.rows("SELECT run_kind, state, error_message FROM runs")
    assert (row["run_kind"], row["state"]) == ("parent", "FAILED")
    assert "no-such-package is not installed" in row["error_message"]


@pytest.mark.slow
def test_a_changed_environment_is_named_where_the_asset_is_made_again(project: Any) -> None:
    for seed in ("7", "0"):
        variables = {"PYTHONHASHSEED": seed}
        made = project.run(variables, selection=["plain/up", "frame"], settings={"force": True})
        assert made["state"] == "COMPLETED"
    with open_instance(project.home) as instance:
        for key in (["plain", "up"], ["frame"]):
            records = instance.fetch_materializations(dg.AssetKey(key), limit=9).records
            newest_first = [record.asset_materialization.metadata for record in records]
            change, none = [metadata.get("environment change") for metadata in newest_first]
            assert (change.value, none) == ("variables.PYTHONHASHSEED 7 -> 0", None)


def stored(home: Any, **members: Any) -> str:
    return str(repository.put(home, {**copy.deepcopy(ENVIRONMENT), **members}).digest)


def test_what_changed_is_said_in_short_and_what_cannot_be_read_is_said_too(tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    old = stored(home)
    new = stored(home, packages=[{"name": "numpy", "version": "2.2"}, {"name": "torch", "version": "2.13"}])

    def change(environment: str | None, partition: str | None = None) -> dict[str, str]:
        return environment_change(home, instance, KEY, partition, "new-run", environment)

    with dg.DagsterInstance.ephemeral() as instance:
        assert change(new) == {}
        for partition in (None, "a"):
            event = dg.AssetMaterialization(KEY, partition=partition, metadata={"environment": old, "run": "old-run"})
            instance.report_runless_asset_event(event)
        assert change(new) == {"environment change": "numpy 2.1 -> 2.2"}
        assert change(new, "a") == {"environment change": "numpy 2.1 -> 2.2"}
        assert change(new, "b") == {} and change(None) == {}
        assert change(old) == {"environment change": "none"}
        said = change(stored(home, variables={}))["environment change"]
        assert said.count(" removed") == 12 and said.endswith("; and 8 more: repro env diff old-run new-run")
        gone = str(Digest.of(b"gone"))
        assert change(gone)["environment change"].startswith("cannot be told: no artifact is stored under")
