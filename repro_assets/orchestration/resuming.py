"""Where the recipe of a step begins: at the beginning, or after a checkpoint.

Laws: a replay begins where the run that it replays began, whatever is asked; work that is done already is reused before
anything unfinished is looked for; the checkpoint is an input of the run, in the slot `resume`, and an argument of the
recipe under the same name.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repro_assets.artifacts.handle import Artifact
from repro_assets.capture.scheduler import scheduler_job
from repro_assets.identity.digest import Digest
from repro_assets.orchestration.config import AssetConfig, TrainingConfig
from repro_assets.orchestration.pins import Pins
from repro_assets.recording import continuation, resumption
from repro_assets.recording.resumption import AUTO, SLOT, Checkpoint
from repro_assets.recording.reuse import reuse_key
from repro_assets.recording.run import Run
from repro_assets.store.home import Home


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a recipe begins.

    Parameters
    ----------
    home : Home
        The store.
    work : dict
        What decides the bits, but for the checkpoint.
    asset, partition : str
        What is made.
    key : Digest
        The reuse key.
    checkpoint : Checkpoint or None
        Where it goes on; None for the beginning.
    automatic : bool
        Whether an unfinished run of the same work is wanted.
    """

    home: Home
    work: dict[str, Any]
    asset: str
    partition: str | None
    key: Digest
    checkpoint: Checkpoint | None = None
    automatic: bool = False

    @property
    def arguments(self) -> dict[str, Artifact]:
        """What the recipe is given beside its inputs."""
        return {} if self.checkpoint is None else {SLOT: self.checkpoint.artifact}

    def looked_for(self) -> Beginning:
        """Return the beginning after what is unfinished was looked for, where that is wanted."""
        if not self.automatic:
            return self
        found = resumption.find_unfinished(
            self.home, asset=self.asset, partition=self.partition, key=self.key, job=scheduler_job(os.environ)
        )
        return dataclasses.replace(self, checkpoint=found)

    def lines(self) -> list[str]:
        """Say where it begins, where anything else than the beginning was asked for."""
        if self.checkpoint is not None:
            return [f"{self.asset} goes on from {self.checkpoint}, after step {self.checkpoint.step}"]
        if not self.automatic:
            return []
        job = scheduler_job(os.environ)
        where = f" in job {job['job']} of {job['scheduler']}" if job is not None else ""
        return [
            f"{self.asset} starts from the beginning: no run of this work{where} is unfinished and has a checkpoint"
        ]

    def warnings(self, environment: Mapping[str, Any]) -> list[str]:
        """Say what differs from the run that is continued, and which newer checkpoints cannot be read."""
        if self.checkpoint is None:
            return []
        passed_over = [f"passed over: {reason}" for reason in self.checkpoint.passed_over]
        differing = continuation.differences(self.home, self.work, self.checkpoint, environment)
        return [*passed_over, *(f"goes on from {self.checkpoint}, but {line}" for line in differing)]

    def record(self, run: Run) -> None:
        """Record the checkpoint, if there is one."""
        if self.checkpoint is not None:
            continuation.record(run, self.checkpoint, chosen=not self.automatic)


def beginning(
    home: Home, config: AssetConfig, work: dict[str, Any], asset: str, partition: str | None, pins: Pins | None
) -> Beginning:
    """Return where a step begins, by its config or by the run that it replays; what is unfinished is not looked for.

    Raises
    ------
    UnknownName, AmbiguousName, MissingObject
        As `resumption.find` does.
    """
    if not isinstance(config, TrainingConfig):
        return Beginning(home, work, asset, partition, reuse_key(**work))
    asked, checkpoint = config.resume, None
    if pins is not None:
        checkpoint = resumption.recorded(home, pins.original(asset, partition))
    elif asked and asked != AUTO:
        checkpoint = resumption.find(home, asked)
    key = reuse_key(**work) if checkpoint is None else continuation.key_of(home, work, checkpoint)
    return Beginning(home, work, asset, partition, key, checkpoint, automatic=pins is None and asked == AUTO)
