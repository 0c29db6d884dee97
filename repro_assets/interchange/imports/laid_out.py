"""An artifact of a store that was laid out as files, recognized by its manifest beside them.

Laws: it is that artifact only if the manifest hashes to the digest that is named and every object that it names is in
the files, bit for bit, and nothing else is; otherwise it is not, and nothing is said of why: whoever asks takes the
files as files. Nothing is executed, and no pickle is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_assets.artifacts.kinds import json_value, raw_bytes, record_blocks, table, tensors, tree
from repro_assets.errors import ReproError
from repro_assets.identity import canonical
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.interchange.imports.files import files_in, hashed
from repro_assets.interchange.imports.foreign import ForeignArtifact, Source, StoredTable
from repro_assets.interchange.verification import check_parquet

if TYPE_CHECKING:
    from numpy.typing import NDArray

Objects = Iterator[tuple[Digest, int, Source]]
# What a file of another form than the manifest's makes of reading it.
_OTHERWISE = (ReproError, OSError, ValueError, KeyError, TypeError, IndexError, RecursionError, EOFError, OverflowError)


def recognized(data: bytes, digest: str, laid: Path) -> ForeignArtifact | None:
    """Return the artifact that was laid out as `laid`, or None where the files are not that.

    Parameters
    ----------
    data : bytes
        What should be its manifest.
    digest : str
        What should be its digest.
    laid : Path
        A file or a folder.
    """
    try:
        manifest = Manifest.decode(data)
        if str(manifest.digest) != digest or manifest.encode() != data:
            return None
        found = list(_READERS[manifest.kind](manifest, laid))
    except _OTHERWISE:
        return None
    sizes = {digest: size for digest, size, _ in found}
    if set(sizes) != set(manifest.objects()):
        return None
    return ForeignArtifact(manifest, sizes, {digest: source for digest, _, source in found})


def _tree(manifest: Manifest, laid: Path) -> Objects:
    """Yield the files; a server may hold them under other names than those that the manifest has."""
    tree.check_paths(manifest)
    found = {digest: (size, file) for file in files_in(laid)[0].values() for digest, size in (hashed(file),)}
    wanted = {entry.objects: entry.size for entry in manifest.entries if set(entry.facts) - {"link", "folder"}}
    if {(digest,): size for digest, (size, _) in found.items()} != wanted:
        raise ValueError("the files are others")
    for digest, (size, file) in found.items():
        yield digest, size, file


def _bytes(manifest: Manifest, laid: Path) -> Objects:
    (entry,) = manifest.entries
    yield _file(entry, laid)


def _file(entry: Entry, file: Path) -> tuple[Digest, int, Source]:
    digest, size = hashed(file)
    if (digest,) != entry.objects or size != entry.size:
        raise ValueError("the file is another")
    return digest, size, file


def _json(manifest: Manifest, laid: Path) -> Objects:
    data = _canonical(laid)
    (entry,) = manifest.entries
    yield from _pieces(entry, [data], lambda: [_canonical(laid)])


def _canonical(laid: Path) -> bytes:
    return canonical.encode(json.loads(laid.read_text("utf-8")))


def _table(manifest: Manifest, laid: Path) -> Objects:
    (entry,) = manifest.entries
    stored = laid.read_bytes()
    check_parquet(entry.size, stored)
    data = table.decode(stored)
    if len(data) != entry.size or (Digest.of(data),) != entry.objects:
        raise ValueError("the table is another")
    yield entry.objects[0], len(data), StoredTable(laid)


def _tensors(manifest: Manifest, laid: Path) -> Objects:
    said = json.loads((laid / "nesting.json").read_text("utf-8"))
    if said["nesting"] != manifest.facts["nesting"] or len(said["tensors"]) != len(manifest.entries):
        raise ValueError("the nesting is another")
    if len(files_in(laid)[0]) != len(manifest.entries) + 1:
        raise ValueError("there are other files")
    for number, entry in enumerate(manifest.entries):
        read = partial(_tensor_pieces, laid / f"{number:05d}.npy")
        yield from _pieces(entry, read(), read)


def _tensor_pieces(file: Path) -> list[bytes]:
    data = _array(file).tobytes()
    return [data[start : start + tensors.PART_BYTES] for start in range(0, len(data), tensors.PART_BYTES)]


def _segments(manifest: Manifest, laid: Path) -> Objects:
    if record_blocks.FACT not in manifest.facts:
        files = files_in(laid)[0]
        if set(files) != {entry.name for entry in manifest.entries}:
            raise ValueError("there are other files")
        for entry in manifest.entries:
            yield _file(entry, files[entry.name])
        return
    said = json.loads((laid / "records.json").read_text("utf-8"))
    files = {field["name"]: laid / f"{number:03d}.npy" for number, field in enumerate(said["fields"])}
    if len(files_in(laid)[0]) != len(files) + 1:
        raise ValueError("there are other files")
    taken: dict[str, int] = dict.fromkeys(files, 0)
    for entry in manifest.entries:
        name = entry.name.rpartition("/")[0]
        read = partial(_record_pieces, files[name], taken[name], entry.size)
        yield from _pieces(entry, read(), read)
        taken[name] += entry.size
    if any(taken[name] != _array(file).nbytes for name, file in files.items()):
        raise ValueError("there are other records")


def _record_pieces(file: Path, start: int, size: int) -> list[bytes]:
    column = _array(file)
    width = column[:1].nbytes
    block = column[start // width : (start + size) // width]
    return [part.tobytes() for part in record_blocks.parts_of(block)]


def _array(file: Path) -> NDArray[Any]:
    import numpy
    from numpy.lib import format as npy

    with file.open("rb") as opened:
        npy.read_magic(opened)
        shape, _, dtype = npy.read_array_header_1_0(opened)
        # Before memory is taken for what is not there.
        if opened.tell() + math.prod(shape) * dtype.itemsize != file.stat().st_size:
            raise ValueError("it is cut short")
    array: NDArray[Any] = numpy.load(file, allow_pickle=False)
    return numpy.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def _pieces(entry: Entry, pieces: list[bytes], read: Callable[[], list[bytes]]) -> Objects:
    """Yield the objects of an entry, whose bytes were read and can be read again."""
    if tuple(Digest.of(piece) for piece in pieces) != entry.objects or sum(map(len, pieces)) != entry.size:
        raise ValueError("the bytes are others")
    for number, (digest, piece) in enumerate(zip(entry.objects, pieces, strict=True)):
        yield digest, len(piece), partial(_piece, read, number)


def _piece(read: Callable[[], list[bytes]], number: int) -> bytes:
    return read()[number]


_READERS: Mapping[str, Callable[[Manifest, Path], Objects]] = {
    tree.NAME: _tree,
    raw_bytes.NAME: _bytes,
    json_value.NAME: _json,
    table.NAME: _table,
    tensors.NAME: _tensors,
    record_blocks.NAME: _segments,
}
