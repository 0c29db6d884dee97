"""Results of two processes, written leaf by leaf and compared bit by bit.

Laws: two results have equal digests exactly if they have equal leaves; the first difference is that of the first leaf,
in the result's order, and in it of the first element that differs; neither result need be in memory to be compared.

A written result is a folder: ``leaves.json``, and ``data.bin`` with the bytes of all leaves, one after the other;
those of elements that are no numbers each behind their length in 8 bytes, little-endian.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_assets.determinism.leaves import leaves
from repro_assets.identity.canonical import digest_of

_INDEX, _DATA = "leaves.json", "data.bin"
_BLOCK = 1 << 22
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Written:
    """A result that was written."""

    folder: Path
    leaves: list[dict[str, Any]]

    @classmethod
    def read(cls, folder: Path) -> Written:
        """Read the index of a written result."""
        return cls(folder, json.loads((folder / _INDEX).read_text()))

    @property
    def digest(self) -> str:
        """Digest of the whole result."""
        return str(digest_of([[leaf[name] for name in ("path", "dtype", "shape", "sha256")] for leaf in self.leaves]))

    def data(self, leaf: Mapping[str, Any]) -> memoryview:
        """Return the bytes of a leaf, mapped."""
        import mmap

        if not leaf["size"]:
            return memoryview(b"")
        with (self.folder / _DATA).open("rb") as file:
            whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return whole[leaf["offset"] : leaf["offset"] + leaf["size"]]


def write_result(value: Any, folder: Path) -> None:
    """Write a nested value; a path in it stands for the file or folder that it names.

    Raises
    ------
    InvalidValue
        If something in it has no form that can be compared; its path is named.
    """
    index = []
    with (folder / _DATA).open("wb") as file:
        for leaf in leaves(_read(value)):
            offset, state = file.tell(), hashlib.sha256()
            if leaf.numbers is not None:
                pieces: Iterator[Any] = leaf.numbers.pieces()
            else:
                assert leaf.cells is not None
                pieces = (part for cell in leaf.cells() for part in (len(cell).to_bytes(8, "little"), cell))
            for piece in pieces:
                state.update(piece)
                file.write(piece)
            index.append(
                {
                    "path": leaf.path,
                    "dtype": leaf.dtype,
                    "shape": None if leaf.shape is None else list(leaf.shape),
                    "width": None if leaf.numbers is None else leaf.numbers.width,
                    "offset": offset,
                    "size": file.tell() - offset,
                    "sha256": state.hexdigest(),
                }
            )
    (folder / _INDEX).write_text(json.dumps(index))


def first_difference(one: Written, two: Written) -> dict[str, Any] | None:
    """Say where two results first differ.

    Returns
    -------
    dict or None
        ``path`` into the value; ``what``: ``members``, ``type``, ``shape`` or ``content``; ``element``, an index for
        each dimension, and ``byte`` in the leaf's bytes, where it is content; ``values``, what stands on both sides.
        None where nothing differs.
    """
    for before, after in zip(one.leaves, two.leaves, strict=False):
        if before["path"] != after["path"]:
            break
        found: dict[str, Any] = {"path": before["path"], "element": None, "byte": None}
        if before["dtype"] != after["dtype"]:
            return {**found, "what": "type", "values": [before["dtype"], after["dtype"]]}
        if before["dtype"] in ("dict", "frame") and before["sha256"] != after["sha256"]:
            break
        if before["shape"] != after["shape"]:
            return {**found, "what": "shape", "values": [before["shape"], after["shape"]]}
        if before["sha256"] != after["sha256"]:
            return {**found, "what": "content", **_in_content(before, one.data(before), two.data(after))}
    return _in_members(one, two)


def _in_members(one: Written, two: Written) -> dict[str, Any] | None:
    names = [[leaf["path"] for leaf in side.leaves] for side in (one, two)]
    for before, after in zip(one.leaves, two.leaves, strict=False):
        if before["path"] != after["path"] or before["sha256"] != after["sha256"]:
            only = [sorted(set(names[side]) - set(names[1 - side]))[:8] for side in (0, 1)]
            return {"path": before["path"], "what": "members", "element": None, "byte": None, "values": only}
    if len(names[0]) == len(names[1]):
        return None
    only = [sorted(set(names[side]) - set(names[1 - side]))[:8] for side in (0, 1)]
    return {"path": (only[0] or only[1] or [""])[0], "what": "members", "element": None, "byte": None, "values": only}


def _in_content(leaf: Mapping[str, Any], before: memoryview, after: memoryview) -> dict[str, Any]:
    if leaf["width"] is None:
        return _in_cells(leaf, before, after)
    import numpy

    at = 0
    while (left := numpy.frombuffer(before[at : at + _BLOCK], "u1")).size:
        unequal = numpy.flatnonzero(left != numpy.frombuffer(after[at : at + _BLOCK], "u1"))
        if unequal.size:
            at += int(unequal[0])
            break
        at += _BLOCK
    itemsize = leaf["width"] * (2 if leaf["dtype"].startswith("complex") else 1)
    place = at // itemsize
    items = [side[place * itemsize : (place + 1) * itemsize] for side in (before, after)]
    return {
        "element": _index(place, leaf["shape"]),
        "byte": at,
        "values": [_number(bytes(item), leaf["dtype"]) for item in items],
    }


def _in_cells(leaf: Mapping[str, Any], before: memoryview, after: memoryview) -> dict[str, Any]:
    at = 0
    for place, (old, new) in enumerate(zip(_cells(before), _cells(after), strict=False)):
        if old != new:
            # In a text the place is that of the first byte that differs.
            pairs = enumerate(zip(old, new, strict=False))
            inner = next((at for at, (left, right) in pairs if left != right), min(len(old), len(new)))
            single = leaf["shape"] is None
            return {
                "element": None if single else _index(place, leaf["shape"]),
                "byte": at + 8 + inner,
                "values": [cell_text(leaf["dtype"], single, side) for side in (old, new)],
            }
        at += 8 + len(old)
    return {"element": None, "byte": at, "values": [None, None]}


def cell_text(dtype: str, single: bool, data: bytes) -> str:
    """Show a cell of a leaf that is no numbers, cut where it is long; `single` if the leaf is this one value."""
    if dtype.startswith("record "):
        return f"0x{data.hex()}"
    return _shown(dtype if single else None, data)


def _cells(data: memoryview) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        yield bytes(data[at + 8 : at + 8 + size])
        at += 8 + size


def _index(place: int, shape: list[int]) -> list[int]:
    index = []
    for size in reversed(shape):
        place, inner = divmod(place, size)
        index.append(inner)
    return index[::-1]


def _number(item: bytes, dtype: str) -> str:
    import numpy

    try:
        return str(numpy.frombuffer(item, numpy.dtype(dtype).newbyteorder("<"))[0])
    except TypeError:
        # A dtype that NumPy does not have, such as bfloat16: its bits, most significant first.
        return "0x" + item[::-1].hex()


def _shown(dtype: str | None, data: bytes) -> str:
    if dtype == "float":
        return str(_number(data, "float64"))
    if dtype is None:
        # An element of a column: behind its type come its bytes.
        data = data.rpartition(b"\n")[2][16:] or data
    text = data.decode("utf-8", "replace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(data)} bytes)"


def _read(value: Any) -> Any:
    """Return the value with each path replaced by what lies there: bytes, or a dictionary of them."""
    if isinstance(value, Path):
        if not value.is_dir():
            return value.read_bytes()
        files = (path for path in sorted(value.rglob("*")) if not path.is_dir())
        return {path.relative_to(value).as_posix(): path.read_bytes() for path in files}
    if type(value) is dict:
        return {key: _read(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_read(item) for item in value)
    return value
