"""What a file of a known format holds, so that two files are compared by value and not only by bytes.

Laws: the format is told by the name's ending; no pickle is opened, so files of ``torch.save`` are bytes; a file that
does not read as what its name says is its bytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from repro_assets.artifacts.kinds.table import from_parquet


def value_of(name: str, data: bytes) -> Any:
    """Return what a file holds: nested values, a table, arrays or tensors; its bytes where nobody knows.

    Parameters
    ----------
    name : str
        Its name or path.
    data : bytes
        Its content.
    """
    read = _READERS.get(PurePosixPath(name).suffix.lower())
    if read is None:
        return data
    try:
        return read(data)
    except Exception:  # noqa: BLE001 - whatever a reader of another library says of it, it is bytes then
        return data


def _lines(data: bytes) -> Any:
    return [json.loads(line) for line in data.splitlines()]


def _csv(data: bytes) -> Any:
    import pandas

    return pandas.read_csv(io.BytesIO(data))


def _tsv(data: bytes) -> Any:
    import pandas

    return pandas.read_csv(io.BytesIO(data), sep="\t")


def _parquet(data: bytes) -> Any:
    return from_parquet(data).to_pandas()


def _numpy(data: bytes) -> Any:
    import numpy

    found = numpy.load(io.BytesIO(data), allow_pickle=False)
    return dict(found) if hasattr(found, "files") else found


def _safetensors(data: bytes) -> Any:
    from safetensors.torch import load

    return load(data)


_READERS: dict[str, Callable[[bytes], Any]] = {
    ".json": json.loads,
    ".jsonl": _lines,
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
    ".npy": _numpy,
    ".npz": _numpy,
    ".safetensors": _safetensors,
}
