"""The run handle: what it is told is on the disk, once and in order, or refused."""

from __future__ import annotations

import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy
import pytest
import torch
from recordings import Records, rows

from repro_assets.artifacts import names, repository
from repro_assets.errors import InvalidValue
from repro_assets.journal import artifact_records, records, run_records
from repro_assets.journal.segments import list_segments, read_segment
from repro_assets.recording import flushing
from repro_assets.recording import run as recording
from repro_assets.recording.lifetime import begin
from repro_assets.recording.run import COMPLETED, Run, new_run_id
from repro_assets.store.home import Home


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
    run.log_curriculum(1, None, "easy", "start", {"loss": 1.25}, {"simple": 1.0, "medium": 0.0, "hard": 0.0})
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
        run_records.CurriculumChanged,
        run_records.CheckMade,
        run_records.FingerprintsKept,
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


@pytest.mark.parametrize(
    ("value", "step", "said"),
    [
        (1, 1.5, "'n' has the step 1.5, which is no whole number"),
        (1, "3", "'n' has the step '3', which is no whole number"),
        ("a", 1, "'n' at step 1 cannot be 'a'"),
        (1 << 2000, 1, "'n' at step 1 cannot be an integer of 2001 bits"),
    ],
)
def test_a_point_that_is_none_says_what_is_wrong_with_it(run: Run, value: object, step: object, said: str) -> None:
    with pytest.raises(InvalidValue, match=re.escape(said)):
        run.log_metric("n", value, step)  # type: ignore[arg-type]
    run.end()


def test_metrics_are_on_the_disk_when_flush_has_returned(run: Run, records_of: Records) -> None:
    for step in range(1000):
        run.log_metric("loss", step / 7, step)
    run.flush()
    assert rows(records_of) == [["loss", step, step / 7] for step in range(1000)]
    run.end()


def test_metrics_are_on_the_disk_within_a_second(run: Run, records_of: Records) -> None:
    # What the thread sleeps between two writes; that it writes by itself is seen below, however busy the machine is.
    assert flushing.FLUSH_SECONDS < 1
    run.log_metric("loss", 1.0)
    until = time.monotonic() + 60
    while not rows(records_of):
        assert time.monotonic() < until
        time.sleep(0.02)
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
