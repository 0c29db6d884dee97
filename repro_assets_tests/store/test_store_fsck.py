"""The check of a store finds every fault that is planted, and names what it affects."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
import xxhash

from repro_assets.identity import canonical
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import FORMAT, Entry, Manifest
from repro_assets.store.fsck import check
from repro_assets.store.layout import Form, trailer
from repro_assets.store.objects import LocalObjects

PARTS = (b"first" * 100, b"shared" * 100, b"last" * 100)


@pytest.fixture
def artifacts(objects: LocalObjects) -> dict[Digest, list[str]]:
    """Two artifacts that share a part."""
    return {
        put(objects, PARTS[0], PARTS[1]): ["model-a", "run 1"],
        put(objects, PARTS[1], PARTS[2]): ["model-b"],
    }


def put(objects: LocalObjects, *parts: bytes) -> Digest:
    entries = (Entry(f"{index}", len(part), (objects.put(part),)) for index, part in enumerate(parts))
    return objects.put(Manifest("segments", tuple(entries)).encode())


def change(path: Path, place: int) -> None:
    stored = bytearray(path.read_bytes())
    stored[place] ^= 1
    path.write_bytes(stored)


@pytest.mark.parametrize("full", [False, True])
def test_a_whole_store_is_in_order(objects: LocalObjects, artifacts: dict[Digest, list[str]], full: bool) -> None:
    counted: list[int] = []
    found = check(objects, artifacts, full=full, progress=counted.append)
    assert found.ok
    assert (found.checked, found.corrupt, found.missing, found.unfinished) == (5, [], [], 0)
    assert counted == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("full", [False, True])
def test_a_missing_part_names_every_artifact_that_needs_it(
    objects: LocalObjects, artifacts: dict[Digest, list[str]], full: bool
) -> None:
    shared = Digest.of(PARTS[1])
    objects.path(shared).unlink()
    found = check(objects, artifacts, full=full)
    assert not found.ok
    assert found.missing == [{"digest": str(shared), "affects": ["model-a", "model-b", "run 1"]}]
    assert found.corrupt == []


@pytest.mark.parametrize("full", [False, True])
def test_a_missing_manifest_names_its_artifact(
    objects: LocalObjects, artifacts: dict[Digest, list[str]], full: bool
) -> None:
    (first, _) = artifacts
    objects.path(first).unlink()
    assert check(objects, artifacts, full=full).missing == [{"digest": str(first), "affects": ["model-a", "run 1"]}]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("place", [-1, -64, -40])
def test_a_damaged_trailer_is_found_by_both(
    objects: LocalObjects, artifacts: dict[Digest, list[str]], full: bool, place: int
) -> None:
    last = Digest.of(PARTS[2])
    change(objects.path(last), place)
    (corrupt,) = check(objects, artifacts, full=full).corrupt
    assert (corrupt["digest"], corrupt["affects"]) == (str(last), ["model-b"])
    assert str(last) in corrupt["reason"]


def test_a_changed_byte_is_found_by_the_full_check(objects: LocalObjects, artifacts: dict[Digest, list[str]]) -> None:
    shared = Digest.of(PARTS[1])
    change(objects.path(shared), 7)
    assert check(objects, artifacts).ok
    (corrupt,) = check(objects, artifacts, full=True).corrupt
    assert (corrupt["digest"], corrupt["affects"]) == (str(shared), ["model-a", "model-b", "run 1"])


@pytest.mark.parametrize("full", [False, True])
def test_a_changed_byte_of_a_manifest_is_found_by_both(
    objects: LocalObjects, artifacts: dict[Digest, list[str]], full: bool
) -> None:
    (first, _) = artifacts
    change(objects.path(first), 7)
    found = check(objects, artifacts, full=full)
    assert [(item["digest"], item["affects"]) for item in found.corrupt] == [(str(first), ["model-a", "run 1"])]
    assert found.missing == []


def test_bytes_of_another_digest_under_a_valid_trailer_are_found_by_the_full_check(
    objects: LocalObjects, artifacts: dict[Digest, list[str]]
) -> None:
    last = Digest.of(PARTS[2])
    form = Form("raw", 3, 3, xxhash.xxh3_128_digest(b"new"))
    objects.path(last).write_bytes(b"new" + trailer(last, form))
    (corrupt,) = check(objects, artifacts, full=True).corrupt
    assert (corrupt["digest"], corrupt["affects"]) == (str(last), ["model-b"])


def test_damage_that_nothing_needs_is_named_as_well(objects: LocalObjects, artifacts: dict[Digest, list[str]]) -> None:
    lonely = objects.put(b"lonely")
    change(objects.path(lonely), 0)
    (corrupt,) = check(objects, artifacts, full=True).corrupt
    assert (corrupt["digest"], corrupt["affects"]) == (str(lonely), [])


def test_an_artifact_that_is_no_manifest_is_found(objects: LocalObjects, artifacts: dict[Digest, list[str]]) -> None:
    wrong = objects.put(b"{}")
    (corrupt,) = check(objects, {**artifacts, wrong: ["model-c"]}).corrupt
    assert (corrupt["digest"], corrupt["affects"]) == (str(wrong), ["model-c"])


def test_what_only_a_newer_version_reads_is_named_and_the_rest_is_checked(
    objects: LocalObjects, artifacts: dict[Digest, list[str]]
) -> None:
    newer = objects.put(canonical.encode({"format": FORMAT + 1}))
    packed = objects.put_encoded(b"packed", "zlib", zlib.compress(b"packed"))
    change(objects.path(Digest.of(PARTS[2])), 7)
    found = check(objects, {newer: ["model-c"], **artifacts}, full=True)
    assert {item["digest"]: item["affects"] for item in found.corrupt} == {
        str(newer): ["model-c"],
        str(packed): [],
        str(Digest.of(PARTS[2])): ["model-b"],
    }
    # What cannot be read here may be read elsewhere: it stays.
    assert objects.has(newer)
    assert objects.has(packed)


def test_what_a_killed_process_left_is_counted_and_no_damage(
    objects: LocalObjects, artifacts: dict[Digest, list[str]]
) -> None:
    (objects.home.temporary / "left").write_bytes(b"half")
    found = check(objects, artifacts)
    assert found.ok
    assert found.unfinished == 1
