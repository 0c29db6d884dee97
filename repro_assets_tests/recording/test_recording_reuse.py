"""Reuse: an earlier run counts only while every byte that it made is there and right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import RunDeleted, RunEnded, RunStarted
from repro_assets.journal.segments import Journal
from repro_assets.recording import reuse
from repro_assets.store.home import Home
from repro_assets.store.opening import open_objects

FACTS = {"code": "abc", "config": {"lr": 0.1}, "seed": 1, "inputs": {"data": "sha256:0"}, "device": "cpu"}


@pytest.fixture
def outputs(home: Home) -> dict[str, Artifact]:
    root = home.root.parent / "made"
    root.mkdir()
    (root / "weights").write_bytes(b"0123456789")
    return {
        "model": repository.put(home, root, name="model-1"),
        "metrics": repository.put(home, {"loss": 0.5}, name="metrics-1"),
    }


@pytest.fixture
def key(home: Home, outputs: dict[str, Artifact]) -> Digest:
    digest = reuse.reuse_key(**FACTS)
    reuse.remember(home, digest, "run-1", outputs, {"seconds": 3})
    return digest


def objects_of(artifact: Artifact) -> list[Digest]:
    return [artifact.digest, *artifact.manifest.objects()]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x10
    path.write_bytes(data)


def test_the_same_work_is_found_with_what_it_made(home: Home, key: Digest, outputs: dict[str, Artifact]) -> None:
    earlier = reuse.find(home, reuse.reuse_key(**dict(reversed(FACTS.items()))))
    assert earlier is not None
    assert (earlier.run_id, earlier.outputs, earlier.facts) == ("run-1", outputs, {"seconds": 3})
    assert earlier.outputs["model"].name == "model-1"
    assert earlier.outputs["model"].run_id == "run-1"


@pytest.mark.parametrize(
    "change",
    [{"code": "abd"}, {"config": {"lr": 0.2}}, {"seed": 2}, {"inputs": {}}, {"device": "cuda"}, {"mode": "fast"}],
)
def test_other_work_is_not_found(home: Home, key: Digest, change: dict[str, object]) -> None:
    assert reuse.find(home, reuse.reuse_key(**{**FACTS, **change})) is None


@pytest.mark.parametrize("slot", ["model", "metrics"])
@pytest.mark.parametrize("which", [0, 1], ids=["manifest", "part"])
@pytest.mark.parametrize("harm", [flip, Path.unlink, lambda path: path.write_bytes(b"")], ids=["bit", "gone", "empty"])
def test_work_whose_bytes_are_not_all_there_and_right_is_done_again(
    home: Home,
    key: Digest,
    outputs: dict[str, Artifact],
    slot: str,
    which: int,
    harm: Callable[[Path], object],
) -> None:
    digest = objects_of(outputs[slot])[which]
    harm(open_objects(home).path(digest))
    assert reuse.find(home, key) is None
    # The other product is not drawn into it, and storing the same again heals the entry.
    other = outputs["metrics" if slot == "model" else "model"]
    assert other.is_whole(read=True)
    repository.put(home, home.root.parent / "made") if slot == "model" else repository.put(home, {"loss": 0.5})
    assert reuse.find(home, key) is not None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"run_id": "r"}', b'{"run_id": "r", "outputs": {"m": 1}, "facts": {}}']
)
def test_a_damaged_entry_is_no_entry(home: Home, key: Digest, content: bytes) -> None:
    (entry,) = [path for path in (home.cache / "reuse").rglob("*") if path.is_file()]
    entry.write_bytes(content)
    assert reuse.find(home, key) is None


def test_the_index_can_be_lost_and_a_later_entry_wins(home: Home, key: Digest, outputs: dict[str, Artifact]) -> None:
    reuse.remember(home, key, "run-2", outputs, {})
    earlier = reuse.find(home, key)
    assert earlier is not None
    assert earlier.run_id == "run-2"
    (entry,) = [path for path in (home.cache / "reuse").rglob("*") if path.is_file()]
    entry.unlink()
    assert reuse.find(home, key) is None


def test_the_work_of_a_run_that_was_deleted_is_done_again(
    home: Home, key: Digest, outputs: dict[str, Artifact]
) -> None:
    journal = Journal(home.journal)
    for run_id in ("run-1", "run-2"):
        journal.append(RunStarted(run_id, "asset", "sft"), RunEnded(run_id, "COMPLETED"))
    assert reuse.find(home, key) is not None
    journal.append(RunDeleted("run-1"))
    assert reuse.find(home, key) is None
    reuse.remember(home, key, "run-2", outputs, {})
    assert reuse.find(home, key) is not None
    journal.close()
