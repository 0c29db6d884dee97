"""A decorated function within a plain asset of Dagster's belongs to the run of that asset."""

from __future__ import annotations

import time

import dagster as dg
import pytest

from repro_assets import Experiment, reproducible, track_artifacts
from repro_assets.catalog import queries
from repro_assets.orchestration.io_manager import ArtifactIOManager
from repro_assets.store.home import Home, make_store


@reproducible("fit", capture_source=False, capture_environment=False, monitor=None)
def fit(lr: float) -> dict[str, float]:
    return {"loss": lr}


@track_artifacts(outputs=["side-product"], capture_source=False)
def side(factor: int) -> list[int]:
    return [factor]


@dg.asset
def plain() -> dict[str, float]:
    side(3)
    return fit(0.5)


@dg.asset
def broken() -> None:
    fit(0.25)
    raise ValueError("bad")


@dg.asset(io_manager_key="theirs")
def foreign() -> dict[str, float]:
    return fit(0.125)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'theirs'\nversion = '1'\n")
    monkeypatch.chdir(tmp_path)
    return make_store(tmp_path / "data")


def test_the_asset_and_the_function_are_one_run(home):
    resources = {"io_manager": ArtifactIOManager(), "theirs": dg.InMemoryIOManager()}
    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([plain], resources=resources, instance=instance).success
        assert not dg.materialize([broken], resources=resources, instance=instance, raise_on_error=False).success
        assert dg.materialize([foreign], resources=resources, instance=instance).success
    rows = queries.rows(
        home, "SELECT asset, name, run_kind, state FROM runs WHERE run_kind <> 'parent' ORDER BY started_at"
    )
    assert [(row["asset"] or row["name"], row["run_kind"], row["state"]) for row in rows] == [
        ("plain", "asset", "COMPLETED"), ("broken", "asset", "FAILED"), ("fit", "script", "COMPLETED"),
    ]  # fmt: skip
    params = queries.rows(home, "SELECT r.asset, p.name, p.value FROM params p JOIN runs r USING (run_id) ORDER BY ALL")
    assert ("plain", "lr") in {(row["asset"], row["name"]) for row in params}
    assert ("plain", "side.factor") in {(row["asset"], row["name"]) for row in params}
    made = queries.rows(
        home, "SELECT r.asset, o.collection FROM run_outputs o JOIN runs r USING (run_id) WHERE r.asset = 'plain'"
    )
    assert "side-product" in {row["collection"] for row in made}
    with pytest.raises(Exception, match="no experiment is open here"):
        Experiment.current()


def test_what_a_plain_asset_reads_before_its_run_begins_is_noted_for_it_alone(home, tmp_path_factory):
    far = tmp_path_factory.mktemp("far")
    for name in ("one", "two"):
        (far / name).write_text(name)
    (home.root.parent / "source.txt").write_text("source")
    time.sleep(0.03)

    @dg.asset
    def one() -> str:
        return (far / "one").read_text() + (home.root.parent / "source.txt").read_text()

    @dg.asset
    def two(one: str) -> str:
        return one + (far / "two").read_text()

    with dg.DagsterInstance.ephemeral() as instance:
        resources = {"io_manager": ArtifactIOManager()}
        assert dg.materialize([one, two], resources=resources, instance=instance).success
    assert queries.rows(home, "SELECT r.asset, u.name FROM undeclared_inputs u JOIN runs r USING (run_id)") == [
        {"asset": "one", "name": str(far / "one")},
        {"asset": "two", "name": str(far / "two")},
    ]
