"""What a run acknowledged is on the disk, however the run or its process ends."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter

import pytest
import torch
from recordings import Records, Script, finished, rows

from repro_assets.artifacts import names, repository
from repro_assets.errors import InvalidValue
from repro_assets.journal import run_records
from repro_assets.journal.segments import Liveness, list_segments, liveness
from repro_assets.recording.lifetime import recorded
from repro_assets.recording.run import COMPLETED, FAILED, INTERRUPTED, Run
from repro_assets.store.home import Home


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
        lambda: run.log_curriculum(1, None, "easy", "start", {}, {}),
        lambda: run.log_check("c", passed=True),
        lambda: run.log_fingerprints(1, {"w": torch.ones(1)}),
    ):
        with pytest.raises(InvalidValue, match="has ended"):
            call()
    run.flush()
    assert [segment.read_bytes() for segment in list_segments(home.journal)] == before
    assert names.collections(home) == []


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


def test_a_handler_that_raises_at_any_moment_of_a_flush_loses_and_repeats_no_point(
    run: Run, records_of: Records
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    drawn = random.Random(1)
    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for step in range(300):
            run.log_metric("loss", float(step), step)
            try:
                signal.setitimer(signal.ITIMER_REAL, drawn.uniform(1e-5, 2e-3))
                run.flush()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    run.end()
    assert interrupted > 0
    assert [row[1] for row in rows(records_of)] == list(range(300))
