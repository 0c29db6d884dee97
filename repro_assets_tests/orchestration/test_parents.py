"""Whether a process executes a run of Dagster's."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from waiting import alive, until

from repro_assets.orchestration.parents import executor_lives


def begins(instance: dg.DagsterInstance, run_id: str, number: int, age: float = 0.0) -> None:
    """Have a process of this number report the start of a run, `age` seconds ago."""
    kind, said = dg.DagsterEventType.ENGINE_EVENT.value, EngineEventData()
    event = dg.DagsterEvent(kind, "job", event_specific_data=said, message="begins", pid=number)
    instance.report_dagster_event(event, run_id, timestamp=time.time() - age)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_an_executor_lives_from_its_first_event_until_it_ends(child: subprocess.Popen[bytes]) -> None:
    with dg.instance_for_test() as instance:
        run = instance.create_run_for_job(dg.job(name="job")(lambda: None))
        assert executor_lives(instance, run.run_id), "nothing has begun, so it is waiting"
        begins(instance, run.run_id, child.pid)
        assert executor_lives(instance, run.run_id)
        child.kill()
        # It keeps its number until it is waited for.
        until(lambda: not alive(child.pid))
        assert not executor_lives(instance, run.run_id)
        child.wait()
        assert not executor_lives(instance, run.run_id)


def test_a_process_that_has_only_inherited_the_number_executes_nothing(child: subprocess.Popen[bytes]) -> None:
    with dg.instance_for_test() as instance:
        run = instance.create_run_for_job(dg.job(name="job")(lambda: None))
        begins(instance, run.run_id, child.pid, age=60)
        assert not executor_lives(instance, run.run_id)
