from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_manifest_folders import made, told, verdict
from folders import write

from repro_assets.capture.data_manifest.document import digest_of
from repro_assets.capture.data_manifest.verification import verify_manifest
from repro_assets.errors import CorruptRecord, InvalidInput, InvalidValue, ReusedElsewhere, UnsupportedFormat


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = write(tmp_path / "data", {"a": "one", "sub/b": "two", "sub/deep/c": "three"})
    (data / "empty").mkdir()
    (data / "link").symlink_to("a")
    os.mkfifo(data / "fifo")
    return data


@pytest.fixture
def manifest(data: Path, tmp_path: Path) -> Path:
    return made(data, tmp_path / "m.json")


def edited(manifest: Path, change: Callable[[dict[str, Any]], Any], *, sealed: bool) -> Path:
    """Change a manifest's document; `sealed` gives it the digest that goes with the change."""
    document = json.loads(manifest.read_text())
    change(document)
    if sealed:
        document["digest"] = digest_of(document)
    manifest.write_text(json.dumps(document))
    return manifest


def rewrite(path: Path, content: str) -> None:
    """Change a file and give it its old time back."""
    times = path.stat()
    path.write_text(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def replace(path: Path, make: Callable[[Path], Any]) -> None:
    path.unlink()
    make(path)


CHANGES: list[tuple[str, Callable[[Path], Any], set[str]]] = [
    ("a flipped bit under the old time", lambda d: rewrite(d / "a", "onf"), {"modified_files", "hash_mismatches"}),
    (
        "another size",
        lambda d: rewrite(d / "sub/b", "longer"),
        {"modified_files", "hash_mismatches", "size_mismatches"},
    ),
    ("a missing file", lambda d: (d / "sub/deep/c").unlink(), {"missing_files"}),
    ("a missing folder with files", lambda d: shutil.rmtree(d / "sub"), {"missing_files"}),
    ("an extra file far below", lambda d: write(d, {"sub/deep/er/x": ""}), {"extra_files"}),
    ("an extra file in an empty folder", lambda d: write(d, {"empty/x": ""}), {"extra_files"}),
    ("an extra link", lambda d: (d / "more").symlink_to("a"), {"extra_files"}),
    ("an extra FIFO", lambda d: os.mkfifo(d / "more"), {"extra_files"}),
    ("an extra empty folder", lambda d: (d / "more").mkdir(), {"extra_folders"}),
    ("a missing empty folder", lambda d: (d / "empty").rmdir(), {"missing_folders"}),
    ("a link elsewhere", lambda d: replace(d / "link", lambda p: p.symlink_to("sub/b")), {"changed_links"}),
    ("a missing link", lambda d: (d / "link").unlink(), {"missing_files"}),
    (
        "a link to the same bytes for a file",
        lambda d: replace(d / "sub/b", lambda p: p.symlink_to("../a")),
        {"type_changes"},
    ),
    ("a file for a link", lambda d: replace(d / "link", lambda p: p.write_text("one")), {"type_changes"}),
    ("an empty folder for a file", lambda d: replace(d / "a", Path.mkdir), {"type_changes"}),
    ("a FIFO for a file", lambda d: replace(d / "a", os.mkfifo), {"type_changes"}),
    ("another case", lambda d: (d / "a").rename(d / "A"), {"missing_files", "extra_files"}),
]


@pytest.mark.parametrize(("change", "expected"), [pytest.param(c, e, id=name) for name, c, e in CHANGES])
def test_every_change_of_the_data_is_seen_as_what_it_is(data, manifest, change, expected):
    assert verdict(manifest) == set()
    change(data)
    assert verdict(manifest) == expected


def test_a_folder_for_a_file_is_another_type_and_what_is_in_it_is_extra(data, manifest):
    replace(data / "a", lambda path: write(path, {"x": ""}))
    found = verify_manifest(manifest)
    assert (found.type_changes, found.extra_files) == (
        [{"relative_path": "a", "expected": "file", "found": "folder"}],
        ["a/x"],
    )


def test_a_socket_for_a_fifo_is_another_type(data, manifest):
    (data / "fifo").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(data / "fifo"))
    assert verdict(manifest) == {"type_changes"}


def test_the_mismatches_say_what_was_and_what_is(data, manifest):
    rewrite(data / "a", "longer")
    found = verify_manifest(manifest)
    assert found.modified_files == ["a"]
    assert found.size_mismatches == [{"relative_path": "a", "expected": 3, "found": 6}]
    (mismatch,) = found.hash_mismatches
    assert mismatch["algorithm"] == "sha256"
    assert mismatch["expected"] != mismatch["found"]


def test_times_and_permissions_are_no_failure_but_permissions_are_a_note(data, manifest):
    os.utime(data / "a", (1, 1))
    (data / "sub/b").chmod(0o600)
    found = verify_manifest(manifest)
    assert found.valid
    assert found.notes == [{"relative_path": "sub/b", "note": "permissions were 0644, are 0600"}]


