"""What an input means: the exact upstream, in every executor, with partitions, pinned, and never a trial's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from repro_assets.inspection.console import console_of
from repro_assets.orchestration.instance import open_instance


def tags(project: Any, asset: str, partition: str = "") -> dict[str, str]:
    """Tags of the newest materialization, its version, and what it says of its parents."""
    key = dg.AssetKey.from_user_string(asset)
    wanted = dg.AssetRecordsFilter(key, asset_partitions=[partition] if partition else None)
    with open_instance(project.home) as instance:
        made = instance.fetch_materializations(wanted, limit=1).records[0].asset_materialization
    assert made is not None
    facts = {name: str(made.metadata[name].value) for name in ("parents", "version") if name in made.metadata}
    return {**(made.tags or {}), **facts}


def inputs(project: Any, run: str) -> dict[str, str]:
    rows = project.rows("SELECT slot, digest FROM run_inputs WHERE run_id = $run", {"run": run})
    return {row["slot"]: row["digest"] for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("executor", [pytest.param("in_process", marks=pytest.mark.soak), "multiprocess"])
def test_a_run_reads_its_own_upstream_although_another_run_rebuilds_it_in_the_middle(
    project: Any, executor: str
) -> None:
    race = project.request("race", selection=["plain/up"], settings={"seed": 2})
    answer = project.run({"SMALL_RACE": str(race)}, job="chain", settings={"seed": 1}, executor=executor, selection=[])
    other = json.loads(race.with_suffix(".answer").read_text())
    made = project.digests(answer)
    rebuilt = project.digests(other)["plain/up"]
    assert rebuilt != made["plain/up"]
    down = next(item for item in answer["products"] if item["asset"] == "plain/down")
    assert inputs(project, down["run_id"]) == {"up": made["plain/up"], "mid": made["plain/mid"]}
    found = tags(project, "plain/down")
    assert found["dagster/input_data_version/plain/up"] == made["plain/up"]
    # Each parent is named as the version that was read, with a link to its materialization.
    _, _, *lines = found["parents"].splitlines()
    for line, asset in zip(lines, ("plain/mid", "plain/up"), strict=True):
        (version,) = project.rows(
            "SELECT collection || ':v' || version AS name FROM run_outputs WHERE asset = $asset AND digest = $digest",
            {"asset": asset, "digest": made[asset]},
        )
        slot, name, digest, run, link = [cell.strip() for cell in line.strip("|").split("|")]
        assert (slot, name) == (f"`{asset.rpartition('/')[2]}`", f"`{version['name']}`")
        assert (digest, len(run)) == (f"`{made[asset]}`", 18)
        assert re.fullmatch(rf"\[{asset}\]\(/assets/{asset}\?view=events&asOf=\d{{13}}\)", link)
    # Each step of a Dagster run has what it wrote itself, in one process or in several.
    said = [item for item in console_of(project.home, answer["run_id"]) if item["stream"] == "stdout"]
    assert [item["text"] for item in said] == ["8 numbers\n", "doubled\n"]
    # The newest event is the other run's: a run that asks now gets that one.
    later = project.run(selection=["plain/mid"], settings={"seed": 1})
    assert inputs(project, later["products"][0]["run_id"]) == {"up": rebuilt}


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["in_process", pytest.param("multiprocess", marks=pytest.mark.soak)])
def test_the_race_with_partitions_gives_the_right_partition_of_the_right_run(project: Any, executor: str) -> None:
    chain = ["parts/up", "parts/mid", "parts/down"]
    project.run(selection=chain, partition="c", settings={"seed": 7})
    race = project.request("race", selection=["parts/up"], partition="a", settings={"seed": 2})
    answer = project.run(
        {"SMALL_RACE": str(race)}, selection=chain, partition="a", settings={"seed": 1}, executor=executor
    )
    made = project.digests(answer)
    down = next(item for item in answer["products"] if item["asset"] == "parts/down")
    assert inputs(project, down["run_id"]) == {"up": made["parts/up"], "mid": made["parts/mid"]}
    found = tags(project, "parts/down", "a")
    assert found["dagster/input_data_version/parts/up"] == made["parts/up"]
    assert found["dagster/data_version"] == made["parts/down"]
    rows = project.rows("SELECT DISTINCT partition FROM run_inputs WHERE run_id = $run", {"run": down["run_id"]})
    assert rows == [{"partition": "a"}]


REEXECUTE = """
import dagster as dg
from dagster import ReexecutionOptions
from dagster._core.definitions.reconstruct import ReconstructableRepository
from repro_assets.orchestration.instance import open_instance
from repro_assets.store.home import find_store
job = ReconstructableRepository.for_module("small.definitions", "defs").get_reconstructable_job("chain")
with open_instance(find_store()) as instance:
    failed = next(run for run in instance.get_runs() if run.status == dg.DagsterRunStatus.FAILURE)
    options = ReexecutionOptions.from_failure(failed.run_id, instance)
    assert dg.execute_job(job, instance, reexecution_options=options).success
