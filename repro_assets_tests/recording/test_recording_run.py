"""The run handle: what it acknowledged is on the disk, once, however the run ends."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch

from repro_assets.artifacts import names, repository
from repro_assets.errors import InvalidValue
from repro_assets.journal import artifact_records, records, run_records
from repro_assets.journal.segments import Liveness, list_segments, liveness, read_segment
from repro_assets.recording import run as recording
from repro_assets.recording.run import COMPLETED, FAILED, INTERRUPTED, Run, begin, new_run_id, recorded
from repro_assets.store.home import Home

Records = Callable[[type[records.Payload]], list[Any]]
Script = Callable[[str], "subprocess.Popen[str]"]


def rows(records_of: Records) -> list[list[Any]]:
    """Every metric point, without its time."""
    return [row[:3] for batch in records_of(run_records.Metrics) for row in batch.rows if not batch.system]


def finished(process: subprocess.Popen[str], code: int = 0) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    return out


def test_everything_that_a_run_is_told_is_recorded_in_order(home: Home, records_of: Records) -> None:
    run = begin(home, run_records.RunStarted("a" * 16, "asset", "small", asset="models/small", partition="p", seed=3))
    data = repository.put(home, [1, 2], name="data")
    run.use("data", data, asset="data", pinned=True)
    run.log_params({"lr": 0.1, "layers": [1, 2]})
    run.log_params({"lr": 0.2})
    run.log_metrics({"loss": 1.5, "accuracy": numpy.float32(0.5)}, 0)
    run.log_metric("loss", torch.tensor(1.25), numpy.int64(1))
    run.log_metric("seconds", math.nan)
    run.log_readings({"load_1min": 0.5})
    run.seeds.derive("init")
    checkpoint = run.checkpoint("step", 1, {"w": torch.ones(2)}, step=1, metrics={"loss": 1.25})
    model = run.log_output("model", {"w": torch.ones(2)}, name="model-v{version}", collection="model-small")
    result = repository.put(home, {"accuracy": 1.0})
    run.log_evaluation("eval", model, data, result, {"accuracy": 1.0})
    run.log_check("whole", passed=True, parts=1)
    run.log_fingerprints(1, {"w": torch.ones(2)})
    run.end()

    (segment,) = list_segments(home.journal)
    told = [item.payload for item, _ in read_segment(segment) if isinstance(item, records.Record)]
    told = [payload for payload in told if not isinstance(payload, records.Process | artifact_records.ArtifactStored)]
    kinds = [type(payload) for payload in told if not isinstance(payload, run_records.Metrics)]
    assert kinds == [
        run_records.RunStarted,
        run_records.RunTraced,
        run_records.RunInput,
        run_records.Params,
        run_records.Params,
        run_records.CheckpointSaved,
        artifact_records.VersionClaimed,
        run_records.RunOutput,
        run_records.EvaluationMade,
        run_records.CheckMade,
        run_records.Fingerprints,
        run_records.SeedsUsed,
        run_records.PackagesUsed,
        run_records.RunEnded,
    ]
    assert {payload.run_id for payload in told} == {run.run_id}  # type: ignore[attr-defined]
    assert records_of(run_records.RunInput) == [
        run_records.RunInput(run.run_id, "data", str(data.digest), "data", None, None, pinned=True)
    ]
    assert rows(records_of)[:3] == [["loss", 0, 1.5], ["accuracy", 0, 0.5], ["loss", 1, 1.25]]
    assert math.isnan(rows(records_of)[3][2])
    readings = [payload for payload in records_of(run_records.Metrics) if payload.system]
    assert [[row[:3] for row in payload.rows] for payload in readings] == [[["load_1min", None, 0.5]]]
    assert run.last_metrics.keys() == {"loss", "accuracy", "seconds"}
    assert run.last_metrics["loss"] == 1.25
    assert run.curves["loss"] == [(0, 1.5), (1, 1.25)]
    assert run.params == {"lr": 0.2, "layers": [1, 2]}
    assert records_of(run_records.CheckpointSaved)[0].name == "checkpoint_step_1"
    assert checkpoint.load()["w"].tolist() == [1.0, 1.0]
    assert (model.name, model.version, model.run_id) == ("model-v1", 1, run.run_id)
    assert records_of(run_records.RunOutput)[0].name == "model-v1"
    assert records_of(run_records.SeedsUsed)[0].derived == run.seeds.used
    assert records_of(run_records.RunEnded) == [run_records.RunEnded(run.run_id, COMPLETED, None, [])]


def test_ids_of_two_runs_differ_in_their_first_half() -> None:
    ids = [new_run_id() for _ in range(1000)]
    assert {len(item) for item in ids} == {16}
    assert len({item[:8] for item in ids}) == len(ids)


def test_the_start_is_on_the_disk_when_begin_has_returned(run: Run, records_of: Records) -> None:
    assert records_of(run_records.RunStarted) == [run.started]


@pytest.mark.parametrize(("name", "seed"), [("", 1), ("one", -1), ("one", 2**63)])
def test_a_run_that_cannot_begin_leaves_no_record(home: Home, name: str, seed: int) -> None:
    with pytest.raises(InvalidValue):
        begin(home, run_records.RunStarted(new_run_id(), "script", name, seed=seed))
    assert list_segments(home.journal) == []


def test_metrics_are_on_the_disk_when_flush_has_returned(run: Run, records_of: Records) -> None:
    for step in range(1000):
        run.log_metric("loss", step / 7, step)
    run.flush()
    assert rows(records_of) == [["loss", step, step / 7] for step in range(1000)]
    run.end()


def test_metrics_are_on_the_disk_within_a_second(run: Run, records_of: Records) -> None:
    started = time.monotonic()
    run.log_metric("loss", 1.0)
    while not rows(records_of):
        time.sleep(0.02)
        # A second of the law, and one for a machine that is busy with other things.
        assert time.monotonic() - started < 2.0
    run.end()


def test_a_full_buffer_makes_the_caller_wait_and_drops_nothing(
    run: Run, records_of: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "BUFFER_ROWS", 10)
    logged = 0

    def log() -> None:
        nonlocal logged
        for step in range(50):
            run.log_metric("loss", step, step)
            logged += 1

    thread = threading.Thread(target=log)
    with run._journal._lock:  # as if the disk did not answer
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        assert logged <= 10
    thread.join()
    run.end()
    assert rows(records_of) == [["loss", step, float(step)] for step in range(50)]


def test_points_of_many_threads_are_all_recorded_once(
    run: Run, records_of: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "BUFFER_ROWS", 50)

    def log(name: str) -> None:
        for step in range(500):
            run.log_metric(name, step, step)

    threads = [threading.Thread(target=log, args=(f"m{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.end()
    found = rows(records_of)
    assert Counter(row[0] for row in found) == {f"m{i}": 500 for i in range(4)}
    for i in range(4):
        assert [row[1] for row in found if row[0] == f"m{i}"] == list(range(500))


def test_every_point_that_was_taken_while_the_run_ended_is_recorded(run: Run, records_of: Records) -> None:
    taken = [0, 0]

    def log(index: int) -> None:
        try:
            while True:
                run.log_metric(f"m{index}", taken[index])
                taken[index] += 1
        except InvalidValue:
            return

    threads = [threading.Thread(target=log, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    run.end()
    for thread in threads:
        thread.join()
    found = Counter(row[0] for row in rows(records_of))
    assert [found["m0"], found["m1"]] == taken
    assert min(taken) > 0


def test_a_second_end_changes_nothing(run: Run, records_of: Records) -> None:
    run.end(FAILED, ValueError("first"))
    run.end(COMPLETED)
    (ended,) = records_of(run_records.RunEnded)
    assert ended.state == FAILED
    assert run.state == FAILED


def test_what_a_run_is_given_after_its_end_is_refused_and_leaves_nothing(
    home: Home, run: Run, records_of: Records
) -> None:
    artifact = repository.put(home, [1])
    run.end()
    before = [segment.read_bytes() for segment in list_segments(home.journal)]
    for call in (
        lambda: run.log_metric("loss", 1.0),
        lambda: run.log_params({"a": 1}),
        lambda: run.use("data", artifact),
        lambda: run.checkpoint("step", 1, [2], step=1),
        lambda: run.log_output("model", [3], name="model", collection="model"),
        lambda: run.log_evaluation("e", artifact, artifact, artifact, {}),
        lambda: run.log_check("c", passed=True),
        lambda: run.log_fingerprints(1, {"w": torch.ones(1)}),
    ):
        with pytest.raises(InvalidValue, match="has ended"):
            call()
    run.flush()
    assert [segment.read_bytes() for segment in list_segments(home.journal)] == before
    assert names.collections(home) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda run: run.log_metric("loss", "low"),
        lambda run: run.log_metric("loss", None),
        lambda run: run.log_metric("loss", 1.0, 1.5),
        lambda run: run.log_params({"a": object()}),
        lambda run: run.log_check("c", passed=True, detail={1, 2}),
        lambda run: run.log_output("model", object(), name="model"),
        lambda run: run.log_output("model", [1], name="model", collection="../model"),
    ],
)
def test_what_cannot_be_recorded_is_refused_and_the_run_goes_on(
    run: Run, records_of: Records, call: Callable[[Run], object]
) -> None:
    run.log_metric("loss", 1.0)
    with pytest.raises(InvalidValue):
        call(run)
    run.log_metric("loss", 2.0)
    run.end()
    assert rows(records_of) == [["loss", None, 1.0], ["loss", None, 2.0]]
    assert records_of(run_records.RunEnded)[0].state == COMPLETED
    assert not records_of(run_records.Params)
    assert not records_of(run_records.RunOutput)


def test_a_handle_passes_through_and_a_trial_claims_as_a_trial(home: Home, records_of: Records) -> None:
    run = begin(home, run_records.RunStarted(new_run_id(), "script", "trial", trial=True))
    stored = repository.put(home, [1])
    product = run.log_output("a", stored, name="a", collection="a")
    assert product == stored
    assert product.run_id == run.run_id
    assert names.versions(home, "a")[0].trial
    unnamed = run.log_output("b", [2], name="b-{version}")
    assert unnamed.name == f"b-{unnamed.digest.hex[:8]}"
    run.end()
    assert [output.version for output in records_of(run_records.RunOutput)] == [1, None]


def test_an_error_is_recorded_with_its_trace_and_raised_again(run: Run, records_of: Records) -> None:
    def breaking() -> None:
        token = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"
        raise ValueError(f"the key {token} is wrong: 🙂")

    with pytest.raises(ValueError, match="is wrong"), recorded(run):
        breaking()
    (ended,) = records_of(run_records.RunEnded)
    assert (ended.state, ended.error["type"]) == (FAILED, "builtins.ValueError")
    assert ended.error["message"] == "the key <github-token> is wrong: 🙂"
    assert "in breaking" in ended.error["trace"]
    assert "A1b2C3" not in str(ended.error)


class _Cancelled(Exception):
    pass


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit(), _Cancelled("by hand")])
def test_a_cancelled_run_is_interrupted_and_not_failed(run: Run, records_of: Records, error: BaseException) -> None:
    run.log_metric("loss", 1.0)
    with pytest.raises(type(error)), recorded(run, (_Cancelled,)):
        raise error
    assert records_of(run_records.RunEnded)[0].state == INTERRUPTED
    assert len(rows(records_of)) == 1


def test_the_error_of_an_end_that_cannot_be_written_is_raised_and_the_end_can_be_written_later(
    script: Script, records_of: Records
) -> None:
    out = finished(
        script(
            """
