"""The rows of an experience buffer: columns in the order of ids, of which some are gone.

Laws: a row's place among all rows that ever were is its own, and blocks of a snapshot lie at such places, so two
snapshots share what is equal in them; making the rows dense gives every row that is left a new place behind all old
ones and changes neither order nor content; rows are made dense only when newer ones come, so the next id can be told
from the last row, also where that is gone; what of a field has changed since it was stored is stored again.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from repro_assets.artifacts.kinds.record_blocks import BLOCK, Records, StoredBlocks
from repro_assets.errors import InvalidInput, InvalidValue

Array = np.ndarray

WAITING, LEARNED, PASSED, GONE = range(4)
"""Status: inserted, and its update not made yet; learned from; seen, but the vote was not clear enough; evicted."""


class Layout(NamedTuple):
    """Sizes of an experience's vectors.

    Attributes
    ----------
    features : tuple of int
        Shape of what was seen.
    question : int
        Numbers of the first view, which is what the learner is asked about.
    trajectory : int
        Actions at most.
    answers : int
        Possible answers.
    visual, text : int
        Sizes of the embeddings.
    """

    features: tuple[int, ...] = (8, 8)
    question: int = 4
    trajectory: int = 9
    answers: int = 10
    visual: int = 64
    text: int = 64

    def dtype(self) -> np.dtype[Any]:
        """Fields of a row."""
        return np.dtype(
            [
                ("id", "<i8"),
                ("source", "<i8"),
                ("timestamp", "<i8"),
                ("features", "<f4", self.features),
                ("question", "<f4", (self.question,)),
                ("trajectory", "i1", (self.trajectory,)),
                ("vote", "<f4", (self.answers,)),
                ("confidence", "<f4"),
                ("reward", "<f4"),
                ("visual", "<f4", (self.visual,)),
                ("text", "<f4", (self.text,)),
                ("combined", "<f4", (self.visual + self.text,)),
                ("status", "u1"),
                ("retrievals", "<i4"),
                ("successes", "<i4"),
            ]
        )


class ExperienceRows:
    """Columns with room for twice the capacity, so that they are made dense once in `capacity` inserts at most.

    Parameters
    ----------
    layout : Layout
        Sizes of the fields.
    capacity : int
        Rows that are not gone, at most.
    """

    def __init__(self, layout: Layout, capacity: int) -> None:
        self.room = 2 * capacity
        fields = layout.dtype()
        assert fields.names is not None
        self.names = fields.names
        self._columns: dict[str, Array] = {}
        for name in self.names:
            base, shape = fields[name].subdtype or (fields[name], ())
            # Untouched pages of zeros take no memory.
            self._columns[name] = np.zeros((self.room, *shape), base)
        self._begin(0)

    def _begin(self, first: int) -> None:
        self.first = first
        self.count = 0
        self.alive = 0
        self._stored = StoredBlocks()
        self._doubles: dict[tuple[str, bool], tuple[Array, int]] = {}
        self._held: Array | None = None

    def __getitem__(self, name: str) -> Array:
        return self._columns[name][: self.count]

    def held(self) -> Array:
        """Places of the rows that are not gone, ascending, int64."""
        if self._held is None:
            self._held = np.flatnonzero(self["status"] != GONE)
        return self._held

    def fitted(self, name: str, value: Any) -> Array:
        """Return a field's values in its type.

        Raises
        ------
        InvalidValue
            If their shape or type does not fit.
        """
        column, array = self._columns[name], np.asarray(value)
        if array.ndim != column.ndim or array.shape[1:] != column.shape[1:]:
            raise InvalidValue(f"the field {name} has values of shape {array.shape[1:]}, not {column.shape[1:]}")
        if not np.can_cast(array.dtype, column.dtype, "same_kind"):
            raise InvalidValue(f"the field {name} is {column.dtype} and cannot take {array.dtype}")
        return array.astype(column.dtype, copy=False)

    def append(self, columns: Mapping[str, Array]) -> None:
        """Append rows; there is room for them among those that are not gone."""
        added = len(columns["id"])
        if self.count + added > self.room:
            self._make_dense()
        for name, column in columns.items():
            self._columns[name][self.count : self.count + added] = column
        if self._held is not None:
            self._held = np.concatenate((self._held, np.arange(self.count, self.count + added)))
        self.count += added
        self.alive += added

    def drop(self, places: Array) -> None:
        """Let rows be gone."""
        dropped = np.unique(places)
        self.change("status", dropped, GONE)
        self.alive -= len(dropped)
        self._held = None

    def change(self, name: str, places: Array, value: Any) -> None:
        """Write a field of some rows."""
        self._columns[name][places] = value
        self._stored.forget(name, self.first + places)

    def add(self, name: str, places: Array, values: Array) -> None:
        """Add to a field of some rows, as often as each is named."""
        np.add.at(self._columns[name], places, values)
        self._stored.forget(name, self.first + places)

    def find(self, ids: Array) -> tuple[Array, Array]:
        """Places of ids, and whether each is held."""
        known = self["id"]
        places = np.searchsorted(known, ids)
        there = places < self.count
        there[there] = known[places[there]] == ids[there]
        there[there] = self["status"][places[there]] != GONE
        return places, there

    def distances(self, queries: Array, space: str, metric: str) -> Array:
        """Distances of queries, float64 [m, size], to every row, [m, rows]; infinite to those that are gone.

        Each pair is computed alone, in one order of operations, so equal rows are equally far.
        """
        from scipy.spatial.distance import cdist

        if metric not in ("cosine", "euclidean", "manhattan"):
            raise InvalidValue(f"{metric!r} is no metric", "cosine, euclidean or manhattan")
        rows = self._as_doubles(space, metric == "cosine")
        found: Array
        if metric == "cosine":
            # Of vectors of length 1: |u - v|^2 = 2 - 2 cos.
            found = cdist(_to_length_one(queries), rows, "sqeuclidean") / 2
        else:
            found = cdist(queries, rows, "cityblock" if metric == "manhattan" else "euclidean")
        if self.alive < self.count:
            found[:, self["status"] == GONE] = np.inf
        return found

    def records(self) -> Records:
        """Return all rows, gone ones too, without a copy, with what is stored of them already."""
        return Records({name: self[name] for name in self.names}, self.first, self._stored)

    def part(self, places: Array) -> Records:
        """Return a copy of rows that stand side by side.

        Raises
        ------
        InvalidValue
            If they do not.
        """
        first = self.first + (int(places[0]) if len(places) else self.count)
        if (np.diff(places) != 1).any():
            raise InvalidValue("the experiences do not stand side by side", "name those of one insert, in order")
        return Records({name: self[name][places] for name in self.names}, first)

    def state_dict(self) -> dict[str, Any]:
        """Return first place and columns, as tensors that are cut where the blocks of a snapshot are."""
        edges = [0, *range(-self.first % BLOCK or BLOCK, self.count, BLOCK), self.count]
        cuts = [(start, stop) for start, stop in itertools.pairwise(edges) if start < stop]
        return {
            "first": self.first,
            "count": self.count,
            "columns": {
                name: [torch.from_numpy(self[name][start:stop].copy()) for start, stop in cuts] for name in self.names
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the rows that `state_dict` was taken from."""
        columns = {
            name: np.concatenate([np.asarray(part) for part in parts]) if parts else self._columns[name][:0]
            for name, parts in state["columns"].items()
        }
        if any(len(column) != int(state["count"]) for column in columns.values()):
            raise InvalidInput("the columns of the experience buffer differ in length", "give a whole checkpoint")
        self._restore(columns, int(state["first"]))

    def restore(self, records: Records) -> None:
        """Become the rows of a snapshot.

        Raises
        ------
        InvalidValue
            If it has other fields, or more rows that are not gone than there is room for.
        """
        self._restore(dict(records.columns), records.first)

    def _restore(self, columns: Mapping[str, Array], first: int) -> None:
        if set(columns) != set(self.names):
            wrong = sorted(set(columns) ^ set(self.names))
            raise InvalidValue(f"the experiences have other fields than the buffer's: {', '.join(wrong)}")
        fitted = {name: self.fitted(name, column) for name, column in columns.items()}
        if len(fitted["id"]) > self.room or int((fitted["status"] != GONE).sum()) > self.room // 2:
            raise InvalidValue(f"{len(fitted['id'])} experiences do not fit into a buffer of {self.room // 2}")
        self._begin(first)
        self.append(fitted)
        self.alive = int((self["status"] != GONE).sum())

    def _make_dense(self) -> None:
        kept = self.held()
        # Behind all old places, at the beginning of a block: no block of an earlier snapshot is continued.
        first, alive = -(-(self.first + self.count) // BLOCK) * BLOCK, self.alive
        for column in self._columns.values():
            column[: len(kept)] = column[kept]
        self._begin(first)
        self.count, self.alive = len(kept), alive

    def _as_doubles(self, space: str, unit: bool) -> Array:
        """Rows of a space in double precision, which searching computes in; made once for each row."""
        rows, done = self._doubles.get((space, unit), (None, 0))
        if rows is None:
            rows = np.empty((self.room, self._columns[space].shape[1] + unit))
        if done < self.count:
            fresh = self._columns[space][done : self.count].astype(np.float64)
            rows[done : self.count] = _to_length_one(fresh) if unit else fresh
            self._doubles[space, unit] = rows, self.count
        return rows[: self.count]


def _to_length_one(rows: Array) -> Array:
    """Rows at length 1 with a further number, which is 1 for rows of zeros: these point nowhere, each the same way."""
    # The largest number first, so that no square is lost or infinite.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    lengths = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))[:, None]
    unit = np.divide(scaled, lengths, out=scaled, where=lengths > 0)
    return np.concatenate((unit, lengths == 0), axis=1)
