"""The folder ``mlruns`` as MLflow itself writes it; and one that is damaged, half-written or hostile."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from bundled import files_of
from test_imports_mlflow import check, fill, taken

from repro_assets.errors import InvalidInput, ReproError
from repro_assets.store.home import Home


@pytest.fixture
def mlruns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, Any]]:
    """A folder that MLflow's own file store wrote, and the ids of its runs."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder = tmp_path / "project" / "mlruns"
    folder.parent.mkdir()
    client = import_module("mlflow.tracking").MlflowClient(tracking_uri=folder.as_uri())
    (tmp_path / "files").mkdir()
    return folder, fill(client, tmp_path / "files")


@pytest.mark.parametrize("named", [".", ".."])
def test_a_folder_of_runs_comes_in_as_mlflow_has_it(
    mlruns: tuple[Path, dict[str, Any]], empty: Home, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    folder, ids = mlruns
    # It is read also where MLflow itself would refuse to.
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    check(empty, taken(empty, folder / named), ids, math.inf)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert taken(empty, folder).records == 0


def _one(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[0]


def _meta(folder: Path, name: str) -> Path:
    """What the folder says of the run of that name: of a deleted one nothing more is read."""
    return next(file for file in folder.glob("*/*/meta.yaml") if f"run_name: {name}\n" in file.read_text())


def _metric(text: str) -> Callable[[Path], None]:
    return lambda folder: _one(folder, "*/*/metrics/loss/*").write_text(text).__class__


SPOILT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut line": (_metric("1600000001000 0.5 1"), "cut short"),
    "no number": (_metric("1600000001000 half 1\n"), "no point"),
    "no meta": (lambda folder: _one(folder, "*/*/artifacts/../meta.yaml").unlink(), "half-written"),
    "empty meta": (lambda folder: _one(folder, "*/*/metrics/../meta.yaml").write_text(""), "empty or half-written"),
    "other run": (
        lambda folder: _one(folder, "*/*/metrics/../meta.yaml").write_text("run_id: other\nstatus: 3\n"),
        "of the run 'other'",
    ),
    "status": (
        lambda folder: (file := _meta(folder, "parent")).write_text(
            re.sub(r"status: \d", "status: 9", file.read_text())
        ),
        "has the status 9",
    ),
    "not yaml": (lambda folder: _one(folder, "*/*/metrics/../meta.yaml").write_text("{"), "is no YAML"),
    "aliases": (
        lambda folder: _one(folder, "*/*/metrics/../meta.yaml").write_text("a: &a [x]\nb: [*a, *a]\n"),
        "nothing that MLflow wrote",
    ),
    "object": (
        lambda folder: _one(folder, "*/*/metrics/../meta.yaml").write_text("!!python/object/apply:os.system [true]\n"),
        "is no YAML",
    ),
    "bytes": (lambda folder: _one(folder, "*/*/params/lr").write_bytes(b"\xff"), "is no text"),
    "linked param": (lambda folder: (_one(folder, "*/*/params") / "x").symlink_to("/etc/passwd"), "is a link"),
    "linked run": (
        lambda folder: (
            (run := _one(folder, "*/*/metrics/..").resolve()).rename(run.with_name("moved"))
            and run.symlink_to(run.with_name("moved"))
        ),
        "is a link",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_wrong_refuses_the_whole(mlruns: tuple[Path, dict[str, Any]], empty: Home, name: str) -> None:
    folder, _ = mlruns
    spoil, said = SPOILT[name]
    spoil(folder)
    before = files_of(empty)
    with pytest.raises(InvalidInput, match=said):
        taken(empty, folder)
    assert files_of(empty) == before


class _Hostile(BaseHTTPRequestHandler):
    """Answers as a tracking server does, with one run whose artifact is called as `path` says."""

    path_of_artifact = ""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        place = self.path.partition("?")[0]
        said: dict[str, Any] = {}
        if place.endswith("experiments/search"):
            said = {"experiments": [{"experiment_id": "1", "name": "x", "lifecycle_stage": "active"}]}
        elif place.endswith("runs/search"):
            info = {
                "run_id": "a" * 32, "run_uuid": "a" * 32, "experiment_id": "1", "status": "FINISHED", "start_time": 1,
                "end_time": 2, "lifecycle_stage": "active", "artifact_uri": f"mlflow-artifacts:/1/{'a' * 32}/artifacts",
            }  # fmt: skip
            said = {"runs": [{"info": info, "data": {}}]}
        elif place.endswith("runs/get"):
            said = {"run": {"info": {"run_id": "a" * 32, "artifact_uri": f"mlflow-artifacts:/1/{'a' * 32}/artifacts"}}}
        elif "artifacts" in place:
            said = {"files": [{"path": self.path_of_artifact, "is_dir": False, "file_size": 3}]}
        data = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _answer

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hostile() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hostile)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("path", ["../../out", "/etc/out", "a/../../out", "a//out", ""])
def test_names_that_lead_out_are_not_fetched(
    hostile: ThreadingHTTPServer, empty: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(_Hostile, "path_of_artifact", path)
    before, around = files_of(empty), sorted(tmp_path.iterdir())
    with pytest.raises(ReproError):
        taken(empty, f"http://127.0.0.1:{hostile.server_port}")
    assert files_of(empty) == before and sorted(tmp_path.iterdir()) == around
