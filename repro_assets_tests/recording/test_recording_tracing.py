"""Spans: their tree, across threads, tasks and processes."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
import pytest
from recordings import Records
from span_files import ONE_RUN, OPENING, PARENT, by_name, parents, spans_of

from repro_assets.errors import InvalidValue
from repro_assets.journal import run_records
from repro_assets.recording import tracing
from repro_assets.recording.lifetime import begin, recorded
from repro_assets.recording.run import new_run_id
from repro_assets.recording.tracers import in_trace, tracers
from repro_assets.recording.tracing import Laps, carried, span
from repro_assets.store.home import Home


def test_a_run_its_stages_and_its_checkpoints_are_one_tree(home: Home, records_of: Records) -> None:
    run = begin(home, run_records.RunStarted(new_run_id(), "script", "one", seed=1))
    with recorded(run), span("train", rate=0.5, layers=numpy.int64(2), on=True, sizes=[1, 2]):
        with Laps("epoch", "epoch") as epochs:
            for step in range(3):
                epochs.at(step // 2)
        run.checkpoint("step", 1, {"w": [1]}, step=1)
    found = spans_of(home)
    names = {one["spanId"]: one["name"] for one in found}
    tree = sorted((one["name"], names.get(one.get("parentSpanId"), "")) for one in found)
    assert tree == [
        ("checkpoint_step_1", "train"),
        ("epoch", "train"),
        ("epoch", "train"),
        ("one", ""),
        ("train", "one"),
    ]
    assert {one["attributes"]["repro.run_id"] for one in found} == {run.run_id}
    assert [one["attributes"]["number"] for one in found if one["name"] == "epoch"] == ["0", "1"]
    (train,) = (one for one in found if one["name"] == "train")
    assert (train["attributes"]["rate"], train["attributes"]["layers"], train["attributes"]["on"]) == (0.5, "2", True)
    (recorded_trace,) = records_of(run_records.RunTraced)
    assert {one["traceId"] for one in found} == {recorded_trace.trace_id} == {run.span.trace_id}
    assert recorded_trace.span_id in {one["spanId"] for one in found if one["name"] == "one"}
    assert all(int(one["endTimeUnixNano"]) >= int(one["startTimeUnixNano"]) for one in found)


def test_an_error_is_the_status_of_each_span_that_it_leaves_and_its_secrets_are_not(traced: Home) -> None:
    secret = "ghp_" + "x7Kq9Wm2Zt4Rv8Yb1Nc5" * 2
    with pytest.raises(ValueError, match="wrong"):
        with span("outer", password="hunter2", note=f"token {secret[:40]}"), span("inner"):
            raise ValueError(f"wrong: {secret[:40]}")
    with span("fine"):
        pass
    named = by_name(traced)
    assert {name: one["status"]["code"] for name, one in named.items()} == {"outer": 2, "inner": 2, "fine": 0}
    assert named["inner"]["status"]["message"].startswith("ValueError: wrong: <")
    assert "hunter2" not in json.dumps(named) and secret[:40] not in json.dumps(named)


def test_a_failed_run_and_an_interrupted_one_end_their_spans_so(home: Home) -> None:
    for number, error in enumerate((RuntimeError("broken"), KeyboardInterrupt())):
        with pytest.raises(type(error)):
            with recorded(begin(home, run_records.RunStarted(new_run_id(), "script", f"run {number}"))):
                raise error
    named = by_name(home)
    assert named["run 0"]["status"] == {"code": 2, "message": "RuntimeError: broken"}
    assert named["run 1"]["status"] == {"code": 2, "message": "KeyboardInterrupt"}


def test_decorated_functions_and_coroutines_are_spans_of_their_own(traced: Home) -> None:
    @span("plain", model="m")
    def plain(value: int) -> int:
        return value + 1

    @span("answer", "request")
    async def answer(value: int) -> int:
        with span(f"inner {value}"):
            await asyncio.sleep(0.001)
        return plain(value) if value == 0 else value

    async def serve() -> list[int]:
        return await asyncio.gather(*(answer(value) for value in range(3)))

    with span("service"):
        assert asyncio.run(serve()) == [1, 1, 2]
    found = spans_of(traced)
    answers = [one for one in found if one["name"] == "answer"]
    (service,) = (one for one in found if one["name"] == "service")
    assert len(answers) == 3
    assert {one["parentSpanId"] for one in answers} == {service["spanId"]}
    # OTLP's number for a server's span.
    assert {one["kind"] for one in answers} == {2}
    inner = [one for one in found if one["name"].startswith("inner")]
    assert {one["parentSpanId"] for one in inner} == {one["spanId"] for one in answers}


def test_what_cannot_be_a_span_is_refused() -> None:
    with pytest.raises(InvalidValue, match="phase"):
        span("one", "phase")
    with pytest.raises(InvalidValue, match="generator"):

        @span("pieces")
        def pieces() -> Iterator[int]:
            yield 1


def test_threads_continue_the_trace_of_whoever_gave_them_the_work(traced: Home) -> None:
    def work(number: int) -> None:
        with span(f"work {number}"):
            pass

    with span("all"), ThreadPoolExecutor(2) as pool:
        list(pool.map(carried(work), range(4)))
        pool.submit(work, 4).result()
    named = by_name(traced)
    assert parents(named) == {"all": None, **{f"work {n}": "all" for n in range(4)}, "work 4": None}


def test_a_request_continues_the_trace_that_its_header_names(traced: Home, caplog: pytest.LogCaptureFixture) -> None:
    with span("answer", "request", parent=PARENT):
        assert tracing.current_trace_id() == PARENT.split("-")[1]
        assert str(tracing.traceparent()).startswith(PARENT[:35])
    for text in ("", "00-0-0-01", PARENT.upper(), "ff" + PARENT[2:], "\n"):
        with span(f"answer to {text!r}", "request", parent=text):
            assert tracing.current_trace_id() != PARENT.split("-")[1]
    named = by_name(traced)
    assert named["answer"]["parentSpanId"] == PARENT.split("-")[2]
    assert [one for one in named.values() if "parentSpanId" in one] == [named["answer"]]
    assert sum("does not read" in message for message in caplog.messages) == 5


def test_a_process_continues_the_trace_of_the_process_that_started_it(
    home: Home, process: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    run = begin(home, run_records.RunStarted(new_run_id(), "script", "one"))
    with recorded(run), span("start a process"):
        process('with span("there", home=home): pass', **tracing.process_environment())
    named = by_name(home)
    assert parents(named) == {"one": None, "start a process": "one", "there": "start a process"}
    assert len({one["traceId"] for one in named.values()}) == 1
    assert len({one["file"] for one in named.values()}) == 2
    assert named["there"]["attributes"]["repro.run_id"] == run.run_id
    assert tracing.process_environment() == {}


def test_a_process_that_opens_no_run_finds_the_store_of_its_spans(
    traced: Home, process: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    program = 'with span("first"): pass\nwith span("second"): pass'
    with span("start a process"):
        variables = tracing.process_environment()
        assert process(program, **variables, REPRO_HOME=str(traced.root)).stderr == ""
        quiet = process(program, **variables, REPRO_HOME=str(traced.root), OTEL_TRACES_EXPORTER="none")
        said = process(program, **variables, REPRO_HOME=str(tmp_path / "nowhere"))
    assert parents(by_name(traced)) == {
        "start a process": None, "first": "start a process", "second": "start a process",
    }  # fmt: skip
    assert quiet.stderr == ""
    assert said.stderr.count("spans of this process have nowhere to go: there is no store in") == 1


def test_a_malformed_traceparent_of_the_process_is_said_once_and_ignored(
    home: Home, process: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = process(ONE_RUN + 'with span("after"): pass', TRACEPARENT="00-zz-1-01")
    assert done.stderr.count("traceparent '00-zz-1-01' does not read") == 1
    assert parents(by_name(home)) == {"one": None, "inner": "one", "after": None}


@pytest.mark.slow
def test_the_ranks_of_torchrun_continue_the_trace(home: Home, tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    script.write_text(OPENING + "with span(f\"rank {os.environ['RANK']}\", home=home): pass\n")
    tracers.start(home)
    with span("launch"):
        launched = subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", script, home.root],
            env={**os.environ, **tracing.process_environment(), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert launched.returncode == 0, launched.stderr
    named = by_name(home)
    assert parents(named) == {"launch": None, "rank 0": "launch", "rank 1": "launch"}
    assert [named[f"rank {rank}"]["attributes"]["repro.rank"] for rank in range(2)] == ["0", "1"]


def test_a_fork_within_a_span_exports_each_span_once_and_each_process_its_own(
    home: Home, process: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    process(
        """
