"""Replays on Dagster's pages: the check, the job, the sample of every night and who watches."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from repro_assets.journal import run_records
from repro_assets.journal.segments import Journal, list_segments
from repro_assets.orchestration import reproduction
from repro_assets.orchestration.instance import open_instance
from repro_assets.orchestration.replaying import REPRODUCES
from repro_assets.orchestration.reproduction import promises_kept, replay_job, sample, sample_job
from repro_assets.store.home import make_store

slow = pytest.mark.slow


def made(project: Any, asset: str) -> str:
    (product,) = project.run(selection=[asset])["products"]
    return str(product["run_id"])


def checked(project: Any, asset: str) -> list[bool]:
    """Results of the check in Dagster's storage, newest first."""
    key = dg.AssetCheckKey(dg.AssetKey.from_user_string(asset), REPRODUCES)
    with open_instance(project.home) as instance:
        found = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
        events = [record.event.dagster_event for record in found if record.event is not None]
        return [
            event.asset_check_evaluation_data.passed
            for event in events
            if event is not None and event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
        ]


def broken(journal: Journal, name: str) -> None:
    """Record a run and a replay of it with other bits."""
    journal.append(
        run_records.RunStarted(name * 8, "script", f"run-{name}"),
        run_records.RunEnded(name * 8, "COMPLETED"),
        run_records.ReplayMade(name * 8, None, "diverged", None),
    )


def test_what_is_imported_later_is_said_too_and_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, other = make_store(tmp_path / "home"), make_store(tmp_path / "other")
    monkeypatch.setenv("REPRO_HOME", str(home.root))
    monkeypatch.setattr(reproduction, "NAMED", 3)
    theirs, ours = Journal(other.journal), Journal(home.journal)
    for name in ("a0", "b0"):
        broken(theirs, name)
    theirs.close()
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance) as context:

        def said() -> str:
            return str(promises_kept(context).skip_message)

        broken(ours, "c0")
        assert said() == f"does not reproduce: run-c0 ({'c0' * 8}): other bits"
        (segment,) = list_segments(other.journal)
        shutil.copy(segment, home.journal)
        assert said() == f"does not reproduce: run-a0 ({'a0' * 8}): other bits; run-b0 ({'b0' * 8}): other bits"
        assert said() == "no promise was broken"
        # More than the cursor names: of the oldest the number is known.
        for name in ("d0", "e0", "f0", "d1"):
            broken(ours, name)
        told = said()
        assert told.startswith("does not reproduce: 1 more that were replayed earlier") and "run-d0" not in told
        assert all(f"run-{name}" in told for name in ("e0", "f0", "d1"))
        assert said() == "no promise was broken"
        assert len(str(context.cursor)) < 100
        # The cursor of an older version was the number of those that it had said.
        context.update_cursor("6")
        assert said() == f"does not reproduce: run-d1 ({'d1' * 8}): other bits"
        assert said() == "no promise was broken"


@slow
def test_a_verdict_is_a_check_a_job_fails_by_it_and_a_broken_promise_is_said_once(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, broken = made(project, "plain/up"), made(project, "noise")
    monkeypatch.setenv("REPRO_HOME", str(project.home.root))
    monkeypatch.chdir(project.root)

    def executed(run: str) -> dg.ExecuteInProcessResult:
        config = {"ops": {"replay_run": {"config": {"run": run}}}}
        return replay_job.execute_in_process(run_config=config, raise_on_error=False)

    assert executed(kept).success
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance) as context:
        assert promises_kept(context).skip_message == "no promise was broken"
        failed = executed(broken)
        assert not failed.success
        (failure,) = [event for event in failed.all_events if event.is_step_failure]
        assert f"{broken} is diverged" in str(failure.step_failure_data.user_failure_data)
        said = [promises_kept(context).skip_message for _ in range(2)]
    assert broken in str(said[0]) and said[1] == "no promise was broken"
    assert (checked(project, "plain/up"), checked(project, "noise")) == ([True], [False])
    rows = project.rows("SELECT asset, passed, run_id FROM checks WHERE name = 'reproduces' ORDER BY asset")
    assert [tuple(row.values()) for row in rows] == [("noise", False, broken), ("plain/up", True, kept)]
    unknown = executed("nobody")
    assert not unknown.success


@slow
def test_a_sample_is_of_recent_runs_and_another_one_each_day(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = {product["run_id"] for product in project.run(job="chain")["products"]}
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    assert set(sample(project.home, 10, day, now)) == runs
    assert sample(project.home, 10, day, now + 2 * day) == []
    orders = {tuple(sample(project.home, 3, 90 * day, now + each * day)) for each in range(30)}
    assert len(orders) > 1
    monkeypatch.setenv("REPRO_HOME", str(project.home.root))
    monkeypatch.chdir(project.root)
    done = sample_job.execute_in_process(run_config={"ops": {"replay_recent_runs": {"config": {"count": 1}}}})
    assert done.success
    replayed = project.rows("SELECT original_run, verdict FROM replays")
    assert [row["verdict"] for row in replayed] == ["identical"]


@slow
def test_the_check_replays_where_it_is_asked_for_by_itself(project: Any) -> None:
    answer = project.run(selection=["plain/up"])
    assert project.rows("SELECT * FROM replays") == []
    project.script(
        "import dagster as dg\n"
        "from repro_assets.orchestration.instance import open_instance\n"
        "from repro_assets.store.home import find_store\n"
        "from repro_assets.orchestration.checks import checks_for\n"
        "from small.definitions import defs\n"
        "asset = dg.AssetKey(['plain', 'up'])\n"
        "key = dg.AssetCheckKey(asset, 'reproduces')\n"
        "checked = dg.Definitions(assets=defs.assets, asset_checks=[checks_for([asset])], resources=defs.resources)\n"
        "job = checked.resolve_implicit_global_asset_job_def().get_subset(\n"
        "    asset_selection=set(), asset_check_selection={key})\n"
        "with open_instance(find_store()) as instance:\n"
        "    assert job.execute_in_process(instance=instance).success\n"
        "    whole = checked.resolve_implicit_global_asset_job_def().get_subset(asset_selection={asset})\n"
        "    assert whole.execute_in_process(instance=instance).success\n"
    )
    # A run that materializes the asset leaves it alone.
    (row,) = project.rows("SELECT original_run, verdict FROM replays")
    assert row == {"original_run": answer["products"][0]["run_id"], "verdict": "identical"}
    assert checked(project, "plain/up") == [True]
