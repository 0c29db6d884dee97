"""What lies in W&B's own offline files of an exported run is what is on record of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from exported import ACCOUNT, HOST, World
from tool_readers import TOOLS

from repro_assets.catalog.descriptions import show_run
from repro_assets.errors import CorruptObject, InvalidValue, MachineError, ReusedElsewhere
from repro_assets.interchange import formats
from repro_assets.mirrors.holding import as_text, flat

TOOL = TOOLS["wandb"]


def test_a_run_is_as_its_mirror_would_have_left_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    done = formats.export(world.trains[0], to=tmp_path / "out", format="wandb", home=world.home)
    assert (done.path, done.verified, done.facts) == (tmp_path / "out", True, {"runs": [world.trains[0]]})
    held, record = TOOL.read(tmp_path / "out"), show_run(world.home, world.trains[0])
    assert held.params == {name: as_text(value) for name, value in flat({**record["config"], **record["params"]})}
    assert [(step, repr(value)) for step, value, _ in held.points["train/loss"]] == [
        (0, "2.0"), (1, "nan"), (2, "inf"), (3, "-inf"), (4, "0.5"),
    ]  # fmt: skip
    assert held.about["id"] == world.trains[0] and held.about["project"] == "flowers"
    assert (held.about["name"], held.about["tags"]) == ("train-seed0", ["study=s1"])
    assert held.state == "COMPLETED 0"
    said = held.about["repro/record"]
    assert said["outputs"]["model"] == str(world.made["model-0"].digest) and said["replays"] == ["identical"]
    world.made["model-0"].lay_out(tmp_path / "laid")
    for file in (tmp_path / "laid").iterdir():
        assert held.files[f"model/{file.name}"] == file.read_bytes()
    # Where it was executed, and not where it was exported.
    (file,) = (tmp_path / "out").rglob("*.wandb")
    assert HOST.encode() in file.read_bytes()
    assert not (tmp_path / "elsewhere").exists()


def test_paths_name_accounts_so_nothing_is_promised(world: World, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="wandb has no --anonymize"):
        formats.export(world.trains[0], to=tmp_path / "out", format="wandb", home=world.home, anonymize=True)
    assert ACCOUNT not in json.dumps([path.name for path in tmp_path.iterdir()])


def test_going_online_needs_credentials(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidValue, match=r"no credentials for W&B .* or name a folder, --to FOLDER"):
        formats.export(world.trains[0], to="online", format="wandb", home=world.home)
    assert list(tmp_path.iterdir()) == []


def test_what_fails_leaves_nothing(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReusedElsewhere, match="not an empty folder"):
        formats.export(world.data, to=world.home.root.parent, format="wandb", home=world.home)
    mine = world.copied(tmp_path / "store")
    damaged = mine.made["model-0"].manifest.entries[0].objects[0]
    place = mine.home.objects / damaged.hex[:2] / damaged.hex[2:]
    place.write_bytes(place.read_bytes().replace(b"\0", b"\1"))
    with pytest.raises(CorruptObject):
        formats.export(mine.trains[0], to=tmp_path / "out", format="wandb", home=mine.home)
    monkeypatch.setenv("WANDB_MODE", "no such mode")
    with pytest.raises(MachineError, match=r"W&B fails: .*mode"):
        formats.export(world.trains[0], to=tmp_path / "out", format="wandb", home=world.home)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_the_programs_own_runs_of_wandb_are_left_alone(world: World, tmp_path: Path) -> None:
    import wandb

    mine = wandb.init(mode="offline", dir=str(tmp_path), project="mine", reinit="create_new")
    try:
        formats.export(world.failed, to=tmp_path / "out", format="wandb", home=world.home)
        mine.log({"still": 1})
    finally:
        mine.finish()
    assert TOOL.read(tmp_path / "out").state == "FAILED 1"
