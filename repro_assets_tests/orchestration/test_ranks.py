"""An asset whose recipe several processes execute: one run, and what becomes of it when a rank is lost."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import until

from repro_assets.artifacts import repository
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin
from repro_assets.recording.run import new_run_id
from repro_assets.replay.diverging import diverge
from repro_assets.replay.launch import replay
from repro_assets.store.home import make_store

TOY = Path(__file__).parents[1] / "training" / "toy_ranks.py"
DEFINITIONS = """
from typing import Any

import dagster as dg
from toy_ranks import SharedConfig, train_shared

from repro_assets.orchestration.config import TrainingConfig
from repro_assets.orchestration.io_manager import ArtifactIOManager
from repro_assets.orchestration.naming import COLLECTION, DISPLAY
from repro_assets.orchestration.resource import Repro


class SharedAsset(SharedConfig, TrainingConfig):
    pass


@dg.asset(code_version="1", metadata={COLLECTION: "shared", DISPLAY: "shared-{run}"})
def shared(context: dg.AssetExecutionContext, repro: Repro, config: SharedAsset) -> dg.MaterializeResult[Any]:
    return repro.execute(context, train_shared, config, {})


defs = dg.Definitions(assets=[shared], resources={"repro": Repro(), "io_manager": ArtifactIOManager()})
"""


@pytest.fixture
def two(project: Any) -> Any:
    """A project with such an asset, and what two ranks are asked with."""
    shutil.copy(TOY, project.root)
    (project.root / "shared_definitions.py").write_text(DEFINITIONS)
    return project


def asked(**more: Any) -> dict[str, Any]:
    config = {"processes": 2, "steps": 8, **more.pop("config", {})}
    return {
        "module": "shared_definitions", "selection": ["shared"], "settings": {"seed": 1},
        "assets": {"shared": config}, **more,
    }  # fmt: skip


def undisturbed(project: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Digest of what two ranks make that nothing stopped, forked here."""
    monkeypatch.syspath_prepend(str(project.root))
    toy = importlib.import_module("toy_ranks")
    config = toy.SharedConfig(processes=2)

    def train() -> Any:
        run = begin(make_store(tmp_path / f"store-{os.getpid()}"), RunStarted(new_run_id(), "script", "x", seed=1))
        return toy.with_own_globals(run, config)

    first, second = toy.forked(2, train)
    assert repository.put(project.home, first).digest == repository.put(project.home, second).digest
    return str(repository.put(project.home, first).digest)


