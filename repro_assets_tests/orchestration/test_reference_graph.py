"""The reference graph with few steps: equal bits everywhere, every product replays, no split leaks, no secret stays."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repro_assets.replay.launch import replay
from repro_assets.store.home import make_store

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FEW: dict[str, dict[str, Any]] = {
    "splits": {"sft": 100, "rft": 60, "validation": 20, "test": 40, "stream": 20},
    "cota_raw": {"per_image": 2},
    "sft": {"steps": 6},
    "rft": {"steps": 2},
    **{f"{model}_on_{split}": {"samples_per_image": 2} for model in ("sft", "rft") for split in ("validation", "test")},
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the project's tracked and untracked files, with a git repository of its own."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.split(b"\0")
    target = tmp_path / "checkout"
    for name in (raw.decode() for raw in names if raw):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


@pytest.mark.parametrize(
    "apart", [["models/sft", "evaluations/sft_on_validation"], pytest.param([], marks=pytest.mark.soak)]
)
def test_the_graph_gives_equal_bits_in_another_place_and_executor_and_replays_identical(
    checkout: Path, make_project: Callable[[str], Any], tmp_path: Path, apart: list[str]
) -> None:
    first, second = make_project("first"), make_project("second")
    first.root = checkout
    second.root = ROOT
    second.home = make_store(tmp_path / "elsewhere" / "store")
    # Elsewhere nothing looks at the work: neither spans nor the monitor change a bit.
    second.variables = {"PYTHONHASHSEED": "999", "OTEL_SDK_DISABLED": "true"}
    asked = {"module": "repro_assets.definitions", "assets": FEW}
    one = first.run(**asked)
    assert len(first.digests(one)) == 16
    forced = {"force": True, "monitor": False}
    assert second.digests(second.run(**asked, settings=forced)) == first.digests(one)
    # Each in a process of its own: a training and what reads it, or, where there is time, the whole job.
    few = {name: FEW[name] for name in (key.rpartition("/")[2] for key in apart)} or FEW
    steps = second.run(**{**asked, "assets": few}, selection=apart, executor="multiprocess", settings=forced)
    made = second.digests(steps)
    assert len(made) == (len(apart) or 16) and made.items() <= first.digests(one).items()
    kinds = {row["kind"] for row in first.rows("SELECT DISTINCT kind FROM spans")}
    assert kinds == {"run", "asset", "stage", "epoch", "checkpoint"}
    sampled = "SELECT count(DISTINCT run_id) AS n FROM system_metrics WHERE name = 'process_memory_bytes'"
    assert first.rows(sampled) == [{"n": len({product["run_id"] for product in one["products"]})}]
    assert second.rows(f"SELECT ({sampled}) AS runs, (SELECT count(*) FROM spans) AS spans") == [
        {"runs": 0, "spans": 0}
    ]

    checks = first.rows(
        "SELECT name, count(*) AS n, bool_and(passed) AS passed FROM checks GROUP BY name ORDER BY name"
    )
    assert checks == [
        {"name": name, "n": 16, "passed": True} for name in ("environment_captured", "lineage_sound", "products_verify")
    ]
    evaluations = first.rows("SELECT model, dataset, metrics FROM evaluations")
    assert all("accuracy_greedy" in row["metrics"] and "load_1min" not in row["metrics"] for row in evaluations)
    made = first.digests(one)
    assert {(row["model"], row["dataset"]) for row in evaluations} == {
        (made[f"models/{model}"], made[f"data/{split}"]) for model in ("sft", "rft") for split in ("validation", "test")
    }

    shutil.rmtree(checkout)
    with (tmp_path / "replay.log").open("wb") as log:
        report = replay(first.home, one["run_id"], log=log)
    assert report.verdict == "identical", report.document()
    assert len(report.document()["products"]) == 16
    # The recipes read nothing but what is on record, first and again.
    undeclared = "SELECT kind, name FROM undeclared_inputs"
    assert [*first.rows(undeclared), *second.rows(undeclared)] == []


def test_a_missing_or_malformed_raw_file_fails_the_run_and_names_file_line_and_remedy(
    checkout: Path, make_project: Callable[[str], Any]
) -> None:
    project = make_project("raw")
    project.root = checkout
    raw = checkout / "data" / "raw" / "digits.csv"
    lines = raw.read_text().splitlines()
    raw.write_text("\n".join([*lines[:6], lines[6] + ",7", *lines[7:]]) + "\n")
    asked: dict[str, Any] = {"module": "repro_assets.definitions", "selection": ["digits"]}
    malformed = project.run(**asked)
    assert malformed["state"] == "FAILED"
    assert "data/raw/digits.csv, line 7" in malformed["errors"][0]["message"]
    raw.unlink()
    missing = project.run(**asked)
    assert "data/raw/digits.csv is missing" in missing["errors"][0]["message"]
    assert "git checkout" in missing["errors"][0]["message"]
    outside = project.run(**asked, assets={"digits": {"path": "/nonexistent.csv"}})
    message = outside["errors"][0]["message"]
    assert "set path of data/digits to a file that is there" in message and "git checkout" not in message
    assert {answer["errors"][0]["exit_code"] for answer in (malformed, missing, outside)} == {2}
    rows = project.rows("SELECT state, error_message FROM runs WHERE run_kind = 'asset'")
    assert [row["state"] for row in rows] == ["FAILED"] * 3
    assert project.rows("SELECT count(*) AS n FROM run_outputs") == [{"n": 0}]


def test_a_malformed_trace_is_named(checkout: Path, make_project: Callable[[str], Any], tmp_path: Path) -> None:
    import pandas as pd

    from repro_assets.artifacts import repository

    project = make_project("traces")
    project.root = checkout
    frame = pd.DataFrame(
        {
            "image_id": [1, 2],
            "trace_id": [0, 1],
            "label": [3, 4],
            "actions": [[3, 19], [40, 20]],
            "thoughts": [["3 (0.900) or 4 (0.100)"] * 2, ["4 (0.900) or 3 (0.100)"] * 2],
        }
    )
    repository.claim(repository.put(project.home, frame), "my_traces")
    project.run(module="repro_assets.definitions", selection=["data/digits", "sft_images", "cota_raw"], assets=FEW_RAW)
    answer = project.run(module="repro_assets.definitions", selection=["cota_sft"], pins={"cota_raw": "my_traces"})
    assert answer["state"] == "FAILED"
    assert answer["errors"][0]["exit_code"] == 2
    assert "40" in answer["errors"][0]["message"], answer


FEW_RAW = {"cota_raw": {"per_image": 1}}
