"""The monitor of a run: readings at the newest step, and a run that knows nothing of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from recordings import Records

from repro_assets.capture import monitor
from repro_assets.capture.monitor import Sample
from repro_assets.errors import InvalidValue
from repro_assets.journal import run_records
from repro_assets.recording.lifetime import begin, recorded
from repro_assets.recording.monitoring import monitored
from repro_assets.recording.run import Run, new_run_id
from repro_assets.store.home import Home


def readings(records_of: Records) -> list[list[Any]]:
    return [row for batch in records_of(run_records.Metrics) for row in batch.rows if batch.system]


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Sensors that say how often they were looked at, and that the disk is missing."""
    looks = threading.Semaphore(0)
    counts = iter(range(1_000_000))

    def look(self: monitor.Sensors) -> Sample:
        looks.release()
        return Sample({"load_1min": float(next(counts))}, {"disk": "no disk"})

    monkeypatch.setattr(monitor.Sensors, "look", look)
    return looks


def test_each_sample_stands_at_the_newest_step_that_was_logged(
    home: Home, records_of: Records, looked: threading.Semaphore
) -> None:
    run = begin(home, run_records.RunStarted(new_run_id(), "script", "one"))

    def until_two_looks() -> None:
        # The first of the two may have begun before.
        for _ in range(2):
            assert looked.acquire(timeout=60)

    with recorded(run), monitored(run, 0.01):
        until_two_looks()
        run.log_metric("loss", 1.0, 7)
        run.log_metric("seconds", 1.0)
        until_two_looks()
        until_two_looks()
    rows = readings(records_of)
    steps = [step for _, step, _, _ in rows]
    assert steps == sorted(steps, key=lambda step: -1 if step is None else step)
    assert set(steps) == {None, 7}
    values = [value for _, _, value, _ in rows]
    assert values == sorted(values)
    summary = run.readings["load_1min"]
    assert (summary.count, summary.greatest) == (len(values), max(values))
    assert summary.mean == pytest.approx(sum(values) / len(values))
    assert records_of(run_records.ReadingsMissing) == [run_records.ReadingsMissing(run.run_id, {"disk": "no disk"})]


def test_a_run_that_is_over_before_the_first_interval_has_a_sample(home: Home, records_of: Records) -> None:
    run = begin(home, run_records.RunStarted(new_run_id(), "script", "one"))
    with recorded(run), monitored(run, 3600):
        pass
    names = [name for name, *_ in readings(records_of)]
    assert {"load_1min", "memory_used_bytes", "process_memory_bytes"} <= set(names)
    assert len(names) == len(set(names))


def test_a_monitor_can_be_off_and_its_interval_has_a_least(run: Run, looked: threading.Semaphore) -> None:
    with monitored(run, None):
        pass
    assert not looked.acquire(blocking=False)
    for interval in (0.0, -1.0, float("nan")):
        with pytest.raises(InvalidValue, match="sample"), monitored(run, interval):
            pass


def test_a_sample_that_comes_after_the_end_is_given_up(run: Run, looked: threading.Semaphore) -> None:
    with monitored(run, 0.01):
        run.end()
        for _ in range(3):
            assert looked.acquire(timeout=60)
    assert run.readings.keys() <= {"load_1min"}
