"""A nested value as a sequence of leaves: what fingerprints hash and what two runs are compared by.

Laws: equal values give equal leaves in every process; any other bit, type, shape, key, length or order gives others. A
dictionary's members and a set's elements come sorted, because their order is that of insertion or of hashes. Nothing
is left out: what has no form here is refused by its path. torch and NumPy give equal leaves for equal numbers.

Of a leaf without a shape the bytes are those of one value: text in UTF-8, a float its 64 bits, an integer its digits.
A structure (a dictionary, a list, a table) is a leaf too, with its keys or its length; its members follow.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import os
import pathlib
import struct
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Set, Sized
from dataclasses import dataclass
from typing import Any

import xxhash

from repro_assets.determinism.fingerprints import Numbers, numbers_of
from repro_assets.errors import InvalidValue

SHOWN_CATEGORIES = 8
DEEPEST = 200
"""Nesting beyond which a value is taken to hold itself."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf.

    Parameters
    ----------
    path : str
        Where it is: ``model.layers[3].weight``; empty for the value itself.
    dtype : str
        Its type: a dtype of numbers, or ``text``, ``int``, ``dict``, ….
    shape : tuple of int or None
        Of numbers and columns; None for one value.
    numbers : Numbers or None
        The elements, if they are numbers.
    cells : callable or None
        Yields the elements of a column or array of objects, encoded; also the one element of a leaf without a shape.
    """

    path: str
    dtype: str
    shape: tuple[int, ...] | None
    numbers: Numbers | None = None
    cells: Callable[[], Iterator[bytes]] | None = None

    def encoded(self, below: str = "") -> bytes:
        """Return path below `below`, type, shape and all bytes in a form of which the end is known."""
        if self.numbers is not None:
            body = b"".join(bytes(piece) for piece in self.numbers.pieces())
        else:
            assert self.cells is not None
            body = b"".join(_sized(cell) for cell in self.cells())
        return _headed(self.path[len(below) :], self.dtype, self.shape, body)


def encoded(value: Any, path: str = "") -> bytes:
    """Return one value as bytes: its leaves, one after the other. `path` is for the error alone.

    Raises
    ------
    InvalidValue
        As `leaves` does.
    """
    single = _single(value)
    if single is not None:
        return _headed("", single[0], None, _sized(single[1]))
    return b"".join(leaf.encoded(path) for leaf in leaves(value, path))


def leaves(value: Any, path: str = "", depth: int = 0) -> Iterator[Leaf]:
    """Yield the leaves of a nested value.

    Raises
    ------
    InvalidValue
        If something in it has no form here, or it holds itself; the path is named.
    """
    if depth > DEEPEST:
        raise InvalidValue(f"{path[:80]}… is nested more than {DEEPEST} deep", "does the value hold itself?")
    single = _single(value)
    if single is not None:
        yield _one(path, *single)
    elif isinstance(value, enum.Enum):
        yield _one(path, f"enum {type(value).__qualname__}", value.name.encode())
    elif is_a(value, "torch", "Tensor") or is_a(value, "numpy", "ndarray", "generic"):
        yield _of_array(value, path)
    elif is_a(value, "pandas", "DataFrame"):
        yield from _of_frame(value, path)
    elif is_a(value, "pandas", "Series", "Index"):
        yield _one(path, type(value).__name__, encoded(value.name, f"{path}.name"))
        yield from _of_axis(value if hasattr(value, "index") else None, value, path)
    elif is_a(value, "pyarrow", "Table", "RecordBatch"):
        yield from _of_arrow(value, path)
    elif is_a(value, "torch.nn", "Module"):
        yield _one(path, f"module {_name(type(value))}", b"")
        yield from leaves(dict(value.state_dict()), path, depth + 1)
    elif isinstance(value, Mapping):
        yield from _of_mapping(value, path, depth)
    elif isinstance(value, (list, tuple)):
        plain = type(value) in (list, tuple)
        yield _one(path, type(value).__name__ if plain else _name(type(value)), str(len(value)).encode())
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]", depth + 1)
    elif isinstance(value, Set):
        yield _one(path, "set", b"".join(sorted(encoded(item, f"{path}{{}}") for item in value)))
    else:
        yield from _of_object(value, path, depth)


def column_of(values: Iterable[Any], path: str, dtype: str) -> Leaf:
    """Return the leaf that a sequence of any values is, each encoded on its own."""
    held = values if isinstance(values, Sized) else list(values)

    def cells() -> Iterator[bytes]:
        for index, item in enumerate(held):
            yield encoded(item, f"{path}[{index}]")

    return Leaf(path, dtype, (len(held),), cells=cells)


def _single(value: Any) -> tuple[str, bytes] | None:
    """Type and bytes of what is one value; None for anything else."""
    kind = type(value)
    if value is None:
        return "none", b""
    if kind is bool:
        return "bool", b"1" if value else b"0"
    if kind is int:
        return "int", str(value).encode()
    if kind is float:
        return "float", struct.pack("<d", value)
    if kind is complex:
        return "complex", struct.pack("<dd", value.real, value.imag)
    if kind is str:
        return "text", value.encode("utf-8", "surrogatepass")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "bytes", bytes(value)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return kind.__name__, value.isoformat().encode()
    if isinstance(value, datetime.timedelta):
        parts = (value.days, value.seconds, value.microseconds, getattr(value, "nanoseconds", 0))
        return kind.__name__, " ".join(map(str, parts)).encode()
    if isinstance(value, (decimal.Decimal, fractions.Fraction, uuid.UUID, range, slice)):
        return kind.__name__, str(value).encode()
    if isinstance(value, pathlib.PurePath):
        return "path", os.fsencode(value)
    if is_a(value, "torch", "dtype", "device", "Size") or is_a(value, "numpy", "dtype"):
        return kind.__name__, str(value).encode()
    if kind.__name__ in ("NAType", "NaTType"):
        return kind.__name__, b""
    return None


def _one(path: str, dtype: str, data: bytes) -> Leaf:
    return Leaf(path, dtype, None, cells=lambda: iter((data,)))


def _of_array(value: Any, path: str) -> Leaf:
    import numpy

    dtype: Any = value.dtype
    kind = getattr(dtype, "kind", "")
    if is_a(value, "numpy.ma", "MaskedArray"):
        raise InvalidValue(f"{path or 'the value'} is a masked array", "give its data and its mask")
    if kind in ("M", "m"):
        # Times are 64-bit integers of a unit, which is part of the dtype's name.
        times = numbers_of(numpy.asarray(value).view("<i8"), path or "the value")
        times = dataclasses.replace(times, dtype=str(dtype).lstrip("<>=|"))
        return Leaf(path, times.dtype, times.shape, numbers=times)
    if kind == "V" and dtype.names and not dtype.hasobject:
        return _of_records(numpy.asarray(value), path)
    if kind in ("U", "S", "O"):
        named = {"U": "text", "S": "bytes", "O": "object"}[kind]
        column = column_of(value.reshape(-1).tolist(), path, named)
        return dataclasses.replace(column, shape=tuple(value.shape))
    numbers = numbers_of(value, path or "the value")
    return Leaf(path, numbers.dtype, numbers.shape, numbers=numbers)


def _of_records(value: Any, path: str) -> Leaf:
    from numpy.lib.recfunctions import repack_fields

    # What lies between the fields is no part of the value.
    packed: Any = repack_fields(value, recurse=True)
    packed = packed.astype(packed.dtype.newbyteorder("<"), copy=False)
    size = packed.dtype.itemsize

    def cells() -> Iterator[bytes]:
        data = memoryview(packed.tobytes())
        return (bytes(data[start : start + size]) for start in range(0, len(data), size))

    return Leaf(path, f"record {packed.dtype.descr}", tuple(value.shape), cells=cells)


def _of_arrow(table: Any, path: str) -> Iterator[Leaf]:
    names = table.schema.names
    if len(set(names)) < len(names):
        raise InvalidValue(f"{path or 'the table'} has two columns of one name", "rename one")
    yield _one(path, "arrow table", str(table.schema).encode())
    for name in names:
        yield column_of(table.column(name).to_pylist(), f"{path}[{name!r}]", "cells")


def _of_frame(frame: Any, path: str) -> Iterator[Leaf]:
    if not frame.columns.is_unique:
        raise InvalidValue(f"{path or 'the frame'} has two columns of one name", "rename one")
    columns = [encoded(name, f"{path}.columns") for name in frame.columns]
    yield _one(path, "frame", b"".join(_sized(name) for name in columns))
    yield from _of_axis(frame, None, path)
    for name in frame.columns:
        yield _of_series(frame[name], f"{path}[{name!r}]")


def _of_axis(indexed: Any, values: Any, path: str) -> Iterator[Leaf]:
    """Leaves of an index, then of the values, where there are some."""
    if indexed is not None:
        index = indexed.index
        # A counted index is three numbers, and the usual one; any other is a column.
        if is_a(index, "pandas", "RangeIndex"):
            yield _one(f"{path}.index", "range", f"{index.start} {index.stop} {index.step}".encode())
        else:
            yield _one(f"{path}.index", "names", encoded(list(index.names), f"{path}.index.names"))
            yield _of_series(index, f"{path}.index")
    if values is not None:
        yield _of_series(values, f"{path}.values")


def _of_series(series: Any, path: str) -> Leaf:
    dtype: Any = series.dtype
    if getattr(dtype, "kind", "O") in "biufcMm" and type(dtype).__module__.startswith("numpy"):
        return _of_array(series.to_numpy(), path)
    named = str(dtype)
    if named == "category":
        named = _category(list(dtype.categories), bool(dtype.ordered), path)
    return column_of(series, path, named)


def _category(names: list[Any], ordered: bool, path: str) -> str:
    """Name a dtype of categories: all of them where they are few texts, else the first ones and a digest of all."""
    word = "ordered category" if ordered else "category"
    if len(names) <= SHOWN_CATEGORIES and all(type(name) is str for name in names):
        return f"{word} {names}"
    more = f", … {len(names)} of them" if len(names) > SHOWN_CATEGORIES else ""
    first = ", ".join(repr(getattr(name, "item", lambda name=name: name)()) for name in names[:SHOWN_CATEGORIES])
    return f"{word} [{first}{more}] {xxhash.xxh3_128_hexdigest(encoded(names, path))}"


def _of_mapping(value: Mapping[Any, Any], path: str, depth: int) -> Iterator[Leaf]:
    members = sorted(((encoded(key, f"{path}.keys()"), key) for key in value), key=lambda pair: pair[0])
    yield _one(path, "dict", b"".join(_sized(data) for data, _ in members))
    for _, key in members:
        below = f"[{key!r}]" if not isinstance(key, str) else f".{key}" if path else key
        yield from leaves(value[key], path + below, depth + 1)


def _of_object(value: Any, path: str, depth: int) -> Iterator[Leaf]:
    if is_a(value, "repro_assets.artifacts.kinds.record_blocks", "Records"):
        # Which of its blocks are stored is no part of what a buffer holds.
        yield _one(path, _name(type(value)), b"")
        yield from leaves({"columns": value.columns, "first": value.first}, path, depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield _one(path, _name(type(value)), b"")
        members = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        yield from leaves(members, path, depth + 1)
    elif callable(getattr(value, "model_dump", None)):
        yield _one(path, _name(type(value)), b"")
        yield from leaves(value.model_dump(), path, depth + 1)
    elif callable(getattr(value, "state_dict", None)):
        yield _one(path, _name(type(value)), b"")
        yield from leaves(value.state_dict(), path, depth + 1)
    elif all(hasattr(value, name) for name in ("tobytes", "mode", "size")):
        # A picture of Pillow: its pixels, not the file that they came from.
        yield _one(path, f"picture {value.mode} {value.size}", value.tobytes())
    elif isinstance(value, (int, float, str)):
        # A class of one's own on top of a plain one.
        yield _one(path, _name(type(value)), b"")
        plain = next(base for base in (int, float, str) if isinstance(value, base))
        yield from leaves(plain(value), path, depth + 1)
    else:
        raise InvalidValue(
            f"{path or 'the value'} is a {_name(type(value))}, whose content is not known",
            "give tensors, arrays, frames, text, numbers, dates, bytes, dataclasses, or dictionaries and lists of them",
        )


def _headed(path: str, dtype: str, shape: tuple[int, ...] | None, body: bytes) -> bytes:
    sizes = "" if shape is None else ",".join(map(str, shape)) + ";"
    return _sized(f"{path}\n{dtype}\n{sizes}\n".encode("utf-8", "surrogatepass")) + _sized(body)


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + data


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def is_a(value: Any, module: str, *names: str) -> bool:
    """Tell whether it is an instance of one of the named classes; the module is not imported for it."""
    loaded = sys.modules.get(module)
    return loaded is not None and any(isinstance(value, getattr(loaded, name, ())) for name in names)
