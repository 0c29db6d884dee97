"""Bundles that are not what they say: refused whole, by one error, with nothing written and little memory taken."""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy
import pytest
import zstandard
from bundled import Edit, Pieces, Stored, entry, files_of

from repro_assets.errors import InvalidInput, UnsupportedFormat
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.interchange.container import LARGEST
from repro_assets.interchange.importing import import_bundle
from repro_assets.journal.artifact_records import AliasMoved, ArtifactStored, VersionClaimed
from repro_assets.journal.lines import write_line
from repro_assets.journal.run_records import RunInput, RunStarted
from repro_assets.store.home import Home

OTHER = Digest.of(b"what is not there")


def refused(home: Home, path: Path, *, match: str, kind: type[Exception] = InvalidInput) -> None:
    before = files_of(home)
    for dry_run in (True, False):
        with pytest.raises(kind, match=match):
            import_bundle(home, path, dry_run=dry_run)
    assert files_of(home) == before
    assert not list((home.root / "tmp").glob("*")) and not (home.root / "catalog.duckdb").exists()


def add_line(payload: Any, seq: int = 10**6) -> Edit:
    def edit(pieces: Pieces) -> None:
        pieces.segments[0] += write_line(payload, seq=seq, time=1.0)

    return edit


def add_manifest(manifest: Manifest, *parts: bytes) -> Edit:
    """An artifact that a record names, put in its place."""

    def edit(pieces: Pieces) -> None:
        pieces.objects = sorted([*pieces.objects, *map(entry, parts)])
        pieces.manifests = sorted([*pieces.manifests, entry(manifest.encode())])
        add_line(RunInput("r", "slot", str(manifest.digest)))(pieces)

    return edit


def tree_of(*entries: tuple[str, dict[str, Any]]) -> Edit:
    data = b"out of here"
    listed = tuple(
        Entry(name, *((0, ()) if "link" in facts else (len(data), (Digest.of(data),))), facts)
        for name, facts in entries
    )
    return add_manifest(Manifest("tree", listed), data)


def change(**members: Any) -> Edit:
    return lambda pieces: pieces.document.update(members)


def rename_segment(name: str) -> Edit:
    return lambda pieces: pieces.document["segments"][0].update(name=name)


def replace_line(old: bytes, new: bytes) -> Edit:
    """Change words of the records, with seals that are right again."""

    def edit(pieces: Pieces) -> None:
        import xxhash

        lines = []
        for line in pieces.segments[0].splitlines(keepends=True):
            body = line.rpartition(b',"xxh3":"')[0].replace(old, new)
            lines.append(body + b',"xxh3":"' + xxhash.xxh3_64_hexdigest(body).encode() + b'"}\n')
        assert b"".join(lines) != pieces.segments[0]
        pieces.segments[0] = b"".join(lines)

    return edit


def drop_object(pieces: Pieces) -> None:
    del pieces.objects[0]


def drop_manifest(pieces: Pieces) -> None:
    del pieces.manifests[0]


def wrong_digest(pieces: Pieces) -> None:
    digest, _, stored = pieces.objects[0]
    pieces.objects[0] = entry(stored + b"x", digest=digest)


def wrong_digest_of_manifest(pieces: Pieces) -> None:
    digest, _, stored = pieces.manifests[0]
    pieces.manifests[0] = entry(stored + b"x", digest=digest)


def wrong_check(pieces: Pieces) -> None:
    digest, form, stored = pieces.objects[0]
    pieces.objects[0] = digest, dataclasses.replace(form, check=bytes(16)), stored


def twice(pieces: Pieces) -> None:
    pieces.objects.insert(0, pieces.objects[0])


def twice_as_manifest(pieces: Pieces) -> None:
    pieces.objects = sorted([*pieces.objects, pieces.manifests[0]])


def surplus(pieces: Pieces) -> None:
    pieces.objects = sorted([*pieces.objects, entry(b"nobody asked for this")])


