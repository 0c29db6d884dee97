"""Dagster's storage and the journal: what is in one only is named with its reason, and mended where it can be."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from repro_assets.catalog import projection, queries
from repro_assets.cli.app import main
from repro_assets.journal.run_records import CheckMade
from repro_assets.journal.segments import journal_at, list_segments
from repro_assets.orchestration import dagster_side
from repro_assets.orchestration.instance import SETTINGS, open_instance, prepare
from repro_assets.orchestration.io_manager import ArtifactIOManager
from repro_assets.orchestration.mending import check
from repro_assets.orchestration.resource import Repro
from repro_assets.orchestration.sensors import catalog_agrees
from repro_assets.report.folder import Folder, remember
from repro_assets.report.writing import write_report
from repro_assets.store.home import Home, make_store, open_store

CONFIG = {"resources": {"repro": {"config": {"capture_level": "basic", "monitor": False}}}}


@dg.asset(code_version="1", required_resource_keys={"repro"})
def one() -> dict[str, int]:
    return {"one": 1}


@dg.asset(code_version="1", required_resource_keys={"repro"})
def two(one: dict[str, int]) -> dict[str, int]:
    return {"two": one["one"] + 1}


@dg.asset_check(asset=two)
def is_two() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True, metadata={"looked": "hard", "api_key": "sk-not-for-the-journal"})


@dg.asset(io_manager_key="plain")
def elsewhere() -> int:
    return 1


class Made:
    """A store with Dagster's storage in it, and assets to materialize."""

    def __init__(self, home: Home, instance: dg.DagsterInstance, first: str = "", last: str = "") -> None:
        self.home, self.instance, self.first, self.last = home, instance, first, last

    def make(self, *assets: Any, **more: Any) -> str:
        done = dg.materialize(
            list(assets) or [one, two],
            instance=self.instance,
            resources={"repro": Repro(), "io_manager": ArtifactIOManager(), "plain": dg.mem_io_manager},
            run_config=CONFIG,
            **more,
        )
        assert done.success
        # What the executing process of `repro run` does at the end.
        from repro_assets.orchestration import parents

        parents.reconcile(self.home, self.instance, [done.run_id])
        return done.run_id

    def check(self, *, mended: bool = False) -> dict[str, Any]:
        return check(self.home, mended=mended)

    def newest(self, key: str) -> dg.EventLogRecord | None:
        records = self.instance.fetch_materializations(dg.AssetKey(key), limit=1).records
        return records[0] if records else None


