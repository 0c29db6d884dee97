"""What TensorBoard's own reader gives back of an exported run is what is on record of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from exported import ACCOUNT, HOST, REMOTE, World, start
from tool_readers import TOOLS

from repro_assets.artifacts import repository
from repro_assets.catalog.descriptions import show_run
from repro_assets.errors import InvalidValue, MachineError, ReusedElsewhere
from repro_assets.interchange import formats
from repro_assets.mirrors import tensorboard_mirror
from repro_assets.mirrors.holding import as_text, flat

TOOL = TOOLS["tensorboard"]


def test_a_run_is_as_its_mirror_would_have_left_it(world: World, tmp_path: Path) -> None:
    done = formats.export(world.trains[0], to=tmp_path / "runs", format="tensorboard", home=world.home)
    assert (done.path, done.verified, done.facts) == (tmp_path / "runs", True, {"runs": [world.trains[0]]})
    held, record = TOOL.read(tmp_path), show_run(world.home, world.trains[0])
    assert held.params == {name: as_text(value) for name, value in flat({**record["config"], **record["params"]})}
    losses = [value for _, value, _ in held.points["train/loss"]]
    assert math.isnan(losses[1]) and (losses[0], *losses[2:]) == (2.0, math.inf, -math.inf, 0.5)
    assert [step for step, _, _ in held.points["accuracy"]] == [0]
    assert held.about["name"] == "train-seed0" and held.about["run_id"] == world.trains[0]
    assert held.state == "COMPLETED 1"
    digest = str(world.made["model-0"].digest)
    assert json.loads(held.files["model"])["digest"] == digest
    assert json.loads(held.files["notes"]) == {"said": "nothing"}


def test_a_log_directory_has_a_folder_for_each_run_and_equal_bytes_again(world: World, tmp_path: Path) -> None:
    runs = (world.data, *world.trains, world.failed, world.hostile)
    for name in ("one", "two"):
        formats.export(*runs, to=tmp_path / name, format="tensorboard", home=world.home)
    one, two = ({str(f.relative_to(tmp_path / n)): f.read_bytes() for f in (tmp_path / n).rglob("*") if f.is_file()}
                for n in ("one", "two"))  # fmt: skip
    assert one == two and len(one) == len(runs)
    assert {path.name.rpartition("-")[2] for path in (tmp_path / "one").iterdir()} == set(runs)


def test_names_are_taken_out(world: World, tmp_path: Path) -> None:
    formats.export(*world.trains, to=tmp_path / "runs", format="tensorboard", home=world.home, anonymize=True)
    for file in (tmp_path / "runs").rglob("*"):
        data = file.read_bytes() if file.is_file() else str(file.name).encode()
        assert not [name for name in (HOST, ACCOUNT, REMOTE) if name.encode() in data], file


def test_bytes_that_are_gone_are_told(world: World, tmp_path: Path) -> None:
    mine = world.copied(tmp_path / "store")
    for part in mine.made["model-0"].manifest.objects():
        (mine.home.objects / part.hex[:2] / part.hex[2:]).unlink()
    done = formats.export(mine.trains[0], to=tmp_path / "runs", format="tensorboard", home=mine.home)
    assert not done.verified and done.notes == (f"bytes of model of run {mine.trains[0]} are gone from the store",)
    assert "notes" in TOOL.read(tmp_path).files


def test_an_artifact_means_the_run_that_made_it(world: World, tmp_path: Path) -> None:
    done = formats.export("model-flowers:v2", to=tmp_path / "runs", format="tensorboard", home=world.home)
    assert done.facts["runs"] == [world.trains[1]]
    lone = repository.claim(repository.put(world.copied(tmp_path / "store").home, {"x": 1}), "lone")
    with pytest.raises(InvalidValue, match="no run on record made lone"):
        formats.export("lone", to=tmp_path / "other", format="tensorboard", home=lone.home)


def test_what_is_refused_leaves_nothing(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = world.copied(tmp_path / "store")
    start(mine)
    with pytest.raises(InvalidValue, match="has not ended"):
        formats.export(mine.running, to=tmp_path / "runs", format="tensorboard", home=mine.home)
    with pytest.raises(ReusedElsewhere, match="not an empty folder"):
        formats.export(mine.data, to=tmp_path, format="tensorboard", home=mine.home)

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensorboard_mirror.TensorBoard, "metrics", no_space)
    with pytest.raises(MachineError, match="no space left"):
        formats.export(mine.trains[0], to=tmp_path / "runs", format="tensorboard", home=mine.home)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
