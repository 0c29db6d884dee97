"""MLflow's own client on what was exported, and a server of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

SERVER = """
import sys
from mlflow.server import app
from werkzeug.serving import make_server
make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True).serve_forever()
"""


def client_of(database: Path) -> Any:
    return import_module("mlflow.tracking").MlflowClient(tracking_uri=f"sqlite:///{database}")


def runs_of(client: Any) -> dict[str, Any]:
    """The runs of ours that MLflow has, by our ids."""
    experiments = [each.experiment_id for each in client.search_experiments()]
    return {run.data.tags["repro.run_id"]: run for run in client.search_runs(experiments)}


def emptied(database: Path, to: Path) -> Path:
    """A copy of a database without anything in its tables, which take MLflow seconds to make."""
    shutil.copy(database, to)
    with contextlib.closing(sqlite3.connect(to)) as copy:
        for table in ("tags", "params", "metrics", "latest_metrics", "runs", "experiments"):
            copy.execute(f"DELETE FROM {table}")
        copy.commit()
    return to


def served(database: Path, artifacts: Path, log: Path) -> Iterator[str]:
    """The address of a server on loopback, which ends when this is closed."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = int(taken.getsockname()[1])
    places = {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{database}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(artifacts),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(port)], env={**os.environ, **places}, stdout=out, stderr=out
        )
    try:
        limit = time.monotonic() + 120
        while True:
            with socket.socket() as asking:
                if asking.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < limit and server.poll() is None, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
