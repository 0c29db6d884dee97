"""The data of a Croissant document as files: as they are, and records as Parquet, which its readers read.

Laws: no value is lost or changed on the way: what does not fit into records whole (arrays of different lengths, numbers
beside arrays, complex numbers) stays in the files that ``repro artifacts get`` writes, and why is said. Every file has
its size and SHA-256, of the bytes that are there.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import block_list, json_value, raw_bytes, table, tensors, tree
from repro_assets.artifacts.kinds.record_blocks import Records
from repro_assets.cards.measuring import SPLITS, arrays_of
from repro_assets.identity.digest import Digest

if TYPE_CHECKING:
    import numpy as np
    import pyarrow

DATA = "data"
PARQUET = "application/x-parquet"
BYTES = "application/octet-stream"
_TYPES = mimetypes.MimeTypes()
"""Python's own table, which is the same on every machine."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file: its path in the folder, media type, size, and SHA-256 in hexadecimal."""

    path: str
    media_type: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RecordFile:
    """Records in a Parquet file.

    Parameters
    ----------
    name : str
        ``records``, or the split that they are.
    path : str
        The file's path in the folder.
    schema : Schema
        Its columns; a list of a fixed size is an array.
    split : bool
        Whether the name is that of a split.
    """

    name: str
    path: str
    schema: pyarrow.Schema
    split: bool = False


@dataclass(slots=True)
class Laid:
    """What lies in a folder: files, those of them that hold records, and why there are no records."""

    files: list[DataFile] = field(default_factory=list)
    records: list[RecordFile] = field(default_factory=list)
    is_tree: bool = False
    absence: str = ""


def lay_out(artifact: Artifact, name: str, folder: Path) -> Laid:
    """Write an artifact's data into a folder.

    Parameters
    ----------
    artifact : Artifact
        The data set.
    name : str
        What it is called, from whose ending that of a single file is taken.
    folder : Path
        An empty folder.

    Raises
    ------
    MissingObject, CorruptObject
        If bytes are gone or do not match.
    """
    if artifact.kind == table.NAME:
        return _table(artifact, folder)
    if artifact.kind in (tensors.NAME, block_list.NAME):
        value = artifact.load()
        found, absence = _records_of(value)
        return _arrays(found, folder) if not absence else _plain(artifact, folder, DATA, absence)
    if artifact.kind == tree.NAME:
        return _tree(artifact, folder)
    suffix = ".json" if artifact.kind == json_value.NAME else PurePosixPath(name).suffix
    place = f"{DATA}{suffix if artifact.kind in (json_value.NAME, raw_bytes.NAME) else ''}"
    return _plain(artifact, folder, place, f"what is of the kind {artifact.kind} has no columns")


def media_type(path: str) -> str:
    """Return the media type that a file's ending stands for."""
    return _TYPES.guess_type(path)[0] or BYTES


def _table(artifact: Artifact, folder: Path) -> Laid:
    import pyarrow.parquet

    place = folder / f"{DATA}.parquet"
    artifact.lay_out(place)
    schema = pyarrow.parquet.read_schema(place)
    return Laid([_file(folder, place)], [RecordFile("records", place.name, schema)])


def _arrays(found: Mapping[str, Mapping[str, np.ndarray]], folder: Path) -> Laid:
    import pyarrow
    import pyarrow.parquet

    laid = Laid()
    for name, columns in found.items():
        place = folder / f"{DATA}.parquet" if name == "records" else folder / DATA / f"{name}.parquet"
        place.parent.mkdir(exist_ok=True)
        made = pyarrow.table({column: _column(array) for column, array in columns.items()})
        pyarrow.parquet.write_table(made, place, compression="zstd", version="2.6", write_statistics=False)
        laid.files.append(_file(folder, place))
        relative = place.relative_to(folder).as_posix()
        laid.records.append(RecordFile(name, relative, made.schema, split=name != "records"))
    return laid


def _tree(artifact: Artifact, folder: Path) -> Laid:
    artifact.lay_out(folder / DATA)
    entries = [entry for entry in artifact.manifest.entries if entry.objects]
    laid = Laid(is_tree=bool(entries), absence="" if entries else "the tree has no files")
    for entry in entries:
        path = f"{DATA}/{entry.name}"
        laid.files.append(DataFile(path, media_type(path), entry.size, _whole(entry.objects, folder / path)))
    return laid


def _plain(artifact: Artifact, folder: Path, place: str, absence: str) -> Laid:
    artifact.lay_out(folder / place)
    made = folder / place
    paths = sorted(made.rglob("*")) if made.is_dir() else [made]
    return Laid([_file(folder, path) for path in paths if path.is_file()], absence=absence)


def _records_of(value: Any) -> tuple[dict[str, dict[str, np.ndarray]], str]:
    """Return the columns of each set of records in a value, by its name; or why it has none."""
    if isinstance(value, Records):
        return {"records": dict(value.columns)}, _unfit(dict(value.columns))
    if not isinstance(value, Mapping):
        return {}, "its value is no mapping of names to arrays"
    held = [name for name in SPLITS if isinstance(value.get(name), Mapping)]
    parts = {name: value[name] for name in held} if held and len(held) == len(value) else {"records": value}
    found = {name: dict(arrays_of(part)) for name, part in parts.items()}
    for name, part in parts.items():
        if _leaves(part) != len(found[name]):
            return {}, "it holds more than arrays"
        if reason := _unfit(found[name]):
            return {}, reason
    return found, ""


def _leaves(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_leaves(item) for item in value.values()) or 1
    if isinstance(value, list | tuple):
        return sum(_leaves(item) for item in value) or 1
    return 1


def _unfit(columns: Mapping[str, np.ndarray]) -> str:
    """Say why arrays are no columns of records; nothing where they are."""
    if not columns:
        return "it holds no arrays"
    if any(array.ndim == 0 for array in columns.values()):
        return "an array of it is a single number"
    if len({array.shape[0] for array in columns.values()}) > 1:
        return "its arrays differ in length"
    if any(0 in array.shape[1:] for array in columns.values()):
        return "an array of it has values without numbers"
    if any(array.dtype.kind not in "biuf" or array.dtype.itemsize > 8 for array in columns.values()):
        return "an array of it has a type that Parquet has not"
    return ""


def _column(array: np.ndarray) -> pyarrow.Array:
    """Return an array as a column whose values are lists of a fixed size, as deep as it has dimensions."""
    import numpy as np
    import pyarrow

    values = pyarrow.array(np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(-1))
    for size in reversed(array.shape[1:]):
        values = pyarrow.FixedSizeListArray.from_arrays(values, size)
    return values


def _file(folder: Path, path: Path) -> DataFile:
    relative = path.relative_to(folder).as_posix()
    kind = PARQUET if path.suffix == ".parquet" else media_type(relative)
    return DataFile(relative, kind, path.stat().st_size, _sha256(path))


def _whole(objects: tuple[Digest, ...], path: Path) -> str:
    # A file of a tree is one object, whose digest is that of the file.
    return objects[0].hex if len(objects) == 1 else _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return Digest.of_chunks(iter(lambda: file.read(_CHUNK), b"")).hex
