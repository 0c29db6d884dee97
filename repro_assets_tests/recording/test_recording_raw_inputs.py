"""Raw files become artifacts, and the manifest of a folder tells later whether it is still the same."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from repro_assets.capture.data_manifest.verification import verify_manifest
from repro_assets.capture.level import Level
from repro_assets.errors import InvalidInput, SourceChanged
from repro_assets.recording.capturing import capture
from repro_assets.recording.raw_inputs import store_manifest, store_raw
from repro_assets.store.home import Home, make_store

TEXTS = Path("raw") / "texts"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_store(tmp_path / "home")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return filled(tmp_path / "project")


def filled(root: Path) -> Path:
    (root / TEXTS / "sub").mkdir(parents=True)
    (root / TEXTS / "empty").mkdir()
    (root / TEXTS / "a.md").write_text("one")
    (root / TEXTS / "sub" / "b.md").write_text("")
    (root / TEXTS / "link").symlink_to("a.md")
    return root


def test_a_file_is_bytes_and_a_folder_a_tree_under_names_of_their_own(home: Home, root: Path) -> None:
    file, folder = store_raw(home, root, TEXTS / "a.md"), store_raw(home, root, TEXTS)
    assert (file.kind, file.collection, file.name, file.load()) == ("bytes", "raw-a.md", "raw/texts/a.md", b"one")
    assert (folder.kind, folder.collection, folder.version) == ("tree", "raw-texts", 1)
    assert dict(folder.load()) == {"a.md": b"one", "sub/b.md": b""}


def test_the_manifest_verifies_the_folder_and_finds_an_edited_file(
    home: Home, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = store_manifest(home, root, TEXTS, store_raw(home, root, TEXTS))
    assert (manifest.kind, manifest.collection) == ("bytes", "manifest-texts")
    kept = tmp_path / "manifest.json"
    kept.write_bytes(manifest.load())
    assert str(tmp_path).encode() not in manifest.load()
    found = verify_manifest(kept, root / TEXTS)
    assert found.valid and found.verified_files == 2 and not found.notes
    monkeypatch.chdir(root)
    assert verify_manifest(kept).valid
    before = (root / TEXTS / "a.md").stat()
    (root / TEXTS / "a.md").write_text("two")
    os.utime(root / TEXTS / "a.md", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert verify_manifest(kept).modified_files == ["a.md"]


def test_equal_folders_have_an_equal_manifest_whatever_their_times_and_place(
    home: Home, root: Path, tmp_path: Path
) -> None:
    other = filled(tmp_path / "elsewhere")
    os.utime(other / TEXTS / "a.md", (1, 1))
    one, two = (store_manifest(home, each, TEXTS, store_raw(home, each, TEXTS)) for each in (root, other))
    assert one.digest == two.digest and one.version == two.version == 1
    (other / TEXTS / "a.md").write_text("two")
    later = store_manifest(home, other, TEXTS, store_raw(home, other, TEXTS))
    assert later.version == 2


@pytest.mark.parametrize("change", ["edited", "added", "removed"])
def test_a_folder_that_changes_while_it_is_captured_is_refused(home: Home, root: Path, change: str) -> None:
    tree = store_raw(home, root, TEXTS)
    file = root / TEXTS / {"edited": "a.md", "added": "new.md", "removed": "sub/b.md"}[change]
    if change == "removed":
        file.unlink()
    else:
        file.write_text("new")
    with pytest.raises(SourceChanged, match="of raw/texts changed while it was captured"):
        store_manifest(home, root, TEXTS, tree)


def test_a_folder_that_cannot_be_kept_is_refused(home: Home, root: Path) -> None:
    os.mkfifo(root / TEXTS / "pipe")
    with pytest.raises(InvalidInput, match="pipe is neither a file, a folder nor a link"):
        store_raw(home, root, TEXTS)


def test_a_capture_without_environment_keeps_none_and_says_so(home: Home, root: Path) -> None:
    without, whole = (capture(home, Level.BASIC, root, with_environment=wanted) for wanted in (False, True))
    assert (without.environment_digest, without.document, without.readings) == (None, {}, {})
    assert "the environment is not captured: capture_environment is off" in without.warnings
    assert without.summary().endswith("NO ENVIRONMENT")
    assert whole.environment_digest and not any("capture_environment" in line for line in whole.warnings)


def test_a_folder_of_any_name_is_a_collection_of_its_own(root: Path, home: Home) -> None:
    collections = set()
    names = ["my notes", "my-notes", "my_notes ", 'it\'s "mine"', "ノート", "n" * 240, "ü"]
    for name in names:
        folder = root / name
        folder.mkdir()
        (folder / "a.md").write_text(name)
        tree = store_raw(home, root, Path(name))
        manifest = store_manifest(home, root, Path(name), tree)
        assert tree.name == name
        assert (tree.version, manifest.version) == (1, 1)
        stem = str(tree.collection).removeprefix("raw-")
        assert manifest.collection == f"manifest-{stem}"
        collections.add(stem)
    assert len(collections) == len(names)
    assert "my-notes" in collections
    assert {name for name in collections if name.startswith("my-notes-")} == {"my-notes-" + _digits("my notes")}


def _digits(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]
