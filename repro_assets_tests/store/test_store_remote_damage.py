"""Nothing wrong travels, what was cut off goes on, and what is damaged here is mended from a remote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xxhash
from s3_server import Gate, S3Server
from shared_stores import RemoteFiles, drawn_bytes, equal, fails, put_version, store_at, tensors

from repro_assets.artifacts import names, sharing
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.mending import check_and_repair
from repro_assets.artifacts.soundness import check_store
from repro_assets.errors import MachineError
from repro_assets.identity.digest import Digest
from repro_assets.store.layout import RAW, Form, trailer
from repro_assets.store.objects import LocalObjects
from repro_assets.store.remote.bucket import Bucket
from repro_assets.store.remote.objects import RemoteObjects, loose_path
from repro_assets.store.remote.sending import send


def test_a_damaged_object_is_not_sent(tmp_path: Path, folder: RemoteFiles) -> None:
    here = store_at(tmp_path, "here")
    objects = LocalObjects(here)
    path = tmp_path / "large"
    path.write_bytes(drawn_bytes(1, 20 << 20))
    digest, _ = objects.put_file(path)
    stored = bytearray(objects.path(digest).read_bytes())
    stored[19 << 20] ^= 1
    objects.path(digest).write_bytes(stored)
    done = send(objects, RemoteObjects(Bucket(folder.address)), [digest])
    assert list(done.failed) == [digest]
    assert folder.paths() == []


@pytest.mark.parametrize("kind", ["objects/", "packs/"])
def test_wrong_bytes_in_a_remote_are_not_stored_and_are_named(tmp_path: Path, remote: RemoteFiles, kind: str) -> None:
    here, there = store_at(tmp_path, "here"), store_at(tmp_path, "there")
    model, note = put_version(here, "model", tensors(1)), put_version(here, "note", [1, 2])
    sharing.push(here, remote.address, [note.digest])
    sharing.push(here, remote.address)
    sizes = {path: len(remote.read(path)) for path in remote.paths(kind) if not path.endswith(".idx")}
    wrong = max(sizes, key=lambda path: sizes[path])
    remote.flip(wrong, sizes[wrong] // 2)
    came = sharing.pull(there, remote.address)
    (row,) = [row for row in came.failed if "digest" in row]
    needed = set(model.manifest.objects())
    assert Digest.parse(row["digest"]) in needed
    assert not LocalObjects(there).has(Digest.parse(row["digest"]))
    assert not LocalObjects(there).has(model.digest) and came.segments == 0
    assert names.collections(there) == ["note"]
    assert check_store(there, full=True).ok
    mended = sharing.push(here, remote.address, verify=True)
    assert mended.ok and mended.objects == 1
    assert sharing.pull(there, remote.address).ok
    assert equal(Artifact(there, model.digest, "tensors").load(), tensors(1))


def test_a_remote_that_lies_about_content_is_found_out(tmp_path: Path, folder: RemoteFiles) -> None:
    here, there = store_at(tmp_path, "here"), store_at(tmp_path, "there")
    note = put_version(here, "note", {"text": "true"})
    sharing.push(here, folder.address)
    (part,) = note.manifest.objects()
    lie = b'{"text":"false"}'
    form = Form(RAW, len(lie), len(lie), xxhash.xxh3_128_digest(lie))
    folder.write(loose_path(part), lie + trailer(part, form))
    came = sharing.pull(there, folder.address)
    assert str(part) in [row.get("digest") for row in came.failed]
    assert not LocalObjects(there).has(part) and not LocalObjects(there).has(note.digest)


def test_an_index_that_is_wrong_or_gone_is_made_again(tmp_path: Path, folder: RemoteFiles) -> None:
    here = store_at(tmp_path, "here")
    put_version(here, "model", tensors(1))
    sharing.push(here, folder.address)
    (index,) = [path for path in folder.paths("packs/") if path.endswith(".idx")]
    folder.flip(index, 30)
    assert sharing.pull(store_at(tmp_path, "one"), folder.address).ok
    (Path(folder.address) / index).unlink()
    assert sharing.pull(store_at(tmp_path, "two"), folder.address).ok


@pytest.mark.parametrize("kind", ["names/", "journal/"])
def test_a_wrong_version_or_record_in_a_remote_is_named(tmp_path: Path, folder: RemoteFiles, kind: str) -> None:
    here, there = store_at(tmp_path, "here"), store_at(tmp_path, "there")
    put_version(here, "model", tensors(1))
    sharing.push(here, folder.address)
    (path,) = folder.paths(kind)
    folder.flip(path, 2)
    came = sharing.pull(there, folder.address)
    assert [row["name"] for row in came.failed if row["name"] in path]
    assert check_store(there).journal == []


def test_names_that_lead_elsewhere_are_no_names(tmp_path: Path, folder: RemoteFiles) -> None:
    here, there = store_at(tmp_path, "here"), store_at(tmp_path, "there")
    put_version(here, "model", [1])
    sharing.push(here, folder.address)
    claim = folder.read("names/model/1")
    for path in ("names/.hidden/1", "names/a/b/1", "names/x/0", "journal/.x.jsonl/0-1." + "0" * 64):
        folder.write(path, claim)
    came = sharing.pull(there, folder.address)
    assert names.collections(there) == ["model"] and came.names == 1
    assert [path.name for path in there.journal.iterdir() if path.name.startswith(".")] == []


def test_a_push_that_was_cut_off_is_repeated_and_sends_the_rest(
    tmp_path: Path, s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, address = store_at(tmp_path, "here"), f"s3://{bucket}"
    put_version(
        here, "model", {f"t{number}": np.frombuffer(drawn_bytes(number, 3 << 20), "u1") for number in range(12)}
    )
    gate = Gate(s3.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
    took = fails(
        lambda: sharing.push(here, address, progress=lambda count: gate.shut() if count == 4 else None),
        MachineError,
        bucket,
    )
    assert took < 60
    assert not [path for path in s3.paths(bucket) if path.startswith(("names/", "journal/"))]
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    arrived = len([path for path in s3.paths(bucket) if path.startswith("objects/")])
    assert 4 <= arrived < 13
    again = sharing.push(here, address)
    assert again.skipped == arrived and again.objects == 13 - arrived


def test_a_pull_that_was_cut_off_is_repeated_and_fetches_the_rest(
    tmp_path: Path, s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there, address = store_at(tmp_path, "here"), store_at(tmp_path, "there"), f"s3://{bucket}"
    model = put_version(
        here, "model", {f"t{number}": np.frombuffer(drawn_bytes(number, 12 << 20), "u1") for number in range(9)}
    )
    sharing.push(here, address)
    gate = Gate(s3.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
    took = fails(
        lambda: sharing.pull(there, address, progress=lambda count: gate.shut() if count == 1 else None),
        MachineError,
        bucket,
    )
    assert took < 60
    came = len(list(LocalObjects(there).digests()))
    assert 1 <= came < 9
    assert not there.names.exists() and not there.journal.exists() and not list(there.temporary.iterdir())
    assert check_store(there, full=True).ok
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    again = sharing.pull(there, address)
    assert again.ok and again.skipped == came
    assert check_store(there, full=True).ok
    assert Artifact(there, model.digest, "tensors").is_whole(read=True)


def test_what_is_damaged_or_gone_is_repaired_from_a_remote(tmp_path: Path, remote: RemoteFiles) -> None:
    here = store_at(tmp_path, "here")
    model, other = put_version(here, "model", tensors(1)), put_version(here, "other", tensors(2))
    sharing.push(here, remote.address)
    objects = LocalObjects(here, DECODERS)
    large = max(other.manifest.entries, key=lambda entry: entry.size).objects[0]
    for path in list(here.packs.iterdir()):
        path.unlink()
    stored = bytearray(objects.path(large).read_bytes())
    stored[7] ^= 1
    objects.path(large).write_bytes(stored)
    objects.path(model.digest).unlink(missing_ok=True)
    mended, found = check_and_repair(here, remote.address, full=True)
    assert found.ok and not mended.lost and str(large) in mended.repaired
    assert equal(Artifact(here, model.digest, "tensors").load(), tensors(1))
    assert equal(Artifact(here, other.digest, "tensors").load(), tensors(2))


def test_what_a_remote_does_not_have_either_is_lost_by_name(tmp_path: Path, folder: RemoteFiles) -> None:
    here = store_at(tmp_path, "here")
    put_version(here, "kept", [1])
    sharing.push(here, folder.address)
    late = put_version(here, "late", [2])
    (part,) = set(late.manifest.objects())
    LocalObjects(here).path(part).unlink()
    mended, found = check_and_repair(here, folder.address)
    assert [row["digest"] for row in mended.lost] == [str(part)] and not found.ok
    pushed = sharing.push(here, folder.address)
    assert [row["digest"] for row in pushed.failed] == [str(part)] and pushed.names == 1
