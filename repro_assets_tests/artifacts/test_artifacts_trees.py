"""Trees: paths, bytes and executable bits count, and nothing else; what is stored can be laid out, and only inside."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import DECODERS, tree
from repro_assets.artifacts.kinds.tree import TreeFile
from repro_assets.errors import CorruptRecord, InvalidInput, InvalidValue, SourceChanged
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.store.home import Home, make_store
from repro_assets.store.opening import open_objects

CONTENT = b"some bytes\r\n\0\xff"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_store(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for path, data in {
        "a.py": b"print()",
        "deep/er/data.bin": CONTENT,
        "deep/üñí 🙂.txt": b"",
        "run.sh": b"#!/bin/sh\n",
        "two\nlines": b"newline in the name",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    (root / "run.sh").chmod(0o755)
    (root / "empty/inner").mkdir(parents=True)
    (root / "deep/link").symlink_to("../a.py")
    (root / "other").symlink_to("deep")
    (root / "dangling").symlink_to("deep/nothing")
    return root


def put(home: Home, folder: Path) -> Artifact:
    return repository.put(home, folder)


def test_a_tree_comes_back_with_links_empty_folders_and_executable_bits(
    home: Home, folder: Path, tmp_path: Path
) -> None:
    artifact = put(home, folder)
    assert artifact.lay_out(tmp_path / "out") == 5
    assert (tmp_path / "out/empty/inner").is_dir()
    assert (tmp_path / "out/dangling").readlink() == Path("deep/nothing")
    assert (tmp_path / "out/other").readlink() == Path("deep")
    assert os.access(tmp_path / "out/run.sh", os.X_OK)
    assert not (tmp_path / "out/a.py").stat().st_mode & 0o111
    assert put(home, tmp_path / "out").digest == artifact.digest
    value = artifact.load()
    assert value["deep/er/data.bin"] == CONTENT
    assert set(value) == {"a.py", "deep/er/data.bin", "deep/üñí 🙂.txt", "run.sh", "two\nlines"}


def test_the_digest_in_the_manifest_is_what_sha256sum_says(home: Home, folder: Path) -> None:
    entries = {entry.name: entry for entry in put(home, folder).manifest.entries}
    said = subprocess.run(
        ["sha256sum", folder / "deep/er/data.bin"], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    assert entries["deep/er/data.bin"].objects == (Digest(said),)
    (entry,) = repository.put(home, folder / "deep/er/data.bin").manifest.entries
    assert entry.objects == (Digest(said),)


def test_the_digest_is_unchanged_when_the_tree_moves(home: Home, folder: Path, tmp_path: Path) -> None:
    before = put(home, folder).digest
    moved = tmp_path / "elsewhere" / "copy"
    shutil.copytree(folder, moved, symlinks=True)
    for path in moved.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    (moved / "a.py").chmod(0o600)
    assert put(home, moved).digest == before
    assert put(make_store(tmp_path / "another-store"), moved).digest == before


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "deep/er/data.bin").write_bytes(CONTENT[:-1] + b"\xfe"),
        lambda root: (root / "a.py").rename(root / "b.py"),
        lambda root: (root / "a.py").chmod(0o755),
        lambda root: (root / "new").touch(),
        lambda root: (root / "new").mkdir(),
        lambda root: (root / "empty/inner").rmdir(),
        lambda root: (root / "dangling").unlink(),
        lambda root: ((root / "dangling").unlink(), (root / "dangling").symlink_to("deep/nothin")),
        lambda root: ((root / "deep/link").unlink(), shutil.copy(root / "a.py", root / "deep/link")),
    ],
    ids=["bit", "name", "executable", "file", "folder", "no folder", "no link", "link", "copy for link"],
)
def test_every_change_that_counts_changes_the_digest(home: Home, folder: Path, change: object) -> None:
    before = put(home, folder).digest
    change(folder)  # type: ignore[operator]
    assert put(home, folder).digest != before


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    files=st.dictionaries(
        st.lists(st.text("ab.é \n\\'\"-#~", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join),
        st.tuples(st.binary(max_size=4), st.booleans()),
        max_size=6,
    )
)
def test_any_tree_is_refused_or_comes_back_whole(
    home: Home, tmp_path: Path, files: dict[str, tuple[bytes, bool]]
) -> None:
    def listing(root: Path) -> dict[str, tuple[bytes, bool]]:
        found = [path for path in root.rglob("*") if path.is_file()]
        return {p.relative_to(root).as_posix(): (p.read_bytes(), bool(p.stat().st_mode & 0o100)) for p in found}

    given_files = [
        TreeFile(path, tmp_path / "none", executable, read=lambda data=data: data)  # type: ignore[misc]
        for path, (data, executable) in files.items()
    ]
    target = tmp_path / "any"
    names = [path.split("/") for path in files]
    strange = any({".", ".."} & set(parts) for parts in names)
    clash = any(one != other and other[: len(one)] == one for one in names for other in names)
    try:
        artifact = repository.put(home, given_files, "tree")
    except InvalidValue:
        assert strange or clash
        return
    assert not strange
    assert not clash
    try:
        artifact.lay_out(target)
        assert listing(target) == files
        assert put(home, target).digest == artifact.digest or not files
    finally:
        shutil.rmtree(target, ignore_errors=True)


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b", "", ".", "a//b", "./a", "a/", "nul\0"])
def test_a_path_that_is_not_inside_is_refused_in_and_out(home: Home, tmp_path: Path, path: str) -> None:
    objects = open_objects(home, DECODERS)
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    with pytest.raises(InvalidValue, match="not a relative path"):
        tree.write([TreeFile(path, source)], objects.batch())
    planted = Manifest("tree", (Entry("good", 1, (objects.put(b"x"),)), Entry(path, 1, (objects.put(b"y"),))))
    with pytest.raises(CorruptRecord, match="not a relative path"):
        tree.lay_out(planted, objects, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_through_a_link(home: Home, tmp_path: Path) -> None:
    objects = open_objects(home, DECODERS)
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    with pytest.raises(InvalidValue, match="below something that is no folder"):
        tree.write([TreeFile("sub/x", source), TreeFile("sub", source, link_target="a")], objects.batch())
    planted = Manifest(
        "tree", (Entry("sub", 0, (), {"link": str(tmp_path)}), Entry("sub/x", 1, (objects.put(b"y"),), {}))
    )
    with pytest.raises(CorruptRecord):
        tree.lay_out(planted, objects, tmp_path / "out")
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "deep/../../outside"])
def test_a_link_that_leads_out_is_refused_when_stored_and_when_laid_out(
    home: Home, folder: Path, tmp_path: Path, target: str
) -> None:
    (folder / "escape").symlink_to(target)
    with pytest.raises(InvalidInput, match="'escape' leads out"):
        put(home, folder)
    planted = Manifest("tree", (Entry("escape", 0, (), {"link": target}),))
    with pytest.raises(CorruptRecord, match="outside"):
        tree.lay_out(planted, open_objects(home, DECODERS), tmp_path / "out")


def test_one_path_twice_is_refused(home: Home, folder: Path) -> None:
    with pytest.raises(InvalidValue, match="twice"):
        repository.put(home, [TreeFile("a", folder / "a.py"), TreeFile("a", folder / "run.sh")], "tree")


def test_names_and_targets_that_are_not_text_are_refused_by_name(home: Home, folder: Path) -> None:
    bad = os.fsencode(folder) + b"/caf\xe9"
    os.close(os.open(bad, os.O_CREAT | os.O_WRONLY))
    with pytest.raises(InvalidInput, match=r"caf\\udce9"):
        put(home, folder)
    Path(os.fsdecode(bad)).unlink()
    (folder / "named").symlink_to(os.fsdecode(b"caf\xe9"))
    with pytest.raises(InvalidInput, match="the link 'named'"):
        put(home, folder)


def test_what_is_neither_file_nor_folder_nor_link_is_refused_by_name(home: Home, folder: Path) -> None:
    os.mkfifo(folder / "deep/pipe")
    with pytest.raises(InvalidInput, match="deep/pipe"):
        put(home, folder)
    (folder / "deep/pipe").unlink()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening, contextlib.chdir(folder):
        listening.bind("ear")
        with pytest.raises(InvalidInput, match="ear"):
            put(home, folder)


def test_a_folder_that_is_not_there_is_refused(home: Home, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nowhere"):
        repository.put(home, tmp_path / "nowhere", "tree")


@contextlib.contextmanager
def writing(path: Path, step: object) -> Iterator[None]:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            step(path)  # type: ignore[operator]

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(1 << 20)
        file.write(os.urandom(8))


@pytest.mark.parametrize("step", [_append, _overwrite])
def test_a_file_that_is_written_while_it_is_read_is_an_error_that_names_it(
    home: Home, folder: Path, step: object
) -> None:
    (folder / "log").write_bytes(bytes(24 << 20))
    with writing(folder / "log", step):
        with pytest.raises(SourceChanged, match="log changed"):
            put(home, folder)
    assert not list(home.temporary.iterdir())
    entries = {entry.name: entry for entry in put(home, folder).manifest.entries}
    assert entries["log"].objects == (Digest(hashlib.sha256((folder / "log").read_bytes()).hexdigest()),)


def test_files_of_one_content_are_one_object(home: Home, tmp_path: Path) -> None:
    root = tmp_path / "twins"
    root.mkdir()
    for name in ("a", "b"):
        (root / name).write_bytes(CONTENT)
    artifact = put(home, root)
    assert len(set(artifact.manifest.objects())) == 1
    assert artifact.manifest.size == 2 * len(CONTENT)
