"""Versions and checkpoints that follow each other are repacked, the newest ones are left whole."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.succession import repack_store
from repro_assets.cli.app import main
from repro_assets.journal.run_records import CheckpointSaved
from repro_assets.journal.segments import journal_at
from repro_assets.store.home import Home, make_store
from repro_assets.store.opening import open_objects


def weights(step: int) -> dict[str, Any]:
    generator = numpy.random.default_rng(1)
    base, move = generator.standard_normal((2, 30_000)).astype(numpy.float32)
    return {"a": base + numpy.float32(1e-4 * step) * move, "step": step, "short": numpy.arange(step + 1)}


def stored(home: Home, way: str) -> list[Artifact]:
    found = []
    for step in range(4):
        artifact = repository.put(home, weights(step))
        if way == "versions":
            repository.claim(artifact, "model")
        else:
            journal_at(home.journal).append(
                CheckpointSaved("run", f"checkpoint_{step}", "step", str(step), str(artifact.digest), step)
            )
        found.append(artifact)
    return found


@pytest.mark.parametrize("way", ["versions", "checkpoints"])
def test_what_follows_each_other_is_repacked(tmp_path: Path, way: str) -> None:
    home = make_store(tmp_path / "store")
    artifacts = stored(home, way)
    assert repack_store(home, older_than=3600).differences == 0
    assert repack_store(home).differences == 3
    objects = open_objects(home, DECODERS)
    links = [len(list(objects.needs(artifact.manifest.entries[0].objects[0]))) for artifact in artifacts]
    assert links == [3, 2, 1, 0]
    for step, artifact in enumerate(artifacts):
        assert numpy.array_equal(artifact.load()["a"], weights(step)["a"])


def test_the_command_repacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = make_store(tmp_path / "store")
    stored(home, "versions")
    monkeypatch.setenv("REPRO_HOME", str(home.root))
    assert main(["store", "repack", "--older-than", "soon"]) == 2
    capsys.readouterr()
    assert main(["store", "repack", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["differences"] == 3
    assert answer["bytes_after"] < answer["bytes_before"]


def test_the_command_shows_on_a_terminal_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = make_store(tmp_path / "store")
    stored(home, "versions")
    monkeypatch.setenv("REPRO_HOME", str(home.root))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["store", "repack"]) == 0
    assert capsys.readouterr().err.startswith("\r1 tensors compared")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert main(["store", "repack"]) == 0
    assert capsys.readouterr().err == ""
