"""Which checkpoint a person means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from repro_assets.artifacts import repository
from repro_assets.capture.scheduler import scheduler_job
from repro_assets.errors import AmbiguousName, InvalidValue, MissingObject, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.journal import segments
from repro_assets.journal.run_records import (
    CheckpointDeleted,
    CheckpointSaved,
    RunDeleted,
    RunEnded,
    RunResumed,
    RunStarted,
)
from repro_assets.journal.segments import Journal
from repro_assets.recording import resumption
from repro_assets.recording.reuse import reuse_key
from repro_assets.store.home import Home, make_store
from repro_assets.store.opening import open_objects

KEY = reuse_key(work="one")
BEGIN = datetime(2026, 11, 1, 12, 0, 0, 500_000, tzinfo=UTC)
JOB = {"scheduler": "slurm", "job": "77", "restarts": 0}


class Past:
    """Writes records as of a clock of its own, which goes on by a minute with each."""

    def __init__(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.journal = Journal(home.journal)
        self.now = BEGIN
        monkeypatch.setattr(segments, "time", SimpleNamespace(time=self.clock))

    def clock(self) -> float:
        return self.now.timestamp()

    def write(self, *payloads: Any) -> None:
        for payload in payloads:
            self.journal.append(payload)
            self.now += timedelta(minutes=1)

    def run(self, run_id: str, end: str | None = "INTERRUPTED", *, steps: tuple[int, ...] = (), **more: Any) -> None:
        """A training run that saved these steps."""
        resumed = more.pop("resumed", None)
        job = more.pop("job", None)
        facts = {} if job is None else {"scheduler_job": job}
        given = {"asset": "models/sft", "reuse_key": str(KEY), "host_facts": facts, **more}
        self.write(RunStarted(run_id, "asset", f"name-{run_id}", **given))
        if resumed is not None:
            other, step = resumed
            self.write(RunResumed(run_id, other, f"checkpoint_step_{step}", str(self.put(other, step)), step))
        for step in steps:
            self.write(
                CheckpointSaved(run_id, f"checkpoint_step_{step}", "step", str(step), str(self.put(run_id, step)), step)
            )
        if end is not None:
            self.write(RunEnded(run_id, end))

    def put(self, run_id: str, step: int) -> Digest:
        return repository.put(self.home, {"of": run_id, "step": step}).digest

    def found(self, text: str) -> str:
        return str(resumption.find(self.home, text))

    def unfinished(self, job: Any = None, key: Digest = KEY, partition: str | None = None) -> str | None:
        found = resumption.find_unfinished(self.home, asset="models/sft", partition=partition, key=key, job=job)
        return None if found is None else str(found)


@pytest.fixture
def past(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Past]:
    made = Past(make_store(tmp_path / "store"), monkeypatch)
    yield made
    made.journal.close()


def test_a_run_stands_for_its_newest_checkpoint_by_every_name_of_it(past: Past) -> None:
    past.run("aaaaaaaaaaaaaaaa", steps=(10, 20))
    for text in ("aaaaaaaaaaaaaaaa", "aaaaaaaa", "name-aaaaaaaaaaaaaaaa", "last"):
        found = resumption.find(past.home, text)
        assert (str(found), found.step, found.asset) == ("aaaaaaaaaaaaaaaa/checkpoint_step_20", 20, "models/sft")
        assert found.artifact.load() == {"of": "aaaaaaaaaaaaaaaa", "step": 20}


def test_a_checkpoint_is_named_under_its_run_by_digest_or_as_an_artifact(past: Past) -> None:
    past.run("aaaaaaaaaaaaaaaa", steps=(10, 20))
    digest = past.put("aaaaaaaaaaaaaaaa", 10)
    repository.claim(repository.by_digest(past.home, digest), "kept")
    for text in ("aaaaaaaa/checkpoint_step_10", "last/checkpoint_step_10", str(digest), digest.hex[:12], "kept:v1"):
        assert past.found(text) == "aaaaaaaaaaaaaaaa/checkpoint_step_10"


def test_a_checkpoint_of_several_runs_is_the_newest_ones_but_no_replays(past: Past) -> None:
    digest = str(past.put("same", 1))
    for run, replayed in (("a" * 16, None), ("b" * 16, None), ("c" * 16, "b" * 16)):
        past.write(RunStarted(run, "asset", run, replay_of=replayed), CheckpointSaved(run, "c", "step", "1", digest, 1))
    assert past.found(digest) == f"{'b' * 16}/c"


def test_a_run_at_a_time_is_what_it_had_saved_by_then(past: Past) -> None:
    past.run("a" * 16, steps=(10, 20, 30))
    # Started at 12:00:00.5, and a checkpoint every minute after.
    for text, step in (
        ("2026-11-01T12:01:00", 10),
        ("2026-11-01 12:02:00Z", 20),
        ("2026-11-01T13:02:59+01:00", 20),
        ("2026-11-01 12:03:00.400", 20),
        ("2026-11-01 12:03:00.500", 30),
        ("2027-01-01", 30),
    ):
        assert past.found(f"last@{text}") == f"{'a' * 16}/checkpoint_step_{step}", text
    with pytest.raises(UnknownName, match=r"had no checkpoint at 2026-11-01 12:00:59 UTC \(its first is of"):
        past.found("last@2026-11-01 12:00:59")


def test_a_chain_is_followed_and_what_lies_behind_a_branch_does_not_count(past: Past) -> None:
    past.run("a" * 16, steps=(10, 20, 30))
    past.run("b" * 16, steps=(25,), resumed=("a" * 16, 20))
    past.run("c" * 16, resumed=("b" * 16, 25))
    past.run("d" * 16, resumed=("a" * 16, 10))
    assert past.found("b" * 16) == f"{'b' * 16}/checkpoint_step_25"
    # Ended before its first checkpoint: it goes on where it began.
    assert past.found("c" * 16) == f"{'b' * 16}/checkpoint_step_25"
    assert past.found("d" * 16) == f"{'a' * 16}/checkpoint_step_10"
    with pytest.raises(UnknownName, match="has no 'checkpoint_step_30'"):
        past.found(f"{'b' * 16}/checkpoint_step_30")
    early = past.found(f"{'b' * 16}@2026-11-01 12:01:30")
    assert early == f"{'a' * 16}/checkpoint_step_10"


def test_a_parent_run_stands_for_its_one_unfinished_training(past: Past) -> None:
    past.write(RunStarted("parent-1", "parent", "job"))
    past.run("a" * 16, "COMPLETED", steps=(10,), parent_run_id="parent-1")
    with pytest.raises(UnknownName, match="no training run under parent-1 is unfinished"):
        past.found("parent-1")
    past.run("b" * 16, "FAILED", steps=(5,), parent_run_id="parent-1")
    past.run("d" * 16, "FAILED", parent_run_id="parent-1")
    assert past.found("parent-1") == f"{'b' * 16}/checkpoint_step_5"
    past.run("c" * 16, "INTERRUPTED", steps=(7,), parent_run_id="parent-1")
    with pytest.raises(AmbiguousName, match="several training runs"):
        past.found("parent-1")


def test_what_cannot_be_found_is_said_with_help(past: Past) -> None:
    past.run("a" * 16, steps=(10,))
    past.run("b" * 16)
    repository.claim(repository.put(past.home, {"no": "checkpoint"}), "other")
    for text, said in (
        ("name-aaaaaaaaaaaaaaab", "there is no run or checkpoint 'name-a.*did you mean name-a"),
        ("nothing@2026-11-01", "there is no run 'nothing'"),
        ("nothing@alias", "no alias 'alias'|there is no run or checkpoint"),
        ("aaaaaaaa/checkpoint_step_11", "has no 'checkpoint_step_11' .it has checkpoint_step_10"),
        ("bbbbbbbb", "saved no checkpoint"),
        ("other:v1", "other:v1 is no checkpoint of a run"),
    ):
        with pytest.raises(UnknownName, match=said):
            past.found(text)
    for text in ("last@yesterday", f"{'a' * 16}@2026-13-01"):
        with pytest.raises(InvalidValue, match=r"is no time at which run .* ISO 8601"):
            past.found(text)


def test_what_is_deleted_or_damaged_is_passed_over_and_named(past: Past) -> None:
    past.run("a" * 16, steps=(10, 20, 30))
    past.write(CheckpointDeleted("a" * 16, "checkpoint_step_30", str(past.put("a" * 16, 30))))
    lost = repository.by_digest(past.home, past.put("a" * 16, 20))
    path = open_objects(past.home).path(lost.manifest.entries[0].objects[0])
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    found = resumption.find(past.home, "last")
    assert str(found) == f"{'a' * 16}/checkpoint_step_10"
    (reason,) = found.passed_over
    assert "checkpoint_step_20" in reason
    with pytest.raises(MissingObject, match="checkpoint_step_20"):
        past.found("last/checkpoint_step_20")


def test_auto_is_the_newest_unfinished_run_of_this_work_that_has_a_checkpoint(past: Past) -> None:
    assert past.unfinished() is None
    past.run("a" * 16, "FAILED", steps=(10, 20))
    past.run("b" * 16, steps=(5,))
    past.run("c" * 16)
    past.run("d" * 16, steps=(40,), reuse_key=str(reuse_key(work="another")))
    past.run("e" * 16, steps=(50,), partition="p")
    past.run("f" * 16, steps=(60,), asset="models/rft")
    past.run("1" * 16, steps=(70,), replay_of="a" * 16)
    past.run("2" * 16, "COMPLETED", steps=(80,))
    past.run("3" * 16, None, steps=(90,))  # this process writes it and lives
    past.run("4" * 16, steps=(95,))
    past.write(RunDeleted("4" * 16))
    assert past.unfinished() == f"{'b' * 16}/checkpoint_step_5"
    assert past.unfinished(partition="p") == f"{'e' * 16}/checkpoint_step_50"
    assert past.unfinished(key=reuse_key(work="new")) is None
    past.journal.close()
    assert past.unfinished() == f"{'3' * 16}/checkpoint_step_90"


def test_auto_leaves_alone_what_was_carried_to_its_end_since(past: Past) -> None:
    past.run("a" * 16, steps=(10,))
    past.run("b" * 16, resumed=("a" * 16, 10))
    past.run("c" * 16, "COMPLETED", steps=(20,), resumed=("a" * 16, 10))
    assert past.unfinished() is None
    past.run("d" * 16, steps=(15,))
    assert past.unfinished() == f"{'d' * 16}/checkpoint_step_15"


def test_auto_stays_within_the_job_of_a_scheduler(past: Past) -> None:
    past.run("a" * 16, steps=(1,))
    past.run("b" * 16, steps=(2,), job=JOB)
    past.run("c" * 16, steps=(3,), job={**JOB, "job": "78"})
    past.run("d" * 16, steps=(4,), job={**JOB, "scheduler": "lsf", "restarts": None})
    assert past.unfinished() == f"{'a' * 16}/checkpoint_step_1"
    assert past.unfinished(JOB) == f"{'b' * 16}/checkpoint_step_2"
    assert past.unfinished({**JOB, "restarts": 3}) == f"{'b' * 16}/checkpoint_step_2"
    assert past.unfinished({**JOB, "job": "79"}) is None


@pytest.mark.parametrize(
    ("state", "restarts", "over"),
    [("UNKNOWN", 0, True), ("RUNNING", 0, False), ("RUNNING", 1, True), ("RUNNING", None, False), ("FAILED", 0, True)],
)
def test_a_job_that_was_started_again_is_over_on_a_node_that_cannot_be_looked_at(
    state: str, restarts: int | None, over: bool
) -> None:
    assert resumption._has_ended(state, JOB, {**JOB, "restarts": restarts}) is over
    assert resumption._has_ended(state, None, None) is (state == "FAILED")


@pytest.mark.parametrize(
    ("variables", "job"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": ""}, None),
        ({"SLURM_JOB_ID": "7"}, ("slurm", "7", 0)),
        ({"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "2"}, ("slurm", "7", 2)),
        ({"PBS_JOBID": "7[3].head"}, ("pbs", "7[3].head", None)),
        ({"LSB_JOBID": "7", "LSB_JOBINDEX": "0"}, ("lsf", "7", None)),
        ({"LSB_JOBID": "7", "LSB_JOBINDEX": "3"}, ("lsf", "7[3]", None)),
    ],
)
def test_the_job_of_a_scheduler_is_known_by_its_variables(variables: dict[str, str], job: Any) -> None:
    found = scheduler_job(variables)
    assert (None if found is None else (found["scheduler"], found["job"], found["restarts"])) == job