@dataclass(frozen=True)
class World:
    """A store in which two Dagster runs have made both assets."""

    root: Path
    first: str
    last: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    home = make_store(folder / "store")
    prepare(home)
    with (home.dagster / SETTINGS).open("a") as settings:
        # To capture output takes four processes for each run.
        module = "dagster._core.storage.noop_compute_log_manager"
        settings.write(f"compute_logs: {{module: {module}, class: NoOpComputeLogManager}}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("REPRO_HOME", str(home.root))
        patch.setenv("DAGSTER_HOME", "")
        with open_instance(home) as instance:
            made = Made(home, instance)
            found = World(home.root, made.make(), made.make())
        projection.refresh(home)
        yield found


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: World) -> Iterator[Made]:
    shutil.copytree(world.root, tmp_path / "store")
    home = open_store(tmp_path / "store")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("REPRO_HOME", str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", "")
    with open_instance(home) as instance:
        yield Made(home, instance, world.first, world.last)


def reasons(rows: list[dict[str, Any]]) -> set[tuple[str, str | None]]:
    return {(row["kind"], row["asset"]) for row in rows}


def test_what_both_know_alike_is_in_agreement(made: Made) -> None:
    found = made.check()
    assert found["ok"] is True
    assert found["compared"] == {"run": 2, "materialization": 4, "check": 0}
    assert found["rows"] == 6
    assert not found["only_in_dagster"] + found["only_in_journal"] + found["differing"] + found["damaged"]


def test_a_run_that_was_deleted_in_dagster_is_named_and_its_newest_products_come_back(made: Made) -> None:
    last = made.last
    made.instance.delete_run(last)
    found = made.check()
    assert found["ok"] is False
    (run,) = [row for row in found["only_in_journal"] if row["kind"] == "run"]
    assert (run["run_id"], run["reason"], run["harmless"]) == (last, "it was deleted in Dagster", True)
    lost = [row for row in found["only_in_journal"] if row["kind"] == "materialization"]
    assert {(row["asset"], row["run_id"], row["mending"] is not None) for row in lost} == {
        ("one", last, True),
        ("two", last, True),
    }
    assert all("it was deleted in Dagster" in row["reason"] for row in lost)
    event = made.newest("two")
    assert event is not None and event.run_id == made.first

    mended = made.check(mended=True)
    assert mended["ok"] is True
    assert {(row["asset"], row["why_not"]) for row in mended["mended"]} == {("one", None), ("two", None)}
    assert reasons(mended["only_in_journal"]) == {("run", None)}
    event = made.newest("two")
    assert event is not None and event.asset_materialization is not None
    tags = event.asset_materialization.tags or {}
    row = queries.rows(made.home, "SELECT digest FROM run_outputs WHERE asset = 'two' ORDER BY time DESC LIMIT 1")[0]
    upstream = queries.rows(made.home, "SELECT digest FROM run_outputs WHERE asset = 'one' ORDER BY time LIMIT 1")[0]
    assert tags["dagster/data_version"] == row["digest"]
    assert tags["dagster/input_data_version/one"] == upstream["digest"]
    assert tags["dagster/code_version"] == "1"
    assert event.asset_materialization.metadata["version"].value == "two:v1"
    # It loads like any other.
    made.make(one, two, selection=[two])


def test_a_wiped_asset_gets_its_newest_product_back_and_no_older_one(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    made.instance.wipe_assets([dg.AssetKey("one")])
    said = catalog_agrees(dg.build_sensor_context(instance=made.instance))
    assert isinstance(said, dg.SkipReason)
    assert "1 do not agree, such as materialization one: the asset was wiped" in str(said.skip_message)
    found = made.check()
    assert {(row["asset"], row["reason"]) for row in found["only_in_journal"]} == {
        ("one", "the asset was wiped in Dagster")
    }
    assert [row["run_id"] for row in found["only_in_journal"] if row["mending"]] == [made.last]
    assert [row["why_not"] for row in found["only_in_journal"] if not row["mending"]] == [
        "Dagster would take it for the newest, which it is not"
    ]
    assert main(["catalog", "check"]) == 1
    assert "what can be mended is" in capsys.readouterr().err
    assert main(["catalog", "check", "--mend"]) == 0
    assert "in agreement: 2 runs, 3 materializations, 0 checks of Dagster's compared" in capsys.readouterr().out
    assert main(["catalog", "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    assert len(made.instance.fetch_materializations(dg.AssetKey("one"), limit=9).records) == 1


def test_a_product_whose_bytes_are_gone_is_not_reported(made: Made) -> None:
    made.instance.wipe_assets([dg.AssetKey("two")])
    for folder in (made.home.root / "objects", made.home.root / "packs"):
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            path.unlink()
    (row,) = made.check(mended=True)["mended"]
    assert row["asset"] == "two"
    assert row["why_not"]
    assert made.newest("two") is None


def test_what_another_io_manager_stored_is_a_hole_only_in_a_run_of_ours(made: Made) -> None:
    made.make(one, elsewhere)
    (row,) = made.check()["only_in_dagster"]
    assert (row["asset"], row["harmless"]) == ("elsewhere", False)
    assert "another IO manager" in row["reason"]
    made.instance.report_runless_asset_event(dg.AssetMaterialization("reported"))
    row = next(row for row in made.check()["only_in_dagster"] if row["asset"] == "reported")
    assert row["harmless"] is True


def test_a_journal_segment_that_is_gone_is_noticed(made: Made) -> None:
    journal_at(made.home.journal).close()
    for path in list_segments(made.home.journal):
        path.unlink()
    projection.rebuild(made.home)
    found = made.check()
    assert found["ok"] is False
    assert reasons(found["only_in_dagster"]) == {("run", None), ("materialization", "one"), ("materialization", "two")}
    assert all("its journal segment is gone" in row["reason"] for row in found["only_in_dagster"] if row["asset"])
    after = made.check(mended=True)
    assert reasons(after["only_in_dagster"]) == {("materialization", "one"), ("materialization", "two")}
    assert after["ok"] is False


def test_a_storage_that_was_removed_is_said_to_be(made: Made, tmp_path: Path) -> None:
    made.home.dagster.rename(tmp_path / "dagster")
    found = made.check()
    assert not made.home.dagster.exists()
    runs = [row for row in found["only_in_journal"] if row["kind"] == "run"]
    assert {run["run_id"] for run in runs} == {made.first, made.last}
    assert {run["reason"] for run in runs} == {"Dagster's storage holds no run: it was removed, or made anew"}
    assert found["ok"] is False


def test_a_state_that_the_journal_never_heard_is_copied(made: Made) -> None:
    other = made.instance.create_run_for_job(dg.define_asset_job("job").resolve(asset_graph=_graph()))
    made.instance.report_run_failed(other)
    found = made.check()
    (row,) = found["only_in_dagster"]
    assert (row["run_id"], row["harmless"]) == (other.run_id, False)
    assert made.check(mended=True)["ok"] is True
    assert queries.rows(made.home, "SELECT state, run_kind FROM runs WHERE run_id = $r", {"r": other.run_id}) == [
        {"state": "FAILED", "run_kind": "parent"}
    ]


def _graph() -> Any:
    return dg.Definitions(
        assets=[one], resources={"repro": Repro(), "io_manager": ArtifactIOManager()}
    ).resolve_asset_graph()


def test_a_killed_run_is_ended_in_both(made: Made) -> None:
    child = os.fork()
    if child == 0:

        @dg.asset(required_resource_keys={"repro"})
        def killed() -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        with open_instance(made.home) as instance:
            Made(made.home, instance).make(killed)
        os._exit(1)
    os.waitpid(child, 0)
    found = made.check()
    (row,) = found["differing"]
    assert row["reason"] == "Dagster says STARTED, and the process that executed it is gone"
    after = made.check(mended=True)
    assert after["ok"] is True
    run = made.instance.get_run_by_id(row["run_id"])
    assert run is not None and run.status is dg.DagsterRunStatus.CANCELED
    assert queries.rows(made.home, "SELECT state FROM runs WHERE run_id = $r", {"r": row["run_id"]}) == [
        {"state": "INTERRUPTED"}
    ]


def test_an_answer_of_somebody_elses_check_is_copied_without_secrets(made: Made) -> None:
    run_id = made.make(one, two, is_two, selection=dg.AssetSelection.checks(is_two))
    (row,) = made.check()["only_in_dagster"]
    assert (row["kind"], row["name"], row["run_id"]) == ("check", "is_two", run_id)
    assert made.check(mended=True)["ok"] is True
    (copied,) = queries.rows(made.home, "SELECT name, passed, parent_run_id, details FROM checks")
    assert (copied["name"], copied["passed"], copied["parent_run_id"]) == ("is_two", True, run_id)
    assert "hard" in copied["details"]
    assert "not-for-the-journal" not in copied["details"]
    made.instance.wipe_assets([dg.AssetKey("two")])
    (row,) = [row for row in made.check()["only_in_journal"] if row["kind"] == "check"]
    assert row["harmless"] is True


def test_an_answer_whose_record_names_no_run_is_known_by_its_moment(made: Made) -> None:
    for _ in range(2):
        journal_at(made.home.journal).append(CheckMade("is_two", True, None, "two"))
        made.make(one, two, is_two, selection=dg.AssetSelection.checks(is_two))
    found = made.check()
    assert (found["ok"], found["compared"]["check"]) == (True, 2)


def test_a_run_and_its_products_lead_to_the_newest_report(made: Made, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "report")
    write_report(made.home, [], folder)
    remember(made.home, folder.root)
    page = str(folder.root / "index.html")
    run_id = made.make()
    for key in ("one", "two"):
        event = made.newest(key)
        assert event is not None and event.asset_materialization is not None
        assert event.asset_materialization.metadata["report"] == dg.MetadataValue.path(page)
    run = made.instance.get_run_by_id(run_id)
    assert run is not None and run.tags["repro/report"] == page
    (row,) = queries.rows(made.home, "SELECT tags, plan FROM runs WHERE run_id = $r", {"r": run_id})
    assert "report" not in str(row)
    (folder.root / "index.html").unlink()
    assert "repro/report" not in made.instance.get_run_by_id(made.make(one)).tags


def test_pages_are_read_to_their_end(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dagster_side, "EVENTS", 1)
    monkeypatch.setattr(dagster_side, "RUNS", 1)
    for _ in range(2):
        made.make(one, two, is_two, selection=dg.AssetSelection.checks(is_two))
    found = made.check(mended=True)
    assert found["compared"] == {"run": 4, "materialization": 4, "check": 2}
    assert found["ok"] is True
