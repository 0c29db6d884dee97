"""A store that was written once is read for ever, with equal digests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import store_v1
import torch

from repro_assets.artifacts import names
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import DECODERS, kind_named, table
from repro_assets.artifacts.soundness import check_store
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.journal.payloads import PAYLOADS
from repro_assets.journal.records import Record
from repro_assets.journal.run_records import Params
from repro_assets.journal.segments import Damage, list_segments, read_segment
from repro_assets.store.home import Home, make_store, open_store
from repro_assets.store.opening import open_objects

KINDS = list(store_v1.DIGESTS)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A copy, because a read that finds damage sets it aside."""
    shutil.copytree(store_v1.ROOT, tmp_path / "store")
    return open_store(tmp_path / "store")


def artifact(home: Home, kind: str) -> Artifact:
    return Artifact(home, Digest(store_v1.DIGESTS[kind]), kind)


def test_it_has_every_kind_of_record() -> None:
    later = {"version_deleted", "run_deleted", "checkpoint_deleted", "artifact_evicted", "packages_used"}
    later |= {"run_traced", "readings_missing", "run_resumed", "work_reused", "curriculum_changed", "training_event"}
    later |= {"experiences_inserted", "experience_snapshot", "run_tagged", "run_noted", "console", "fingerprints_kept"}
    later |= {"notebook_cells", "run_imported", "undeclared_inputs"}
    assert [type(payload) for payload in store_v1.records()] == [
        kind for name, kind in PAYLOADS.items() if name not in later
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_object_verifies(home: Home, kind: str) -> None:
    objects = open_objects(home, DECODERS)
    stored = artifact(home, kind)
    objects.verify(stored.digest)
    for digest in stored.manifest.objects():
        objects.verify(digest)
    assert Manifest.decode(stored.manifest.encode()).digest == stored.digest


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_values_have_the_same_digests_today(tmp_path: Path, kind: str) -> None:
    objects = open_objects(make_store(tmp_path / "new"), DECODERS)
    assert kind_named(kind).write(store_v1.values()[kind], objects.batch()).digest.hex == store_v1.DIGESTS[kind]


@pytest.mark.parametrize("kind", ["json", "bytes", "segments"])
def test_plain_values_come_back(home: Home, kind: str) -> None:
    assert artifact(home, kind).load() == store_v1.values()[kind]


@pytest.mark.parametrize("kind", ["json", "bytes", "segments", "tensors"])
def test_what_is_read_is_written_as_the_same_artifact(home: Home, tmp_path: Path, kind: str) -> None:
    # Equality does not tell -0.0 from 0.0; the digest does.
    objects = open_objects(make_store(tmp_path / "new"), DECODERS)
    assert kind_named(kind).write(artifact(home, kind).load(), objects.batch()) == artifact(home, kind).manifest


def test_a_tree_comes_back(home: Home, tmp_path: Path) -> None:
    stored = artifact(home, "tree")
    assert dict(stored.load()) == store_v1.FILES
    stored.lay_out(tmp_path / "tree")
    assert (tmp_path / "tree" / "link").readlink() == Path("run.sh")
    assert (tmp_path / "tree" / "run.sh").stat().st_mode & 0o100
    assert not (tmp_path / "tree" / "empty").stat().st_mode & 0o111


def test_a_table_comes_back(home: Home) -> None:
    expected: pyarrow.Table = store_v1.values()["table"]
    stored = artifact(home, "table")
    read = table.read_arrow(stored.manifest, open_objects(home, DECODERS))
    assert read.column_names == expected.column_names
    for name in expected.column_names:
        assert read[name].to_pylist() == expected[name].to_pylist()
    assert len(stored.load()) == 3


def test_tensors_come_back(home: Home) -> None:
    expected, read = store_v1.values()["tensors"], artifact(home, "tensors").load()
    assert_same(read, expected)
    assert read["model"]["weight"] is read["model"]["tied"]


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for mine, its in zip(one, other, strict=True):
            assert_same(mine, its)
    else:
        assert one == other


def test_every_record_comes_back(home: Home) -> None:
    items = [item for item, _ in read_segment(home.journal / store_v1.SEGMENT)]
    assert all(isinstance(item, Record) for item in items)
    found = [item for item in items if isinstance(item, Record)]
    assert [item.payload for item in found] == store_v1.records()
    assert [(item.seq, item.time) for item in found] == [(seq, store_v1.TIME + seq) for seq in range(len(found))]
    assert found[1].follows == ()
    assert found[2].follows == (found[1].id,)


def test_damage_is_read_around(home: Home) -> None:
    items = [item for item, _ in read_segment(home.journal / store_v1.DAMAGED_SEGMENT)]
    assert [item.payload if isinstance(item, Record) else Damage for item in items] == [
        store_v1.records()[0],
        Damage,
        Damage,
        Params("run", {"number": 3}),
    ]


def test_names_come_back(home: Home) -> None:
    assert names.collections(home) == ["model-sft"]
    assert [
        (str(version), version.kind, version.trial, version.run_id) for version in names.versions(home, "model-sft")
    ] == [
        ("model-sft:v1", "tensors", True, "0123456789abcdef"),
        ("model-sft:v2", "table", False, None),
        ("model-sft:v3", "tensors", False, None),
    ]
    assert names.newest(home, "model-sft").digest.hex == store_v1.DIGESTS["tensors"]


def test_the_check_finds_the_planted_damage_and_nothing_else(home: Home) -> None:
    found = check_store(home, full=True)
    assert (found.corrupt, found.missing, found.claims, found.unfinished) == ([], [], [], 0)
    assert [line["segment"] for line in found.journal] == [store_v1.DAMAGED_SEGMENT] * 2
    assert len(list_segments(home.journal)) == 2
