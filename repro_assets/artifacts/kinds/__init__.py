"""Value to manifest and objects, and back; one kind per module."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from repro_assets.artifacts.kinds import block_list, json_value, raw_bytes, table, tensors, tree
from repro_assets.artifacts.kinds.block_list import Segments
from repro_assets.artifacts.kinds.codec import Kind
from repro_assets.artifacts.kinds.record_blocks import Records
from repro_assets.errors import InvalidValue, UnsupportedFormat
from repro_assets.store.decoding import Decoder
from repro_assets.wording import type_in_words

KINDS: dict[str, Kind] = {
    tensors.NAME: tensors,
    table.NAME: table,
    tree.NAME: tree,
    json_value.NAME: json_value,
    raw_bytes.NAME: raw_bytes,
    block_list.NAME: block_list,
}

DECODERS: dict[str, Decoder] = {table.CODEC: table.decode}


def kind_named(name: str) -> Kind:
    """Return the kind of this name.

    Raises
    ------
    UnsupportedFormat
        If there is none; the known ones are named.
    """
    try:
        return KINDS[name]
    except KeyError as error:
        raise UnsupportedFormat(f"{name!r} is not a kind of artifact", f"one of {', '.join(KINDS)}") from error


def kind_of(value: Any) -> str:
    """Name the kind that holds `value`: by its type, never by trying.

    Raises
    ------
    InvalidValue
        If no kind does.
    """
    if isinstance(value, Path):
        return tree.NAME if value.is_dir() else raw_bytes.NAME
    if isinstance(value, (bytes, bytearray, memoryview)):
        return raw_bytes.NAME
    if isinstance(value, (Segments, Records)):
        return block_list.NAME
    for module, attribute in (("pandas", "DataFrame"), ("pyarrow", "Table")):
        # A module that another thread is importing at this moment has no such class yet, so no value is of it.
        if isinstance(value, getattr(sys.modules.get(module), attribute, ())):
            return table.NAME
    if _holds_tensors(value):
        return tensors.NAME
    if value is None or isinstance(value, (bool, int, float, str, list, tuple, dict)):
        return json_value.NAME
    raise InvalidValue(
        f"{type_in_words(value)} is not something that can be stored",
        "give tensors, a DataFrame, JSON, bytes or a path",
    )


def _holds_tensors(value: Any) -> bool:
    pending = [value]
    seen: set[int] = set()
    array_types = tuple(
        getattr(sys.modules.get(module), attribute, ())
        for module, attribute in (("torch", "Tensor"), ("numpy", "ndarray"), ("numpy", "generic"))
    )
    while pending:
        item = pending.pop()
        if isinstance(item, array_types) and not isinstance(item, (bool, int, float, str)):
            return True
        if id(item) in seen:
            continue
        if isinstance(item, (dict, list, tuple)):
            seen.add(id(item))
        if isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, (list, tuple)):
            pending.extend(item)
    return False
