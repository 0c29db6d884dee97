"""Fingerprints of data sets.

Laws: all content counts, in order, with every dtype and shape and with the preprocessing steps as they were stated;
nothing is sampled; data is read once, piece by piece, so that more can be fingerprinted than memory holds; equal data
has an equal fingerprint in every process, whichever of NumPy and torch holds it. What a dataset draws at random counts
as it is drawn: fingerprint data before augmentation.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from repro_assets.determinism.fingerprints import PIECE_BYTES, written
from repro_assets.determinism.leaves import Leaf, is_a, leaves
from repro_assets.determinism.parts import Column, Part, part_of, part_of_cells, refuse_other_form
from repro_assets.errors import InvalidInput, InvalidValue, SourceChanged
from repro_assets.identity.canonical import decode, digest_of, encode
from repro_assets.identity.digest import Digest
from repro_assets.wording import type_in_words

FORMAT = 2
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class DataFingerprint:
    """What `fingerprint_data` found.

    Parameters
    ----------
    kind : str
        ``array``, ``frame``, ``samples``, ``file``, ``folder``, or ``value`` for anything nested.
    parts : dict
        Each tensor, column, field of the samples or file, by its name.
    facts : dict
        What else the data says of itself, such as the declared features of a Hugging Face data set.
    preprocessing : list
        The steps as they were stated.
    """

    kind: str
    parts: dict[str, Part]
    facts: dict[str, Any] = field(default_factory=dict)
    preprocessing: list[Any] = field(default_factory=list)

    @property
    def digest(self) -> Digest:
        """Digest of all of it."""
        return digest_of(self.document())

    def document(self) -> dict[str, Any]:
        """Return it as JSON, to be stored."""
        return {
            "format": FORMAT,
            "kind": self.kind,
            "parts": {name: part.document() for name, part in self.parts.items()},
            "facts": self.facts,
            "preprocessing": self.preprocessing,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> DataFingerprint:
        """Read what `document` wrote.

        Raises
        ------
        UnsupportedFormat
            If it has another form than this version's, whose digests cannot be compared with it.
        """
        refuse_other_form(document, FORMAT)
        parts = {name: Part.from_document(part) for name, part in document["parts"].items()}
        return cls(document["kind"], parts, dict(document["facts"]), list(document["preprocessing"]))

    def __str__(self) -> str:
        lines = [f"{self.kind} {self.digest}"]
        lines += [
            f"  {name or '(all)'}: {part.dtype} {list(part.shape)} {part.digest}" for name, part in self.parts.items()
        ]
        return "\n".join([*lines, *(f"  after: {step}" for step in self.preprocessing)])


def fingerprint_data(data: Any, preprocessing: Sequence[Any] = ()) -> DataFingerprint:
    """Fingerprint a data set: all of it, with how it was prepared.

    Parameters
    ----------
    data : object
        A NumPy array, torch tensor, pandas DataFrame or Series, Arrow table or record batch; a torch `Dataset` or a
        Hugging Face ``datasets.Dataset``; a `pathlib.Path` of a file or folder; a dictionary of such things, or of
        other nested values; any other iterable of samples, which are arrays, numbers, text, or dictionaries and tuples
        of them.
    preprocessing : sequence
        The steps that led to it, in order, as text or JSON-like values.

    Returns
    -------
    DataFingerprint
        Compare two with `diff_fingerprints`.

    Raises
    ------
    InvalidValue
        If `data`, a sample or a step is of a type that has no form here.
    InvalidInput
        If a file cannot be read, or is neither file, folder nor link.
    SourceChanged
        If a file changed while it was read.
    """
    steps = _stated(preprocessing)
    kind, parts, facts = _described(data)
    return DataFingerprint(kind, parts, facts, steps)


def _described(data: Any) -> tuple[str, dict[str, Part], dict[str, Any]]:
    if isinstance(data, os.PathLike):
        return *_of_path(Path(data).resolve()), {}
    if is_a(data, "torch", "Tensor") or is_a(data, "numpy", "ndarray"):
        return "array", _parts(data), {}
    if is_a(data, "pandas", "DataFrame", "Series", "Index") or is_a(data, "pyarrow", "Table", "RecordBatch"):
        return "frame", _parts(data), {}
    if _is_hugging_face(data):
        facts = {"features": {str(name): str(feature) for name, feature in (data.features or {}).items()}}
        return "samples", _of_samples(_rows(data)), facts
    if isinstance(data, Mapping):
        return "value", _of_mapping(data), {}
    if isinstance(data, (str, bytes)) or not (isinstance(data, Iterable) or hasattr(data, "__getitem__")):
        raise InvalidValue(
            f"{type_in_words(data)} is no data set", "give arrays, a frame, a dataset, a Path, or samples"
        )
    return "samples", _of_samples(_samples(data)), {}


def _parts(value: Any) -> dict[str, Part]:
    return {leaf.path: _part(leaf) for leaf in leaves(value)}


def _part(leaf: Leaf) -> Part:
    if leaf.numbers is not None:
        return part_of(leaf.numbers)
    assert leaf.cells is not None
    part = part_of_cells(leaf.dtype, leaf.cells())
    # Of one value there is no place to name.
    return dataclasses.replace(part, shape=leaf.shape or (), places=None if leaf.shape is None else part.places)


def _of_mapping(data: Mapping[Any, Any]) -> dict[str, Part]:
    """Parts of a dictionary whose members may be data sets of their own, such as splits."""
    nested = any(
        isinstance(item, os.PathLike) or _is_hugging_face(item) or is_a(item, "torch.utils.data", "Dataset")
        for item in data.values()
    )
    if not nested:
        return _parts(data)
    found: dict[str, Part] = {}
    for name in sorted(data, key=str):
        _, parts, _ = _described(data[name])
        found |= {f"{name}/{part}".rstrip("/"): value for part, value in parts.items()}
    return found


def _is_hugging_face(data: Any) -> bool:
    """Tell whether it is a data set of Hugging Face's library, streamed or not."""
    return hasattr(data, "features") and hasattr(data, "column_names") and callable(getattr(data, "iter", None))