def test_the_data_may_lie_anywhere(data, manifest, tmp_path):
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(InvalidInput, match="not there"):
        verify_manifest(manifest)
    assert verdict(manifest, tmp_path / "elsewhere") == set()
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="no folder"):
        verify_manifest(manifest, tmp_path / "file")


def test_a_single_file_has_a_manifest_that_verifies(tmp_path):
    data = write(tmp_path / "data", {"one": "1", "other": "2"})
    manifest = made(data / "one", tmp_path / "m.json")
    assert verdict(manifest) == verdict(manifest, data) == verdict(manifest, data / "one") == set()
    assert verdict(manifest, data / "other") == {"modified_files", "hash_mismatches"}
    shutil.copy(data / "one", tmp_path / "renamed")
    assert verdict(manifest, tmp_path / "renamed") == set()
    with pytest.raises(InvalidInput, match="not there"):
        verify_manifest(manifest, tmp_path / "none")
    (data / "one").unlink()
    assert verdict(manifest) == {"missing_files"}
    (data / "one").mkdir()
    assert verdict(manifest) == {"type_changes"}


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize(
    "change", [lambda f: f.pop("hashes"), lambda f: f.update(hashes={}), lambda f: f.pop("size_bytes")]
)
def test_an_entry_without_a_hash_or_size_is_never_a_pass(data, manifest, change, sealed):
    edited(manifest, lambda document: change(document["files"][0]), sealed=sealed)
    found = verify_manifest(manifest)
    assert told(found) == {"errors"}
    assert "a" in {error["relative_path"] for error in found.errors}
    assert len(found.errors) == (1 if sealed else 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["files"].pop(),
        lambda d: d["metadata"].update(source="else"),
        lambda d: d.update(exclude=["x"]),
        lambda d: d.pop("digest"),
        lambda d: d.update(more=1),
    ],
)
def test_a_manifest_that_was_changed_is_never_a_pass(manifest, change):
    edited(manifest, change, sealed=False)
    assert "errors" in verdict(manifest)


def test_of_a_truncated_manifest_extra_files_are_not_judged_and_that_is_said(data, tmp_path):
    manifest = made(data, tmp_path / "m.json", max_files=1)
    write(data, {"more": "x"})
    found = verify_manifest(manifest)
    assert found.valid
    assert "left out 2 files, so extra files cannot be told" in found.notes[0]["note"]
    rewrite(data / "a", "onf")
    assert verdict(manifest) == {"modified_files", "hash_mismatches"}


def test_below_a_folder_that_could_not_be_listed_nothing_is_extra_and_nothing_passes(data, tmp_path, manifest):
    def lose(document: dict[str, Any]) -> None:
        document["files"] = document["files"][:1]
        document["errors"] = [{"relative_path": "sub", "error": "cannot be listed", "reason": "unreadable"}]

    edited(manifest, lose, sealed=True)
    assert verdict(manifest) == {"errors"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", InvalidInput),
        (b"\xff\xfe", InvalidInput),
        (b"[]", InvalidInput),
        (b"{}", InvalidInput),
        (b"[" * 100_000, InvalidInput),
        (b'{"manifest_version": "1.0"}', InvalidInput),
        (b'{"manifest_version": 1}', InvalidInput),
        (b'{"manifest_version": "1.0", "manifest_version": "1.0"}', InvalidInput),
        (b'{"manifest_version": "0.9"}', InvalidInput),
        (b'{"manifest_version": "1.1"}', UnsupportedFormat),
        (b'{"manifest_version": "12.1"}', UnsupportedFormat),
    ],
)
def test_what_is_no_manifest_is_one_clear_error(tmp_path, text, error):
    path = tmp_path / "m.json"
    path.write_bytes(text)
    with pytest.raises(error, match=r"m\.json"):
        verify_manifest(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["files"][0].update(relative_path="../a"),
        lambda d: d["files"][0].update(relative_path="/etc/passwd"),
        lambda d: d["files"][0].update(relative_path="x\0"),
        lambda d: d["files"][0].update(relative_path="\ud800"),
        lambda d: d["files"][0].update(relative_path_bytes="ff"),
        lambda d: d["files"].append(d["files"][0]),
        lambda d: d["files"][0].update(size_bytes=-1),
        lambda d: d["files"][0].update(hashes={"sha256": "not hexadecimal"}),
        lambda d: d.update(hash_algorithms=["crc32"]),
        lambda d: d.update(hash_algorithms=[]),
        lambda d: d.update(manifest_type="else"),
        lambda d: d.update(left_out_files=True),
        lambda d: d.update(files={}),
    ],
)
def test_a_malformed_manifest_is_one_clear_error(manifest, change):
    edited(manifest, change, sealed=False)
    with pytest.raises(InvalidInput, match="is not a data manifest"):
        verify_manifest(manifest)


