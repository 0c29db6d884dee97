"""What a run puts on record of its experience buffer: every insert, and snapshots of the whole.

Laws: an insert is an object and a record, both on the disk, before `ExperienceRecorder.inserted` returns, and so before
the update that learns from it; a snapshot stores what is new since the one before. What was inserted after the newest
checkpoint is found after a kill by its record (table `experience_inserts`); who resumes from the checkpoint makes the
same inserts again, with the same ids and digests, and has no need to read them. The wall clock is in the record alone:
equal buffers have equal digests whenever they are stored.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds.block_list import Segments
from repro_assets.artifacts.kinds.record_blocks import Records
from repro_assets.journal.run_records import ExperiencesInserted, ExperienceSnapshot

if TYPE_CHECKING:
    from repro_assets.recording.run import Run


Buffer = Records | Segments
"""Records with ids, or sealed blocks whose meaning is the buffer's own affair."""


class ExperienceRecorder:
    """Stores inserts and snapshots of one buffer of one run.

    Parameters
    ----------
    run : Run
        The run.
    snapshot : callable
        Returns the buffer's rows as they are.
    every : int
        Updates between two snapshots; 0 for none by interval.
    count : int
        New experiences after which a snapshot is made; 0 for none by count.
    """

    def __init__(self, run: Run, snapshot: Callable[[], Buffer], *, every: int = 0, count: int = 0) -> None:
        self.new = 0
        """Experiences inserted since the last snapshot."""
        self._run = run
        self._snapshot = snapshot
        self._every = every
        self._count = count

    def inserted(self, records: Buffer, first: int, position: int, *, count: int | None = None) -> Artifact:
        """Put an insert on the disk.

        Parameters
        ----------
        records : Records
            Its rows.
        first : int
            Id of the first experience.
        position : int
            Position of the stream.
        count : int, optional
            How many there are, where they are no `Records`.

        Raises
        ------
        InvalidValue
            If the run has ended.
        MachineError
            If it cannot be written.
        """
        number = len(records) if isinstance(records, Records) else int(count or 0)
        stored = repository.put(self._run.home, records, name=f"{self._run.run_id}/experiences {first}")
        self._run.record(ExperiencesInserted(self._run.run_id, str(stored.digest), first, number, position))
        self.new += number
        return stored

    def after(self, step: int, *, held: int, position: int) -> Artifact | None:
        """Make a snapshot if one is due after update `step`."""
        if self._every and step % self._every == 0:
            return self.snapshot(step, held=held, position=position, reason="interval")
        if self._count and self.new >= self._count:
            return self.snapshot(step, held=held, position=position, reason="count")
        return None

    def snapshot(self, step: int, *, held: int, position: int, reason: str = "demand") -> Artifact:
        """Store the buffer under the display name ``experience_buffer_<timestamp>``.

        Parameters
        ----------
        step : int
            Updates made.
        held : int
            Experiences that the buffer holds.
        position : int
            Position of the stream.
        reason : str
            ``interval``, ``count`` or ``demand``.

        Raises
        ------
        InvalidValue
            If the run has ended.
        MachineError
            If it cannot be written.
        """
        name = f"experience_buffer_{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        stored = repository.put(self._run.home, self._snapshot(), name=f"{self._run.run_id}/{name}")
        self._run.record(
            ExperienceSnapshot(
                self._run.run_id, name, str(stored.digest), step, position, held=held, new=self.new, reason=reason
            )
        )
        self.new = 0
        return stored
