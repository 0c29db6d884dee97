"""What a mirror is: another tool's place for a run, which gets what the run records while it goes on.

Laws: the run's own record is complete without a mirror, so a mirror may lack something, but never silently. `Refused`
is for what the tool will take at no time; anything else that a mirror raises is tried again later, with the same
arguments. Credentials are out of what a mirror is given: it gets what the run's own record gets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from repro_assets.artifacts.handle import Artifact
from repro_assets.errors import RequestError
from repro_assets.recording.readings import Point


class Refused(RequestError):
    """The tool takes this at no time: trying again is of no use."""


@dataclass(frozen=True, slots=True)
class MirroredRun:
    """What a mirror knows of a run when it begins.

    Parameters
    ----------
    run_id, name : str
        Its id, and the name that people read.
    project : str, optional
        What it belongs to.
    tags : list of str
        Words to find it by.
    notes : str, optional
        What a person wrote about it.
    config : dict
        JSON-like, with nothing secret in it.
    started_ns : int
        When it began, in nanoseconds since 1970.
    """

    run_id: str
    name: str
    project: str | None
    tags: list[str]
    notes: str | None
    config: dict[str, Any]
    started_ns: int


class Mirror(Protocol):
    """One tool's place for one run; called by one thread, `start` first and `end` last.

    Attributes
    ----------
    name : str
        What it is called in warnings.

    A mirror that may have ``start_seconds`` gets so many seconds to begin, however short the run is.
    """

    name: str

    def start(self, run: MirroredRun) -> None:
        """Make the run there."""

    def params(self, params: Mapping[str, Any]) -> None:
        """Write parameters; a later value of one name wins where the tool allows it."""

    def metrics(self, points: Sequence[Point]) -> None:
        """Write points."""

    def artifact(self, name: str, artifact: Artifact) -> None:
        """Write an artifact of the store, as files where the tool holds files."""

    def about(self, facts: Mapping[str, Any]) -> None:
        """Write what else is on record of a run that has ended; JSON-like."""

    def end(self, state: str, ended: float | None = None) -> None:
        """Write how the run ended: COMPLETED, FAILED or INTERRUPTED, or UNKNOWN where nobody knows.

        And when, in seconds since 1970, if not now.
        """
