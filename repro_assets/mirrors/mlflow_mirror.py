"""MLflow: a run of the experiment that is called as the project, on a tracking server or in a database.

What arrives, and the limits, are those of `mlflow_writing`, which the export writes with, too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from repro_assets.artifacts.handle import Artifact
from repro_assets.mirrors.mirror import MirroredRun
from repro_assets.mirrors.mlflow_writing import Place, RunWriter, begin, fact_tags, is_on_network
from repro_assets.recording.readings import Point

TABLE_SECONDS = 60.0
"""For making the tables of a new database: some seconds of computing, more where the machine is busy."""


class MLflow:
    """A run in MLflow.

    Parameters
    ----------
    uri : str, optional
        The tracking server or database; what MLflow itself would use if left out.
    """

    name = "mlflow"

    def __init__(self, uri: str | None = None) -> None:
        self._place = Place(uri)
        self._run: RunWriter | None = None

    @property
    def start_seconds(self) -> float:
        """Seconds that a database gets to begin; a server has its tables."""
        place = self._place.uri or os.environ.get("MLFLOW_TRACKING_URI", "")
        return 0.0 if is_on_network(place) else TABLE_SECONDS

    def start(self, run: MirroredRun) -> None:
        """Make the experiment, where there is none, and the run."""
        self._run = begin(self._place, run)
        self._begun.write(params=run.config)

    def params(self, params: Mapping[str, Any]) -> None:
        """Write parameters."""
        self._begun.write(params=params)

    def metrics(self, points: Sequence[Point]) -> None:
        """Write points, in batches as large as MLflow takes them."""
        self._begun.write(points=points)

    def artifact(self, name: str, artifact: Artifact) -> None:
        """Write the files of an artifact under its name, and its digest as a tag."""
        self._begun.artifact(name, artifact)

    def about(self, facts: Mapping[str, Any]) -> None:
        """Write what else is on record of the run, as tags."""
        self._begun.write(tags=fact_tags(facts))

    def end(self, state: str, ended: float | None = None) -> None:
        """Write the state and the time."""
        self._begun.end(state, ended)

    @property
    def _begun(self) -> RunWriter:
        if self._run is None:
            raise ValueError("the run has not begun in MLflow")
        return self._run