def pickled_codec(pieces: Pieces) -> None:
    data = pickle.dumps({"a": 1})
    pieces.objects = sorted([*pieces.objects, entry(data, codec="pickle")])


def segment_twice(pieces: Pieces) -> None:
    pieces.document["segments"].append(dict(pieces.document["segments"][0]))
    pieces.segments.append(pieces.segments[0])


def line_twice(pieces: Pieces) -> None:
    pieces.segments[0] += pieces.segments[0].splitlines(keepends=True)[-1]


def without_process(pieces: Pieces) -> None:
    pieces.segments[0] = pieces.segments[0].partition(b"\n")[2]


def bomb(pieces: Pieces) -> None:
    """10 GB of zeros in 10 kB and a half, with the right digest of what it would be cut to."""
    stored = zstandard.ZstdCompressor(level=19).compress(bytes(LARGEST))
    pieces.objects = sorted([*pieces.objects, entry(b"", codec="zstd", stored=stored, size=10 * 10**9)])


def frame_that_lies(pieces: Pieces) -> None:
    """A frame of many zeros in an object that says it is small."""
    stored = zstandard.ZstdCompressor(level=19).compress(bytes(LARGEST))
    pieces.objects = sorted([*pieces.objects, entry(b"", codec="zstd", stored=stored, size=1000)])


def table_of_zeros(pieces: Pieces) -> None:
    """A Parquet file of a few kilobytes that says how many rows it has, in an object that says it is small."""
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    rows = pyarrow.table({"x": pyarrow.array(numpy.zeros(40_000_000, "int8"))})
    pyarrow.parquet.write_table(rows, out, compression="zstd", write_statistics=False)
    stored = out.getvalue()
    assert len(stored) < 100_000
    pieces.objects = sorted([*pieces.objects, entry(b"", codec="parquet", stored=stored, size=10_000)])


