"""A run neither waits for a mirror nor fails with it, and what a mirror lacks is said."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.errors import MachineError
from repro_assets.mirrors.mirror import MirroredRun, Refused
from repro_assets.mirrors.mirroring import Mirroring
from repro_assets.mirrors.mlflow_mirror import TABLE_SECONDS, MLflow
from repro_assets.recording.readings import Point
from repro_assets.store.home import make_store

RUN = MirroredRun("0" * 16, "one", None, [], None, {}, 0)


class Listing:
    """A tool that keeps what it is given in a list; a test says what goes wrong there."""

    def __init__(self, name: str = "listing") -> None:
        self.name = name
        self.got: list[Any] = []
        self.trouble: Callable[[str, Any], None] = lambda what, value: None

    def _take(self, what: str, value: Any) -> None:
        self.trouble(what, value)
        self.got.append((what, value))

    def start(self, run: MirroredRun) -> None:
        self._take("start", run.run_id)

    def params(self, params: Mapping[str, Any]) -> None:
        self._take("params", dict(params))

    def metrics(self, points: Sequence[Point]) -> None:
        self._take("metrics", list(points))

    def artifact(self, name: str, artifact: Artifact) -> None:
        self._take("artifact", name)

    def end(self, state: str) -> None:
        self._take("end", state)

    @property
    def points(self) -> list[Point]:
        return [point for what, points in self.got if what == "metrics" for point in points]


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What holds a tool up, until the test is over at the latest."""
    event = threading.Event()
    yield event
    event.set()


def _points(count: int, first: int = 0) -> list[Point]:
    return [("loss", step, float(step), step) for step in range(first, first + count)]


def _held_up(at: str, released: threading.Event) -> Callable[[str, Any], None]:
    def wait(what: str, value: Any) -> None:
        if what == at:
            released.wait(120)

    return wait


def test_everything_arrives_in_order(tmp_path: Path) -> None:
    mirror, warnings = Listing(), list[str]()
    mirroring = Mirroring([mirror], RUN, warnings.append)
    mirroring.params({"a": 1})
    for step in range(12_000):
        mirroring.metrics(_points(1, step))
    mirroring.artifact("x", repository.put(make_store(tmp_path / "store"), b"x"))
    mirroring.metrics(_points(1, 12_000))
    assert mirroring.end("COMPLETED") == []
    assert mirror.points == _points(12_001)
    assert [mirror.got[0], mirror.got[1], mirror.got[-1]] == [
        ("start", RUN.run_id),
        ("params", {"a": 1}),
        ("end", "COMPLETED"),
    ]
    assert [what for what, _ in mirror.got].index("artifact") == len(mirror.got) - 3
    assert mirroring.end("COMPLETED") == []
    assert warnings == []


def test_a_tool_that_is_away_is_tried_again_and_then_has_everything() -> None:
    mirror, warnings, failed = Listing(), list[str](), []

    def away(what: str, value: Any) -> None:
        if len(failed) < 2:
            failed.append(what)
            raise MachineError("https://me:hunter2secret@host/x does not answer, password=hunter3secret")

    mirror.trouble = away
    mirroring = Mirroring([mirror], RUN, warnings.append)
    mirroring.metrics(_points(10))
    limit = time.monotonic() + 30
    while not mirror.points:
        assert time.monotonic() < limit
        time.sleep(0.02)
    assert mirroring.end("COMPLETED") == []
    assert failed == ["start", "start"]
    assert mirror.points == _points(10)
    (warning,) = warnings
    assert "the mirror listing takes nothing now, and is tried again" in warning
    assert "https://host/x" in warning
    assert "hunter" not in warning


def test_a_tool_that_stays_away_is_given_up_at_the_end() -> None:
    away, there = Listing("away"), Listing("there")

    def refuse(what: str, value: Any) -> None:
        raise ConnectionError("nobody listens, api_key=hunter2secret")

    away.trouble = refuse
    warnings: list[str] = []
    mirroring = Mirroring([away, there], RUN, warnings.append)
    mirroring.metrics(_points(7))
    mirroring.params({"a": 1, "b": 2})
    (line,) = mirroring.end("FAILED", 60)
    assert line.startswith("the mirror away lacks the run itself, 7 of 7 points, 2 parameters, how the run ended: ")
    assert "nobody listens" in line
    assert "hunter" not in line
    assert there.points == _points(7)
    assert there.got[-1] == ("end", "FAILED")
    assert len(warnings) == 1


def test_a_tool_that_hangs_holds_up_neither_the_run_nor_another_tool(released: threading.Event) -> None:
    hanging, there = Listing("hanging"), Listing("there")
    hanging.trouble = _held_up("metrics", released)
    mirroring = Mirroring([hanging, there], RUN, lambda text: None)
    mirroring.metrics(_points(5))
    limit = time.monotonic() + 30
    while not there.points:
        assert time.monotonic() < limit
        time.sleep(0.02)
    mirroring.metrics(_points(5, 5))
    began = time.monotonic()
    (line,) = mirroring.end("COMPLETED", 0.5)
    assert time.monotonic() - began < 60
    assert "the mirror hanging lacks 10 of 10 points, how the run ended: it does not answer" in line
    assert there.points == _points(10)


