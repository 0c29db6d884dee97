from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from data_manifest_folders import made, sums, verdict, without_roots_rights
from folders import write

from repro_assets.capture.data_manifest.creation import check_output, create_manifest, write_manifest
from repro_assets.capture.data_manifest.document import digest_of, document_of, encode, parse, read_manifest
from repro_assets.capture.data_manifest.hashing import ALGORITHMS, Unhashed, hash_file
from repro_assets.capture.data_manifest.verification import verify_manifest
from repro_assets.errors import InvalidInput, InvalidValue, MachineError, ReusedElsewhere


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A folder with everything that a file system offers."""
    data = write(
        tmp_path / "data",
        {"a.txt": "a", "sub/b.bin": bytes(range(256)), "new\nline": "n", "Case": "1", "case": "2", "back\\xff": "b"},
    )
    (Path(os.fsdecode(os.fsencode(data) + b"/back\xff"))).write_text("not UTF-8")
    (data / "empty").mkdir()
    (data / "to_file").symlink_to("a.txt")
    (data / "sub/loop").symlink_to("..")
    (data / "out").symlink_to("/etc")
    (data / "dangling").symlink_to("nowhere")
    (data / "strange_target").symlink_to(os.fsdecode(b"t\xff"))
    os.mkfifo(data / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(data / "socket"))
    return data


@pytest.mark.parametrize("algorithms", [["sha256"], ["md5", "sha512"], list(ALGORITHMS)])
@pytest.mark.parametrize("size", [0, 1, 255, (1 << 20) - 1, 1 << 20, (9 << 20) + 3])
def test_every_hash_is_that_of_the_whole_file(tmp_path, size, algorithms):
    data = write(tmp_path / "data", {"x": os.urandom(size)})
    (single,) = create_manifest(data / "x", algorithms=algorithms).items.values()
    (inside,) = create_manifest(data, algorithms=algorithms).items.values()
    assert single.hashes == inside.hashes == sums(data / "x", algorithms)
    assert single.size == inside.size == size


def bytes_read_by(work: Callable[[], Any]) -> int:
    """Bytes that this process asks the system for while it does `work`."""
    counter = Path("/proc/self/io")
    if not os.access(counter, os.R_OK):
        pytest.skip("this system does not count what is read")
    before = int(counter.read_text().split()[1])
    work()
    return int(counter.read_text().split()[1]) - before


def test_each_file_is_read_once_whatever_the_algorithms(tmp_path):
    data = write(tmp_path / "data", {"x": b"x" * 3_000_000})
    # Past the step of the file system's clock in which a second reading is due.
    time.sleep(0.1)
    assert 3_000_000 <= bytes_read_by(lambda: create_manifest(data, algorithms=ALGORITHMS)) < 3_100_000


def test_a_file_written_within_the_last_tick_is_read_again(tmp_path):
    def fresh() -> int:
        write(tmp_path / "data", {"x": b"x" * 1_000_000})
        return bytes_read_by(lambda: hash_file(str(tmp_path / "data/x"), ["sha256"]))

    # On a busy machine the tick may be over before the file is opened.
    assert any(fresh() >= 2_000_000 for _ in range(50))


def test_a_manifest_has_the_members_that_are_promised(tmp_path):
    data = write(tmp_path / "data", {"sub/a.csv": "1,2\n"})
    (data / "sub/a.csv").chmod(0o640)
    os.utime(data / "sub/a.csv", ns=(0, 1_500_000_000_123_456_789))
    document = document_of(create_manifest(data, metadata={"source": "the lab"}))
    assert document["files"] == [
        {
            "path": str(data / "sub/a.csv"),
            "relative_path": "sub/a.csv",
            "size_bytes": 4,
            "size_human": "4 B",
            "modified_time": "2017-07-14T02:40:00.123456+00:00",
            "permissions": "0640",
            "hashes": sums(data / "sub/a.csv", ["sha256"]),
        }
    ]
    summary = document["summary"]
    assert (document["manifest_version"], document["data_path"]) == ("1.0", str(data))
    assert (document["hash_algorithms"], document["metadata"]) == (["sha256"], {"source": "the lab"})
    assert (summary["total_files"], summary["total_size_bytes"], document["truncated"]) == (1, 4, False)
    assert summary["processing_time_seconds"] > 0 < summary["files_per_second"]


def test_what_is_no_file_is_recorded_and_never_opened_or_followed(strange):
    document = document_of(create_manifest(strange))
    assert [(link["relative_path"], link["target"]) for link in document["links"]] == [
        ("dangling", "nowhere"),
        ("out", "/etc"),
        ("strange_target", "t\\xff"),
        ("sub/loop", ".."),
        ("to_file", "a.txt"),
    ]
    assert document["links"][2]["target_bytes"] == "74ff"
    assert document["others"] == [
        {"relative_path": "fifo", "type": "fifo"},
        {"relative_path": "socket", "type": "socket"},
    ]
    assert document["folders"] == [{"relative_path": "empty"}]
    assert document["case_clashes"] == [["Case", "case"]]
    assert document["errors"] == []


def test_a_device_is_recorded_and_never_opened(tmp_path):
    data = write(tmp_path / "data", {"a": "a"})
    try:
        os.mknod(data / "zero", 0o20644, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")
    assert document_of(create_manifest(data))["others"] == [{"relative_path": "zero", "type": "character device"}]


def test_names_that_are_not_utf8_are_kept_apart_from_those_that_look_like_them(strange):
    entries = {entry.get("relative_path_bytes"): entry for entry in document_of(create_manifest(strange))["files"]}
    assert entries[b"back\xff".hex()]["relative_path"] == "back\\xff"
    assert entries[None]["relative_path"] != entries[b"back\xff".hex()]["relative_path"] or len(entries) == 2
    assert {os.fsencode(path) for path in create_manifest(strange).items} >= {b"back\xff", b"back\\xff", b"new\nline"}


def test_a_manifest_reads_back_as_what_was_written(strange, tmp_path):
    manifest = create_manifest(strange, algorithms=ALGORITHMS, metadata={"k": "v"}, exclude=["*.none"], max_files=4)
    document = json.loads(encode(document_of(manifest)))
    assert parse(document) == manifest
    assert document_of(parse(document)) == document
    assert verdict(made(strange, tmp_path / "m.json")) == set()


def test_the_digest_shows_any_change_of_the_document(tmp_path):
    document = document_of(create_manifest(write(tmp_path / "data", {"a": "a"})))
    assert document["digest"] == digest_of(document)
    for member in document.keys() - {"digest"}:
        assert digest_of({**document, member: "else"}) != document["digest"], member


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_a_limit_takes_the_first_by_path_and_says_how_many_it_left_out(tmp_path, limit):
    names = ["Z", "a/b", "a/c", "ab", "b"]
    data = write(tmp_path / "data", dict.fromkeys(reversed(names), "x"))
    document = document_of(create_manifest(data, max_files=limit))
    assert [file["relative_path"] for file in document["files"]] == names[:limit]
    assert (document["truncated"], document["left_out_files"]) == (limit < 5, max(0, 5 - limit))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everyone may enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_unreadable_files_and_folders_are_error_entries_and_never_pass(open_folder):
    data = write(open_folder / "data", {"open": "x", "closed": "x", "folder/in": "x"})
    manifest = made(data, open_folder / "before.json")
    (data / "closed").chmod(0)
    (data / "folder").chmod(0)
    try:
        with without_roots_rights():
            created = create_manifest(data)
            verified = verify_manifest(manifest)
            with pytest.raises(InvalidInput, match="cannot be listed"):
                create_manifest(data / "folder")
            with pytest.raises(InvalidInput, match="cannot be opened"):
                create_manifest(data / "closed")
    finally:
        (data / "folder").chmod(0o755)
    assert [item.path for item in created.of_type("file")] == ["open"]
    assert [(item.path, item.reason) for item in created.of_type("error")] == [
        ("closed", "unreadable"),
        ("folder", "unreadable"),
    ]
    assert (verified.valid, verified.missing_files) == (False, [])
    assert {error["relative_path"] for error in verified.errors} == {"closed", "folder", "folder/in"}
    (data / "closed").chmod(0o644)
    write_manifest(created, open_folder / "errors.json")
    assert verdict(open_folder / "errors.json") == {"errors"}


def test_a_file_that_changes_while_it_is_read_is_an_error_entry(tmp_path):
    data = write(tmp_path / "data", {"still": "x", "growing": b"x" * (8 << 20)})
    stop = threading.Event()

    def keep_writing() -> None:
        with (data / "growing").open("r+b") as file:
            while not stop.is_set():
                file.seek(4_000_000)
                file.write(os.urandom(8))
                file.flush()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        document = document_of(create_manifest(data, algorithms=ALGORITHMS))
    finally:
        stop.set()
        writer.join()
    assert [file["relative_path"] for file in document["files"]] == ["still"]
    assert [(error["relative_path"], error["reason"]) for error in document["errors"]] == [("growing", "changed")]


def test_one_change_of_what_was_read_already_is_seen(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    with (data / "x").open("wb") as file:
        file.truncate(256 << 20)
    time.sleep(0.1)

    def change_the_beginning() -> None:
        with (data / "x").open("r+b") as file:
            file.write(b"y")

    change = threading.Timer(0.05, change_the_beginning)
    change.start()
    found = create_manifest(data, algorithms=["md5", "sha512"])
    change.join()
    assert [item.reason for item in found.items.values()] == ["changed"]


def test_a_file_whose_name_comes_to_mean_another_is_an_error_entry(tmp_path):
    data = write(tmp_path / "data", {"x": b"x" * (16 << 20)})
    copies = [shutil.copy(data / "x", tmp_path / name) for name in ("one", "two")]
    stop = threading.Event()

    def keep_replacing() -> None:
        while not stop.is_set():
            for copy in copies:
                (tmp_path / "next").hardlink_to(copy)
                (tmp_path / "next").replace(data / "x")

    replacer = threading.Thread(target=keep_replacing)
    replacer.start()
    try:
        document = document_of(create_manifest(data, algorithms=ALGORITHMS))
    finally:
        stop.set()
        replacer.join()
    assert [(error["relative_path"], error["reason"]) for error in document["errors"]] == [("x", "changed")]


def test_what_became_a_link_or_a_fifo_is_neither_followed_nor_waited_for(tmp_path):
    data = write(tmp_path / "data", {"a": "a"})
    (data / "link").symlink_to("a")
    os.mkfifo(data / "fifo")
    for name, reason in (("link", "unreadable"), ("fifo", "changed"), ("none", "unreadable")):
        found = hash_file(str(data / name), ["sha256"])
        assert isinstance(found, Unhashed)
        assert found.reason == reason


@pytest.mark.parametrize("what", ["missing", "fifo", "closed socket"])
def test_what_is_neither_folder_nor_file_is_refused(tmp_path, what):
    path = tmp_path / what
    if what == "fifo":
        os.mkfifo(path)
    elif what != "missing":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))
    with pytest.raises(InvalidInput, match=what):
        create_manifest(path)


@pytest.mark.parametrize("asked", [{"algorithms": ["crc32"]}, {"max_files": 0}, {"metadata": {"k": "\udcff"}}])
def test_a_wrong_request_is_refused(tmp_path, asked):
    with pytest.raises(InvalidValue):
        document_of(create_manifest(write(tmp_path / "data", {"a": "a"}), **asked))


def test_a_manifest_in_the_folder_does_not_count_itself_wherever_the_folder_goes(tmp_path):
    data = write(tmp_path / "data", {"a": "a"})
    manifest = made(data, data / "m.json")
    assert verdict(made(data, data / "m.json")) == verdict(manifest) == set()
    copy = write(tmp_path / "elsewhere", {"c.json": manifest.read_bytes()}) / "c.json"
    data.rename(tmp_path / "moved")
    assert verdict(tmp_path / "moved/m.json", tmp_path / "moved") == set()
    assert verdict(copy, tmp_path / "moved") == set()
    assert list(read_manifest(copy).manifest.items) == ["a"]


def test_a_manifest_never_replaces_what_is_no_manifest(tmp_path):
    data = write(tmp_path / "data", {"a": "a"})
    manifest = create_manifest(data)
    with pytest.raises(ReusedElsewhere):
        write_manifest(manifest, data / "a")
    with pytest.raises(InvalidInput, match="not there"):
        check_output(tmp_path / "none/m.json")
    assert (data / "a").read_text() == "a"


def test_a_manifest_is_written_whole_or_not_at_all(tmp_path):
    data = write(tmp_path / "data", {"a": "a"})
    output = made(data, tmp_path / "m.json")
    before = output.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(MachineError, match="cannot write"):
            write_manifest(create_manifest(data), output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert output.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "m.json"]
