"""An experiment that learns while data comes in: what it saw, what it learned from it, and how sure it was.

Laws: an experience is on the disk before `log_experience` returns, and so before the update that learns from it; ids
count from 0, and updates from 1; a snapshot stores what is new since the one before and shares the rest; equal
experiences and updates in equal order are an equal buffer, whenever they were logged.
"""

from __future__ import annotations

import json
import math
import operator
import reprlib
from collections.abc import Mapping
from typing import Any, SupportsFloat, SupportsIndex

from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds.block_list import Segments
from repro_assets.errors import InvalidValue
from repro_assets.recording.experiences import ExperienceRecorder
from repro_assets.tracking.configuration import is_described, plain_argument
from repro_assets.tracking.experiment import Experiment
from repro_assets.wording import type_in_words

BLOCK = 1024
"""Lines in a sealed block of the buffer: a constant of the format."""


class OnlineExperiment(Experiment):
    """An `Experiment` with a buffer of experiences.

    Parameters
    ----------
    name : str, optional
        What it is called.
    snapshot_every : int
        Updates between two snapshots of the buffer; 0 for none by interval.
    snapshot_count : int
        New experiences after which one is made; 0 for none by count.
    options : object
        Further parameters of `Experiment`.

    Raises
    ------
    InvalidValue
        If a parameter is out of range.
    """

    def __init__(
        self, name: str | None = None, *, snapshot_every: int = 0, snapshot_count: int = 0, **options: Any
    ) -> None:
        super().__init__(name, **options)
        for every in (snapshot_every, snapshot_count):
            if type(every) is not int or every < 0:
                raise InvalidValue(f"a snapshot cannot be made every {every!r}", "0 for none, or 1 or more")
        self._every = snapshot_every
        self._count = snapshot_count
        self._recorder: ExperienceRecorder | None = None
        self._sealed: list[bytes] = []
        self._lines: list[bytes] = []
        self.experiences = 0
        self.updates = 0

    def log_experience(self, experience: Mapping[str, Any]) -> int:
        """Put an experience into the buffer, durably, and return its id.

        Parameters
        ----------
        experience : mapping
            Its fields; arrays and tensors are kept as lists of their values.

        Raises
        ------
        InvalidValue
            If it is no mapping, or JSON cannot hold a field.
        MachineError
            If it cannot be written.
        """
        if not isinstance(experience, Mapping):
            raise InvalidValue(f"an experience cannot be {type_in_words(experience)}", "give its fields by name")
        identifier = self.experiences
        line = _line({"experience": identifier, "fields": {str(k): _listed(k, v) for k, v in experience.items()}})
        recorder = self._recording()
        recorder.inserted(Segments((line,)), identifier, identifier + 1, count=1)
        self._append(line)
        self.experiences += 1
        if self._count and recorder.new >= self._count:
            recorder.snapshot(self.updates, held=self.experiences, position=self.experiences, reason="count")
        return identifier

    def log_online_update(
        self, experience_id: int, reward: float, confidence: float, kl_divergence: float | None = None
    ) -> Artifact | None:
        """Record an update: which experience it learned from, and how it went.

        Parameters
        ----------
        experience_id : int
            What `log_experience` returned.
        reward : float
            The reward, finite.
        confidence : float
            How sure the model was, 0 to 1.
        kl_divergence : float, optional
            Divergence of the new policy from the reference, in nats.

        Returns
        -------
        Artifact or None
            The snapshot that was due, if one was. The figures are points of the metrics ``reward``, ``confidence``,
            ``kl_divergence`` and ``experience_id`` at the update's number.

        Raises
        ------
        InvalidValue
            If there is no such experience, or a figure is out of range.
        """
        _refuse_other(experience_id, "the id of an experience", SupportsIndex)
        experience_id = operator.index(experience_id)
        for what, figure in (("a reward", reward), ("a confidence", confidence), ("a divergence", kl_divergence)):
            if figure is not None or what != "a divergence":
                _refuse_other(figure, what, SupportsFloat)
        if not 0 <= experience_id < self.experiences:
            raise InvalidValue(
                f"there is no experience {experience_id}", f"log it first; there are {self.experiences} so far"
            )
        if not math.isfinite(reward):
            raise InvalidValue(f"a reward of {reward}", "a finite number")
        if not 0 <= confidence <= 1:
            raise InvalidValue(f"a confidence of {confidence}", "0 to 1")
        if kl_divergence is not None and not math.isfinite(kl_divergence):
            raise InvalidValue(f"a divergence of {kl_divergence}", "a finite number, or None")
        recorder = self._recording()
        self.updates += 1
        figures = {"reward": float(reward), "confidence": float(confidence)}
        if kl_divergence is not None:
            figures["kl_divergence"] = float(kl_divergence)
        self.log_metrics({**figures, "experience_id": float(experience_id)}, self.updates)
        self._append(_line({"update": self.updates, "experience": experience_id, **figures}))
        return recorder.after(self.updates, held=self.experiences, position=self.experiences)

    def snapshot(self) -> Artifact:
        """Store the buffer now, under the display name ``experience_buffer_<timestamp>``."""
        return self._recording().snapshot(self.updates, held=self.experiences, position=self.experiences)

    def _recording(self) -> ExperienceRecorder:
        if self._recorder is None:
            self._recorder = ExperienceRecorder(self.run, self._whole, every=self._every, count=self._count)
        return self._recorder

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        if len(self._lines) == BLOCK:
            self._sealed.append(b"".join(self._lines))
            self._lines.clear()

    def _whole(self) -> Segments:
        return Segments((*self._sealed, *([b"".join(self._lines)] if self._lines else [])))


def buffer_lines(buffer: Segments) -> list[dict[str, Any]]:
    """Return the experiences and updates of a loaded snapshot, in the order in which they were logged."""
    return [json.loads(line) for block in buffer.blocks for line in block.splitlines()]


def _refuse_other(value: Any, what: str, form: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, form):
        raise InvalidValue(f"{what} cannot be {reprlib.repr(value)}", "give a number")


def _line(document: dict[str, Any]) -> bytes:
    try:
        return json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except ValueError as error:
        raise InvalidValue("an experience holds a number that is not finite", "leave it out") from error


def _listed(name: object, value: Any) -> Any:
    found = value.tolist() if hasattr(value, "tolist") else value
    plain = plain_argument(found)
    if is_described(plain) and not isinstance(found, Mapping):
        raise InvalidValue(f"the field {name!r} of an experience cannot be {type_in_words(value)}", "give JSON")
    return plain
