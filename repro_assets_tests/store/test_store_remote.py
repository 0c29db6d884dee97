"""Sharing a store: what goes into a remote and comes out of it, on a folder and on an S3 server."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from s3_server import CREDENTIALS, Gate, S3Server

from repro_assets.artifacts import names, repository, sharing
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.mending import check_and_repair
from repro_assets.artifacts.soundness import check_store
from repro_assets.errors import InvalidValue, MachineError, MissingObject, ReusedElsewhere, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.journal.segments import journal_at
from repro_assets.store.home import Home, make_store
from repro_assets.store.layout import RAW, Form, trailer
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects
from repro_assets.store.remote import configured
from repro_assets.store.remote.bucket import Bucket, canonical_url
from repro_assets.store.remote.fetching import receive
from repro_assets.store.remote.objects import RemoteObjects, loose_path
from repro_assets.store.remote.sending import send


class Raw:
    """The files of a remote, reached past everything under test."""

    def __init__(self, address: str, server: S3Server | None) -> None:
        self.address = address
        self._server = server
        self._place = address.removeprefix("s3://")

    def paths(self, prefix: str = "") -> list[str]:
        if self._server is None:
            root = Path(self.address)
            found = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
        else:
            bucket, _, folder = self._place.partition("/")
            found = [path.removeprefix(f"{folder}/") for path in self._server.paths(bucket)]
        return [path for path in found if path.startswith(prefix)]

    def read(self, path: str) -> bytes:
        if self._server is None:
            return (Path(self.address) / path).read_bytes()
        return self._server.read(f"{self._place}/{path}")

    def write(self, path: str, data: bytes) -> None:
        if self._server is None:
            (Path(self.address) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(self.address) / path).write_bytes(data)
        else:
            self._server.write(f"{self._place}/{path}", data)

    def flip(self, path: str, place: int) -> None:
        data = bytearray(self.read(path))
        data[place] ^= 1
        self.write(path, bytes(data))


def _folder(tmp_path: Path) -> Raw:
    (tmp_path / "remote").mkdir()
    return Raw(str(tmp_path / "remote"), None)


@pytest.fixture(params=["folder", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Raw:
    if request.param == "folder":
        return _folder(tmp_path)
    return Raw(f"s3://{request.getfixturevalue('bucket')}/some/prefix", request.getfixturevalue("s3"))


@pytest.fixture
def folder(tmp_path: Path) -> Raw:
    return _folder(tmp_path)


def _home(tmp_path: Path, name: str) -> Home:
    return make_store(tmp_path / name)


def _put(home: Home, name: str, value: Any) -> Artifact:
    return repository.claim(repository.put(home, value), name)


def _bytes(seed: int, size: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def _tensors(seed: int, count: int = 12) -> dict[str, Any]:
    """Many small objects, and two that are larger than what goes into a pack."""
    generator = np.random.default_rng(seed)
    small = {f"small-{number}": generator.normal(size=300).astype("f4") for number in range(count)}
    return {**small, **{f"large-{number}": generator.integers(0, 2**62, 200_000) for number in range(2)}}


def _equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def _fails(action: Callable[[], object], kind: type[Exception], match: str) -> float:
    begun = time.monotonic()
    with pytest.raises(kind, match=match):
        action()
    return time.monotonic() - begun


def test_another_store_gets_everything(tmp_path: Path, remote: Raw) -> None:
    here, there = _home(tmp_path, "here"), _home(tmp_path, "there")
    model, note = _put(here, "model", _tensors(1)), _put(here, "note", {"text": "kept"})
    sent = sharing.push(here, remote.address)
    assert sent.ok and sent.names == 2 and sent.segments == 1
    came = sharing.pull(there, remote.address)
    assert came.ok and (came.objects, came.names, came.segments) == (sent.objects, 2, 1)
    assert _equal(Artifact(there, model.digest, "tensors").load(), _tensors(1))
    assert names.newest(there, "note").digest == note.digest
    found = check_store(there, full=True)
    assert found.ok and found.checked == came.objects
    assert not list(there.temporary.iterdir())


def test_only_what_is_new_travels_and_small_objects_together(tmp_path: Path, remote: Raw) -> None:
    here, there = _home(tmp_path, "here"), _home(tmp_path, "there")
    _put(here, "model", _tensors(1))
    first = sharing.push(here, remote.address)
    assert len(remote.paths("packs/")) == 2
    again = sharing.push(here, remote.address)
    assert (again.objects, again.bytes, again.names, again.segments) == (0, 0, 0, 0)
    assert again.skipped == first.objects
    sharing.pull(there, remote.address)
    _put(here, "model", {**_tensors(1), "small-3": np.zeros(300, "f4")})
    more = sharing.push(here, remote.address)
    assert (more.objects, more.names, more.segments) == (2, 1, 1)
    came = sharing.pull(there, remote.address)
    assert (came.objects, came.names, came.segments) == (2, 1, 1)
    assert sharing.pull(there, remote.address).objects == 0
    assert names.newest(there, "model").number == 2


def test_a_large_file_goes_through_in_parts(tmp_path: Path, remote: Raw) -> None:
    here, there = _home(tmp_path, "here"), _home(tmp_path, "there")
    path = tmp_path / "large"
    path.write_bytes(_bytes(1, 40 << 20))
    with open_objects(here).batch() as batch:
        digest, _ = batch.put_file(path)
    bucket = RemoteObjects(Bucket(remote.address))
    assert send(LocalObjects(here), bucket, [digest]).objects == 1
    assert receive(LocalObjects(there), bucket, [digest]).objects == 1
    assert LocalObjects(there).placement(digest).size == 40 << 20
    LocalObjects(there).verify(digest)
    (name,) = remote.paths("objects/")
    remote.flip(name, 20 << 20)
    other = _home(tmp_path, "other")
    assert list(receive(LocalObjects(other), bucket, [digest]).failed) == [digest]
    assert not LocalObjects(other).has(digest) and not list(other.temporary.iterdir())


def test_a_damaged_object_is_not_sent(tmp_path: Path, folder: Raw) -> None:
    here = _home(tmp_path, "here")
    objects = LocalObjects(here)
    path = tmp_path / "large"
    path.write_bytes(_bytes(1, 20 << 20))
    digest, _ = objects.put_file(path)
    stored = bytearray(objects.path(digest).read_bytes())
    stored[19 << 20] ^= 1
    objects.path(digest).write_bytes(stored)
    done = send(objects, RemoteObjects(Bucket(folder.address)), [digest])
    assert list(done.failed) == [digest]
    assert folder.paths() == []


def test_single_artifacts_travel_with_their_versions(tmp_path: Path, remote: Raw) -> None:
    here, there = _home(tmp_path, "here"), _home(tmp_path, "there")
    model, other = _put(here, "model", _tensors(1)), _put(here, "other", _tensors(2))
    sent = sharing.push(here, remote.address, [model.digest])
    assert sent.names == 1 and sent.segments == 0
    sharing.push(here, remote.address, [other.digest])
    came = sharing.pull(there, remote.address, ["model"])
    assert came.ok and came.names == 1
    assert names.collections(there) == ["model"]
    assert not LocalObjects(there).has(other.digest)
    assert check_store(there, full=True).ok
    assert sharing.pull(there, remote.address, ["other:v1", other.digest.hex[:10]]).names == 1
    assert _equal(Artifact(there, other.digest, "tensors").load(), _tensors(2))
    with pytest.raises(UnknownName, match="nothing"):
        sharing.pull(there, remote.address, ["nothing"])


@pytest.mark.parametrize("kind", ["objects/", "packs/"])
def test_wrong_bytes_in_a_remote_are_not_stored_and_are_named(tmp_path: Path, remote: Raw, kind: str) -> None:
    here, there = _home(tmp_path, "here"), _home(tmp_path, "there")
    model, note = _put(here, "model", _tensors(1)), _put(here, "note", [1, 2])
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
    assert _equal(Artifact(there, model.digest, "tensors").load(), _tensors(1))


def test_a_remote_that_lies_about_content_is_found_out(tmp_path: Path, folder: Raw) -> None:
    here, there = _home(tmp_path, "here"), _home(tmp_path, "there")
    note = _put(here, "note", {"text": "true"})
    sharing.push(here, folder.address)
    (part,) = note.manifest.objects()
    lie = b'{"text":"false"}'
    form = Form(RAW, len(lie), len(lie), xxhash.xxh3_128_digest(lie))
    folder.write(loose_path(part), lie + trailer(part, form))
    came = sharing.pull(there, folder.address)
    assert str(part) in [row.get("digest") for row in came.failed]
    assert not LocalObjects(there).has(part) and not LocalObjects(there).has(note.digest)


def test_an_index_that_is_wrong_or_gone_is_made_again(tmp_path: Path, folder: Raw) -> None:
    here = _home(tmp_path, "here")
    _put(here, "model", _tensors(1))
    sharing.push(here, folder.address)
    (index,) = [path for path in folder.paths("packs/") if path.endswith(".idx")]
    folder.flip(index, 30)
    assert sharing.pull(_home(tmp_path, "one"), folder.address).ok
    (Path(folder.address) / index).unlink()
    assert sharing.pull(_home(tmp_path, "two"), folder.address).ok


@pytest.mark.parametrize("kind", ["names/", "journal/"])
def test_a_wrong_version_or_record_in_a_remote_is_named(tmp_path: Path, folder: Raw, kind: str) -> None:
    here, there = _home(tmp_path, "here"), _home(tmp_path, "there")
    _put(here, "model", _tensors(1))
    sharing.push(here, folder.address)
    (path,) = folder.paths(kind)
    folder.flip(path, 2)
    came = sharing.pull(there, folder.address)
    assert [row["name"] for row in came.failed if row["name"] in path]
    assert check_store(there).journal == []


def test_names_that_lead_elsewhere_are_no_names(tmp_path: Path, folder: Raw) -> None:
    here, there = _home(tmp_path, "here"), _home(tmp_path, "there")
    _put(here, "model", [1])
    sharing.push(here, folder.address)
    claim = folder.read("names/model/1")
    for path in ("names/.hidden/1", "names/a/b/1", "names/x/0", "journal/.x.jsonl/0-1." + "0" * 64):
        folder.write(path, claim)
    came = sharing.pull(there, folder.address)
    assert names.collections(there) == ["model"] and came.names == 1
    assert [path.name for path in there.journal.iterdir() if path.name.startswith(".")] == []


def test_one_number_for_two_artifacts_is_named_and_nothing_is_overwritten(tmp_path: Path, remote: Raw) -> None:
    here, there = _home(tmp_path, "here"), _home(tmp_path, "there")
    ours, theirs = _put(here, "model", {"of": "here"}), _put(there, "model", {"of": "there"})
    extra = _put(there, "extra", {"also": "there"})
    assert sharing.push(here, remote.address).ok
    pushed = sharing.push(there, remote.address)
    clash = {"name": "model:v1", "local": str(theirs.digest), "remote": str(ours.digest)}
    assert pushed.conflicts == [clash] and not pushed.ok and pushed.names == 1
    assert json.loads(remote.read("names/model/1"))["digest"] == str(ours.digest)
    pulled = sharing.pull(there, remote.address)
    assert pulled.conflicts == [clash]
    assert names.version(there, "model", 1).digest == theirs.digest
    third = _home(tmp_path, "third")
    assert sharing.pull(third, remote.address).ok
    assert names.version(third, "model", 1).digest == ours.digest
    assert names.version(third, "extra", 1).digest == extra.digest
    assert LocalObjects(third).has(theirs.digest)
    assert all(check_store(home, full=True).ok for home in (here, there, third))


def test_of_many_that_create_one_file_one_wins(remote: Raw) -> None:
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


def test_machines_that_push_at_once_do_not_disturb_each_other(tmp_path: Path, remote: Raw) -> None:
    homes = [_home(tmp_path, f"home-{number}") for number in range(3)]
    for number, home in enumerate(homes):
        for version in range(3):
            _put(home, f"model-{number}", _tensors(10 * number + version))
        _put(home, "shared", {"the": "same"})
        _put(home, "disputed", {"by": number})
    pushing = [
        subprocess.Popen([sys.executable, "-c", PUSHER, home.root, remote.address], stdout=subprocess.PIPE, text=True)
        for home in homes
    ]
    answers = [process.communicate(timeout=120)[0].split(maxsplit=2) for process in pushing]
    assert sum(int(new) for new, _, _ in answers) == 3 * 3 + 1 + 1
    assert sum(int(conflicts) for _, conflicts, _ in answers) == 2
    there = _home(tmp_path, "there")
    assert sharing.pull(there, remote.address).ok
    for number in range(3):
        assert len(names.versions(there, f"model-{number}")) == 3
        loaded = Artifact(there, names.newest(there, f"model-{number}").digest, "tensors").load()
        assert _equal(loaded, _tensors(10 * number + 2))
    assert check_store(there, full=True).ok


def test_a_journal_grows_in_the_remote_by_what_is_new(tmp_path: Path, folder: Raw) -> None:
    here, there = _home(tmp_path, "here"), _home(tmp_path, "there")
    _put(here, "model", [1])
    sharing.push(here, folder.address)
    segment = here.journal / journal_at(here.journal).segment
    with segment.open("ab") as torn:
        torn.write(b'{"v":1,"kind"')
    assert sharing.push(here, folder.address).segments == 0
    with segment.open("r+b") as torn:
        torn.truncate(segment.stat().st_size - len(b'{"v":1,"kind"'))
    sharing.pull(there, folder.address)
    _put(here, "model", [2])
    sharing.push(here, folder.address)
    first, second = sorted(folder.paths("journal/"), key=lambda path: int(path.rpartition("/")[2].partition("-")[0]))
    assert len(folder.read(first)) + len(folder.read(second)) == segment.stat().st_size
    sharing.pull(there, folder.address)
    assert (there.journal / segment.name).read_bytes() == segment.read_bytes()
    # A segment that came by a pull goes on to the next remote, and never shortens one.
    assert sharing.push(there, folder.address).segments == 0


def test_a_push_that_was_cut_off_is_repeated_and_sends_the_rest(
    tmp_path: Path, s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, address = _home(tmp_path, "here"), f"s3://{bucket}"
    _put(here, "model", {f"t{number}": np.frombuffer(_bytes(number, 3 << 20), "u1") for number in range(12)})
    gate = Gate(s3.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
    took = _fails(
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
    here, there, address = _home(tmp_path, "here"), _home(tmp_path, "there"), f"s3://{bucket}"
    model = _put(here, "model", {f"t{number}": np.frombuffer(_bytes(number, 12 << 20), "u1") for number in range(9)})
    sharing.push(here, address)
    gate = Gate(s3.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
    took = _fails(
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


def test_objects_come_from_the_default_remote_when_they_are_read(tmp_path: Path, remote: Raw) -> None:
    here, there = _home(tmp_path, "here"), _home(tmp_path, "there")
    model = _put(here, "model", _tensors(1))
    sharing.push(here, remote.address)
    configured.add_remote(there, "origin", remote.address, default=True)
    learnt = sharing.pull(there, remote.address, records_only=True)
    assert learnt.objects == 0 and learnt.names == 1
    assert list(LocalObjects(there).digests()) == []
    version = names.newest(there, "model")
    assert _equal(repository.handle(there, version).load(), _tensors(1))
    assert set(LocalObjects(there).digests()) >= {model.digest, *model.manifest.objects()}
    assert check_store(there, full=True).ok
    with pytest.raises(MissingObject):
        open_objects(there).read(Digest.of(b"nowhere"))
    configured.remove_remote(there, "origin")
    assert open_objects(there).places.fetch is None


def test_what_is_damaged_or_gone_is_repaired_from_a_remote(tmp_path: Path, remote: Raw) -> None:
    here = _home(tmp_path, "here")
    model, other = _put(here, "model", _tensors(1)), _put(here, "other", _tensors(2))
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
    assert _equal(Artifact(here, model.digest, "tensors").load(), _tensors(1))
    assert _equal(Artifact(here, other.digest, "tensors").load(), _tensors(2))


def test_what_a_remote_does_not_have_either_is_lost_by_name(tmp_path: Path, folder: Raw) -> None:
    here = _home(tmp_path, "here")
    _put(here, "kept", [1])
    sharing.push(here, folder.address)
    late = _put(here, "late", [2])
    (part,) = set(late.manifest.objects())
    LocalObjects(here).path(part).unlink()
    mended, found = check_and_repair(here, folder.address)
    assert [row["digest"] for row in mended.lost] == [str(part)] and not found.ok
    pushed = sharing.push(here, folder.address)
    assert [row["digest"] for row in pushed.failed] == [str(part)] and pushed.names == 1


def test_a_codec_that_needs_this_store_does_not_travel(tmp_path: Path, folder: Raw) -> None:
    here, there = _home(tmp_path, "here"), _home(tmp_path, "there")
    objects = LocalObjects(here, {"reversed": lambda stored: stored[::-1]})
    contents = [b"%d" % number * 100 for number in range(10)]
    digests = [objects.put_encoded(content, "reversed", content[::-1]) for content in contents]
    remote = RemoteObjects(Bucket(folder.address))
    assert send(objects, remote, digests).objects == 10
    assert receive(LocalObjects(there), remote, digests).objects == 10
    assert [LocalObjects(there).read(digest) for digest in digests] == contents


def test_a_remote_that_nobody_answers_for_is_an_error_within_a_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
    home = _home(tmp_path, "here")
    _put(home, "model", [1])
    assert _fails(lambda: sharing.push(home, "s3://bucket"), MachineError, "s3://bucket does not answer") < 30
    assert _fails(lambda: sharing.pull(home, "s3://bucket"), MachineError, "s3://bucket does not answer") < 30


def test_a_bucket_or_folder_that_is_not_there_is_named(tmp_path: Path, s3: S3Server) -> None:
    home = _home(tmp_path, "here")
    _put(home, "model", [1])
    for address in ("s3://no-such-bucket/x", str(tmp_path / "no" / "folder")):
        with pytest.raises(UnknownName, match="there is no"):
            sharing.push(home, address)
        with pytest.raises(UnknownName, match="there is no"):
            sharing.pull(home, address)


def test_what_is_no_folder_or_no_remote_is_left_as_it_is(tmp_path: Path) -> None:
    home = _home(tmp_path, "here")
    _put(home, "model", [1])
    absent, photos = tmp_path / "absent", tmp_path / "photos"
    photos.mkdir()
    (photos / "one.jpg").write_bytes(b"light")
    actions: list[Callable[..., object]] = [sharing.push, sharing.pull]
    for action in (*actions, functools.partial(configured.add_remote, name="disk")):
        with pytest.raises(UnknownName, match="there is no folder"):
            action(home, address=str(absent))
    with pytest.raises(UnknownName, match="holds nothing of a store"):
        sharing.pull(home, str(photos))
    assert not absent.exists() and configured.list_remotes(home) == []
    assert [path.name for path in photos.iterdir()] == ["one.jpg"]


def test_credentials_that_are_refused_are_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = S3Server(tmp_path / "log", INITIAL_NO_AUTH_ACTION_COUNT="1")
    try:
        server.make_bucket("bucket")
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": server.url}.items():
            monkeypatch.setenv(name, value)
        home = _home(tmp_path, "here")
        _put(home, "model", [1])
        with pytest.raises(MachineError, match=r"refuses the credentials.*AWS_ACCESS_KEY_ID") as failed:
            sharing.push(home, "s3://bucket")
        assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in str(failed.value).replace("AWS_SECRET_ACCESS_KEY", "")
    finally:
        server.end()


def test_remotes_have_names_and_no_credentials(tmp_path: Path) -> None:
    home = _home(tmp_path, "here")
    configured.add_remote(home, "one", "s3://bucket/a/", default=True)
    configured.add_remote(home, "two", str(tmp_path), default=True)
    assert [(r.name, r.url, r.default) for r in configured.list_remotes(home)] == [
        ("one", "s3://bucket/a", False),
        ("two", tmp_path.as_uri(), True),
    ]
    assert configured.find_remote(home, "one") == "s3://bucket/a"
    with pytest.raises(ReusedElsewhere):
        configured.add_remote(home, "one", "s3://other")
    with pytest.raises(UnknownName, match="one, two"):
        configured.find_remote(home, "three")
    for address in ("s3://key:secret@bucket/x", "az://container/x?sig=secret", "ftp://host/x", "s3://", "file:///"):
        with pytest.raises(InvalidValue) as refused:
            configured.add_remote(home, "bad", address)
        assert "secret" not in str(refused.value)
    assert "secret" not in home.remotes.read_text()


@pytest.mark.parametrize("address", ["s3://b/p", "gs://b/p/q", "az://c", "file:///a/b"])
def test_an_address_has_one_form(address: str) -> None:
    assert canonical_url(address) == canonical_url(address + "/") == canonical_url(canonical_url(address))