import multiprocessing, time
from repro_assets.recording import span_export
span_export.EXPORT_SECONDS = 0.01
def work():
    with span("in the worker"): pass
with recorded(begin(home, RunStarted("0" * 16, "script", "one"))):
    # No span has ended yet, so there is no thread that only the parent has.
    with span("forked within"):
        child = os.fork()
        if child == 0:
            with span("in the child"): pass
        else:
            os.waitpid(child, 0)
            worker = multiprocessing.get_context("fork").Process(target=work)
            worker.start(); worker.join()
if child == 0:
    # Long enough for a thread to export what the child should not have ended.
    time.sleep(0.3)
"""
    )
    named = by_name(home)
    assert parents(named) == {
        "one": None, "forked within": "one", "in the child": "forked within", "in the worker": "forked within",
    }  # fmt: skip
    files = {name: one["file"] for name, one in named.items()}
    assert files["one"] == files["forked within"]
    assert len(set(files.values())) == 3
    ids = {name: one["attributes"]["process.pid"] for name, one in named.items()}
    assert len(set(ids.values())) == 3


def test_spans_draw_nothing_from_the_generators_that_a_seed_governs(traced: Home) -> None:
    random.seed(1)
    before, legacy = random.getstate(), numpy.random.get_state()[1].tolist()  # type: ignore[index,union-attr]
    with span("one"), span("two"):
        tracers.flush_files()
    assert random.getstate() == before
    assert numpy.random.get_state()[1].tolist() == legacy  # type: ignore[index,union-attr]
    random.seed(1)
    with span("three") as third:
        pass
    random.seed(1)
    with span("four") as fourth:
        pass
    assert third.trace_id != fourth.trace_id


def test_nothing_is_made_or_loaded_where_spans_have_nowhere_to_go(
    process: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    said = process(
        """
with span("one") as one:
    print(one.trace_id, process_environment())
print(sorted({name.partition(".")[0] for name in sys.modules} & {"opentelemetry", "structlog"}))
"""
    )
    assert said.stdout.splitlines() == ["None {}", "[]"]


def test_spans_without_a_parent_can_be_given_a_trace(traced: Home) -> None:
    with in_trace("0af7651916cd43dd8448eb211c80319c"):
        with span("one") as one, span("two") as two:
            pass
    with span("three") as three:
        pass
    assert one.trace_id == two.trace_id == "0af7651916cd43dd8448eb211c80319c" != three.trace_id
