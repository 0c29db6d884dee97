"""What a data set holds, measured on the data itself: columns, missing values, ranges, classes, shared items.

Laws: every figure is of all of the data, none of a sample; what has no order has no range; an item is recognized by its
id, or where a data set holds its splits itself and no ids, by all of its values.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

MOST_CLASSES = 100
SPLITS = ("train", "validation", "test")
_LABELS = ("label", "labels", "target", "targets", "class")
_IDS = ("image_ids", "ids", "id", "image_id", "sample_id")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, or an array; `missing` counts nulls and NaN, ends are None where there is no order."""

    name: str
    type: str
    shape: tuple[int, ...]
    missing: int
    low: float | str | None
    high: float | str | None
    distinct: int | None


@dataclass(slots=True)
class Measured:
    """What was measured of a value.

    Parameters
    ----------
    rows : int or None
        Items, where all columns have as many.
    columns : list of Column
        In their order.
    classes : dict
        Column of labels to label and count.
    ids : dict
        Split, or the empty name for a value without splits, to the ids of its items.
    splits : dict
        Split that the value holds itself to its items.
    """

    rows: int | None = None
    columns: list[Column] = field(default_factory=list)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    ids: dict[str, set[Hashable]] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)


def measure(value: Any) -> Measured:
    """Return what a table, or a nesting of arrays, holds; of anything else, nothing."""
    found = Measured()
    if hasattr(value, "columns") and hasattr(value, "iloc"):
        found.rows = len(value)
        for name in value.columns:
            _add_series(found, str(name), value[name])
        for name in (name for name in _IDS if name in value.columns):
            found.ids[""] = set(value[name].tolist())
            break
        return found
    arrays = dict(arrays_of(value))
    for name, array in arrays.items():
        _add_array(found, name, array)
    lengths = {array.shape[0] for array in arrays.values() if array.ndim}
    found.rows = lengths.pop() if len(lengths) == 1 else None
    if isinstance(value, Mapping):
        _add_splits(found, value, arrays)
    return found


def arrays_of(value: Any, path: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays and tensors of a nesting, under the names that lead to them, joined by dots."""
    import numpy as np

    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from arrays_of(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from arrays_of(item, f"{path}.{place}" if path else str(place))
    elif isinstance(value, np.ndarray):
        yield path, value
    elif hasattr(value, "detach") and hasattr(value, "cpu"):
        tensor = value.detach().cpu()
        # NumPy has no bfloat16; float32 holds all of its values.
        yield path, (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def _add_series(found: Measured, name: str, series: Any) -> None:
    import pandas

    low: float | str | None = None
    high: float | str | None = None
    missing = int(series.isna().sum())
    present = series.dropna()
    if pandas.api.types.is_bool_dtype(series.dtype) or len(present) == 0:
        pass
    elif pandas.api.types.is_numeric_dtype(series.dtype):
        low, high = present.min().item(), present.max().item()
    elif pandas.api.types.is_datetime64_any_dtype(series.dtype):
        low, high = str(present.min()), str(present.max())
    distinct = None
    if all(isinstance(item, Hashable) for item in present.head(1)):
        distinct = int(present.nunique())
    found.columns.append(Column(name, _type_of(series, present), (len(series),), missing, low, high, distinct))
    if name in _LABELS and distinct is not None and distinct <= MOST_CLASSES:
        counts = present.value_counts().sort_index()
        found.classes[name] = {str(label): int(count) for label, count in counts.items()}


def _type_of(series: Any, present: Any) -> str:
    if str(series.dtype) != "object" or len(present) == 0:
        return str(series.dtype)
    first = present.iloc[0]
    return "list" if hasattr(first, "__len__") and not isinstance(first, str | bytes) else type(first).__name__


def _add_array(found: Measured, name: str, array: np.ndarray) -> None:
    import numpy as np

    low: float | None = None
    high: float | None = None
    missing, distinct = 0, None
    real = np.issubdtype(array.dtype, np.number) and not np.issubdtype(array.dtype, np.complexfloating)
    if real and array.size:
        if np.issubdtype(array.dtype, np.floating):
            missing = int(np.isnan(array).sum())
        present = array[~np.isnan(array)] if missing else array
        if present.size:
            low, high = present.min().item(), present.max().item()
    if array.ndim == 1 and array.dtype.kind in "iubUS":
        values, counts = np.unique(array, return_counts=True)
        distinct = len(values)
        if name.rpartition(".")[2] in _LABELS and distinct <= MOST_CLASSES:
            pairs = zip(values.tolist(), counts.tolist(), strict=True)
            found.classes[name] = {str(label): int(count) for label, count in pairs}
    found.columns.append(Column(name, str(array.dtype), array.shape, missing, low, high, distinct))


def _add_splits(found: Measured, value: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    held = [name for name in SPLITS if isinstance(value.get(name), Mapping)]
    for split in held:
        own = {name.removeprefix(f"{split}."): array for name, array in arrays.items() if name.startswith(f"{split}.")}
        lengths = {array.shape[0] for array in own.values() if array.ndim}
        if len(lengths) == 1:
            found.splits[split] = lengths.pop()
            found.ids[split] = _items(own)
    if not held:
        for name in (name for name in _IDS if name in arrays and arrays[name].ndim == 1):
            found.ids[""] = set(arrays[name].tolist())
            break


def _items(arrays: Mapping[str, np.ndarray]) -> set[Hashable]:
    for name in _IDS:
        if name in arrays and arrays[name].ndim == 1:
            return set(arrays[name].tolist())
    columns = [arrays[name] for name in sorted(arrays) if arrays[name].ndim]
    return {tuple(column[place].tobytes() for column in columns) for place in range(len(columns[0]))}