"""


@pytest.mark.slow
def test_reexecution_from_failure_reads_what_the_failed_run_made(project: Any) -> None:
    flag = project.home.root.parent / "failed-once"
    failed = project.run({"SMALL_FAIL_ONCE": str(flag)}, job="chain", settings={"seed": 1})
    assert failed["state"] == "FAILED"
    made = {item["asset"]: item["digest"] for item in failed["products"]}
    project.run(selection=["plain/up"], settings={"seed": 2})
    project.script(REEXECUTE, SMALL_FAIL_ONCE=str(flag))
    (row,) = project.rows("SELECT run_id FROM runs WHERE asset = 'plain/down' AND state = 'COMPLETED'")
    assert inputs(project, row["run_id"]) == {"up": made["plain/up"], "mid": made["plain/mid"]}


@pytest.mark.slow
def test_a_pinned_input_is_read_and_said_and_a_trial_is_never_the_default(project: Any) -> None:
    first = project.digests(project.run(selection=["plain/up"], settings={"seed": 1}))["plain/up"]
    second = project.digests(project.run(selection=["plain/up"], settings={"seed": 2}))["plain/up"]
    trial = project.run(selection=["plain/up"], settings={"seed": 3}, tags={"trial": "true"})
    assert trial["products"][0]["version"] == "plain-up:v3"

    default = project.run(selection=["plain/mid"])
    assert inputs(project, default["products"][0]["run_id"]) == {"up": second}

    pinned = project.run(selection=["plain/mid"], pins={"up": "plain-up:v1"})
    run = pinned["products"][0]["run_id"]
    assert inputs(project, run) == {"up": first}
    assert tags(project, "plain/mid")["dagster/input_data_version/plain/up"] == first
    rows = project.rows("SELECT pinned FROM run_inputs WHERE run_id = $run", {"run": run})
    assert rows == [{"pinned": True}]

    unknown = project.run(selection=["plain/mid"], pins={"up": "plain-up:v9"})
    assert unknown["state"] == "FAILED"
    assert unknown["errors"][0]["exit_code"] == 2
    assert "has no version 9" in unknown["errors"][0]["message"]


@pytest.mark.slow
def test_plain_assets_are_runs_too_and_their_failures_are_on_record(
    make_project: Callable[[str], Any],
) -> None:
    project = make_project("plain")
    answer = project.run(selection=["frame", "total"])
    made = project.digests(answer)
    (row,) = project.rows("SELECT run_id, state, source, environment FROM runs WHERE asset = 'total'")
    assert row["state"] == "COMPLETED"
    assert row["source"] and row["environment"]
    assert inputs(project, row["run_id"]) == {"frame": made["frame"]}
    assert tags(project, "total")["dagster/data_version"] == made["total"]
    failed = project.run(selection=["failing"])
    assert failed["state"] == "FAILED"
    assert failed["errors"][0]["exit_code"] == 1
    (parent,) = project.rows("SELECT state, error_message FROM runs WHERE run_id = $r", {"r": failed["run_id"]})
    assert parent["state"] == "FAILED"
    assert "plain assets fail too" in parent["error_message"]
