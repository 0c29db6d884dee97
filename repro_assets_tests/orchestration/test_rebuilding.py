"""Evicted bytes come back by replaying the runs that made them, one after the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from repro_assets.artifacts import repository
from repro_assets.artifacts.eviction import evict_reproducible
from repro_assets.artifacts.soundness import check_store
from repro_assets.cli.app import main
from repro_assets.errors import CheckFailed
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import ReplayMade
from repro_assets.journal.segments import journal_at
from repro_assets.orchestration.rebuilding import rebuild
from repro_assets.replay.launch import replay
from repro_assets.store.leases import lease_on

pytestmark = pytest.mark.slow


def test_what_was_evicted_is_rebuilt_with_what_it_was_made_from(
    project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = project.run(job="chain", settings={"seed": 5})
    made = {
        product["asset"]: repository.by_digest(project.home, Digest.parse(product["digest"]))
        for product in answer["products"]
    }
    with (tmp_path / "log").open("wb") as log:
        assert replay(project.home, answer["run_id"], log=log).verdict == "identical"
    values = made["plain/down"].load()["values"].tolist()
    lease_on(project.home).release()
    done = evict_reproducible(project.home)
    assert {item.digest for item in done.artifacts} == {artifact.digest for artifact in made.values()}
    assert not any(artifact.is_whole() for artifact in made.values())
    assert check_store(project.home, full=True).ok

    monkeypatch.setenv("REPRO_HOME", str(project.home.root))
    capsys.readouterr()
    assert main(["artifacts", "show", "plain-down", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert "artifacts get plain-down:v1 --to PATH --rebuild" in shown["evicted"]["command"]
    words = ["artifacts", "get", "plain-down", "--to", str(tmp_path / "out"), "--json"]
    assert main(words) == 1
    said = capsys.readouterr()
    assert "evicted" in said.err and "--rebuild" in said.err and not said.out
    assert main([*words, "--rebuild"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rebuilt_by"]) == 3
    assert all(artifact.is_whole(read=True) for artifact in made.values())
    assert made["plain/down"].load()["values"].tolist() == values
    assert main(["artifacts", "show", "plain-down", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["evicted"] is None
    assert main(["store", "gc", "--delete", "--now", "--json"]) == 0
    assert made["plain/down"].is_whole(), "it is no longer evicted"


def test_what_does_not_come_back_is_said(project: Any, tmp_path: Path) -> None:
    answer = project.run(selection=["noise"])
    (product,) = answer["products"]
    # A verdict that does not hold: the recipe draws from outside the run's seeds.
    journal_at(project.home.journal).append(ReplayMade(product["run_id"], None, "identical"))
    lease_on(project.home).release()
    assert len(evict_reproducible(project.home).artifacts) == 1
    artifact = repository.by_digest(project.home, Digest.parse(product["digest"]))
    with (tmp_path / "log").open("wb") as log, pytest.raises(CheckFailed, match="diverged"):
        rebuild(artifact, log=log)
