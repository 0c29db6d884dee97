"""What was evicted is no failure of a push or pull, what was lost is one, and both are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from repro_assets.artifacts import eviction, names, repository, sharing
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.soundness import check_store
from repro_assets.journal import run_records as records
from repro_assets.journal.segments import journal_at
from repro_assets.store.home import Home, make_store
from repro_assets.store.leases import lease_on
from repro_assets.store.objects import LocalObjects

RUN = "a" * 16


@pytest.fixture
def here(tmp_path: Path) -> Home:
    return make_store(tmp_path / "here")


@pytest.fixture
def remote(tmp_path: Path) -> str:
    (tmp_path / "remote").mkdir()
    return str(tmp_path / "remote")


def evictable(home: Home) -> Artifact:
    """An artifact that a run made and a replay made again."""
    source = repository.put(home, b"source" * 100)
    made = repository.claim(repository.put(home, b"made" * 2000), "model", run_id=RUN)
    journal_at(home.journal).append(
        records.RunStarted(RUN, "asset", "sft", asset="sft", source=str(source.digest)),
        records.RunOutput(RUN, "result", str(made.digest), "model", collection="model", version=1),
        records.RunEnded(RUN, "COMPLETED"),
        records.ReplayMade(RUN, None, "identical"),
    )
    return made


def evict(home: Home) -> None:
    lease_on(home).release()
    assert len(eviction.evict_reproducible(home).artifacts) == 1


def test_what_was_evicted_is_named_and_the_rest_is_sent_and_comes(here: Home, remote: str, tmp_path: Path) -> None:
    made, kept = evictable(here), repository.claim(repository.put(here, {"kept": 1}), "kept")
    evict(here)
    pushed = sharing.push(here, remote)
    assert pushed.ok, pushed
    assert pushed.evicted == [{"digest": str(made.digest), "run": RUN}]
    there = make_store(tmp_path / "there")
    pulled = sharing.pull(there, remote)
    assert pulled.ok, pulled
    assert pulled.evicted == pushed.evicted
    assert repository.handle(there, names.version(there, "kept", 1)).load() == kept.load()
    assert names.version(there, "model", 1).digest == made.digest
    assert repository.by_digest(there, made.digest).manifest == made.manifest
    assert check_store(there, full=True).ok
    again = sharing.pull(there, remote)
    assert again.ok and (again.objects, again.names, again.segments) == (0, 0, 0)


def test_what_was_evicted_here_and_is_there_is_no_word_worth(here: Home, remote: str, tmp_path: Path) -> None:
    made = evictable(here)
    sharing.push(here, remote)
    evict(here)
    pushed = sharing.push(here, remote)
    assert pushed.ok and pushed.evicted == []
    there = make_store(tmp_path / "there")
    assert sharing.pull(there, remote).evicted == []
    assert repository.by_digest(there, made.digest).load() == b"made" * 2000


def test_what_was_evicted_and_is_asked_for_by_name_is_a_failure(here: Home, remote: str) -> None:
    made = evictable(here)
    evict(here)
    pushed = sharing.push(here, remote, [made.digest])
    assert not pushed.ok
    assert {row["digest"] for row in pushed.failed} == {str(part) for part in made.manifest.objects()}


def test_what_was_lost_is_a_failure_with_its_remedy_and_the_rest_is_sent(here: Home, remote: str) -> None:
    made, kept = evictable(here), repository.claim(repository.put(here, {"kept": 1}), "kept")
    (part,) = set(made.manifest.objects())
    LocalObjects(here).path(part).unlink()
    pushed = sharing.push(here, remote)
    assert not pushed.ok and pushed.evicted == []
    ((row),) = pushed.failed
    assert row["digest"] == str(part)
    assert "repro store fsck" in row["remedy"] and "repro replay" in row["remedy"]
    assert sharing.pull(make_store(here.root.parent / "there"), remote, ["kept"]).ok
    assert kept.is_whole()