def test_a_manifest_that_is_cut_or_is_no_file_is_one_clear_error(manifest, tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InvalidInput, match="is no file"):
            verify_manifest(path)
    manifest.write_bytes(manifest.read_bytes()[:-40])
    with pytest.raises(InvalidInput, match="is not a data manifest"):
        verify_manifest(manifest)


def later(data: Path) -> None:
    """Add, modify (under the old time), remove, and change type and permissions."""
    write(data, {"new/file": "new"})
    rewrite(data / "a", "onf")
    (data / "sub/deep/c").unlink()
    replace(data / "link", lambda path: path.symlink_to("sub/b"))


def test_a_differential_manifest_says_only_what_differs_and_verifies_all(data, manifest, tmp_path):
    later(data)
    os.utime(data / "sub/b", (1, 1))
    second = made(data, tmp_path / "n.json", base=manifest)
    document = json.loads(second.read_text())
    changes = {
        name: [entry["relative_path"] for entry in entries] if isinstance(entries, list) else entries
        for name, entries in document["changes"].items()
    }
    assert changes == {
        "added": ["new/file", "sub/deep"],
        "modified": ["a", "link"],
        "permissions": [],
        "removed": ["sub/deep/c"],
        "unchanged": 3,
    }
    assert [file["relative_path"] for file in document["files"]] == ["a", "new/file"]
    assert document["base"]["digest"] == json.loads(manifest.read_text())["digest"]
    assert verdict(second) == set()
    assert verdict(manifest) != set()
    rewrite(data / "sub/b", "twp")
    assert verdict(second) == {"modified_files", "hash_mismatches"}


def test_differential_manifests_follow_each_other(data, manifest, tmp_path):
    last = manifest
    for number in range(30):
        write(data, {f"more/{number}": str(number)})
        last = made(data, tmp_path / f"m{number}.json", base=last)
    assert verdict(last) == set()
    (data / "more/7").unlink()
    assert verdict(last) == {"missing_files"}


def test_permissions_alone_are_a_change_that_a_differential_manifest_keeps(data, manifest, tmp_path):
    (data / "a").chmod(0o600)
    second = made(data, tmp_path / "n.json", base=manifest)
    assert json.loads(second.read_text())["changes"]["permissions"] == [{"relative_path": "a"}]
    assert verify_manifest(second).notes == []


def test_a_base_is_found_beside_the_manifest_and_must_be_the_one_that_was_named(data, manifest, tmp_path):
    later(data)
    second = made(data, tmp_path / "n.json", base=manifest)
    moved = tmp_path / "moved"
    moved.mkdir()
    manifest = manifest.rename(moved / "m.json")
    with pytest.raises(InvalidInput, match=r"the base of .* is not there"):
        verify_manifest(second)
    second = second.rename(moved / "n.json")
    assert verdict(second) == set()
    edited(manifest, lambda document: document["files"].pop(), sealed=False)
    with pytest.raises(CorruptRecord, match="is not the base"):
        verify_manifest(second)
    edited(manifest, lambda document: None, sealed=True)
    with pytest.raises(CorruptRecord, match="is not the base"):
        verify_manifest(second)


def test_manifests_and_bases_inside_the_folder_do_not_count(data):
    first = made(data, data / "m.json")
    later(data)
    second = made(data, data / "n.json", base=first)
    assert verdict(second) == set()
    moved = data.rename(data.parent / "moved")
    assert verdict(moved / "n.json", moved) == set()


def test_a_manifest_that_was_put_into_the_folder_later_is_not_extra(data, manifest):
    inside = Path(shutil.copy(manifest, data / "sub/m.json"))
    assert verdict(inside) == set()
    assert verdict(manifest) == {"extra_files"}


def test_a_single_file_has_differential_manifests(tmp_path):
    data = write(tmp_path / "data", {"one": "1"})
    first = made(data / "one", tmp_path / "m.json")
    same = made(data / "one", tmp_path / "same.json", base=first)
    assert json.loads(same.read_text())["files"] == []
    assert verdict(same) == set()
    rewrite(data / "one", "2")
    assert verdict(same) == {"modified_files", "hash_mismatches"}
    assert verdict(made(data / "one", tmp_path / "other.json", base=first)) == set()


def test_what_does_not_go_with_the_base_is_refused(data, manifest, tmp_path):
    for asked in ({"algorithms": ["md5"]}, {"include": ["*"]}, {"exclude": ["x"]}, {"max_files": 2}):
        with pytest.raises(InvalidValue):
            made(data, tmp_path / "n.json", base=manifest, **asked)
    with pytest.raises(InvalidValue, match="truncated"):
        made(data, tmp_path / "n.json", base=made(data, tmp_path / "t.json", max_files=1))
    with pytest.raises(InvalidValue, match="both files"):
        made(data / "a", tmp_path / "n.json", base=manifest)
    with pytest.raises(ReusedElsewhere, match="is the base"):
        made(data, manifest, base=manifest)
    edited(manifest, lambda document: document["files"].pop(), sealed=False)
    with pytest.raises(CorruptRecord, match="was changed"):
        made(data, tmp_path / "n.json", base=manifest)
