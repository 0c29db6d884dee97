"""The experience buffer of an online learner: what it has seen, how sure it was, and what is like it.

Laws: ids count up from 0 and none is used again, whatever is evicted, stored or restored; a search is exact, its ties
go to the smaller id, and equal vectors are equally far; drawing depends on the generator and what the buffer holds
alone; a full buffer makes room before it takes something new, so what was inserted last is never evicted for its own
sake; time is the stream's position and never a clock's.

Priority = max(0.01, 0.4 (1 - confidence) + 0.4 |reward| + 0.2 age), where age = min(1, positions since the experience's
own / `age_horizon`), so it is 0 for what was just seen and 1 for what was seen `age_horizon` images ago or more.

Rows stand in the order of their ids, in `ExperienceRows`; those of evicted experiences keep their place until the rows
are made dense, and count for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch

from repro_assets.errors import InvalidInput, InvalidValue, UnknownName
from repro_assets.training.experience_rows import GONE, WAITING, ExperienceRows, Layout
from repro_assets.training.ranking import smallest

if TYPE_CHECKING:
    from repro_assets.artifacts.kinds.record_blocks import Records

Array = np.ndarray
Space = Literal["visual", "text", "combined"]
Metric = Literal["cosine", "euclidean", "manhattan"]

LEAST_PRIORITY = 0.01
GIVEN = ("source", "timestamp", "features", "question", "trajectory", "vote", "confidence", "reward", "visual", "text")
"""Fields that an insert gives; the buffer adds the others."""


class Neighbours(NamedTuple):
    """What a search found, nearest first.

    Attributes
    ----------
    ids : ndarray
        int64 [queries, k]; -1 where fewer were to be had.
    distances : ndarray
        float64 [queries, k]; infinite there.
    """

    ids: Array
    distances: Array


class ExperienceBuffer:
    """Experiences with exact search, priority sampling, and eviction of the least important. Not for several threads.

    Parameters
    ----------
    layout : Layout
        Sizes of the vectors.
    capacity : int
        Experiences that it holds at most.
    age_horizon : int
        Positions of the stream after which an experience is as old as any.

    Raises
    ------
    InvalidValue
        If `capacity` or `age_horizon` is not positive.
    """

    def __init__(self, layout: Layout, capacity: int, age_horizon: int) -> None:
        if capacity < 1 or age_horizon < 1:
            raise InvalidValue(f"a buffer of {capacity} experiences that are old after {age_horizon}", "give 1 or more")
        self.layout = layout
        self.capacity = capacity
        self.age_horizon = age_horizon
        self.position = 0
        """The stream's newest position."""
        self.next_id = 0
        self._rows = ExperienceRows(layout, capacity)

    def __len__(self) -> int:
        return self._rows.alive

    @property
    def ids(self) -> Array:
        """Ids of what it holds, ascending, int64."""
        found: Array = self._rows["id"][self._rows.held()]
        return found

    def insert(self, experiences: Mapping[str, Any]) -> Array:
        """Take experiences in and return their ids; a full buffer evicts first.

        Parameters
        ----------
        experiences : mapping
            One array [n, ...] for each field of `GIVEN`. ``source`` tells which image of the stream it is about,
            ``timestamp`` its position, ``vote`` the share of each answer, ``confidence`` 0 to 1.

        Returns
        -------
        ndarray
            int64 [n].

        Raises
        ------
        InvalidValue
            If a field is missing or does not fit, a number is not finite, a confidence is outside 0 to 1, a timestamp
            lies before one of an earlier insert, or there are more than the buffer holds; nothing is taken in then.
        """
        columns = self._checked(experiences)
        count = len(columns["source"])
        if not count:
            return np.empty(0, np.int64)
        surplus = self._rows.alive + count - self.capacity
        if surplus > 0:
            # Rows stand in the order of their ids, so of equal priorities the older goes.
            held = self._rows.held()
            self._rows.drop(held[smallest(self.priorities(), surplus)])
        ids = np.arange(self.next_id, self.next_id + count)
        combined = _combined(columns["visual"], columns["text"])
        zeros = np.zeros(count, np.int32)
        self._rows.append(
            {
                **columns,
                "id": ids,
                "combined": combined,
                "status": np.full(count, WAITING, np.uint8),
                "retrievals": zeros,
                "successes": zeros,
            }
        )
        self.next_id += count
        self.position = int(columns["timestamp"][-1])
        return ids

    def remove(self, ids: Sequence[int] | Array) -> None:
        """Evict these experiences, whatever their priority.

        Raises
        ------
        UnknownName
            If the buffer does not hold one.
        """
        self._rows.drop(self._places(ids))

    def take(self, ids: Sequence[int] | Array) -> dict[str, Array]:
        """Return every field of these experiences, [n, ...], in the order of `ids`.

        Raises
        ------
        UnknownName
            If the buffer does not hold one.
        """
        places = self._places(ids)
        return {name: self._rows[name][places] for name in self._rows.names}

    def votes(self) -> Array:
        """Votes of all that it holds, float32 [n, answers], in the order of `ids`."""
        found: Array = self._rows["vote"][self._rows.held()]
        return found

    def of_sources(self, sources: Sequence[int] | Array) -> Array:
        """Ids of what it holds about these images, ascending."""
        held = self._rows.held()
        chosen = held[np.isin(self._rows["source"][held], np.asarray(sources, np.int64))]
        found: Array = self._rows["id"][chosen]
        return found

    def priorities(self) -> Array:
        """Priority of each experience that it holds, float64, in the order of `ids`."""
        rows, held = self._rows, self._rows.held()
        age = np.minimum(1.0, (self.position - rows["timestamp"][held]) / self.age_horizon)
        doubt = 1.0 - rows["confidence"][held].astype(np.float64)
        gain = np.abs(rows["reward"][held].astype(np.float64))
        weighed: Array = np.maximum(LEAST_PRIORITY, 0.4 * doubt + 0.4 * gain + 0.2 * age)
        return weighed

    def sample(self, count: int, generator: torch.Generator) -> Array:
        """Draw experiences without replacement, each next one with a probability in proportion to its priority.

        Efraimidis and Spirakis 2006, "Weighted random sampling with a reservoir": the largest of log(u) / priority.

        Parameters
        ----------
        count : int
            How many; all that it holds, where these are fewer.
        generator : torch.Generator
            Draws one number for each experience that is held.

        Returns
        -------
        ndarray
            int64 [n], ids in the order in which they were drawn.
        """
        held = self._rows.held()
        draws = torch.rand(len(held), generator=generator, dtype=torch.float64).numpy()
        with np.errstate(divide="ignore"):
            keys = -np.log(draws) / self.priorities()
        drawn: Array = self._rows["id"][held[smallest(keys, min(count, len(held)))]]
        return drawn

    def search(
        self,
        queries: Any,
        count: int,
        *,
        space: Space = "combined",
        metric: Metric = "cosine",
        but_not_of: Sequence[int] | Array | None = None,
    ) -> Neighbours:
        """Find the nearest experiences, exactly.

        Parameters
        ----------
        queries : array
            [queries, size of the space].
        count : int
            How many for each query.
        space : str
            ``visual``, ``text`` or ``combined``; of the last one, queries are made by `combine`.
        metric : str
            ``cosine`` (1 - cosine of the angle; a vector of zeros is at 1 from every other), ``euclidean`` or
            ``manhattan`` (sum of the differences).
        but_not_of : array, optional
            For each query an image, experiences of which do not count.

        Raises
        ------
        InvalidValue
            If the queries do not fit the space or are not finite, or space or metric is unknown.
        """
        wanted = np.asarray(queries, np.float64)
        if space not in ("visual", "text", "combined"):
            raise InvalidValue(f"{space!r} is no space of embeddings", "visual, text or combined")
        size = self._rows[space].shape[1]
        if wanted.ndim != 2 or wanted.shape[1] != size or not np.isfinite(wanted).all():
            raise InvalidValue(f"queries of shape {wanted.shape} in a space of {size}", "give finite rows of that size")
        distances = self._rows.distances(wanted, space, metric)
        if but_not_of is not None:
            distances[np.asarray(but_not_of)[:, None] == self._rows["source"][None, :]] = np.inf
        ids = np.full((len(wanted), count), -1, np.int64)
        far = np.full((len(wanted), count), np.inf)
        for row, line in enumerate(distances):
            nearest = smallest(line, min(count, len(line)))
            nearest = nearest[np.isfinite(line[nearest])]
            ids[row, : len(nearest)] = self._rows["id"][nearest]
            far[row, : len(nearest)] = line[nearest]
        return Neighbours(ids, far)

    def note_retrieved(self, ids: Sequence[int] | Array, successes: Sequence[bool] | Array) -> None:
        """Count that experiences were retrieved, once for each time they are named, and whether they helped.

        Raises
        ------
        UnknownName
            If the buffer does not hold one.
        """
        places = self._places(ids)
        self._rows.add("retrievals", places, np.ones(len(places), np.int32))
        self._rows.add("successes", places, np.asarray(successes, np.int32))

    def set_status(self, ids: Sequence[int] | Array, status: int) -> None:
        """Say what became of experiences: `LEARNED` or `PASSED`.

        Raises
        ------
        UnknownName
            If the buffer does not hold one.
        InvalidValue
            If it is `GONE`, which `remove` is for.
        """
        if status == GONE:
            raise InvalidValue("what is gone was removed, not renamed", "call remove")
        self._rows.change("status", self._places(ids), status)

    def snapshot(self) -> Records:
        """Return its rows as they are, to be stored before the next change, not to be kept: they are not copied.

        Rows of evicted experiences are among them, with the status `GONE`. What was stored of an earlier snapshot is
        remembered, so storing this one hashes and writes what is new.
        """
        return self._rows.records()

    def inserted(self, ids: Sequence[int] | Array) -> Records:
        """Return a copy of the rows of experiences that one insert made, to be stored.

        Raises
        ------
        UnknownName
            If the buffer does not hold one.
        """
        return self._rows.part(self._places(ids))

    def state_dict(self) -> dict[str, Any]:
        """Return all that its behaviour depends on: numbers, and tensors cut where a snapshot's blocks are."""
        return {
            **self._kind(),
            "position": self.position,
            "next_id": self.next_id,
            "rows": self._rows.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the buffer that `state_dict` was taken from.

        Raises
        ------
        InvalidInput
            If the state is of a buffer of another layout, capacity or horizon.
        """
        wrong = [name for name, value in self._kind().items() if state.get(name) != value]
        if wrong:
            raise InvalidInput(
                f"the state is that of an experience buffer with another {' and '.join(wrong)}",
                "give a checkpoint that was made with the same config",
            )
        self._rows.load_state_dict(state["rows"])
        self.position, self.next_id = int(state["position"]), int(state["next_id"])

    @classmethod
    def restored(cls, records: Records, layout: Layout, capacity: int, age_horizon: int) -> ExperienceBuffer:
        """Return a buffer with the experiences of a snapshot, which goes on with the next id.

        Raises
        ------
        InvalidValue
            If the snapshot has other fields, or more experiences than the buffer holds.
        """
        buffer = cls(layout, capacity, age_horizon)
        buffer._rows.restore(records)
        if len(records):
            buffer.next_id = int(records.columns["id"][-1]) + 1
            buffer.position = int(records.columns["timestamp"].max())
        return buffer

    def _places(self, ids: Sequence[int] | Array) -> Array:
        wanted = np.asarray(ids, np.int64).reshape(-1)
        places, there = self._rows.find(wanted)
        if not there.all():
            raise UnknownName(
                f"the buffer holds no experience {int(wanted[~there][0])}", "it was evicted, or never made"
            )
        return places

    def _kind(self) -> dict[str, Any]:
        layout = {name: list(value) if name == "features" else value for name, value in self.layout._asdict().items()}
        return {"layout": layout, "capacity": self.capacity, "age_horizon": self.age_horizon}

    def _checked(self, experiences: Mapping[str, Any]) -> dict[str, Array]:
        if set(experiences) != set(GIVEN):
            wrong = sorted(set(experiences) ^ set(GIVEN))
            raise InvalidValue(f"experiences with other fields than an insert takes: {', '.join(wrong)}")
        columns = {name: self._rows.fitted(name, value) for name, value in experiences.items()}
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise InvalidValue(f"the fields differ in length: {lengths}", "give one value for each experience")
        if lengths["source"] > self.capacity:
            raise InvalidValue(f"{lengths['source']} experiences at once for a buffer of {self.capacity}")
        for name, column in columns.items():
            if column.dtype.kind == "f" and not np.isfinite(column).all():
                raise InvalidValue(f"an experience's {name} is not finite")
        confidence, times = columns["confidence"], columns["timestamp"]
        if len(confidence) and not (confidence.min() >= 0 and confidence.max() <= 1):
            raise InvalidValue("an experience's confidence is not between 0 and 1")
        if len(times) and (times[0] < self.position or (np.diff(times) < 0).any()):
            raise InvalidValue(f"an experience lies before position {self.position} of the stream", "insert in order")
        return columns


def combine(visual: Any, text: Any) -> Array:
    """Return combined embeddings: both at length 1, side by side, over the square root of 2; float32 [n, sizes]."""
    return _combined(np.asarray(visual, np.float32), np.asarray(text, np.float32))


def _combined(visual: Array, text: Array) -> Array:
    parts = []
    for part in (visual, text):
        length = np.sqrt(np.square(part, dtype=np.float64).sum(axis=1, keepdims=True))
        parts.append(part / np.where(length > 0, length * np.sqrt(2.0), 1.0))
    joined: Array = np.concatenate(parts, axis=1).astype(np.float32)
    return joined
