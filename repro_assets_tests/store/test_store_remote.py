"""Sharing a store: what goes into a remote and comes out of it, on a folder and on an S3 server."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from shared_stores import RemoteFiles, drawn_bytes, equal, put_version, store_at, tensors

from repro_assets.artifacts import names, repository, sharing
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.soundness import check_store
from repro_assets.errors import MissingObject, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.journal.segments import journal_at
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects
from repro_assets.store.remote import configured
from repro_assets.store.remote.bucket import Bucket
from repro_assets.store.remote.fetching import receive
from repro_assets.store.remote.objects import RemoteObjects
from repro_assets.store.remote.sending import send


def test_another_store_gets_everything(tmp_path: Path, remote: RemoteFiles) -> None:
    here, there = store_at(tmp_path, "here"), store_at(tmp_path, "there")
    model, note = put_version(here, "model", tensors(1)), put_version(here, "note", {"text": "kept"})
    sent = sharing.push(here, remote.address)
    assert sent.ok and sent.names == 2 and sent.segments == 1
    came = sharing.pull(there, remote.address)
    assert came.ok and (came.objects, came.names, came.segments) == (sent.objects, 2, 1)
    assert equal(Artifact(there, model.digest, "tensors").load(), tensors(1))
    assert names.newest(there, "note").digest == note.digest
    found = check_store(there, full=True)
    assert found.ok and found.checked == came.objects
    assert not list(there.temporary.iterdir())


def test_only_what_is_new_travels_and_small_objects_together(tmp_path: Path, remote: RemoteFiles) -> None:
    here, there = store_at(tmp_path, "here"), store_at(tmp_path, "there")
    put_version(here, "model", tensors(1))
    first = sharing.push(here, remote.address)
    assert len(remote.paths("packs/")) == 2
    again = sharing.push(here, remote.address)
    assert (again.objects, again.bytes, again.names, again.segments) == (0, 0, 0, 0)
    assert again.skipped == first.objects
    sharing.pull(there, remote.address)
    put_version(here, "model", {**tensors(1), "small-3": np.zeros(300, "f4")})
    more = sharing.push(here, remote.address)
    assert (more.objects, more.names, more.segments) == (2, 1, 1)
    came = sharing.pull(there, remote.address)
    assert (came.objects, came.names, came.segments) == (2, 1, 1)
    assert sharing.pull(there, remote.address).objects == 0
    assert names.newest(there, "model").number == 2


def test_a_large_file_goes_through_in_parts(tmp_path: Path, remote: RemoteFiles) -> None:
    here, there = store_at(tmp_path, "here"), store_at(tmp_path, "there")
    path = tmp_path / "large"
    path.write_bytes(drawn_bytes(1, 40 << 20))
    with open_objects(here).batch() as batch:
        digest, _ = batch.put_file(path)
    bucket = RemoteObjects(Bucket(remote.address))
    assert send(LocalObjects(here), bucket, [digest]).objects == 1
    assert receive(LocalObjects(there), bucket, [digest]).objects == 1
    assert LocalObjects(there).placement(digest).size == 40 << 20
    LocalObjects(there).verify(digest)
    (name,) = remote.paths("objects/")
    remote.flip(name, 20 << 20)
    other = store_at(tmp_path, "other")
    assert list(receive(LocalObjects(other), bucket, [digest]).failed) == [digest]
    assert not LocalObjects(other).has(digest) and not list(other.temporary.iterdir())


def test_single_artifacts_travel_with_their_versions(tmp_path: Path, remote: RemoteFiles) -> None:
    here, there = store_at(tmp_path, "here"), store_at(tmp_path, "there")
    model, other = put_version(here, "model", tensors(1)), put_version(here, "other", tensors(2))
    sent = sharing.push(here, remote.address, [model.digest])
    assert sent.names == 1 and sent.segments == 0
    sharing.push(here, remote.address, [other.digest])
    came = sharing.pull(there, remote.address, ["model"])
    assert came.ok and came.names == 1
    assert names.collections(there) == ["model"]
    assert not LocalObjects(there).has(other.digest)
    assert check_store(there, full=True).ok
    assert sharing.pull(there, remote.address, ["other:v1", other.digest.hex[:10]]).names == 1
    assert equal(Artifact(there, other.digest, "tensors").load(), tensors(2))
    with pytest.raises(UnknownName, match="nothing"):
        sharing.pull(there, remote.address, ["nothing"])


def test_one_number_for_two_artifacts_is_named_and_nothing_is_overwritten(tmp_path: Path, remote: RemoteFiles) -> None:
    here, there = store_at(tmp_path, "here"), store_at(tmp_path, "there")
    ours, theirs = put_version(here, "model", {"of": "here"}), put_version(there, "model", {"of": "there"})
    extra = put_version(there, "extra", {"also": "there"})
    assert sharing.push(here, remote.address).ok
    pushed = sharing.push(there, remote.address)
    clash = {"name": "model:v1", "local": str(theirs.digest), "remote": str(ours.digest)}
    assert pushed.conflicts == [clash] and not pushed.ok and pushed.names == 1
    assert json.loads(remote.read("names/model/1"))["digest"] == str(ours.digest)
    pulled = sharing.pull(there, remote.address)
    assert pulled.conflicts == [clash]
    assert names.version(there, "model", 1).digest == theirs.digest
    third = store_at(tmp_path, "third")
    assert sharing.pull(third, remote.address).ok
    assert names.version(third, "model", 1).digest == ours.digest
    assert names.version(third, "extra", 1).digest == extra.digest
    assert LocalObjects(third).has(theirs.digest)
    assert all(check_store(home, full=True).ok for home in (here, there, third))


def test_of_many_that_create_one_file_one_wins(remote: RemoteFiles) -> None:
    bucket = Bucket(remote.address)
    with ThreadPoolExecutor(8) as pool:
        new = list(pool.map(lambda number: bucket.create("names/model/1", b"%d" % number), range(8)))
    assert sorted(new) == [False] * 7 + [True]
    assert remote.read("names/model/1") == b"%d" % new.index(True)


PUSHER = """
import sys
from pathlib import Path
from repro_assets.artifacts import sharing
from repro_assets.store.home import open_store
done = sharing.push(open_store(Path(sys.argv[1])), sys.argv[2])
print(done.names, len(done.conflicts), done.failed)
"""


def test_machines_that_push_at_once_do_not_disturb_each_other(tmp_path: Path, remote: RemoteFiles) -> None:
    homes = [store_at(tmp_path, f"home-{number}") for number in range(3)]
    for number, home in enumerate(homes):
        for version in range(3):
            put_version(home, f"model-{number}", tensors(10 * number + version))
        put_version(home, "shared", {"the": "same"})
        put_version(home, "disputed", {"by": number})
    pushing = [
        subprocess.Popen([sys.executable, "-c", PUSHER, home.root, remote.address], stdout=subprocess.PIPE, text=True)
        for home in homes
    ]
    answers = [process.communicate(timeout=120)[0].split(maxsplit=2) for process in pushing]
    assert sum(int(new) for new, _, _ in answers) == 3 * 3 + 1 + 1
    assert sum(int(conflicts) for _, conflicts, _ in answers) == 2
    there = store_at(tmp_path, "there")
    assert sharing.pull(there, remote.address).ok
    for number in range(3):
        assert len(names.versions(there, f"model-{number}")) == 3
        loaded = Artifact(there, names.newest(there, f"model-{number}").digest, "tensors").load()
        assert equal(loaded, tensors(10 * number + 2))
    assert check_store(there, full=True).ok


def test_a_journal_grows_in_the_remote_by_what_is_new(tmp_path: Path, folder: RemoteFiles) -> None:
    here, there = store_at(tmp_path, "here"), store_at(tmp_path, "there")
    put_version(here, "model", [1])
    sharing.push(here, folder.address)
    segment = here.journal / journal_at(here.journal).segment
    with segment.open("ab") as torn:
        torn.write(b'{"v":1,"kind"')
    assert sharing.push(here, folder.address).segments == 0
    with segment.open("r+b") as torn:
        torn.truncate(segment.stat().st_size - len(b'{"v":1,"kind"'))
    sharing.pull(there, folder.address)
    put_version(here, "model", [2])
    sharing.push(here, folder.address)
    first, second = sorted(folder.paths("journal/"), key=lambda path: int(path.rpartition("/")[2].partition("-")[0]))
    assert len(folder.read(first)) + len(folder.read(second)) == segment.stat().st_size
    sharing.pull(there, folder.address)
    assert (there.journal / segment.name).read_bytes() == segment.read_bytes()
    # A segment that came by a pull goes on to the next remote, and never shortens one.
    assert sharing.push(there, folder.address).segments == 0


def test_objects_come_from_the_default_remote_when_they_are_read(tmp_path: Path, remote: RemoteFiles) -> None:
    here, there = store_at(tmp_path, "here"), store_at(tmp_path, "there")
    model = put_version(here, "model", tensors(1))
    sharing.push(here, remote.address)
    configured.add_remote(there, "origin", remote.address, default=True)
    learnt = sharing.pull(there, remote.address, records_only=True)
    assert learnt.objects == 0 and learnt.names == 1
    assert list(LocalObjects(there).digests()) == []
    version = names.newest(there, "model")
    assert equal(repository.handle(there, version).load(), tensors(1))
    assert set(LocalObjects(there).digests()) >= {model.digest, *model.manifest.objects()}
    assert check_store(there, full=True).ok
    with pytest.raises(MissingObject):
        open_objects(there).read(Digest.of(b"nowhere"))
    configured.remove_remote(there, "origin")
    assert open_objects(there).places.fetch is None


def test_a_codec_that_needs_this_store_does_not_travel(tmp_path: Path, folder: RemoteFiles) -> None:
    here, there = store_at(tmp_path, "here"), store_at(tmp_path, "there")
    objects = LocalObjects(here, {"reversed": lambda stored: stored[::-1]})
    contents = [b"%d" % number * 100 for number in range(10)]
    digests = [objects.put_encoded(content, "reversed", content[::-1]) for content in contents]
    remote = RemoteObjects(Bucket(folder.address))
    assert send(objects, remote, digests).objects == 10
    assert receive(LocalObjects(there), remote, digests).objects == 10
    assert [LocalObjects(there).read(digest) for digest in digests] == contents