REFUSED: dict[str, tuple[Edit, str]] = {
    "a file above the tree": (tree_of(("../up", {})), "not a relative path"),
    "an absolute path": (tree_of(("/etc/passwd", {})), "not a relative path"),
    "a path with an empty part": (tree_of(("a//b", {})), "not a relative path"),
    "a NUL in a path": (tree_of(("a\0b", {})), "not a relative path"),
    "a link that leads out": (tree_of(("link", {"link": "../../x"})), "points outside"),
    "an absolute link": (tree_of(("link", {"link": "/etc"})), "points outside"),
    "a link that is no text": (tree_of(("link", {"link": ["/etc"]})), "points outside"),
    "a file below a link": (tree_of(("link", {"link": "there"}), ("link/file", {})), "no folder"),
    "one path twice": (tree_of(("a", {}), ("a", {})), "twice"),
    "a part of another size": (
        add_manifest(Manifest("bytes", (Entry("data", 99, (Digest.of(b"abc"),)),)), b"abc"), "another size"
    ),
    "an unknown kind of artifact": (add_manifest(Manifest("pickle", ())), "no kind of artifact"),
    "a merge of a journal": (add_manifest(Manifest("journal", ())), "no kind of artifact"),
    "an object twice": (twice, "there twice"),
    "a manifest that is also a part": (twice_as_manifest, "there twice"),
    "a wrong digest": (wrong_digest, "hashes to another digest"),
    "a manifest of a wrong digest": (wrong_digest_of_manifest, "hashes to another digest"),
    "a wrong checksum": (wrong_check, "do not match their checksum"),
    "a missing object": (drop_object, "not in the bundle"),
    "a missing manifest": (drop_manifest, "not in the bundle"),
    "an object that nothing names": (surplus, "nothing in it names"),
    "a codec that unpickles": (pickled_codec, "codec 'pickle', which no bundle has"),
    "zeros": (bomb, "would be 10000000000 bytes"),
    "a frame that lies": (frame_that_lies, "does not decode"),
    "a table of zeros": (table_of_zeros, "does not decode"),
    "a record that names what is missing": (add_line(RunInput("r", "s", str(OTHER))), "not in the bundle"),
    "an artifact record of what is missing": (add_line(ArtifactStored(str(OTHER), "json", 1, 1)), "not in the bundle"),
    "a record with no digest": (add_line(RunInput("r", "s", "../../etc/passwd")), "not a digest"),
    "a version of no collection": (add_line(VersionClaimed("../../x", 1, str(OTHER), "json")), "cannot name"),
    "a version that is no number": (add_line(VersionClaimed("x", 0, str(OTHER), "json")), "is no version"),
    "a version that is a truth": (add_line(VersionClaimed("x", True, str(OTHER), "json")), "no.*"),
    "an alias": (add_line(AliasMoved("x", "best", 1, str(OTHER))), "no record of the kind 'alias'"),
    "a run whose seed is a word": (add_line(RunStarted("r", "asset", "n", seed="x")), "integer"),  # type: ignore[arg-type]
    "a record out of its place": (add_line(RunStarted("r", "asset", "n"), seq=1), "out of its place"),
    "a record twice": (line_twice, "out of its place"),
    "a record cut short": (lambda p: p.segments.__setitem__(0, p.segments[0][:-1]), "does not read|cut short"),
    "a record with a flipped bit": (
        lambda p: p.segments.__setitem__(0, p.segments[0].replace(b"run_started", b"run_startet", 1)), "checksum"
    ),
    "a record of no known kind": (replace_line(b'"run_started"', b'"run_exploded"'), "unknown kind"),
    "a record of a newer schema": (replace_line(b'{"v":1', b'{"v":77'), "schema version 77"),
    "a segment without a process": (without_process, "which process"),
    "a segment twice": (segment_twice, "there twice"),
    "a segment above the journal": (rename_segment("../x-1-" + "0" * 32 + ".jsonl"), "cannot name a segment"),
    "a segment of another name": (rename_segment("catalog.duckdb"), "cannot name a segment"),
    "a document without a member": (lambda p: p.document.pop("wheels"), "does not read"),
    "wheels of nothing": (change(wheels=[{"environment": "x", "artifact": None, "missing": []}]), "does not read"),
    "wheels that are not there": (
        change(wheels=[{"environment": str(OTHER), "artifact": str(OTHER), "missing": []}]), "not in the bundle"
    ),
    "a newer format": (change(format=2), "format 2"),
    "no format": (change(format="1"), "does not read"),
}  # fmt: skip
NEWER = {"a newer format", "a record of no known kind", "a record of a newer schema"}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bundle_whose_seal_is_right_and_whose_content_is_not_is_refused(
    name: str, bundle: Path, empty: Home, tmp_path: Path
) -> None:
    edit, match = REFUSED[name]
    pieces = Pieces.of(bundle)
    edit(pieces)
    path = pieces.write(tmp_path / "bad.repro")
    refused(empty, path, match=match, kind=UnsupportedFormat if name in NEWER else InvalidInput)


def test_pieces_that_nothing_was_done_to_are_the_bundle(bundle: Path, tmp_path: Path) -> None:
    assert Pieces.of(bundle).write(tmp_path / "same.repro").read_bytes() == bundle.read_bytes()


