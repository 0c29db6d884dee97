"""What every way of executing runs again gives back, and how it fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from repro_assets.errors import ReproError
from repro_assets.replay.plan import Result


class ReplayFailed(ReproError):
    """The process of a replay ended without a result."""


class TooLong(ReplayFailed):
    """It was ended because it took too long: that is what was executed, and not the machine."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Executed:
    """What came of an execution.

    Parameters
    ----------
    result : Result
        The runs that began, and what they made.
    parent : str or None
        The run that groups them, where one does.
    notes : list of str
        What a person should know of it.
    tree : Path or None
        Where the source tree was laid out.
    run_ids : list of str
        All runs that began, also those that nothing is compared of.
    """

    result: Result
    parent: str | None = None
    notes: list[str] = field(default_factory=list)
    tree: Path | None = None
    run_ids: list[str] = field(default_factory=list)


def too_long(timeout: float | None) -> TooLong:
    """Return the error of a replay that took too long; the records of what it did until then stay."""
    return TooLong(
        f"the replay took more than {timeout:g} s and was ended",
        "give a longer --timeout; what it did until then is on record: repro runs list",
    )
