"""A signal ends a training between two steps, with a checkpoint that it goes on from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from toy_recipe import SlowRun, ToyConfig, train

from repro_assets.artifacts import repository
from repro_assets.artifacts.retention import read_ledger
from repro_assets.determinism.probe import Enough
from repro_assets.determinism.stops import Stop, written
from repro_assets.identity.digest import Digest
from repro_assets.recording.interruption import SIGNALS, Interruption
from repro_assets.store.home import make_store, open_store

pytestmark = pytest.mark.usefixtures("globals_as_before")
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def handlers():
    """Those of pytest, whatever a test leaves."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield before
    left = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert left == before


def raise_at(number: int, at: int) -> Any:
    return lambda step: signal.raise_signal(number) if step == at else None


def test_the_step_is_finished_and_saved_before_the_handler_of_before_gets_the_signal(new_run, equal_bits):
    run = new_run(0)
    reached: list[int] = []

    def body(step: int) -> None:
        if step == 5:
            signal.raise_signal(signal.SIGINT)
            reached.append(step)

    whole = train(new_run(0), ToyConfig())
    with pytest.raises(KeyboardInterrupt):
        train(run, ToyConfig(), body=body)
    assert reached == [5]
    assert list(run.checkpoints) == ["checkpoint_step_3", "checkpoint_signal_5"]
    assert run.parents["checkpoint_signal_5"] == run.checkpoints["checkpoint_step_3"].digest
    equal_bits(whole, train(new_run(0), ToyConfig(), resume=run.checkpoints["checkpoint_signal_5"].load()))


def test_a_replay_ends_where_the_run_was_interrupted_and_saves_what_a_signal_asked_for(new_run, monkeypatch):
    def replayed(stop: Stop, name: str = "recorded") -> Any:
        for variable, value in written({"recorded": stop}).items():
            monkeypatch.setenv(variable, value)
        run = new_run(0)
        run.replay_of = name
        try:
            train(run, ToyConfig())
        except Enough as ended:
            return list(run.checkpoints), ended.step
        return list(run.checkpoints), None

    whole = [f"checkpoint_step_{step}" for step in (3, 6, 9, 12)]
    assert replayed(Stop(6, signal=False, ends=True)) == (whole[:2], 6)
    assert replayed(Stop(5, signal=True, ends=True)) == ([whole[0], "checkpoint_signal_5"], 5)
    # Where more is compared it goes on.
    assert replayed(Stop(5, signal=True, ends=False)) == ([whole[0], "checkpoint_signal_5", *whole[1:]], None)
    assert replayed(Stop(6, signal=False, ends=True), "another") == (whole, None)


def test_where_nothing_handled_the_signal_the_process_is_asked_to_exit_with_its_number(new_run, handlers):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as ended:
            train(new_run(0), ToyConfig(), body=raise_at(signal.SIGTERM, 5))
        assert ended.value.code == 143
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, handlers[signal.SIGTERM])


def test_a_step_at_which_a_checkpoint_is_due_is_saved_once_under_both_names(new_run):
    run = new_run(0)
    with pytest.raises(KeyboardInterrupt):
        train(run, ToyConfig(), body=raise_at(signal.SIGINT, 6))
    assert list(run.checkpoints) == ["checkpoint_step_3", "checkpoint_step_6", "checkpoint_signal_6"]
    assert run.checkpoints["checkpoint_signal_6"] is run.checkpoints["checkpoint_step_6"]


def test_a_signal_during_the_last_step_comes_when_all_is_saved(new_run):
    run = new_run(0)
    with pytest.raises(KeyboardInterrupt):
        train(run, ToyConfig(), body=raise_at(signal.SIGINT, 12))
    assert list(run.checkpoints)[-1] == "checkpoint_step_12"


def test_a_signal_is_not_lost_where_the_body_fails(new_run):
    def body(step: int) -> None:
        signal.raise_signal(signal.SIGINT)
        raise FloatingPointError("not finite")

    with pytest.raises(KeyboardInterrupt) as raised:
        train(new_run(0), ToyConfig(), body=body)
    assert isinstance(raised.value.__context__, FloatingPointError)