def _rows(data: Any) -> Iterator[dict[str, Any]]:
    for batch in data.iter(batch_size=_BATCH):
        names = list(batch)
        for values in zip(*(batch[name] for name in names), strict=True):
            yield dict(zip(names, values, strict=True))


def _samples(data: Any) -> Iterator[Any]:
    # A dataset of torch with indices need not stop by itself when it is iterated.
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return (data[index] for index in range(len(data)))
    return iter(data)


def _of_samples(samples: Iterable[Any]) -> dict[str, Part]:
    columns: dict[str, Column] = {}
    count = 0
    for index, sample in enumerate(samples):
        for leaf in leaves(sample):
            name = leaf.path
            if name not in columns:
                columns[name] = Column("samples")
            columns[name].add(leaf.encoded(name), index)
        count = index + 1
    # The number of samples counts also where the last ones lack a field, or all do.
    parts = {name: dataclasses.replace(columns[name].part(), shape=(count,)) for name in sorted(columns)}
    return parts or {"": Part("samples", (0,), written(xxhash.xxh3_128()))}


def _of_path(path: Path) -> tuple[str, dict[str, Part]]:
    try:
        if not path.is_dir():
            return "file", {"": _file(path)}
        return "folder", {name: _file(path / name) for name in sorted(_below(path, path))}
    except OSError as error:
        raise InvalidInput(f"{error.filename or path} cannot be read: {error.strerror}", "check it") from error


def _below(folder: Path, top: Path) -> Iterator[str]:
    for entry in os.scandir(folder):
        inner = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield inner.relative_to(top).as_posix()
            yield from _below(inner, top)
        else:
            yield inner.relative_to(top).as_posix()


def _file(path: Path) -> Part:
    found = path.lstat()
    if stat.S_ISDIR(found.st_mode):
        return Part("folder", (), written(xxhash.xxh3_128()))
    if stat.S_ISLNK(found.st_mode):
        return Part("link", (), written(xxhash.xxh3_128(os.fsencode(path.readlink()))))
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInput(f"{path} is neither file, folder nor link", "leave it out of the data")
    state, size = xxhash.xxh3_128(), 0
    with path.open("rb", buffering=0) as file:
        while piece := file.read(PIECE_BYTES // 16):
            state.update(piece)
            size += len(piece)
    after = path.lstat()
    if size != after.st_size or (found.st_mtime_ns, found.st_ino) != (after.st_mtime_ns, after.st_ino):
        raise SourceChanged(f"{path} changed while it was read", "fingerprint it again when nobody writes to it")
    return Part("file", (size,), written(state))


def _stated(preprocessing: Sequence[Any]) -> list[Any]:
    if isinstance(preprocessing, str):
        raise InvalidValue("preprocessing is one text", "give a list of steps")
    try:
        steps: list[Any] = decode(encode(list(preprocessing)))
    except (InvalidValue, TypeError, ValueError) as error:
        raise InvalidValue(f"a preprocessing step is not text or JSON-like: {error}", "state it in words") from error
    return steps
