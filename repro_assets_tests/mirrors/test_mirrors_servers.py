"""Tools whose server is away: a real MLflow server that comes late, and W&B without one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tool_readers import TOOLS

from repro_assets.errors import MachineError
from repro_assets.mirrors.mirror import MirroredRun
from repro_assets.mirrors.mirroring import Mirroring
from repro_assets.mirrors.mlflow_mirror import MLflow
from repro_assets.recording.readings import Point

RUN = MirroredRun("0" * 16, "one", "away", [], None, {"lr": 0.1}, 1_700_000_000_000_000_000)
POINTS: list[Point] = [("loss", step, step / 3, 1_700_000_000_000_000_000 + step * 10**6) for step in range(1500)]

SERVER = """
import sys
from mlflow.server import app
from werkzeug.serving import make_server
make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True).serve_forever()
"""

OFF = """
import sys
from pathlib import Path
from repro_assets.mirrors.mirror import MirroredRun
from repro_assets.mirrors.mirroring import Mirroring
from repro_assets.mirrors.choosing import mirror_named
mirroring = Mirroring([mirror_named("wandb:online")], MirroredRun("0" * 16, "one", "p", [], None, {}, 0), print)
mirroring.metrics([("loss", 0, 1.0, 0)])
print(*mirroring.end("COMPLETED", 2.0), sep="\\n")
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def test_a_server_that_comes_late_gets_everything(
    port: int, tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    tool, warnings = TOOLS["mlflow"], list[str]()
    tool.mirror(tmp_path)
    uri = f"http://127.0.0.1:{port}"
    mirroring = Mirroring([MLflow(f"http://me:hunter2secret@127.0.0.1:{port}")], RUN, warnings.append)
    mirroring.metrics(POINTS[:700])
    limit = time.monotonic() + 60
    while not warnings:
        assert time.monotonic() < limit
        time.sleep(0.05)
    places = {"_MLFLOW_SERVER_FILE_STORE": tool.uri(tmp_path), "_MLFLOW_SERVER_ARTIFACT_ROOT": str(tmp_path / "files")}
    with (tmp_path / "log").open("wb") as log:
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", SERVER, str(port)], env={**os.environ, **places}, stdout=log, stderr=log
            )
        )
    mirroring.metrics(POINTS[700:])
    limit = time.monotonic() + 120
    while not _answers(port):
        assert time.monotonic() < limit, (tmp_path / "log").read_text()
        time.sleep(0.1)
    assert mirroring.end("COMPLETED", 60) == []
    held = tool.read(tmp_path, uri)
    assert [row[:2] for row in sorted(held.points["loss"])] == [(step, value) for _, step, value, _ in POINTS]
    assert held.params == {"lr": "0.1"}
    assert held.state == tool.states["COMPLETED"]
    (warning,) = warnings
    assert f"http://127.0.0.1:{port} does not answer" in warning
    assert "hunter" not in warning


def test_what_is_said_of_a_server_holds_no_password(port: int) -> None:
    mirror = MLflow(f"http://me:hunter2secret@127.0.0.1:{port}")
    with pytest.raises(MachineError, match=f"^http://127.0.0.1:{port} does not answer: ConnectionError .start it"):
        mirror.start(RUN)


def _answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def test_wandb_without_its_server_ends_with_what_it_lacks(port: int, tmp_path: Path) -> None:
    own = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": f"http://127.0.0.1:{port}", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", OFF],
        env={**os.environ, **own},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the mirror wandb lacks the run itself, 1 of 1 points, how the run ended" in done.stdout
    assert "0" * 40 not in done.stdout + done.stderr
