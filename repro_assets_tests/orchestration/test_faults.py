"""Kills, a full disk and broken inputs: the store verifies, the catalog opens, the state is right."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import alive, until

from repro_assets.artifacts.kinds import DECODERS
from repro_assets.inspection.console import console_of
from repro_assets.orchestration.settling import settle
from repro_assets.store import fsck
from repro_assets.store.opening import open_objects

pytestmark = pytest.mark.slow


def verify(project: Any) -> None:
    """Every stored byte is right and every recorded artifact is whole."""
    from repro_assets.identity.digest import Digest

    rows = project.rows("SELECT digest FROM artifacts")
    artifacts = {Digest.parse(row["digest"]): ["a run"] for row in rows}
    found = fsck.check(open_objects(project.home, DECODERS), artifacts, full=True)
    assert found.ok, found


def wait_for(path: Path) -> str:
    until(lambda: path.is_file() and bool(path.read_text()))
    return path.read_text()


def states(project: Any) -> dict[str, str]:
    return {row["run_kind"]: row["state"] for row in project.rows("SELECT run_kind, state FROM runs")}


@pytest.mark.parametrize("executor", ["in_process", "multiprocess"])
def test_a_killed_root_leaves_a_run_that_is_shown_as_interrupted_and_nothing_is_stored_for_it(
    project: Any, executor: str
) -> None:
    started = project.home.root.parent / "started"
    request = project.request(selection=["slow"], executor=executor)
    process = project.start(request, SMALL_STARTED=str(started), SMALL_SECONDS="8")
    step = int(wait_for(started))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if executor == "multiprocess":
        assert step != process.pid
        # The orphan finishes its work, sees that its root is gone, and stores nothing.
        until(lambda: not alive(step))
    settle(project.home)
    found = states(project)
    assert found["parent"] == "INTERRUPTED"
    assert found["asset"] == ("INTERRUPTED" if executor == "in_process" else "FAILED")
    assert project.rows("SELECT count(*) AS n FROM run_outputs") == [{"n": 0}]
    # What was flushed before the kill is there.
    rows = project.rows("SELECT value FROM metrics WHERE name = 'begun'")
    assert rows == [{"value": 1.0}]
    (said,) = [item for item in console_of(project.home, "last") if item["stream"] == "stdout"]
    source = "file" if executor == "in_process" else "record"
    assert (said["text"], said["source"]) == ("slow, and soon dead\n", source)
    verify(project)
    again = project.run(selection=["plain/up"])
    assert again["state"] == "COMPLETED"


def test_a_killed_step_makes_its_run_interrupted_and_dagsters_run_failed(project: Any) -> None:
    started = project.home.root.parent / "started"
    request = project.request(selection=["slow"], executor="multiprocess")
    process = project.start(request, SMALL_STARTED=str(started))
    os.kill(int(wait_for(started)), signal.SIGKILL)
    process.communicate(timeout=120)
    answer = json.loads(request.with_suffix(".answer").read_text())
    assert answer["state"] == "FAILED"
    assert states(project) == {"parent": "FAILED", "asset": "INTERRUPTED"}
    verify(project)


def test_an_interrupt_ends_the_run_and_says_so(project: Any) -> None:
    started = project.home.root.parent / "started"
    request = project.request(selection=["slow"])
    process = project.start(request, SMALL_STARTED=str(started))
    wait_for(started)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    found = states(project)
    assert found["asset"] == "INTERRUPTED"
    assert found["parent"] in ("INTERRUPTED", "FAILED")
    verify(project)


def test_two_runs_at_the_same_time_do_not_disturb_each_other(project: Any) -> None:
    one = project.start(project.request("one", job="chain", settings={"seed": 1}))
    two = project.start(project.request("two", job="chain", settings={"seed": 2}))
    for process in (one, two):
        process.communicate(timeout=200)
    answers = [json.loads((project.root.parent / f"{name}.answer").read_text()) for name in ("one", "two")]
    made = [project.digests(answer) for answer in answers]
    assert all(made[0][asset] != made[1][asset] for asset in made[0])
    for answer in answers:
        down = next(item for item in answer["products"] if item["asset"] == "plain/down")
        rows = project.rows("SELECT slot, digest FROM run_inputs WHERE run_id = $r", {"r": down["run_id"]})
        own = project.digests(answer)
        assert {row["slot"]: row["digest"] for row in rows} == {"up": own["plain/up"], "mid": own["plain/mid"]}
    rows = project.rows("SELECT version FROM versions WHERE collection = 'plain-up' ORDER BY version")
    assert [row["version"] for row in rows] == [1, 2]
    verify(project)


def test_a_corrupted_object_fails_the_run_that_needs_it_and_names_it(project: Any) -> None:
    answer = project.run(selection=["plain/up"])
    objects = open_objects(project.home)
    from repro_assets.artifacts import repository
    from repro_assets.identity.digest import Digest

    artifact = repository.by_digest(project.home, Digest.parse(answer["products"][0]["digest"]))
    path = objects.path(artifact.manifest.entries[0].objects[0])
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    failed = project.run(selection=["plain/mid"])
    assert failed["state"] == "FAILED"
    assert failed["errors"][0]["type"] == "CorruptObject"
    assert failed["errors"][0]["exit_code"] == 1
    # The damaged bytes lie in quarantine now, so the next one finds none: it names what is gone, and the way back.
    failed = project.run(selection=["plain/mid"])
    (error,) = failed["errors"]
    assert (error["type"], error["exit_code"]) == ("MissingObject", 1)
    assert answer["products"][0]["name"] in error["message"]
    assert f"repro replay {answer['products'][0]['run_id']}" in error["message"]
    (row,) = project.rows(
        "SELECT error_type FROM runs WHERE run_kind = 'parent' AND state = 'FAILED' ORDER BY started_at DESC LIMIT 1"
    )
    assert row["error_type"] == "MissingObject"
    # The same work again makes the bytes again.
    healed = project.run(selection=["plain/up", "plain/mid"])
    assert project.digests(healed)["plain/up"] == answer["products"][0]["digest"]
    verify(project)


@pytest.mark.parametrize(
    ("asked", "said", "code"),
    [
        ({"selection": ["nonsense"]}, "no asset named 'nonsense'", 2),
        ({"selection": ["parts/up"], "partition": "z"}, "no partition 'z'", 2),
        ({"selection": ["parts/up"]}, "--partition", 2),
        ({"selection": ["plain/up"], "partition": "a"}, "none of the selected assets has partitions", 2),
        ({"selection": ["plain/up"], "assets": {"up": {"size": 0}}}, "greater than or equal to 1", 2),
        ({"selection": ["plain/up"], "assets": {"up": {"sizes": 3}}}, "sizes", 2),
        ({"selection": ["plain/up"], "assets": {"mid": {"size": 3}}}, "no asset 'mid' to configure", 2),
        ({"selection": ["plain/mid"]}, "has never been materialized", 2),
        ({"job": "nonsense"}, "no job named 'nonsense'", 2),
    ],
)
def test_a_wrong_request_is_named_with_its_remedy(shared: Any, asked: dict[str, Any], said: str, code: int) -> None:
    answer = shared.run(**asked)
    assert answer["state"] == "FAILED"
    assert said in answer["errors"][0]["message"]
    assert answer["errors"][0]["exit_code"] == code
    if answer["run_id"]:
        rows = shared.rows("SELECT state FROM runs WHERE run_id = $r", {"r": answer["run_id"]})
        assert rows == [{"state": "FAILED"}]


def test_a_full_disk_is_said_with_exit_code_3_and_what_was_stored_stays(
    make_project: Callable[[str], Any], tmp_path: Path
) -> None:
    project = make_project("full")
    small = tmp_path / "disk"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", small], check=False).returncode:
        pytest.skip("this machine does not let a test mount a small file system")
    try:
        from repro_assets.store.home import make_store

        project.home = make_store(small / "home")
        first = project.run(selection=["plain/up"])
        assert first["state"] == "COMPLETED", first
        free = shutil.disk_usage(small).free
        (small / "filler").write_bytes(b"\0" * max(0, free - 4096))
        full = project.run(selection=["plain/up"], settings={"seed": 9})
        assert full["state"] == "FAILED"
        assert {error["exit_code"] for error in full["errors"]} == {3}, full
        (small / "filler").unlink()
        verify(project)
        again = project.run(selection=["plain/up"], settings={"seed": 9})
        assert again["state"] == "COMPLETED"
    finally:
        subprocess.run(["umount", "-l", small], check=True)
