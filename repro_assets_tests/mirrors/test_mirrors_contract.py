"""One contract for every mirror: what the tool's own reader gives back is what the run logged."""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tool_readers import TOOLS, Held

from repro_assets.artifacts import repository
from repro_assets.mirrors.holding import holdable
from repro_assets.mirrors.mirror import MirroredRun, Refused
from repro_assets.mirrors.mirroring import Mirroring
from repro_assets.recording.readings import Point
from repro_assets.store.home import make_store

STARTED = 1_700_000_000_123_456_789
RUN = MirroredRun(
    "0123456789abcdef",
    "a run: é",
    "pro",
    ["baseline", "é=1"],
    "why it is",
    {"lr": 0.1, "layers": [1, 2], "deep": {"on": True, "none": None}, "word": "é", "nan": math.nan, "big": 2**60},
    STARTED,
)
LATER = {"late": "word", "lr": 0.2, "long": "t" * 7000, "half": "\ud800"}
PARAMS = {
    "lr": "0.2", "layers": "[1, 2]", "deep.on": "True", "deep.none": "None", "word": "é", "big": str(2**60),
    "late": "word", "long": "t" * 7000, "half": "?",
}  # fmt: skip
HOSTILE = ["a@b\n", "", "π/é x", "..", "a//b", "step", "_timestamp", "repro/x", "x" * 1200, "\ud800", "100%"]


def _points() -> list[Point]:
    now = STARTED
    points: list[Point] = []

    def log(name: str, step: int | None, value: float) -> None:
        nonlocal now
        now += 1_000_000
        points.append((name, step, value, now))

    for step in range(2_100):
        log("loss", step, 1 / (step + 1))
        log("lr", step, 0.1)
    # Steps that go back, in leaps, below zero, twice, and of none.
    for step in (0, 1000, 10, 10, 2**40, -7):
        log("val/accuracy", step, step / 7)
    for value in (math.nan, math.inf, -math.inf, -0.0, 1e-38, 3.0):
        log("counted", None, value)
    log("mixed", 5, 1.0)
    log("mixed", None, 2.0)
    for index, name in enumerate(HOSTILE):
        log(name, 1, float(index))
    return points


def _png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(b"".join(b"\0" + bytes(9) for _ in range(2)))
    header = struct.pack(">IIBBBBB", 3, 2, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@dataclass
class Mirrored:
    tool: Any
    held: Held
    lacking: list[str]
    warnings: list[str]


@pytest.fixture(scope="module", params=list(TOOLS))
def mirrored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirrored]:
    tool = TOOLS[request.param]
    folder = tmp_path_factory.mktemp(tool.name)
    home = make_store(folder / "store")
    (folder / "tree" / "sub").mkdir(parents=True)
    (folder / "tree" / "sub" / "note.txt").write_text("said\nso")
    (folder / "tree" / "raw.bin").write_bytes(b"\0\1")
    warnings: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        # MLflow puts the artifacts of a database's runs below the current folder.
        patch.chdir(folder)
        mirroring = Mirroring([tool.mirror(folder)], RUN, warnings.append)
        points = _points()
        mirroring.metrics(points[:3000])
        mirroring.params(LATER)
        mirroring.metrics(points[3000:])
        mirroring.artifact("plots/curve", repository.put(home, _png()))
        mirroring.artifact("result", repository.put(home, {"a": [1, 0.5]}))
        mirroring.artifact("files", repository.put(home, folder / "tree"))
        lacking = mirroring.end("COMPLETED", 60)
        held = tool.read(folder)
    yield Mirrored(tool, held, lacking, warnings)


def test_nothing_is_lacking(mirrored: Mirrored) -> None:
    assert (mirrored.lacking, mirrored.warnings) == ([], [])


def test_points_are_what_was_logged(mirrored: Mirrored) -> None:
    logged: dict[str, list[tuple[int, float]]] = {}
    for name, step, value, _ in _points():
        rows = logged.setdefault(holdable(name), [])
        rows.append((rows[-1][0] + 1 if step is None and rows else step or 0, mirrored.tool.holds(value)))
    back = {mirrored.held.names.get(name, name): rows for name, rows in mirrored.held.points.items()}
    assert back.keys() == logged.keys()
    for name, rows in logged.items():
        # The tools' readers have orders of their own; repr tells NaN and negative zero.
        assert sorted(map(repr, rows)) == sorted(repr(row[:2]) for row in back[name]), name


def test_times_are_those_of_logging(mirrored: Mirrored) -> None:
    times = {(holdable(name), step): taken / 1e9 for name, step, _, taken in _points() if name in ("loss", "lr")}
    # A row of W&B has one time, that of its first point; the points of a step lie a millisecond apart.
    apart = mirrored.tool.within + (0.001 if mirrored.tool.name == "wandb" else 0)
    for name in ("loss", "lr"):
        for step, _, seconds in mirrored.held.points[name]:
            assert abs(times[name, step] - seconds) <= apart + 1e-9
    first = min(mirrored.held.points["loss"])
    assert first[2] == pytest.approx(times["loss", 0], abs=mirrored.tool.within)


