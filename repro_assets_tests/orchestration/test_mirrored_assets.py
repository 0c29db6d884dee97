"""Other trackers are told of assets' runs, and nothing of the work depends on that."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from repro_assets.errors import InvalidValue
from repro_assets.orchestration import mirrored_runs
from repro_assets.replay.launch import replay
from repro_assets.training.sft import SftConfig

CHAIN = ["plain/up", "trained"]


def told(folder: Path) -> dict[str, Any]:
    """What TensorBoard's own reader finds for each run: points, texts and states."""
    events: Any = import_module("tensorboard.backend.event_processing.event_accumulator")
    found = {}
    for place in sorted(folder.iterdir()):
        read = events.EventAccumulator(str(place), size_guidance=dict.fromkeys(events.DEFAULT_SIZE_GUIDANCE, 0))
        read.Reload()
        found[place.name.rpartition("-")[2]] = {
            **{tag: [(each.step, each.value) for each in read.Scalars(tag)] for tag in read.Tags()["scalars"]},
            **{tag: read.Tensors(tag)[-1].tensor_proto.string_val[0].decode() for tag in read.Tags()["tensors"]},
        }
    return found


@pytest.mark.slow
def test_every_run_of_an_asset_is_told_and_no_bit_and_no_reuse_depends_on_it(
    make_project: Callable[[str], Any], tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    project, other = make_project("one"), make_project("two")
    mirrors = {"mirrors": [f"tensorboard:{folder}"], "tags": ["paper"], "experiment": "noisy"}
    first = project.run(selection=CHAIN, settings=mirrors)
    runs = {product["asset"]: product["run_id"] for product in first["products"]}
    found = told(folder)
    assert set(found) == set(runs.values())
    trained = found[runs["trained"]]
    points = project.rows("SELECT step, value FROM metrics WHERE run_id = ? ORDER BY step", [runs["trained"]])
    assert trained["norm"] == [(row["step"], pytest.approx(row["value"], rel=1e-6)) for row in points]
    assert len(points) == 6
    assert trained["repro/state"] == "COMPLETED"
    assert '"noisy"' in trained["repro/run"] and "paper" in trained["repro/run"]
    digests = project.digests(first)
    (artifact,) = [text for tag, text in trained.items() if tag.startswith("artifacts/")]
    assert digests["trained"] in artifact

    again = project.run(selection=CHAIN, settings={"seed": 0})
    assert all(product["reused"] for product in again["products"])
    assert project.digests(again) == digests == other.digests(other.run(selection=CHAIN))
    with (tmp_path / "replay.log").open("wb") as log:
        assert replay(project.home, runs["trained"], log=log).verdict == "identical"
    assert set(told(folder)) == set(runs.values()), "a replay and reused work tell nobody"


@pytest.mark.slow
def test_a_run_that_fails_is_told_so_and_a_wrong_mirror_stops_all_before_it_begins(
    make_project: Callable[[str], Any], tmp_path: Path
) -> None:
    project = make_project("one")
    flag = {"SMALL_FAIL_ONCE": str(tmp_path / "flag")}
    settings = {"mirrors": [f"tensorboard:{tmp_path / 'runs'}"]}
    failed = project.run(flag, selection=["plain/up", "plain/mid", "plain/down"], settings=settings)
    assert failed["state"] == "FAILED"
    assert sorted(run["repro/state"] for run in told(tmp_path / "runs").values()) == [
        "COMPLETED",
        "COMPLETED",
        "FAILED",
    ]
    refused = project.run(selection=["plain/up"], settings={"mirrors": ["tensorbord"], "seed": 9})
    assert refused["state"] == "FAILED"
    assert [(error["type"], error["exit_code"]) for error in refused["errors"]] == [("InvalidValue", 2)]
    assert not project.rows("SELECT run_id FROM runs WHERE seed = 9")


def test_figures_of_several_processes_reach_no_mirror_and_that_is_said() -> None:
    several: Any = SftConfig(processes=2)
    with pytest.raises(InvalidValue, match="2 processes"), mirrored_runs.told(None, ["tensorboard"], several):  # type: ignore[arg-type]
        pass
    with mirrored_runs.told(None, [], several):  # type: ignore[arg-type]
        pass
