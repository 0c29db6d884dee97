"""What every part of an experiment knows: its run, the stores, and what a replay pins."""

from __future__ import annotations

from contextlib import ExitStack
from typing import NoReturn

from repro_assets.artifacts.handle import Artifact
from repro_assets.errors import InvalidValue
from repro_assets.mirrors.mirroring import Mirroring
from repro_assets.recording.run import Run
from repro_assets.store.home import Home
from repro_assets.tracking.pinned import Pins


class Begun:
    """An experiment that may have begun.

    Attributes
    ----------
    name : str
        What it is called.
    pins : Pins or None
        What a replay pins.
    inputs : dict
        What it has read, by slot.
    made : set of str
        Slots of its outputs, and names of its checkpoints.
    mirroring : Mirroring or None
        Other trackers that are told what is recorded.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.pins: Pins | None = None
        self.inputs: dict[str, Artifact] = {}
        self.made: set[str] = set()
        self.mirroring: Mirroring | None = None
        self._stack = ExitStack()
        self._begun: Run | None = None
        self._reads_from: Home | None = None

    @property
    def run(self) -> Run:
        """The run.

        Raises
        ------
        InvalidValue
            If the experiment has not begun.
        """
        if self._begun is None:
            self._refuse()
        return self._begun

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self.run.run_id

    @property
    def home(self) -> Home:
        """The store in which the run is recorded."""
        return self.run.home

    @property
    def reads_from(self) -> Home:
        """The store in which artifacts are looked for: also by a rank whose run is thrown away."""
        return self._reads_from or self.home

    def _refuse(self, *_: object) -> NoReturn:
        raise InvalidValue(f"the experiment {self.name!r} has not begun", "use it in a with statement, or call start()")
