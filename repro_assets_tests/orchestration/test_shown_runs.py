"""Runs of scripts and commands are on Dagster's pages, once, and Dagster's storage still agrees with the journal."""

from __future__ import annotations

import dagster as dg
import pytest

from repro_assets import Experiment
from repro_assets.orchestration.agreement import compare
from repro_assets.orchestration.sensors import scripts_shown
from repro_assets.orchestration.shown_runs import show, shown_id
from repro_assets.store.home import Home, make_store

QUICK = {"capture_source": False, "capture_environment": False, "monitor": None}


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'theirs'\nversion = '1'\n")
    monkeypatch.chdir(tmp_path)
    return make_store(tmp_path / "data")


def test_scripts_appear_as_runs_and_materializations_once(home, request):
    with Experiment("fit one", project="digits", **QUICK) as run:
        run.log_artifact([1, 2], "weights")
        run.log_text("words", "note")
    with pytest.raises(ValueError, match="bad"), Experiment("fails", **QUICK) as failed:
        raise ValueError("bad")
    with pytest.raises(KeyboardInterrupt), Experiment("stopped", **QUICK) as stopped:
        raise KeyboardInterrupt
    held = Experiment("open", **QUICK)
    held.begin()
    request.addfinalizer(held.finish)
    with dg.DagsterInstance.ephemeral() as instance:
        assert show(home, instance, limit=2) == [run.run_id, failed.run_id]
        assert show(home, instance) == [stopped.run_id]
        assert show(home, instance) == []
        found = {made.tags["repro/run"]: made for made in instance.get_runs()}
        assert {run_id: made.status for run_id, made in found.items()} == {
            run.run_id: dg.DagsterRunStatus.SUCCESS,
            failed.run_id: dg.DagsterRunStatus.FAILURE,
            stopped.run_id: dg.DagsterRunStatus.CANCELED,
        }
        assert found[run.run_id].job_name == "fit_one"
        key = dg.AssetKey(["scripts", "digits", "weights"])
        event = instance.get_latest_materialization_event(key)
        assert event is not None and event.run_id == shown_id(run.run_id)
        made = event.asset_materialization
        assert made is not None and made.tags["dagster/data_version"] == str(run.run.outputs["weights"].digest)
        assert list(instance.all_asset_keys()) == [key]
        record = instance.get_run_record_by_id(shown_id(run.run_id))
        assert record is not None and record.start_time is not None and record.end_time >= record.start_time
        assert compare(home, instance).ok
        assert compare(home, instance).compared["run"] == 0


def test_what_a_kill_cut_off_is_shown_again(home):
    with Experiment("fit", **QUICK) as run:
        run.log_artifact([1], "weights")
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"repro/shown": "true"}
        instance.add_run(
            dg.DagsterRun(job_name="fit", run_id=shown_id(run.run_id), status=dg.DagsterRunStatus.STARTED, tags=tags)
        )
        assert show(home, instance) == [run.run_id]
        (made,) = instance.get_runs()
        assert made.status is dg.DagsterRunStatus.SUCCESS


def test_the_sensor_asks_dagsters_storage_again_only_when_a_run_has_ended(home):
    with Experiment("fit", **QUICK):
        pass
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance) as context:
        assert [scripts_shown(context).skip_message for _ in range(2)] == ["1 run shown", "every run is shown"]
        (made,) = instance.get_runs()
        instance.delete_run(made.run_id)
        assert scripts_shown(context).skip_message == "every run is shown"
        assert instance.get_runs() == []
        with Experiment("another", **QUICK):
            pass
        assert scripts_shown(context).skip_message == "2 runs shown"