def test_parameters_are_what_was_logged_last(mirrored: Mirrored) -> None:
    held = dict(mirrored.held.params)
    assert held.pop("nan").lower() == "nan"
    assert held == PARAMS


def test_only_names_that_the_tool_cannot_hold_are_replaced(mirrored: Mirrored) -> None:
    replaced = set(mirrored.held.names.values())
    # MLflow's tags are names as well.
    assert replaced <= {*map(holdable, HOSTILE), *RUN.tags}
    assert "π/é x" not in replaced
    assert {"", "?", "x" * 1200} <= replaced


def test_the_run_says_who_it_is(mirrored: Mirrored) -> None:
    about = mirrored.held.about
    said = repr(about)
    for text in (RUN.run_id, RUN.name, "pro", *RUN.tags, "why it is"):
        assert text in said, text
    assert about["name"] == RUN.name
    assert about["project"] == "pro"


def test_artifacts_are_there_under_their_names(mirrored: Mirrored) -> None:
    files = mirrored.held.files
    assert any(path.startswith(("plots/curve", "plots_curve")) and data == _png() for path, data in files.items())
    assert any(path == "files/sub/note.txt" and data == b"said\nso" for path, data in files.items())
    assert any(path == "result" and b"0.5" in data for path, data in files.items())
    if mirrored.tool.name != "tensorboard":
        assert files["files/raw.bin"] == b"\0\1"
    else:
        assert mirrored.held.about["artifacts/plots/curve/content"] == (3, 2)


def test_the_end_is_what_it_was(mirrored: Mirrored) -> None:
    assert mirrored.held.state == mirrored.tool.states["COMPLETED"]


@pytest.mark.parametrize("state", ["FAILED", "INTERRUPTED"])
@pytest.mark.parametrize("name", list(TOOLS))
def test_other_ends(name: str, state: str, tmp_path: Path) -> None:
    tool = TOOLS[name]
    mirror = tool.mirror(tmp_path)
    mirror.start(RUN)
    mirror.end(state)
    assert tool.read(tmp_path).state == tool.states[state]


def test_values_beyond_32_bits_are_written_as_text(tmp_path: Path) -> None:
    tool = TOOLS["tensorboard"]
    mirror = tool.mirror(tmp_path)
    mirror.start(RUN)
    mirror.metrics([("big", 3, 1e300, STARTED), ("big", 4, 3.4028235e38, STARTED)])
    mirror.end("COMPLETED")
    held = tool.read(tmp_path)
    assert [row[:2] for row in held.points["big"]] == [(3, math.inf), (4, tool.holds(3.4028234663852886e38))]
    assert '"value": 1e+300' in held.about["beyond"][0]
    assert '"step": 4' not in held.about["beyond"][0]


def test_a_deleted_experiment_of_mlflow_is_refused(tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    tool = TOOLS["mlflow"]
    mirror = tool.mirror(tmp_path)
    client = MlflowClient(tracking_uri=tool.uri(tmp_path))
    client.delete_experiment(client.create_experiment("pro"))
    with pytest.raises(Refused, match="MLflow's experiment 'pro' was deleted"):
        mirror.start(RUN)


def test_steps_of_wandb_are_its_own_steps_while_they_come_in_order(tmp_path: Path) -> None:
    tool = TOOLS["wandb"]
    mirror = tool.mirror(tmp_path)
    mirror.start(RUN)
    mirror.metrics([("a", 10, 1.0, STARTED), ("b", 10, 2.0, STARTED)])
    mirror.metrics([("c", 10, 3.0, STARTED), ("a", 20, 4.0, STARTED), ("a", 15, 5.0, STARTED), ("a", 30, 6.0, STARTED)])
    mirror.end("COMPLETED")
    assert tool.read(tmp_path).about["steps"] == [(10, 10), (20, 20), (21, 15), (30, 30)]


def test_a_torn_event_file_is_none(tmp_path: Path) -> None:
    """A disk that fills up in the middle of a write leaves no half record, and what comes later reads."""

    class Small(io.FileIO):
        full = False

        def write(self, data: Any) -> int:
            if not self.full:
                return super().write(data)
            super().write(bytes(data)[:10])
            raise OSError(28, "No space left on device")

    tool = TOOLS["tensorboard"]
    mirror: Any = tool.mirror(tmp_path)
    mirror.start(RUN)
    path = mirror._file.name
    mirror._file.close()
    mirror._file = Small(path, "ab")
    mirror._file.full = True
    with pytest.raises(OSError, match="No space"):
        mirror.metrics([("loss", 0, 1.0, STARTED)])
    mirror._file.full = False
    mirror.metrics([("loss", None, 1.0, STARTED), ("loss", None, 2.0, STARTED)])
    mirror.end("COMPLETED")
    assert [row[:2] for row in tool.read(tmp_path).points["loss"]] == [(0, 1.0), (1, 2.0)]