import resource
from repro_assets.errors import MachineError
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
run.log_metric("loss", 1.0, 0)
run.flush()
limit(next((home.journal).glob("*.jsonl")).stat().st_size + 20)
for step in range(1, 50):
    run.log_metric("loss", 1.0, step)
for call in (run.flush, run.end):
    try:
        call()
    except MachineError as error:
        print("refused")
time.sleep(0.7)  # the thread that writes meets it too
limit(resource.RLIM_INFINITY)
run.log_metric("loss", 1.0, 50)
run.end()
"""
        )
    )
    assert out.split() == ["refused", "refused"]
    assert [row[1] for row in rows(records_of)] == list(range(51))
    assert records_of(run_records.RunEnded)[0].state == COMPLETED


def test_kill_9_loses_nothing_that_was_acknowledged(home: Home, script: Script, records_of: Records) -> None:
    process = script(
        """
for step in range(1000):
    run.log_metric("loss", step, step)
    if step % 100 == 99:
        run.flush()
        print(step, flush=True)
threading.Event().wait()
"""
    )
    assert process.stdout is not None
    acknowledged = -1
    for line in process.stdout:
        acknowledged = int(line)
        if acknowledged >= 499:
            break
    (segment,) = list_segments(home.journal)
    assert liveness(segment) is Liveness.ALIVE
    process.kill()
    process.communicate()
    assert liveness(segment) is Liveness.GONE
    steps = [row[1] for row in rows(records_of)]
    assert steps == list(range(len(steps)))
    assert len(steps) > acknowledged
    assert not records_of(run_records.RunEnded)


def test_a_script_that_leaves_without_an_end_still_writes_what_it_logged(script: Script, records_of: Records) -> None:
    finished(script("run.log_metric('loss', 1.0); sys.exit(4)"), 4)
    assert rows(records_of) == [["loss", None, 1.0]]
    assert not records_of(run_records.RunEnded)


def test_ctrl_c_records_the_interruption(script: Script, records_of: Records) -> None:
    process = script("with recorded(run):\n    print('in', flush=True)\n    time.sleep(60)\n")
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode
    (ended,) = records_of(run_records.RunEnded)
    assert (ended.state, ended.error["type"]) == (INTERRUPTED, "builtins.KeyboardInterrupt")


def test_a_forked_child_adds_to_the_run_in_a_segment_of_its_own_and_does_not_end_it(
    home: Home, run: Run, records_of: Records
) -> None:
    run.log_metric("parent", 1.0)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run.log_metric("child", 2.0)
            run.log_params({"from": "child"})
            run.end(FAILED)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert not records_of(run_records.RunEnded)
    run.log_metric("parent", 3.0)
    run.end()
    assert len(list_segments(home.journal)) == 2
    assert sorted(rows(records_of)) == [["child", None, 2.0], ["parent", None, 1.0], ["parent", None, 3.0]]
    assert [ended.state for ended in records_of(run_records.RunEnded)] == [COMPLETED]
    assert records_of(run_records.Params)[0].params == {"from": "child"}


def test_a_forked_worker_that_returns_at_once_has_written_its_metrics(script: Script, records_of: Records) -> None:
    finished(
        script(
            """
import multiprocessing
def work(number):
    run.log_metric("worker", number)
context = multiprocessing.get_context("fork")
workers = [context.Process(target=work, args=(number,)) for number in range(3)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
assert [worker.exitcode for worker in workers] == [0, 0, 0]
run.end()
"""
        )
    )
    assert sorted(rows(records_of)) == [["worker", None, float(number)] for number in range(3)]
