"""Kind ``table``: named, typed columns.

Laws: identity is over column names, types and canonical values, so it does not depend on the version of the Parquet
writer, on chunks, or on whether a string column was "large"; the bytes are kept as Parquet with fixed options, which
is a codec of the object. A table has no index: a DataFrame's must be the default one. Whole numbers with nulls
come back as pandas' nullable integers, because floats would round them. Times in seconds become milliseconds, which
are the least that Parquet has, dates in milliseconds become days, and dictionaries their values. Rows without a column
are refused: nothing could hold how many there were.

The object is the header, then the columns one after the other. The header is the length of what follows in it (64
bits, little-endian) and the canonical JSON of rows, column names and types; with it, two tables that share their values
and not their names or types are two objects, as their Parquet files are.

Canonical bytes of a column of n rows, all little-endian: one byte (0: no nulls, 1: nulls follow), then for 1 one byte
a row (1 valid, 0 null); then by type: numbers, times: the values, nulls as zero; booleans: one byte a row; text and
binary: n + 1 offsets of 64 bits, then the bytes, nulls empty; lists: n + 1 offsets of 64 bits, then the child column;
structs: each member column.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_assets.errors import InvalidValue, UnsupportedFormat
from repro_assets.identity import canonical
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.store.batch import Batch
from repro_assets.store.objects import LocalObjects
from repro_assets.wording import type_in_words

if TYPE_CHECKING:
    import pandas
    import pyarrow.parquet

NAME = "table"
CODEC = "parquet"


def write(value: Any, batch: Batch) -> Manifest:
    """Put a DataFrame or an Arrow table.

    Raises
    ------
    InvalidValue
        If a column has no name or a type that a table does not hold, if there are rows and no column, or if the index
        is not the default one.
    """
    import pyarrow.parquet

    table = _plain(value)
    columns = _columns(table)
    data = b"".join([_header(table), *columns])
    buffer = io.BytesIO()
    try:
        pyarrow.parquet.write_table(table, buffer, compression="zstd", version="2.6", write_statistics=False)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        raise InvalidValue(f"the table has a column that Parquet does not hold: {error}") from error
    facts = {
        "rows": table.num_rows,
        "columns": [
            {"name": field.name, "type": str(field.type), "digest": str(Digest.of(column))}
            for field, column in zip(table.schema, columns, strict=True)
        ],
    }
    return Manifest(NAME, (Entry("table", len(data), (batch.put_encoded(data, CODEC, buffer.getvalue()),)),), facts)


def read_arrow(manifest: Manifest, objects: LocalObjects) -> pyarrow.Table:
    """Return the value as an Arrow table."""
    # Parquet names the items of a list otherwise.
    return _plain(from_parquet(_stored(manifest, objects)))


def parquet_file(data: bytes) -> pyarrow.parquet.ParquetFile:
    """Return a reader of the bytes of a Parquet file, with a copy of them in Arrow's own memory.

    Notes
    -----
    Arrow's threads may let go of what was read when the call has returned, also after an error; where that is Python's
    memory and the interpreter is ending, the process aborts.
    """
    import pyarrow.parquet

    copy = pyarrow.BufferOutputStream()
    copy.write(data)
    return pyarrow.parquet.ParquetFile(pyarrow.BufferReader(copy.getvalue()))


def from_parquet(data: bytes) -> pyarrow.Table:
    """Return the table that the bytes of a Parquet file hold."""
    # `pyarrow.parquet.read_table` imports pyarrow's data sets, which takes longer than to read a small table.
    return parquet_file(data).read()


def read(manifest: Manifest, objects: LocalObjects) -> pandas.DataFrame:
    """Return the value as a DataFrame."""
    import pandas
    import pyarrow
    from pyarrow import types

    table = read_arrow(manifest, objects)
    frame: pandas.DataFrame = table.to_pandas()
    nullable = {
        getattr(pyarrow, name.lower())(): getattr(pandas, f"{name}Dtype")()
        for name in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
    }
    for field, column in zip(table.schema, table.columns, strict=True):
        if types.is_integer(field.type) and column.null_count:
            frame[field.name] = column.to_pandas(types_mapper=nullable.get)
    return frame


def lay_out(manifest: Manifest, objects: LocalObjects, target: Path) -> int:
    """Write a Parquet file."""
    target.write_bytes(_stored(manifest, objects))
    return 1


def decode(stored: bytes) -> bytes:
    """Return the canonical bytes of a table that is stored as Parquet."""
    table = from_parquet(stored)
    return b"".join([_header(table), *_columns(table)])


def _stored(manifest: Manifest, objects: LocalObjects) -> bytes:
    digest = manifest.entries[0].objects[0]
    stored, codec = objects.read_stored(digest)
    if codec != CODEC:
        raise UnsupportedFormat(f"the table {digest} is stored with the codec {codec!r} and not as Parquet")
    return stored


def _header(table: pyarrow.Table) -> bytes:
    columns = [[field.name, _type_description(field.type)] for field in table.schema]
    text = canonical.encode({"rows": table.num_rows, "columns": columns})
    return len(text).to_bytes(8, "little") + text


def _type_description(kind: pyarrow.DataType) -> Any:
    from pyarrow import types

    if types.is_list(kind):
        return {"list": _type_description(kind.value_type)}
    if types.is_struct(kind):
        return {"struct": [[member.name, _type_description(member.type)] for member in kind]}
    return str(kind)


def _columns(table: pyarrow.Table) -> list[bytes]:
    return [_column_bytes(table.column(index).combine_chunks()) for index in range(table.num_columns)]


def _plain(value: Any) -> pyarrow.Table:
    import pyarrow

    if not isinstance(value, pyarrow.Table):
        import pandas

        if not isinstance(value, pandas.DataFrame):
            raise InvalidValue(f"{type_in_words(value)} is not a table", "give a DataFrame or an Arrow table")
        if not value.index.equals(pandas.RangeIndex(len(value))):
            raise InvalidValue("the DataFrame has an index of its own", "call reset_index() first")
        if not all(isinstance(name, str) for name in value.columns):
            raise InvalidValue("the DataFrame has column names that are not text", "rename the columns")
        if len(value) and not len(value.columns):
            raise InvalidValue(f"the DataFrame has {len(value)} rows and no column", "give it one")
        try:
            value = pyarrow.Table.from_pandas(value, preserve_index=False)
        except (pyarrow.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise InvalidValue(f"the DataFrame has a column that a table does not hold: {error}") from error
    if value.num_rows and not value.num_columns:
        raise InvalidValue(f"the table has {value.num_rows} rows and no column", "give it one")
    if len(set(value.column_names)) != value.num_columns:
        raise InvalidValue("the table has two columns of one name", "rename one")
    fields = [pyarrow.field(field.name, _plain_type(field.type, field.name)) for field in value.schema]
    try:
        return value.cast(pyarrow.schema(fields)).replace_schema_metadata(None)
    except pyarrow.ArrowException as error:
        raise InvalidValue(f"the table has a column that cannot be brought into its plain type: {error}") from error


def _plain_type(kind: pyarrow.DataType, path: str) -> pyarrow.DataType:
    import pyarrow
    from pyarrow import types

    if types.is_dictionary(kind):
        return _plain_type(kind.value_type, path)
    if types.is_large_string(kind) or types.is_string(kind) or types.is_string_view(kind):
        return pyarrow.string()
    if types.is_large_binary(kind) or types.is_binary(kind):
        return pyarrow.binary()
    if types.is_list(kind) or types.is_large_list(kind):
        return pyarrow.list_(pyarrow.field("item", _plain_type(kind.value_type, f"{path}[]")))
    if types.is_struct(kind):
        if len({member.name for member in kind}) != kind.num_fields:
            raise InvalidValue(f"column {path} has two members of one name", "rename one")
        return pyarrow.struct([(f.name, _plain_type(f.type, f"{path}.{f.name}")) for f in kind])
    if types.is_timestamp(kind) and kind.unit == "s":
        return pyarrow.timestamp("ms", kind.tz)
    if types.is_time32(kind) and kind.unit == "s":
        return pyarrow.time32("ms")
    if types.is_date64(kind):
        return pyarrow.date32()
    if (types.is_primitive(kind) and kind.bit_width in (1, 8, 16, 32, 64)) or types.is_null(kind):
        return kind
    raise InvalidValue(f"column {path} has the type {kind}, which a table does not hold", "convert it first")


def _column_bytes(array: Any) -> bytes:
    import numpy
    import pyarrow
    import pyarrow.compute
    from pyarrow import types

    if isinstance(array, pyarrow.ChunkedArray):
        array = pyarrow.concat_arrays(array.chunks) if array.num_chunks else pyarrow.array([], array.type)
    kind, rows = array.type, len(array)
    head = b"\0"
    if array.null_count:
        head = b"\1" + numpy.asarray(array.is_valid().to_numpy(zero_copy_only=False), "u1").tobytes()
    if types.is_null(kind):
        return head
    if types.is_boolean(kind):
        return head + numpy.asarray(array.fill_null(False).to_numpy(zero_copy_only=False), "u1").tobytes()
    if types.is_string(kind) or types.is_binary(kind):
        if not rows:
            return head + bytes(8)
        wide = array.cast(pyarrow.binary()).cast(pyarrow.large_binary()).fill_null(b"")
        offsets = numpy.frombuffer(wide.buffers()[1], "<i8")[wide.offset : wide.offset + rows + 1]
        data = memoryview(wide.buffers()[2] or b"")[offsets[0] : offsets[-1]]
        return b"".join([head, (offsets - offsets[0]).tobytes(), data])
    if types.is_list(kind):
        lengths = pyarrow.compute.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
        offsets = numpy.concatenate([numpy.zeros(1, "<i8"), numpy.cumsum(lengths, dtype="<i8")])
        return b"".join([head, offsets.tobytes(), _column_bytes(array.flatten())])
    if types.is_struct(kind):
        return head + b"".join(_column_bytes(member) for member in array.flatten())
    width = kind.bit_width // 8
    bits = {1: pyarrow.uint8(), 2: pyarrow.uint16(), 4: pyarrow.uint32(), 8: pyarrow.uint64()}
    if width not in bits:
        raise InvalidValue(f"a table does not hold values of type {kind}", "convert the column first")
    plain = array.view(bits[width]).fill_null(0)
    values: bytes = plain.to_numpy(zero_copy_only=False).astype(f"<u{width}", copy=False).tobytes()
    return head + values
