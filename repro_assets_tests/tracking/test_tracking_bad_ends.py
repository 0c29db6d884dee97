"""Decorated calls that never return, two that finish one name at once, and configurations that hold a credential."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from repro_assets import Experiment, reproducible
from repro_assets.artifacts import repository
from repro_assets.catalog import queries
from repro_assets.store.home import open_store

ROOT = Path(__file__).parents[2]
OPTIONS = {"capture_source": False, "capture_environment": False, "monitor": None}
DECORATED = """
import os, signal, sys, time
from repro_assets import Experiment, reproducible

@reproducible("outer", capture_source=False, capture_environment=False, monitor=None)
def outer(seed: int = 3):
    return inner(0.5)

@reproducible("inner", capture_source=False, capture_environment=False, monitor=None)
def inner(lr: float):
    run = Experiment.current()
    run.log_metric("loss", lr, 0)
    run.log_artifact([1, 2], "kept")
    run.flush()
    print("begun", flush=True)
    {work}

outer()
"""


@pytest.mark.parametrize(
    ("work", "code", "state", "error"),
    [
        ("sys.exit(3)", 3, "FAILED", "3"),
        ("os._exit(0)", 0, "INTERRUPTED", None),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, "INTERRUPTED", None),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", 143, "INTERRUPTED", "SIGTERM"),
    ],
)
def test_a_decorated_call_that_never_returns_has_its_state_and_what_it_had_logged(
    project, script, runs, work, code, state, error
):
    process = script(DECORATED.replace("{work}", work))
    out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("begun\n", code)
    outer, inner = sorted(runs(), key=lambda row: row["name"], reverse=True)
    assert (outer["name"], inner["name"], inner["parent_run_id"]) == ("outer", "inner", outer["run_id"])
    for row in (outer, inner):
        assert (row["state"], row["error_message"] or None) == (state, error)
    assert (outer["config"], inner["config"], outer["seed"]) == ({"seed": 3}, {"lr": 0.5}, 3)
    points = queries.rows(project, "SELECT run_id, name, value FROM metrics")
    assert [tuple(point.values()) for point in points] == [(inner["run_id"], "loss", 0.5)]
    kept = queries.rows(project, "SELECT run_id, slot FROM run_outputs WHERE slot = 'kept'")
    assert [tuple(row.values()) for row in kept] == [(inner["run_id"], "kept")]


AT_ONCE = """
import sys
from pathlib import Path
from repro_assets import Experiment
with Experiment("at-once", config={"number": int(sys.argv[1])}, capture_source=False, capture_environment=False,
                monitor=None) as run:
    values = [[int(sys.argv[1]) * 100 + item] * 50 for item in range(5)]
    print("ready", flush=True)
    sys.stdin.readline()
    for value in values:
        run.log_artifact(value, "shared")
"""


def test_processes_that_finish_one_name_at_once_have_a_version_each(project, runs):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", AT_ONCE, str(number)],
            cwd=project.root.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for process in started:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        process.communicate(timeout=60)
        assert process.returncode == 0
    numbers = {row["run_id"]: row["config"]["number"] for row in runs()}
    rows = queries.rows(project, "SELECT version, run_id FROM versions WHERE collection = 'shared' ORDER BY version")
    assert [row["version"] for row in rows] == list(range(1, 16))
    found: dict[int, list[int]] = {}
    for row in rows:
        value = repository.by_name(project, f"shared:v{row['version']}").load()
        assert value == value[:1] * 50 and value[0] // 100 == numbers[row["run_id"]]
        found.setdefault(numbers[row["run_id"]], []).append(value[0] % 100)
    # Whoever was first: in the order of each, and none lost or mixed.
    assert found == {number: list(range(5)) for number in range(3)}
    outputs = queries.rows(project, "SELECT run_id, version FROM run_outputs WHERE collection = 'shared'")
    assert {(row["run_id"], row["version"]) for row in outputs} == {(row["run_id"], row["version"]) for row in rows}


TOKEN = "ghp_" + "q7Rz2LmX9vTbK4sWcY8nHdP3gJf6AeU1oVxQ"
PASSWORD = "correct-horse-9-battery"


def test_a_credential_in_a_configuration_of_any_form_is_replaced_and_named(project, runs, tmp_path):
    omegaconf = pytest.importorskip("omegaconf")
    (tmp_path / "config.yaml").write_text(f"hub:\n  token: {TOKEN}\nlr: 0.5\n")
    held = {"hub": {"token": TOKEN, "words": ["--key", TOKEN]}, "password": PASSWORD, "lr": 0.5}
    for config in (held, argparse.Namespace(**held), omegaconf.OmegaConf.create(held), tmp_path / "config.yaml"):
        with Experiment("secret", config=config, **OPTIONS) as run:
            run.log_params({"more": held})

    @reproducible("secret", **OPTIONS)
    def fit(token: str, lr: float, database: dict[str, str]) -> None:
        raise RuntimeError(f"{token} was refused")

    with pytest.raises(RuntimeError, match=TOKEN):
        fit(TOKEN, 0.5, {"password": PASSWORD})
    rows = runs()
    assert len(rows) == 5
    for row in rows:
        assert row["config"]["lr"] == 0.5
        assert "<redacted" in str(row["config"])
        assert any("config" in warning for warning in row["warnings"]), row["warnings"]
    assert rows[-1]["config"]["database"]["password"].startswith("<redacted")
    for text in (TOKEN, PASSWORD):
        holding = [path for path in project.root.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
        assert holding == []
    assert TOKEN not in str(run.document())


FULL = """
import pathlib, sys
from repro_assets import Experiment
from repro_assets.store.home import make_store

disk = pathlib.Path(sys.argv[1])

def fill():
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass

run = Experiment("fit", home=make_store(disk / "store"), capture_source=False, capture_environment=False, monitor=None)
"""


@pytest.mark.parametrize(
    ("body", "code", "last", "state"),
    [
        ("with run:\n    run.log_metric('a', 1)\n    fill()", 1, "DiskFull", "INTERRUPTED"),
        ("with run:\n    fill()\n    raise ValueError('mine')", 1, "ValueError: mine", "INTERRUPTED"),
        (
            "try:\n    with run:\n        fill()\nexcept OSError: pass\nexcept Exception as error:\n"
            "    print(type(error).__name__, run)\n(disk / 'filler').unlink()\nprint('goes on')",
            0, "", "INTERRUPTED",
        ),
        ("run.start()\nfill()", 0, "error: the end of run", "INTERRUPTED"),
    ],
)  # fmt: skip
def test_a_full_disk_at_the_end_is_one_error_and_never_in_the_place_of_the_bodys_own(
    small_disk, script, body, code, last, state
):
    process = script(FULL + body, str(small_disk))
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert err.count("Traceback") == code, err
    assert "Exception ignored" not in err
    assert err.count("is not on record") == (1 if last else 0)
    if last:
        assert any(last in line for line in err.splitlines()[-3:]), err
    else:
        assert out.splitlines()[0].startswith("DiskFull <experiment 'fit', run ")
        assert out.splitlines()[1] == "goes on"
    (small_disk / "filler").unlink(missing_ok=True)
    (row,) = queries.rows(open_store(small_disk / "store"), "SELECT state FROM runs")
    assert row["state"] == state