def test_a_tool_that_makes_its_tables_gets_the_time_for_that_before_the_end_counts(released: threading.Event) -> None:
    class Database(Listing):
        start_seconds = 60.0

    mirror = Database()
    mirror.trouble = _held_up("start", released)
    mirroring = Mirroring([mirror], RUN, print)
    mirroring.metrics(_points(10))
    threading.Timer(1.0, released.set).start()
    assert mirroring.end("COMPLETED", timeout_s=0.9) == []
    assert mirror.points == _points(10)


def test_of_mlflows_places_only_a_database_gets_time_for_its_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert MLflow().start_seconds == MLflow("sqlite:///new.db").start_seconds == TABLE_SECONDS
    assert MLflow("http://127.0.0.1:1").start_seconds == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://host")
    assert MLflow().start_seconds == 0


def test_what_a_full_queue_does_not_take_is_counted(released: threading.Event) -> None:
    slow, warnings = Listing("slow"), list[str]()
    slow.trouble = _held_up("start", released)
    mirroring = Mirroring([slow], RUN, warnings.append, queue_points=100)
    mirroring.metrics(_points(90))
    mirroring.metrics(_points(30, 90))
    mirroring.params({"late": 1})
    released.set()
    (line,) = mirroring.end("COMPLETED", 60)
    assert line == "the mirror slow lacks 20 of 120 points, 1 parameters: 100 points waited for it already"
    assert slow.points == _points(100)
    assert slow.got[-1] == ("end", "COMPLETED")
    assert len(warnings) == 1


def test_points_that_a_tool_refuses_are_lacking_alone() -> None:
    mirror, warnings = Listing(), list[str]()

    def pick(what: str, value: Any) -> None:
        if what == "metrics" and any(step in (3, 77) for _, step, _, _ in value):
            raise Refused("no such step")

    mirror.trouble = pick
    mirroring = Mirroring([mirror], RUN, warnings.append)
    mirroring.metrics(_points(100))
    (line,) = mirroring.end("COMPLETED")
    assert line == "the mirror listing lacks 2 of 100 points: no such step"
    assert mirror.points == [point for point in _points(100) if point[1] not in (3, 77)]
    assert warnings == ["the mirror listing refuses points of this run: no such step"]


def test_a_tool_that_refuses_the_run_gets_nothing_more() -> None:
    mirror = Listing()

    def refuse(what: str, value: Any) -> None:
        if what == "start":
            raise Refused("the project was deleted")

    mirror.trouble = refuse
    mirroring = Mirroring([mirror], RUN, lambda text: None)
    mirroring.metrics(_points(4))
    time.sleep(0.1)
    mirroring.metrics(_points(4, 4))
    (line,) = mirroring.end("COMPLETED")
    assert "8 of 8 points" in line
    assert "the project was deleted" in line
    assert mirror.got == []


def test_a_tool_that_takes_nothing_more_is_not_asked_for_each_point() -> None:
    mirror, asked = Listing(), []

    def refuse(what: str, value: Any) -> None:
        if what == "metrics":
            asked.append(len(value))
            raise Refused("the run was deleted")

    mirror.trouble = refuse
    mirroring = Mirroring([mirror], RUN, lambda text: None)
    mirroring.metrics(_points(5000))
    (line,) = mirroring.end("COMPLETED")
    assert line == "the mirror listing lacks 5000 of 5000 points: the run was deleted"
    assert len(asked) < 40


def test_an_artifact_without_its_bytes_holds_up_nothing(tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    artifact = repository.put(home, b"x")
    for file in (tmp_path / "store").rglob(f"*{artifact.manifest.entries[0].objects[0].hex[2:]}"):
        file.unlink()
    mirror = Listing()

    def lay_out(what: str, value: Any) -> None:
        if what == "artifact":
            artifact.lay_out(tmp_path / "laid")

    mirror.trouble = lay_out
    mirroring = Mirroring([mirror], RUN, lambda text: None)
    mirroring.artifact("x", artifact)
    mirroring.metrics(_points(3))
    (line,) = mirroring.end("COMPLETED", 60)
    assert line.startswith("the mirror listing lacks 1 artifacts: ")
    assert mirror.points == _points(3)
    assert mirror.got[-1] == ("end", "COMPLETED")


def test_a_record_that_takes_no_warning_does_not_stop_the_mirror() -> None:
    mirror, failed = Listing(), []

    def once(what: str, value: Any) -> None:
        if not failed:
            failed.append(what)
            raise OSError("away")

    def no_room(text: str) -> None:
        raise OSError("disk full")

    mirror.trouble = once
    mirroring = Mirroring([mirror], RUN, no_room)
    mirroring.metrics(_points(3))
    time.sleep(1.0)
    (line,) = mirroring.end("COMPLETED")
    assert mirror.points == _points(3)
    assert line.startswith(
        "the mirror listing has a warning that the run's record did not take (disk full): the mirror"
    )


def test_a_forked_child_feeds_nothing() -> None:
    mirror = Listing()
    mirroring = Mirroring([mirror], RUN, lambda text: None)
    mirroring.metrics(_points(1))
    # The mirror's thread is at work at that moment, and is none in the child.
    with mirroring._feeds[0]._lock:
        child = os.fork()
        if not child:
            signal.alarm(30)
            mirroring.metrics(_points(1, 1))
            mirroring.params({"child": 1})
            os._exit(17 if mirroring.end("FAILED") == [] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
    mirroring.metrics(_points(1, 2))
    assert mirroring.end("COMPLETED") == []
    assert [step for _, step, _, _ in mirror.points] == [0, 2]
