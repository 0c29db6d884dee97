"""Kind ``tensors``: nested dictionaries, lists and tuples of torch tensors, NumPy arrays and JSON scalars.

Laws: one object per tensor, raw, little-endian, in C order, split at 64 MiB (a constant of the format); dtype and
shape are part of the identity, strides and devices are not; one tensor that is named twice is stored once and comes
back as one tensor; members of a dictionary are written sorted by key, so insertion order does not change the digest.
Entries are named by their path, with ``#2`` and so on behind it where two paths read alike. Tensors that
overlap without being the same view are stored separately. Tensors come back on the CPU.

Nesting, in the manifest's facts: ``{"tensor": i}`` and ``{"array": i}`` refer to entries; ``{"dict": [[key, node],
…]}``, ``{"list": […]}``, ``{"tuple": […]}``; a number that is a float but integral is ``{"float": n}``; the other
scalars stand for themselves.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from repro_assets.errors import CorruptRecord, InvalidValue, UnsupportedFormat
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.store.batch import Batch
from repro_assets.store.objects import LocalObjects, concatenate
from repro_assets.store.staging import Part
from repro_assets.wording import type_in_words

if TYPE_CHECKING:
    import torch

NAME = "tensors"
PART_BYTES = 64 << 20
_WORTH_THREADS = 4 << 20
_WORTH_LARGE_PAGES = 4 << 20
# A part from this size on is read by all cores together.
_LARGE_PART = 8 << 20
# Handing work to a thread costs as much as reading some small tensors.
_GROUP_BYTES = 1 << 20
# Smaller ones are copied once more than needed, and their pack is opened once for all of them.
_SMALL_PART = 64 << 10
_WantedPart = tuple[Digest, memoryview]
_FLOATING = ("float16", "float32", "float64", "complex64", "complex128")


def write(value: Any, batch: Batch) -> Manifest:
    """Put every tensor and the nesting.

    Raises
    ------
    InvalidValue
        If a leaf is neither a dense tensor, a numeric array nor a JSON scalar; its path is named.
    """
    if sys.byteorder != "little":
        raise UnsupportedFormat("tensors are stored on little-endian machines only")
    writer = _Writer()
    nesting = writer.node(value, "")
    return Manifest(NAME, writer.put(batch), {"nesting": nesting})


def read(manifest: Manifest, objects: LocalObjects) -> Any:
    """Return the nested value."""
    return _Reader(manifest, objects).value()


def lay_out(manifest: Manifest, objects: LocalObjects, target: Path) -> int:
    """Write a folder: ``nesting.json`` and one ``.npy`` file for each tensor.

    NumPy has no bfloat16 and no float8: these are laid out as their bits in uint16 and uint8. Nor has it
    complex32: pairs of float16.
    """
    import json

    import numpy

    target.mkdir()
    for index, entry in enumerate(manifest.entries):
        dtype, shape = entry.facts["dtype"], list(entry.facts["shape"])
        if dtype == "complex32":
            dtype, shape = "float16", [*shape, 2]
        elif dtype == "bfloat16" or dtype.startswith("float8"):
            dtype = "uint16" if dtype == "bfloat16" else "uint8"
        data = numpy.frombuffer(concatenate(objects, entry.objects), numpy.dtype(dtype))
        numpy.save(target / f"{index:05d}.npy", data.reshape(shape))
    names = [{"file": f"{i:05d}.npy", "name": e.name, **e.facts} for i, e in enumerate(manifest.entries)]
    (target / "nesting.json").write_text(
        json.dumps({"nesting": manifest.facts["nesting"], "tensors": names}, indent=2) + "\n"
    )
    return len(names) + 1


def _in_large_pages(address: int, size: int) -> None:
    """Ask Linux for memory in large pages: of a tensor that is being loaded, page faults took more time than reading.

    It is a wish (madvise(2), ``MADV_HUGEPAGE``): where it is not heard, the memory is the same in small pages.
    """
    if size < _WORTH_LARGE_PAGES or not sys.platform.startswith("linux"):
        return
    import ctypes

    first = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    length = (address + size - first) // mmap.PAGESIZE * mmap.PAGESIZE
    ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), mmap.MADV_HUGEPAGE)


class _Writer:
    def __init__(self) -> None:
        self._tensors: list[_Described] = []
        self._seen: dict[tuple[Any, ...], int] = {}
        self._names: set[str] = set()
        # Keeps every value alive while addresses stand for identity in `_seen`.
        self._held: list[Any] = []

    def node(self, value: Any, path: str) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            plain = float(value)
            return {"float": plain} if plain.is_integer() else plain
        if isinstance(value, dict):
            for key in value:
                if isinstance(key, bool) or not isinstance(key, (str, int)):
                    raise InvalidValue(f"{path or 'the value'} has the key {key!r}", "keys are text or integers")
            keys = sorted(value, key=lambda key: (isinstance(key, str), key))
            return {"dict": [[key, self.node(value[key], f"{path}.{key}" if path else str(key))] for key in keys]}
        if isinstance(value, (list, tuple)):
            nodes = [self.node(item, f"{path}[{index}]") for index, item in enumerate(value)]
            return {"tuple" if isinstance(value, tuple) else "list": nodes}
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            return {"tensor": self._tensor(value, path)}
        import numpy

        if isinstance(value, (numpy.ndarray, numpy.generic)):
            return {"array": self._array(numpy.asanyarray(value), path)}
        raise InvalidValue(f"{path or 'the value'} is {type_in_words(value)}", "give tensors, arrays and scalars")

    def _tensor(self, tensor: torch.Tensor, path: str) -> int:
        import torch

        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta":
            raise InvalidValue(f"{path} is not a dense tensor", "call to_dense() or dequantize() first")
        # Conjugates and negatives are lazy: other values in the same memory.
        lazy = (tensor.is_conj(), tensor.is_neg())
        where = (tensor.device, tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype, lazy)
        if tensor.numel() and where in self._seen:
            return self._seen[where]
        self._held.append(tensor)
        name = str(tensor.dtype).removeprefix("torch.")

        def plain() -> memoryview:
            # Made when it is put, so that of tensors on a GPU only some are in memory.
            here = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
            return memoryview(here.reshape(-1).view(torch.uint8).numpy().data)

        size, itemsize = tensor.numel() * tensor.element_size(), tensor.element_size()
        itemsize //= 2 if tensor.is_complex() else 1
        self._seen[where] = self._add(_Described(path, size, name, tuple(tensor.shape), itemsize, plain))
        return self._seen[where]

    def _array(self, array: Any, path: str) -> int:
        import numpy

        # A long double has padding bytes of no meaning; a masked array's mask would be lost.
        numeric = array.dtype.kind in "biu" or array.dtype.name in _FLOATING
        if not numeric or isinstance(array, numpy.ma.MaskedArray):
            raise InvalidValue(f"{path} is an array of {array.dtype}", "give numbers; put text into a table")
        where = ("array", array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)
        if array.size and where in self._seen:
            return self._seen[where]
        self._held.append(array)
        dtype = array.dtype.newbyteorder("<")

        def plain() -> memoryview:
            return memoryview(numpy.ascontiguousarray(array, dtype).reshape(-1).view(numpy.uint8).data)

        itemsize = array.itemsize // (2 if array.dtype.kind == "c" else 1)
        self._seen[where] = self._add(_Described(path, array.nbytes, dtype.name, array.shape, itemsize, plain))
        return self._seen[where]

    def _add(self, tensor: _Described) -> int:
        name, count = tensor.name, 1
        while name in self._names:
            count += 1
            name = f"{tensor.name}#{count}"
        self._names.add(name)
        self._tensors.append(tensor._replace(name=name))
        return len(self._tensors) - 1

    def put(self, batch: Batch) -> tuple[Entry, ...]:
        """Put every tensor that was found, and return its entries."""
        digests = iter(batch.put_all(part for tensor in self._tensors for part in tensor.parts()))
        return tuple(
            Entry(
                tensor.name,
                tensor.size,
                tuple(itertools.islice(digests, -(-tensor.size // PART_BYTES))),
                {"dtype": tensor.dtype, "shape": list(tensor.shape)},
            )
            for tensor in self._tensors
        )


class _Described(NamedTuple):
    """A tensor that is to be put; `plain` returns its bytes."""

    name: str
    size: int
    dtype: str
    shape: tuple[int, ...]
    itemsize: int
    plain: Callable[[], memoryview]

    def parts(self) -> Iterator[Part]:
        data = self.plain() if self.size else memoryview(b"")
        for start in range(0, self.size, PART_BYTES):
            yield Part(data[start : start + PART_BYTES], self.itemsize)


def _grouped(parts: list[_WantedPart]) -> Iterator[list[_WantedPart]]:
    """Yield the parts, the largest first so that no core waits long for the last one, and small ones together."""
    group: list[_WantedPart] = []
    size = 0
    for part in sorted(parts, key=lambda part: len(part[1]), reverse=True):
        group.append(part)
        size += len(part[1])
        if size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


class _Reader:
    def __init__(self, manifest: Manifest, objects: LocalObjects) -> None:
        self.manifest = manifest
        self.objects = objects
        self._made: dict[tuple[str, int], Any] = {}
        self._parts: list[_WantedPart] = []

    def value(self) -> Any:
        """Return the nested value, its tensors read on all cores."""
        value = self.node(self.manifest.facts["nesting"])
        cores = os.cpu_count() or 1
        if cores == 1 or sum(len(out) for _, out in self._parts) < _WORTH_THREADS:
            self._read(self._parts)
            return value
        large = [part for part in self._parts if len(part[1]) >= _LARGE_PART]
        others = [part for part in self._parts if len(part[1]) < _LARGE_PART]
        if len(large) >= 2 * cores:
            # Each core has some of its own.
            large, others = [], self._parts
        with concurrent.futures.ThreadPoolExecutor(cores, thread_name_prefix="repro-get") as pool:
            for digest, out in large:
                self.objects.read_into(digest, out, pool)
            for _ in pool.map(self._read, _grouped(others)):
                pass
        return value

    def _read(self, parts: list[_WantedPart]) -> None:
        small: dict[Digest, list[memoryview]] = {}
        for digest, out in parts:
            if len(out) <= _SMALL_PART:
                small.setdefault(digest, []).append(out)
        read = dict(self.objects.read_packed(small))
        for digest, out in parts:
            data = read.get(digest, b"")
            if len(data) == len(out):
                out[:] = data
            else:
                # A large one, one that lies alone, or whatever is wrong with it.
                self.objects.read_into(digest, out)

    def node(self, node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        ((name, content),) = node.items()
        if name == "dict":
            return {key: self.node(item) for key, item in content}
        if name == "list":
            return [self.node(item) for item in content]
        if name == "tuple":
            return tuple(self.node(item) for item in content)
        if name == "float":
            return float(content)
        if (name, content) not in self._made:
            make = self._tensor if name == "tensor" else self._array
            self._made[name, content] = make(self.manifest.entries[content])
        return self._made[name, content]

    def _tensor(self, entry: Entry) -> torch.Tensor:
        import torch

        tensor = torch.empty(entry.facts["shape"], dtype=getattr(torch, entry.facts["dtype"]))
        if entry.size:
            out = tensor.view(-1).view(torch.uint8).numpy()
            _in_large_pages(out.ctypes.data, entry.size)
            self._fill(entry, memoryview(out.data))
        return tensor

    def _array(self, entry: Entry) -> Any:
        import numpy

        array = numpy.empty(entry.facts["shape"], numpy.dtype(entry.facts["dtype"]))
        if entry.size:
            self._fill(entry, memoryview(array.reshape(-1).view(numpy.uint8).data))
        return array

    def _fill(self, entry: Entry, out: memoryview) -> None:
        if len(out) != entry.size or len(entry.objects) != -(-entry.size // PART_BYTES):
            raise CorruptRecord(f"the manifest gives {entry.name!r} a size that its shape does not have")
        for number, digest in enumerate(entry.objects):
            self._parts.append((digest, out[number * PART_BYTES : (number + 1) * PART_BYTES]))
