"""MLflow: a run of the experiment that is called as the project, on a tracking server or in a database.

Laws: all that MLflow's limits allow arrives whole, in batches within them. MLflow never changes a parameter: a later,
different value is the tag `param.<name>`. A text that is too long for a parameter is the artifact `params/<name>.txt`.
Each write may be repeated: a run is looked up by the tag `repro.run_id` before it is made, and a database of MLflow
holds equal points once. A server that does not answer is noticed by one short request, so that MLflow's own retries,
minutes of them, are not gone through.

Limits, all MLflow's: times are milliseconds; its databases hold an infinity as ±1.7976931348623157e308; equal points of
one name, step and millisecond are one. Its own usage statistics are switched off, unless the process has loaded it
before.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from repro_assets.artifacts.handle import Artifact
from repro_assets.capture.secrets import redact_url
from repro_assets.errors import MachineError
from repro_assets.mirrors.holding import Names, Steps, as_text, fits_64_bits, flat, holdable
from repro_assets.mirrors.mirror import MirroredRun, Refused
from repro_assets.recording.readings import Point

BATCH_METRICS = 1000
BATCH_OTHERS = 100
LONGEST_NAME = 250
LONGEST_PARAM = 6000
LONGEST_TAG = 5000
PROBE_SECONDS = 5.0
TABLE_SECONDS = 60.0
"""For making the tables of a new database: some seconds of computing, more where the machine is busy."""
STATES = {"COMPLETED": "FINISHED", "FAILED": "FAILED", "INTERRUPTED": "KILLED"}
# MLflow takes a name for a path: no part of it may be empty, or be a step up. (`\w` is Unicode's, there as well.)
_FORBIDDEN = r"[^\w\-. :/]|(?:^|(?<=/))\.{1,2}(?=/|$)|^\.\.|^/|/(?=/|$)"
_NEVER = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "BAD_REQUEST", "PERMISSION_DENIED")


class MLflow:
    """A run in MLflow.

    Parameters
    ----------
    uri : str, optional
        The tracking server or database; what MLflow itself would use if left out.
    """

    name = "mlflow"

    def __init__(self, uri: str | None = None) -> None:
        # Here, and not where MLflow is loaded: other threads may be reading the environment then.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        self._uri = uri
        self._client: Any = None
        self._run: str | None = None
        self._steps = Steps()
        self._names = Names(_FORBIDDEN, LONGEST_NAME)
        self._params: dict[str, str] = {}

    @property
    def start_seconds(self) -> float:
        """Seconds that a database gets to begin; a server has its tables."""
        place = self._uri or os.environ.get("MLFLOW_TRACKING_URI", "")
        return 0.0 if place.startswith(("http://", "https://", "databricks")) else TABLE_SECONDS

    def start(self, run: MirroredRun) -> None:
        """Make the experiment, where there is none, and the run."""
        import mlflow
        from mlflow.tracking import MlflowClient

        if self._client is None:
            self._uri = self._uri or mlflow.get_tracking_uri()
            self._probe()
            self._client = MlflowClient(tracking_uri=self._uri)
        tags = {"repro.run_id": run.run_id, "repro.name": holdable(run.name), "repro.state": "RUNNING"}
        if run.notes:
            tags["mlflow.note.content"] = holdable(run.notes)[:LONGEST_TAG]
        for tag in run.tags:
            tags[self._names.held(tag)] = "true"
        experiment = self._experiment(holdable(run.project or "Default"))
        with self._asking():
            found = self._client.search_runs([experiment], f"tags.`repro.run_id` = '{run.run_id}'", max_results=1)
        if not found:
            with self._asking():
                name, began = holdable(run.name), run.started_ns // 1_000_000
                found = [self._client.create_run(experiment, run_name=name, start_time=began, tags=tags)]
        self._run = found[0].info.run_id
        self.params(run.config)

    def params(self, params: Mapping[str, Any]) -> None:
        """Write parameters."""
        from mlflow.entities import Param, RunTag

        written: dict[str, str] = {}
        changed: dict[str, str] = {}
        for name, value in flat(params):
            held, text = self._names.held(name), as_text(value)
            if len(text) > LONGEST_PARAM:
                place = f"params/{held}.txt"
                with self._asking():
                    self._client.log_text(self._run, text, place)
                text = f"{text[:100]}… (whole in {place})"
            if held in self._params:
                if self._params[held] != text or held in changed:
                    changed[held] = text
            elif written.setdefault(held, text) != text:
                changed[held] = text
        entries = [Param(name, text) for name, text in written.items()]
        for first in range(0, len(entries), BATCH_OTHERS):
            batch = entries[first : first + BATCH_OTHERS]
            with self._asking():
                self._client.log_batch(self._run, params=batch)
            self._params.update((each.key, each.value) for each in batch)
        self._tags([RunTag(f"param.{held}"[:LONGEST_NAME], text[:LONGEST_TAG]) for held, text in changed.items()])
        self._params.update(changed)
        self._tell_names()

    def metrics(self, points: Sequence[Point]) -> None:
        """Write points, in batches as large as MLflow takes them."""
        from mlflow.entities import Metric

        placed = self._steps.placed(points)
        for _, step, _, _ in placed:
            if not fits_64_bits(step):
                raise Refused(f"MLflow holds no step {step}", "steps are integers of 64 bits")
        entries = [
            Metric(self._names.held(name), value, taken // 1_000_000, step) for name, step, value, taken in placed
        ]
        for first in range(0, len(entries), BATCH_METRICS):
            batch = entries[first : first + BATCH_METRICS]
            with self._asking():
                self._client.log_batch(self._run, metrics=batch)
        self._steps.taken(placed)
        self._tell_names()

    def artifact(self, name: str, artifact: Artifact) -> None:
        """Write the files of an artifact under its name, and its digest as a tag."""
        from mlflow.entities import RunTag

        held = self._names.held(name)
        above, _, last = held.rpartition("/")
        with tempfile.TemporaryDirectory(prefix="repro-mirror-") as folder:
            laid = Path(folder) / last
            artifact.lay_out(laid)
            with self._asking():
                self._client.log_artifact(self._run, str(laid), above or None)
        self._tags([RunTag(f"artifact.{held}"[:LONGEST_NAME], str(artifact.digest))])
        self._tell_names()

    def end(self, state: str) -> None:
        """Write the state and the time."""
        with self._asking():
            self._client.set_tag(self._run, "repro.state", state)
            self._client.set_terminated(self._run, STATES[state])

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        with self._asking():
            found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                with self._asking():
                    return str(self._client.create_experiment(name))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            # Another process was quicker.
            with self._asking():
                found = self._client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage != "active":
            raise Refused(f"MLflow's experiment {name!r} was deleted", "restore it, or choose another project")
        return str(found.experiment_id)

    def _tags(self, tags: Sequence[Any]) -> None:
        for first in range(0, len(tags), BATCH_OTHERS):
            batch = tags[first : first + BATCH_OTHERS]
            with self._asking():
                self._client.log_batch(self._run, tags=batch)

    def _tell_names(self) -> None:
        """Write the names that were replaced, each as a tag."""
        from mlflow.entities import RunTag

        renamed = self._names.changed()
        if renamed:
            self._tags(
                [RunTag(f"name.{held}"[:LONGEST_NAME], holdable(name)[:LONGEST_TAG]) for held, name in renamed.items()]
            )
            self._names.told(renamed)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Ask MLflow something.

        Raises
        ------
        Refused
            If it says that it will not.
        MachineError
            If the server is not there.
        """
        from mlflow.exceptions import MlflowException

        self._probe()
        try:
            yield
        except MlflowException as error:
            if error.error_code in _NEVER:
                raise Refused(f"MLflow refuses: {error}") from error
            raise

    def _probe(self) -> None:
        uri = str(self._uri)
        if not uri.startswith(("http://", "https://")):
            return
        import requests

        try:
            requests.head(uri, timeout=PROBE_SECONDS, allow_redirects=False).close()
        except requests.exceptions.SSLError:
            # Something is there; whether to trust it is for MLflow's own settings to say.
            return
        except requests.exceptions.RequestException as error:
            raise MachineError(f"{redact_url(uri)} does not answer: {type(error).__name__}") from error
