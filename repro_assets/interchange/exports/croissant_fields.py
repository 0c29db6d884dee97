"""Files and records of a data set in Croissant's words.

Laws: a type is the one of the column; a column of a type for which Croissant has no word is left out of the records
and stays in the file. Croissant's readers give text as bytes, and the bytes of a column of bytes as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from repro_assets.interchange.exports.croissant_data import BYTES, DATA, Laid, RecordFile
from repro_assets.mirrors.holding import Names

if TYPE_CHECKING:
    import mlcroissant
    import pyarrow

FILES = "files"
SPLITS = "splits"
_LONGEST = 200


def distribution(context: mlcroissant.Context, laid: Laid) -> list[Any]:
    """Return every file, and the set of those of a tree."""
    import mlcroissant

    # Spaces and the like would not make an address.
    names = Names(r"[^A-Za-z0-9._/-]", _LONGEST)
    found: list[Any] = [
        mlcroissant.FileObject(
            ctx=context,
            id=names.held(file.path),
            name=file.path.rpartition("/")[2],
            content_url=file.path,
            content_size=f"{file.size} B",
            encoding_formats=[file.media_type],
            sha256=file.sha256,
        )
        for file in laid.files
    ]
    if laid.is_tree:
        found.append(
            mlcroissant.FileSet(
                ctx=context,
                id=DATA,
                name=DATA,
                includes=[f"{DATA}/**"],
                # The library's reader hands over the bytes of a file of text, and of no file that is only bytes.
                encoding_formats=[BYTES, mlcroissant.EncodingFormat.TEXT],
            )
        )
    return found


def record_sets(context: mlcroissant.Context, laid: Laid) -> list[Any]:
    """Return the records of each file of records, the files of a tree, and the names of splits."""
    found = [_records(context, each) for each in laid.records]
    splits = [each.name for each in laid.records if each.split]
    if splits:
        found.append(_splits(context, splits))
    if laid.is_tree:
        found.append(_files(context))
    return found


def left_out(laid: Laid) -> list[str]:
    """Return the columns that are in the files and not among the records."""
    return [column.name for each in laid.records for column in each.schema if _type_and_shape(column)[0] is None]


def _records(context: mlcroissant.Context, records: RecordFile) -> Any:
    import mlcroissant

    names = Names(r"[^A-Za-z0-9._-]", _LONGEST)
    fields = []
    for column in records.schema:
        made = _field(context, f"{records.name}/{names.held(column.name)}", column, records.path)
        fields += [] if made is None else [made]
    if records.split:
        fields.append(
            mlcroissant.Field(
                ctx=context,
                id=f"{records.name}/{names.held(SPLITS)}",
                name="split",
                data_types=[mlcroissant.DataType.TEXT, mlcroissant.DataType.SPLIT],
                value=records.name,
            )
        )
    return mlcroissant.RecordSet(ctx=context, id=records.name, name=records.name, fields=fields)


def _field(context: mlcroissant.Context, id: str, column: pyarrow.Field, path: str) -> Any:
    import mlcroissant

    kind, shape = _type_and_shape(column)
    if kind is None:
        return None
    array = {"is_array": True, "array_shape": ",".join(map(str, shape))} if shape else {}
    source = mlcroissant.Source(
        ctx=context, file_object=path, extract=mlcroissant.Extract(ctx=context, column=column.name)
    )
    return mlcroissant.Field(ctx=context, id=id, name=column.name, data_types=[kind], source=source, **array)


def _type_and_shape(column: pyarrow.Field) -> tuple[Any, list[int]]:
    shape: list[int] = []
    inner = column.type
    while hasattr(inner, "value_type"):
        # A list of any length is one of -1.
        shape.append(getattr(inner, "list_size", -1))
        inner = inner.value_type
    return _type(inner), shape


def _type(kind: pyarrow.DataType) -> Any:
    """Return Croissant's word for a type of a column; None where it has none."""
    from mlcroissant import DataType
    from pyarrow import types

    if types.is_boolean(kind):
        return DataType.BOOL
    if types.is_integer(kind):
        return getattr(DataType, f"{'U' * types.is_unsigned_integer(kind)}INT{kind.bit_width}")
    if types.is_floating(kind):
        return getattr(DataType, f"FLOAT{kind.bit_width}")
    if types.is_string(kind) or types.is_binary(kind) or types.is_null(kind):
        return DataType.TEXT
    if types.is_timestamp(kind):
        return DataType.DATETIME
    if types.is_date(kind):
        return DataType.DATE
    return DataType.TIME if types.is_time(kind) else None


def _splits(context: mlcroissant.Context, names: Sequence[str]) -> Any:
    import mlcroissant

    id = f"{SPLITS}/name"
    field = mlcroissant.Field(ctx=context, id=id, name="name", data_types=[mlcroissant.DataType.TEXT])
    return mlcroissant.RecordSet(
        ctx=context,
        id=SPLITS,
        name=SPLITS,
        key=[id],
        data_types=[mlcroissant.DataType.SPLIT],
        fields=[field],
        data=[{id: name} for name in names],
    )


def _files(context: mlcroissant.Context) -> Any:
    import mlcroissant

    def field(name: str, property: Any) -> Any:
        source = mlcroissant.Source(
            ctx=context, file_set=DATA, extract=mlcroissant.Extract(ctx=context, file_property=property)
        )
        return mlcroissant.Field(
            ctx=context, id=f"{FILES}/{name}", name=name, data_types=[mlcroissant.DataType.TEXT], source=source
        )

    fields = [field("path", "fullpath"), field("content", "content")]
    return mlcroissant.RecordSet(ctx=context, id=FILES, name=FILES, fields=fields)