def test_the_checkpoint_is_there_before_the_handler_of_before_is_called(new_run):
    run = SlowRun(new_run(0))
    there: list[list[str]] = []

    def end(number: int, frame: Any) -> None:
        there.append(list(run.inner.checkpoints))
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, end)
    try:
        threading.Timer(0.3, run.go.set).start()
        with pytest.raises(KeyboardInterrupt):
            train(run, ToyConfig(), body=raise_at(signal.SIGINT, 4))
    finally:
        signal.signal(signal.SIGINT, before)
    assert there == [["checkpoint_step_3", "checkpoint_signal_4"]]


def test_a_second_signal_does_not_wait_for_what_is_on_its_way(new_run):
    run = SlowRun(new_run(0))

    def body(step: int) -> None:
        if step == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    try:
        with pytest.raises(KeyboardInterrupt):
            train(run, ToyConfig(), body=body)
        assert run.inner.checkpoints == {}
    finally:
        run.go.set()


def test_a_second_signal_does_not_wait_for_the_step(new_run):
    run = new_run(0)

    def body(step: int) -> None:
        if step == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("it went on")

    with pytest.raises(KeyboardInterrupt):
        train(run, ToyConfig(checkpoint_in_background=False), body=body)
    assert list(run.checkpoints) == ["checkpoint_step_3"]


def test_a_handler_that_only_takes_note_lets_training_go_on(new_run):
    noted: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
    try:
        run = new_run(0)
        trained = train(run, ToyConfig(), body=lambda step: signal.raise_signal(signal.SIGINT) if step in (2, 7) else 0)
    finally:
        signal.signal(signal.SIGINT, before)
    assert noted == [signal.SIGINT, signal.SIGINT]
    assert trained["seen"] == list(range(1, 13))
    assert [name for name in run.checkpoints if "signal" in name] == ["checkpoint_signal_2", "checkpoint_signal_7"]


def test_what_is_ignored_stays_ignored_and_another_thread_takes_nothing(handlers):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as waiting:
            signal.raise_signal(signal.SIGINT)
            assert waiting.number is None
    finally:
        signal.signal(signal.SIGINT, handlers[signal.SIGINT])
    found: list[Any] = []

    def look() -> None:
        with Interruption():
            found.append({number: signal.getsignal(number) for number in SIGNALS})

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [handlers]


SCRIPT = """
import sys, time
from pathlib import Path
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin, recorded
from repro_assets.store.home import open_store
from toy_recipe import SlowRun, ToyConfig, train

def body(step):
    print(step, flush=True)
    time.sleep(0.05)

run = begin(open_store(Path(sys.argv[1])), RunStarted("0" * 16, "script", "toy", seed=0))
with recorded(run):
    train(run, ToyConfig(steps=400, checkpoint_every=100), body=body)
"""


def test_a_script_that_gets_sigterm_saves_the_step_ends_as_interrupted_and_can_go_on(tmp_path, new_run, equal_bits):
    home = make_store(tmp_path / "store")
    words = [sys.executable, "-c", SCRIPT, str(home.root)]
    folders = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)])}
    process = subprocess.Popen(words, env=folders, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 4:
        pass
    os.kill(process.pid, signal.SIGTERM)
    rest = process.stdout.read().split()
    assert process.wait(60) == 143
    ledger = read_ledger(open_store(home.root))
    (saved,) = ledger.checkpoints
    assert saved.name == f"checkpoint_signal_{saved.step}"
    assert saved.step == int(rest[-1] if rest else 4)
    assert "0" * 16 in ledger.ended
    config = ToyConfig(steps=saved.step + 3, checkpoint_every=100)
    state = repository.by_digest(home, Digest.parse(saved.digest)).load()
    state["config"]["steps"] = config.steps
    equal_bits(train(new_run(0), config), train(new_run(0), config, resume=state))