def ranks_of(project: Any) -> list[int]:
    """Processes of torchrun and of its ranks that were started in the project."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = " ".join(process.info["cmdline"] or ())
        if "repro_assets.recording.rank_" in words and process.info["cwd"] == str(project.root):
            found.append(process.pid)
    return found


@pytest.mark.slow
def test_a_run_that_lost_a_rank_failed_and_goes_on_to_the_same_bits(
    two: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = two.run({"TOY_RANKS_KILL": "1:5"}, **asked())
    (error,) = answer["errors"]
    (lost,) = two.rows("SELECT run_id, state, settings, error_message FROM runs WHERE asset = 'shared'")
    assert (lost["state"], error["type"], error["exit_code"]) == ("FAILED", "MachineError", 3)
    assert "rank 1 of 2 was killed by signal 9 (SIGKILL)" in error["message"]
    assert f"go on from the last checkpoint: --resume {lost['run_id']}" in error["message"]
    assert ranks_of(two) == []

    done = two.run(**asked(resume="auto"))
    (product,) = done["products"]
    assert product["digest"] == undisturbed(two, monkeypatch, tmp_path)
    assert two.rows("SELECT resumed_run_id, step FROM resumes") == [{"resumed_run_id": lost["run_id"], "step": 3}]
    curve = two.rows("SELECT name, step, logged_by FROM curves WHERE run_id = ?", [product["run_id"]])
    assert {row["name"] for row in curve} == {
        "train/loss", "validation/sum", "rank/0/train/examples", "rank/1/train/examples",
    }  # fmt: skip
    steps = sorted((row["step"], row["logged_by"]) for row in curve if row["name"] == "rank/1/train/examples")
    assert steps == [(2, lost["run_id"]), *((step, product["run_id"]) for step in (4, 6, 8))]
    saved = two.rows("SELECT name FROM checkpoints WHERE run_id = ? ORDER BY step", [product["run_id"]])
    assert [row["name"] for row in saved] == ["checkpoint_step_6", "checkpoint_step_8"]
    (row,) = two.rows("SELECT state, settings FROM runs WHERE run_id = ?", [product["run_id"]])
    said = json.loads(row["settings"]) if isinstance(row["settings"], str) else row["settings"]
    assert (said["world_size"], said["backend"], said["bucket_megabytes"]) == (2, "gloo", 25.0)
    seeds = {row["name"] for row in two.rows("SELECT name FROM seeds WHERE run_id = ?", [product["run_id"]])}
    assert {"shared/order", "rank/0", "rank/1"} <= seeds
    log = (two.root.parent / "request.log").read_text()
    assert "rank=0" in log and "rank=1" in log
    assert ranks_of(two) == []


@pytest.mark.slow
def test_where_one_rank_parts_is_found_at_the_op_that_adds_up_the_ranks(two: Any, tmp_path: Path) -> None:
    plain, other = (
        two.run(**asked(config={"fingerprint_every": 1, "doubled_from": step}))["products"][0]["run_id"]
        for step in (0, 5)
    )
    with (tmp_path / "log").open("wb") as log:
        found = diverge(two.home, plain, other, log=log)
    assert (found.verdict, found.reason, found.first_step, found.last_equal_step) == ("diverged", None, 5, 4)
    assert (found.found, found.op, found.phase) == ("op", "c10d.allreduce_.default", "forward")
    file, _, number = str(found.source_line).partition(":")
    assert (file, "sum_gradients" in TOY.read_text().splitlines()[int(number) - 1]) == ("toy_ranks.py", True)
    rows = two.rows("SELECT replay_of, state, error_message FROM runs WHERE replay_of IS NOT NULL")
    assert {row["replay_of"] for row in rows} == {plain, other}
    assert {(row["state"], row["error_message"]) for row in rows} == {
        ("INTERRUPTED", "ended after step 5, as was asked")
    }
    assert ranks_of(two) == []


def started(project: Any, tmp_path: Path) -> Any:
    """Start a long training, and wait until it has a checkpoint."""
    request = project.request("long", **asked(config={"steps": 400, "seconds": 0.1}))
    process = project.start(request)
    until(lambda: bool(project.rows("SELECT 1 FROM checkpoints")))
    return process


def gone(project: Any) -> None:
    until(lambda: not ranks_of(project))


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_interrupts_and_it_goes_on(two: Any, tmp_path: Path, number: signal.Signals) -> None:
    process = started(two, tmp_path)
    os.kill(process.pid, number)
    process.wait(120)
    (row,) = two.rows("SELECT state FROM runs WHERE asset = 'shared'")
    (saved,) = two.rows("SELECT name, step FROM checkpoints WHERE checkpoint_type = 'signal'")
    assert row["state"] == "INTERRUPTED"
    assert ranks_of(two) == []
    steps = two.rows("SELECT name, max(step) AS last FROM metrics WHERE name LIKE 'rank/%' GROUP BY name")
    assert len({row["last"] for row in steps}) == 1 and steps[0]["last"] in (saved["step"], saved["step"] - 1)


@pytest.mark.soak
def test_a_signal_to_torchrun_interrupts_too(two: Any, tmp_path: Path) -> None:
    process = started(two, tmp_path)
    (launcher,) = [pid for pid in ranks_of(two) if "rank_launcher" in " ".join(psutil.Process(pid).cmdline())]
    os.kill(launcher, signal.SIGTERM)
    process.wait(120)
    (row,) = two.rows("SELECT state FROM runs WHERE asset = 'shared'")
    assert row["state"] == "INTERRUPTED"
    assert two.rows("SELECT 1 FROM checkpoints WHERE checkpoint_type = 'signal'")
    gone(two)


@pytest.mark.soak
def test_no_rank_outlives_the_process_that_owns_the_run(two: Any, tmp_path: Path) -> None:
    process = started(two, tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    gone(two)
    (row,) = two.rows("SELECT state FROM runs WHERE asset = 'shared'")
    assert row["state"] == "INTERRUPTED"


@pytest.mark.soak
def test_a_killed_torchrun_is_a_failure_and_takes_its_ranks_along(two: Any, tmp_path: Path) -> None:
    process = started(two, tmp_path)
    (launcher,) = [pid for pid in ranks_of(two) if "rank_launcher" in " ".join(psutil.Process(pid).cmdline())]
    os.kill(launcher, signal.SIGKILL)
    process.wait(120)
    gone(two)
    (row,) = two.rows("SELECT state, error_message FROM runs WHERE asset = 'shared'")
    assert row["state"] == "FAILED" and "torchrun was killed by signal 9" in str(row["error_message"])


@pytest.mark.soak
def test_two_ranks_twice_are_equal_replay_and_verify_identical_and_one_is_another_setting(
    two: Any, tmp_path: Path
) -> None:
    first = two.run(**asked())
    again = two.run(**asked(settings={"seed": 1, "force": True}))
    alone = two.run(**asked(config={"processes": 1}))
    digests = [answer["products"][0]["digest"] for answer in (first, again, alone)]
    assert digests[0] == digests[1] != digests[2]
    with (tmp_path / "log").open("wb") as log:
        report = replay(two.home, first["products"][0]["run_id"], log=log)
    assert report.verdict == "identical", report.document()
    told = two.script(
        "from repro_assets.orchestration.verifying import verify_and_show\n"
        "from repro_assets.store.home import find_store\n"
        f"print(verify_and_show(find_store(), {first['products'][0]['run_id']!r}).deterministic)"
    )
    assert told.split()[-1] == "True"
    assert two.rows("SELECT kind, name FROM undeclared_inputs") == []