def test_what_is_no_bundle_or_no_whole_one_is_refused(bundle: Path, empty: Home, tmp_path: Path) -> None:
    data = bundle.read_bytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../evil", "x")
    for content, match in (
        (b"", "is not a bundle"),
        (pickle.dumps(os.getcwd), "is not a bundle"),
        (archive.getvalue(), "is not a bundle"),
        (data[:-1], "cut short"),
        (data[: len(data) // 2], "cut short|damaged"),
        (data[:12], "cut short"),
        (data + b"\0", "seal"),
        (data[:-1] + bytes([data[-1] ^ 1]), "seal"),
        (data[:8] + b"\xff" * 8 + data[16:], "cut short"),
        (data[:16] + b"[" + data[17:], "seal"),
        (b"reproBU1" + (200_000).to_bytes(8, "little") + b"[" * 200_000, "seal"),
    ):
        path = tmp_path / "bad.repro"
        path.write_bytes(content)
        refused(empty, path, match=match)
    (tmp_path / "new.repro").write_bytes(b"reproBU2" + data[8:])
    refused(empty, tmp_path / "new.repro", match="format", kind=UnsupportedFormat)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "none", tmp_path / "bad.repro" / "x"):
        refused(empty, path, match="no regular file|no file")


def test_a_changed_byte_is_said_in_one_way_wherever_it_is(bundle: Path, empty: Home, tmp_path: Path) -> None:
    data = bundle.read_bytes()
    path = tmp_path / "bad.repro"
    for place in (*range(8, 400, 3), *range(400, len(data), max(1, len(data) // 200))):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(InvalidInput) as raised:
            import_bundle(empty, path)
        assert str(raised.value) == (
            f"{path} is refused and nothing of it was taken: it was cut short or changed after it was written, for its "
            "bytes do not match its seal (copy it again, or export it again)"
        ), place


@pytest.mark.parametrize("name", [name for name in REFUSED if name not in NEWER])
def test_content_that_is_refused_has_one_remedy_and_no_word_of_python(
    name: str, bundle: Path, empty: Home, tmp_path: Path
) -> None:
    pieces = Pieces.of(bundle)
    REFUSED[name][0](pieces)
    with pytest.raises(InvalidInput) as raised:
        import_bundle(empty, pieces.write(tmp_path / "bad.repro"))
    said = str(raised.value)
    assert said.count("(export it again)") == 1 and "Error(" not in said and "seal" not in said


PROGRAM = """
import resource, sys
from pathlib import Path
from repro_assets.errors import InvalidInput
from repro_assets.interchange.importing import import_bundle
from repro_assets.store.home import Home
import numpy, pyarrow.parquet, repro_assets.catalog.points
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    import_bundle(Home(Path(sys.argv[1])), Path(sys.argv[2]))
except InvalidInput:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("name", ["zeros", "a frame that lies", "a table of zeros"])
def test_a_bomb_takes_neither_memory_nor_disk(name: str, bundle: Path, empty: Home, tmp_path: Path) -> None:
    pieces = Pieces.of(bundle)
    REFUSED[name][0](pieces)
    path = pieces.write(tmp_path / "bomb.repro")
    assert path.stat().st_size < 300_000
    asked = [sys.executable, "-c", PROGRAM, str(empty.root), str(path)]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2 * (LARGEST >> 20), done.stderr
    assert sum(item.stat().st_size for item in empty.root.rglob("*") if item.is_file()) < 10_000


def test_many_small_bombs_are_stored_as_small_as_they_came(
    stored: Stored, bundle: Path, empty: Home, tmp_path: Path
) -> None:
    """Zeros of a size that is allowed, with the right digests, take no more of the disk than of the bundle."""
    pieces = Pieces.of(bundle)
    data = [bytes(8 << 20) + bytes([number]) for number in range(3)]
    packed = zstandard.ZstdCompressor()
    pieces.objects = sorted(
        [*pieces.objects, *(entry(item, codec="zstd", stored=packed.compress(item)) for item in data)]
    )
    manifest = Manifest("bytes", (Entry("data", sum(map(len, data)), tuple(map(Digest.of, data))),))
    pieces.manifests = sorted([*pieces.manifests, entry(manifest.encode())])
    add_line(RunInput("r", "slot", str(manifest.digest)))(pieces)
    path = pieces.write(tmp_path / "zeros.repro")
    import_bundle(empty, path)
    held = sum(
        item.stat().st_size for place in (empty.objects, empty.packs) for item in place.rglob("*") if item.is_file()
    )
    assert held < 2 * path.stat().st_size


def test_an_error_is_one_line(bundle: Path, empty: Home, tmp_path: Path) -> None:
    pieces = Pieces.of(bundle)
    replace_line(b'"kind":"run_input"', b'"kind":"run_input\\n"')(pieces)
    with pytest.raises(UnsupportedFormat) as caught:
        import_bundle(empty, pieces.write(tmp_path / "bad.repro"))
    assert "\n" not in str(caught.value)
