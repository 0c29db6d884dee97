"""Records with ids, of a buffer that grows at one end and may lose them at the other.

Laws: the first record that a buffer ever got has the id 0, the next one 1, and so on; eviction changes no id and none
is used again. Blocks lie at absolute places: the block that holds id ``i`` begins at a multiple of `BLOCK` (a constant
of the format), so two snapshots of one buffer share every block that is full in both, whatever has come and gone. Only
the first and the last block of a snapshot can be parts of a block.

Each field of each block is one object: its values, little-endian, in C order. Where these are wide, it is several, each
of as many whole values as fit into 16 MiB (a constant of the format), or of one.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_assets.errors import CorruptRecord, InvalidValue, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.store.batch import Batch
from repro_assets.store.objects import LocalObjects
from repro_assets.store.staging import Known, Part

if TYPE_CHECKING:
    import numpy
    from numpy.typing import ArrayLike, NDArray

NAME = "segments"
BLOCK = 4096
"""Records in a full block."""
FACT = "records"
_PART_BYTES = 16 << 20
_KINDS = "biufc"


class StoredBlocks:
    """Which blocks of a buffer are stored, so that they need not be hashed again; the buffer says what it changes."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, int], tuple[int, int, tuple[Digest, ...]]] = {}

    def find(self, name: str, start: int, stop: int) -> tuple[Digest, ...] | None:
        """Digests of the objects that hold a field of the records `start` to `stop`, where they are known."""
        first, end, digests = self._digests.get((name, start // BLOCK), (0, 0, ()))
        return digests if (first, end) == (start, stop) else None

    def learn(self, name: str, start: int, stop: int, digests: tuple[Digest, ...]) -> None:
        """Remember what a block was stored as."""
        self._digests[name, start // BLOCK] = start, stop, digests

    def forget(self, name: str, ids: ArrayLike) -> None:
        """Take note that a field of these records has changed."""
        import numpy

        for block in numpy.unique(numpy.asarray(ids) // BLOCK):
            self._digests.pop((name, int(block)), None)


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Records in the order of their ids.

    Parameters
    ----------
    columns : mapping of str to array
        For each field an array of shape ``(n, …)``: one value, of any fixed shape, for each record.
    first : int
        Id of the first record; the others follow without a gap.
    stored : StoredBlocks, optional
        Which blocks are stored already; whoever stores the records adds to it.

    Raises
    ------
    InvalidValue
        If the arrays differ in length, hold no numbers, or values of no bytes; or if `first` is negative.
    """

    columns: Mapping[str, NDArray[Any]]
    first: int = 0
    stored: StoredBlocks | None = None

    def __post_init__(self) -> None:
        if isinstance(self.first, bool) or not isinstance(self.first, int) or self.first < 0:
            raise InvalidValue(f"the id of the first record is {self.first!r}", "give an integer from 0 on")
        if not self.columns:
            raise InvalidValue("the records have no field", "give at least one")
        for name, column in self.columns.items():
            _check_field(name, column.dtype, column.shape[1:])
            if not column.ndim:
                raise InvalidValue(f"the field {name!r} is a single number", "give one value for each record")
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise InvalidValue(f"the fields differ in length: {lengths}", "give one value for each record")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def ids(self) -> range:
        """The ids of the records."""
        return range(self.first, self.first + len(self))

    @classmethod
    def of_structured(cls, array: NDArray[Any], first: int = 0) -> Records:
        """Take the records of a structured array of one dimension.

        Raises
        ------
        InvalidValue
            If it is none, or has a field that cannot be stored.
        """
        if array.dtype.names is None or array.ndim != 1:
            raise InvalidValue(f"an array of {array.dtype} with {array.ndim} dimensions holds no records")
        return cls({name: array[name] for name in array.dtype.names}, first)


class RecordBuffer:
    """A ring buffer: appending to a full one evicts the oldest records. Not safe for several threads.

    Parameters
    ----------
    fields : numpy.dtype
        A structured type: name, type and shape of each field.
    capacity : int
        Records that it holds at most.

    Raises
    ------
    InvalidValue
        If a field cannot be stored, or the capacity is not positive.
    """

    def __init__(self, fields: numpy.dtype[Any] | list[Any], capacity: int) -> None:
        import numpy

        self.fields = numpy.dtype(fields)
        if self.fields.names is None:
            raise InvalidValue(f"{self.fields} has no fields", "give a structured type")
        if capacity < 1:
            raise InvalidValue(f"a buffer of {capacity} records", "give a positive capacity")
        self.capacity = capacity
        self.first = 0
        self.end = 0
        self._rows: dict[str, NDArray[Any]] = {}
        for name in self.fields.names:
            base, shape = _base(self.fields[name])
            _check_field(name, base, shape)
            self._rows[name] = numpy.zeros((capacity, *shape), base)

    def __len__(self) -> int:
        return self.end - self.first

    def append(self, columns: Mapping[str, ArrayLike]) -> range:
        """Append records and return their ids.

        Parameters
        ----------
        columns : mapping
            For each field an array of shape ``(n, …)``. More than `capacity` records evict the first ones at once.

        Raises
        ------
        InvalidValue
            If fields are missing or unknown, or their shapes are not those of the buffer.
        """
        import numpy

        if set(columns) != set(self._rows):
            raise InvalidValue(f"the fields {sorted(columns)} are not those of the buffer: {sorted(self._rows)}")
        arrays = {name: numpy.asarray(column) for name, column in columns.items()}
        lengths = {name: len(array) if array.ndim else None for name, array in arrays.items()}
        for name, array in arrays.items():
            if array.shape[1:] != self._rows[name].shape[1:]:
                raise InvalidValue(f"the field {name!r} has values of shape {array.shape[1:]}")
            if not numpy.can_cast(array.dtype, self._rows[name].dtype, "same_kind"):
                raise InvalidValue(f"the field {name!r} is {self._rows[name].dtype} and cannot take {array.dtype}")
        if len(set(lengths.values())) != 1 or None in lengths.values():
            raise InvalidValue(f"the fields differ in length: {lengths}", "give one value for each record")
        count = int(lengths.popitem()[1] or 0)
        ids = range(self.end, self.end + count)
        kept = min(count, self.capacity)
        places = numpy.arange(ids.stop - kept, ids.stop) % self.capacity
        for name, array in arrays.items():
            self._rows[name][places] = array[count - kept :]
        self.end = ids.stop
        self.first = max(self.first, self.end - self.capacity)
        return ids

    def take(self, ids: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return the records of these ids, for each field an array of shape ``(len(ids), …)``.

        Raises
        ------
        UnknownName
            If one was evicted, or was never there.
        """
        import numpy

        wanted = numpy.asarray(ids, numpy.int64)
        gone = wanted[(wanted < self.first) | (wanted >= self.end)]
        if gone.size:
            raise UnknownName(f"the buffer has no record {int(gone.flat[0])}", f"it has {self.first} to {self.end - 1}")
        return {name: rows[wanted % self.capacity] for name, rows in self._rows.items()}

    def snapshot(self) -> Records:
        """Return a copy of the records, to be stored or kept."""
        import numpy

        return Records(self.take(numpy.arange(self.first, self.end)), self.first)

    @classmethod
    def restored(cls, records: Records, capacity: int) -> RecordBuffer:
        """Return a buffer that holds these records, and goes on with the next id.

        Raises
        ------
        InvalidValue
            If there are more than `capacity`.
        """
        if len(records) > capacity:
            raise InvalidValue(f"{len(records)} records do not fit into a buffer of {capacity}")
        buffer = cls([(name, column.dtype, column.shape[1:]) for name, column in records.columns.items()], capacity)
        buffer.first = buffer.end = records.first
        buffer.append(records.columns)
        return buffer


def write(value: Records, batch: Batch) -> Manifest:
    """Put each field of each block as one object."""
    import numpy

    columns = {
        name: numpy.ascontiguousarray(column, column.dtype.newbyteorder("<")) for name, column in value.columns.items()
    }
    fields = [
        {"name": name, "dtype": column.dtype.name, "shape": list(column.shape[1:])} for name, column in columns.items()
    ]
    blocks = {
        (name, start, stop): columns[name][start - value.first : stop - value.first]
        for start, stop in _blocks(value.ids)
        for name in columns
    }
    remembered = value.stored or StoredBlocks()
    stored = {block: found for block in blocks if (found := remembered.find(*block)) is not None}

    def known() -> Iterator[Known]:
        for block, digests in stored.items():
            for digest, part in zip(digests, parts_of(blocks[block]), strict=True):
                yield Known(digest, part.tobytes)

    def parts() -> Iterator[Part]:
        for block, column in blocks.items():
            itemsize = column.itemsize // (2 if column.dtype.kind == "c" else 1)
            for part in parts_of(column) if block not in stored else ():
                yield Part(memoryview(part.reshape(-1).view(numpy.uint8).data), itemsize, part[:1].nbytes)

    batch.put_known(list(known()), unread=True)
    digests = iter(batch.put_all(parts()))
    entries = []
    for block, column in blocks.items():
        objects = stored.get(block) or tuple(next(digests) for _ in parts_of(column))
        remembered.learn(*block, objects)
        entries.append(Entry(f"{block[0]}/{block[1]:012d}", column.nbytes, objects))
    return Manifest(NAME, tuple(entries), {FACT: {"first": value.first, "count": len(value), "fields": fields}})


def read(manifest: Manifest, objects: LocalObjects) -> Records:
    """Return the records, read on all cores.

    Raises
    ------
    CorruptRecord
        If the manifest contradicts itself.
    """
    import numpy

    facts = manifest.facts[FACT]
    columns = {
        field["name"]: numpy.empty((facts["count"], *field["shape"]), numpy.dtype(field["dtype"]))
        for field in facts["fields"]
    }
    records = Records(columns, facts["first"])
    blocks = [(name, start, stop) for start, stop in _blocks(records.ids) for name in columns]
    if len(blocks) != len(manifest.entries):
        raise CorruptRecord(f"the manifest has {len(manifest.entries)} blocks and not {len(blocks)}")
    wanted: list[tuple[Digest, memoryview]] = []
    for (name, start, stop), entry in zip(blocks, manifest.entries, strict=True):
        column = columns[name][start - records.first : stop - records.first]
        parts = list(parts_of(column))
        if entry.size != column.nbytes or len(entry.objects) != len(parts):
            raise CorruptRecord(f"the manifest gives {entry.name!r} a size that its records do not have")
        for digest, part in zip(entry.objects, parts, strict=True):
            wanted.append((digest, memoryview(part.reshape(-1).view(numpy.uint8).data)))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="repro-get") as pool:
        for _ in pool.map(lambda item: objects.read_into(*item), wanted):
            pass
    return records


def lay_out(manifest: Manifest, objects: LocalObjects, target: Path) -> int:
    """Write a folder: ``records.json`` and one ``.npy`` file for each field."""
    import numpy

    records = read(manifest, objects)
    target.mkdir()
    named = []
    for index, (name, column) in enumerate(records.columns.items()):
        numpy.save(target / f"{index:03d}.npy", column)
        named.append({"file": f"{index:03d}.npy", "name": name})
    document = {"first": records.first, "count": len(records), "fields": named}
    (target / "records.json").write_text(json.dumps(document, indent=2) + "\n")
    return len(named) + 1


def _blocks(ids: range) -> Iterator[tuple[int, int]]:
    """Yield the ids (from, to) of each block, or of what is there of it."""
    start = ids.start
    while start < ids.stop:
        stop = min((start // BLOCK + 1) * BLOCK, ids.stop)
        yield start, stop
        start = stop


def parts_of(column: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the values that are one object, and the next ones."""
    step = max(1, _PART_BYTES // column[:1].nbytes)
    for start in range(0, len(column), step):
        yield column[start : start + step]


def _check_field(name: str, dtype: numpy.dtype[Any], shape: tuple[int, ...]) -> None:
    if not isinstance(name, str) or not name:
        raise InvalidValue(f"a field is named {name!r}", "give it a name")
    # A long double has padding bytes of no meaning.
    if dtype.kind not in _KINDS or dtype.name in ("longdouble", "clongdouble", "float128", "complex256"):
        raise InvalidValue(f"the field {name!r} is {dtype}", "give numbers or booleans")
    if 0 in shape:
        raise InvalidValue(f"the values of the field {name!r} have the shape {shape} and no bytes")


def _base(dtype: numpy.dtype[Any]) -> tuple[numpy.dtype[Any], tuple[int, ...]]:
    return dtype.subdtype if dtype.subdtype is not None else (dtype, ())
