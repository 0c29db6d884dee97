"""Handles and the repository: what is stored is recorded, found again, and never returned damaged."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import KINDS, kind_named
from repro_assets.artifacts.kinds.block_list import Segments
from repro_assets.errors import CorruptObject, InvalidValue, MissingObject, UnknownName, UnsupportedFormat
from repro_assets.identity import manifest as manifests
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.journal.artifact_records import ArtifactStored, VersionClaimed
from repro_assets.journal.records import Payload
from repro_assets.journal.segments import list_segments, read_segment
from repro_assets.store.home import Home, make_store
from repro_assets.store.opening import open_objects

VALUES: dict[str, Any] = {
    "tensors": {"a": numpy.arange(3)},
    "table": pandas.DataFrame({"a": [1, 2]}),
    "json": {"$float": "no float", "a": [1.5, None, "é", math.inf]},
    "bytes": b"\0\xff",
    "segments": Segments((b"one", b"", b"one")),
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_store(tmp_path / "store")


def recorded(home: Home, kind: type[Payload]) -> list[Any]:
    """Every record of a kind, in all segments."""
    items = [item for segment in list_segments(home.journal) for item, _ in read_segment(segment)]
    return [item.payload for item in items if isinstance(item.payload, kind)]  # type: ignore[union-attr]


def damage(home: Home, digest: Digest) -> None:
    path = open_objects(home).path(digest)
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_of_each_kind_comes_back_under_the_kind_of_its_type(home: Home, kind: str, tmp_path: Path) -> None:
    artifact = repository.put(home, VALUES[kind])
    assert artifact.kind == kind
    found = repository.by_digest(home, artifact.digest)
    assert (found, found.kind) == (artifact, kind)
    back = found.load()
    if kind == "tensors":
        assert back["a"].tolist() == [0, 1, 2]
    elif kind == "table":
        pandas.testing.assert_frame_equal(back, VALUES[kind])
    else:
        assert back == VALUES[kind]
    assert found.lay_out(tmp_path / "out") == sum(p.is_file() for p in [tmp_path / "out", *tmp_path.glob("out/*")])


def test_every_kind_of_a_manifest_can_be_read() -> None:
    # Merged segments are the journal's own, and no artifact.
    assert {*KINDS, "journal"} == set(manifests.KINDS)
    with pytest.raises(UnsupportedFormat, match="'journal' is not a kind of artifact"):
        kind_named("journal")


def test_equal_bytes_under_two_kinds_are_two_artifacts(home: Home) -> None:
    assert repository.put(home, b'"a"').digest != repository.put(home, "a").digest
    assert repository.put(home, Segments((b"ab",))) != repository.put(home, Segments((b"a", b"b")))


def test_a_longer_buffer_shares_the_blocks_of_the_shorter_one(home: Home) -> None:
    shorter = repository.put(home, Segments((b"1", b"2")))
    longer = repository.put(home, Segments((b"1", b"2", b"3")))
    assert set(shorter.manifest.objects()) < set(longer.manifest.objects())


@pytest.mark.parametrize("kind", VALUES)
def test_a_kind_refuses_the_values_of_the_others(home: Home, kind: str) -> None:
    for other, value in VALUES.items():
        if other != kind and not (kind == "tensors" and other == "json"):
            with pytest.raises(InvalidValue):
                repository.put(home, value, kind)


def test_a_kind_that_is_not_known_is_named(home: Home) -> None:
    with pytest.raises(UnsupportedFormat, match=r"'pickle'.*one of tensors, table"):
        repository.put(home, 1, "pickle")


def test_no_module_of_the_project_can_load_a_pickle() -> None:
    package = Path(repository.__file__).parents[1]
    loads = re.compile(r"import (?:pickle|dill|joblib|cloudpickle)|torch\.load\(|allow_pickle=True|read_pickle")
    assert [path for path in package.rglob("*.py") if loads.search(path.read_text())] == []


def test_an_artifact_is_recorded_once_per_process_and_never_unrecorded(home: Home) -> None:
    first = repository.put(home, {"a": 1})
    assert repository.put(home, {"a": 1}) == first
    (record,) = recorded(home, ArtifactStored)
    assert record == ArtifactStored(str(first.digest), "json", first.manifest.size, 1)
    # Another process may have died between object and record, so each records for itself.
    program = (
        "import sys; from pathlib import Path; from repro_assets.artifacts import repository; "
        "from repro_assets.store.home import open_store; repository.put(open_store(Path(sys.argv[1])), {'a': 1})"
    )
    subprocess.run([sys.executable, "-c", program, str(home.root)], check=True)
    assert recorded(home, ArtifactStored) == [record, record]


def test_a_value_that_is_refused_leaves_no_record(home: Home) -> None:
    with pytest.raises(InvalidValue):
        repository.put(home, {"a": numpy.zeros(2), "b": object()})
    assert recorded(home, ArtifactStored) == []


def test_handles_are_equal_exactly_if_their_digests_are(home: Home) -> None:
    one = repository.put(home, [1], name="one")
    same = repository.claim(repository.put(home, [1]), "numbers", run_id="r")
    assert one == same
    assert hash(one) == hash(same)
    assert one != repository.put(home, [2], name="one")
    assert [str(one), str(same)] == ["one", "numbers:v1"]
    assert str(repository.by_digest(home, one.digest)) == str(one.digest)


def test_a_digest_that_nothing_is_stored_under_is_an_unknown_name(home: Home) -> None:
    with pytest.raises(UnknownName, match=str(Digest.of(b"nothing"))):
        repository.by_digest(home, Digest.of(b"nothing"))


def test_a_claim_is_recorded_once_and_says_who_made_the_version(home: Home) -> None:
    artifact = repository.claim(repository.put(home, [1]), "numbers", run_id="first")
    again = repository.claim(repository.put(home, [1]), "numbers", run_id="second")
    assert (artifact.version, again.version, again.run_id) == (1, 1, "first")
    assert recorded(home, VersionClaimed) == [
        VersionClaimed("numbers", 1, str(artifact.digest), "json", "first", trial=False)
    ]
    assert repository.claim(repository.put(home, [2]), "numbers").version == 2
    with pytest.raises(InvalidValue, match=r"\.\./up"):
        repository.claim(artifact, "../up")


@pytest.mark.parametrize("kind", VALUES)
def test_a_damaged_part_is_never_returned_and_the_error_names_the_artifact(
    home: Home, kind: str, tmp_path: Path
) -> None:
    artifact = repository.put(home, VALUES[kind], name="the thing")
    part = artifact.manifest.entries[0].objects[0]
    assert artifact.is_whole(read=True)
    damage(home, part)
    assert artifact.is_whole()
    with pytest.raises(CorruptObject, match=f"the thing cannot be read.*{part}"):
        artifact.load()
    # It is set aside by now, so it is missing.
    assert not artifact.is_whole()
    with pytest.raises(MissingObject, match=f"the thing cannot be read.*{part}"):
        artifact.lay_out(tmp_path / "out")
    assert repository.put(home, VALUES[kind]) == artifact
    assert artifact.is_whole(read=True)


def test_a_damaged_manifest_makes_the_artifact_not_whole(home: Home) -> None:
    artifact = repository.put(home, [1])
    damage(home, artifact.digest)
    assert not artifact.is_whole()
    assert repository.put(home, [1]).is_whole(read=True)


def test_the_manifest_of_a_handle_is_what_its_digest_says(home: Home) -> None:
    artifact: Artifact = repository.put(home, VALUES["tensors"])
    assert isinstance(artifact.manifest, Manifest)
    assert artifact.manifest.digest == artifact.digest
