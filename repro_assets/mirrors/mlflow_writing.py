"""Writing to MLflow: a place of it, and a run there; the mirror and the export write with the same calls.

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
from repro_assets.determinism.process_variables import variables_set
from repro_assets.errors import InvalidValue, MachineError
from repro_assets.mirrors.holding import NO_PATH, Names, Steps, as_text, fits_64_bits, flat, holdable, path_of
from repro_assets.mirrors.mirror import MirroredRun, Refused
from repro_assets.recording.readings import Point

BATCH_ENTITIES = 1000
BATCH_OTHERS = 100
LONGEST_NAME = 250
LONGEST_PARAM = 6000
LONGEST_TAG = 5000
SHOWN_OF_LONG = 100
"""So many letters of a text that is too long stand in its parameter."""
PROBE_SECONDS = 5.0
STATES = {"COMPLETED": "FINISHED", "FAILED": "FAILED", "INTERRUPTED": "KILLED"}
RUN_ID, NAME, STATE = "repro.run_id", "repro.name", "repro.state"
NOTE, PARENT = "mlflow.note.content", "mlflow.parentRunId"
CHANGED_PARAM, NEW_NAME, ARTIFACT = "param.", "name.", "artifact."
"""How the tags begin that say what a parameter became, how a name was written, and which digest an artifact has."""
NO_PROJECT = "Default"
ARTIFACT_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"
"""MLflow's variable for where a database's runs have their artifacts."""
_DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""What brings the module of a driver, where it is called otherwise."""
_SOURCE_TAGS = {
    "mlflow.source.git.commit": "commit",
    "mlflow.source.git.branch": "branch",
    "mlflow.source.git.repoURL": "remote",
}
_NEVER = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "BAD_REQUEST", "PERMISSION_DENIED")


def new_names() -> Names:
    """Return the names of a run as MLflow holds them."""
    return Names(NO_PATH, LONGEST_NAME)


def is_on_network(uri: str) -> bool:
    """Tell whether an address is a server's."""
    return uri.startswith(("http://", "https://", "databricks"))


def whole_text_place(held: str) -> str:
    """Return the artifact that has the whole text of a parameter which is too long."""
    return f"params/{path_of(held)}.txt"


class Place:
    """A tracking server or a database of MLflow.

    Parameters
    ----------
    uri : str, optional
        Its address; what MLflow itself would use if left out.
    artifacts : str, optional
        Where a database's runs have their artifacts; where MLflow puts them if left out.
    """

    def __init__(self, uri: str | None = None, artifacts: str | None = None) -> None:
        self._artifacts = artifacts
        # Here, and not where MLflow is loaded: other threads may be reading the environment then.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        self.uri = uri
        self._client: Any = None
        self._experiments: dict[str, str] = {}

    @property
    def client(self) -> Any:
        """MLflow's own client.

        Raises
        ------
        InvalidValue
            If the driver of the database is not installed.
        MachineError
            If the server is not there.
        """
        if self._client is None:
            import mlflow
            from mlflow.tracking import MlflowClient

            self.uri = self.uri or mlflow.get_tracking_uri()
            self._probe()
            with variables_set({} if self._artifacts is None else {ARTIFACT_ROOT: self._artifacts}):
                try:
                    self._client = MlflowClient(tracking_uri=self.uri)
                except ModuleNotFoundError as error:
                    # SQLAlchemy imports what a database is reached with when its address is given.
                    raise InvalidValue(
                        f"{redact_url(str(self.uri))} is reached with the Python package {error.name}, "
                        "which is not installed",
                        f"install its driver: pip install '{_DRIVERS.get(str(error.name), error.name)}'",
                    ) from error
        return self._client

    @contextlib.contextmanager
    def asking(self) -> Iterator[Any]:
        """Ask MLflow something of the client that this gives.

        Raises
        ------
        Refused
            If it says that it will not.
        MachineError
            If the server is not there.
        """
        client = self.client
        from mlflow.exceptions import MlflowException

        self._probe()
        try:
            yield client
        except MlflowException as error:
            if error.error_code in _NEVER:
                raise Refused(f"MLflow refuses: {error}") from error
            raise

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, which is made if it is not there.

        Raises
        ------
        Refused
            If it was deleted there.
        """
        if name not in self._experiments:
            self._experiments[name] = self._experiment(name)
        return self._experiments[name]

    def _experiment(self, name: str) -> str:
        client = self.client
        from mlflow.exceptions import MlflowException

        with self.asking():
            found = client.get_experiment_by_name(name)
        if found is None:
            try:
                with self.asking():
                    return str(client.create_experiment(name))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            # Another process was quicker.
            with self.asking():
                found = client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage != "active":
            raise Refused(f"MLflow's experiment {name!r} was deleted", "restore it, or choose another project")
        return str(found.experiment_id)

    def find(self, experiment: str, run_id: str) -> Any:
        """Return MLflow's run that has the tag of a run of ours; None where there is none."""
        with self.asking() as client:
            found = client.search_runs([experiment], f"tags.`{RUN_ID}` = '{run_id}'", max_results=1)
        return found[0] if found else None

    def _probe(self) -> None:
        uri = str(self.uri)
        if not uri.startswith(("http://", "https://")):
            return
        import requests

        try:
            requests.head(uri, timeout=PROBE_SECONDS, allow_redirects=False).close()
        except requests.exceptions.SSLError:
            # Something is there; whether to trust it is for MLflow's own settings to say.
            return
        except requests.exceptions.RequestException as error:
            raise MachineError(
                f"{redact_url(uri)} does not answer: {type(error).__name__}",
                "start it (mlflow server), or correct the address",
            ) from error


class RunWriter:
    """A run in MLflow, to be written to.

    Parameters
    ----------
    place : Place
        Where it is.
    run : mlflow.entities.Run
        As MLflow has it.
    names : Names
        As MLflow holds those of this run.
    folder : Path, optional
        Where its artifacts are put for `files`; each is sent alone if left out.
    """

    def __init__(self, place: Place, run: Any, names: Names, folder: Path | None = None) -> None:
        self._place = place
        self._folder = folder
        self._names = names
        self._steps = Steps()
        self._params: dict[str, str] = dict(run.data.params)
        self.mlflow_run = run
        self.id: str = run.info.run_id

    def write(
        self,
        params: Mapping[str, Any] | None = None,
        points: Sequence[Point] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write parameters, points and tags, as many at once as MLflow takes.

        Raises
        ------
        Refused
            If MLflow takes something at no time.
        """
        from mlflow.entities import Metric, Param, RunTag

        placed = self._steps.placed(points)
        for _, step, _, _ in placed:
            if not fits_64_bits(step):
                raise Refused(f"MLflow holds no step {step}", "steps are integers of 64 bits")
        new, changed = self._texts(params or {})
        metrics = [
            Metric(self._names.held(name), value, taken // 1_000_000, step) for name, step, value, taken in placed
        ]
        said = {self._names.held(name): value for name, value in (tags or {}).items()}
        said.update((f"{CHANGED_PARAM}{held}", text) for held, text in changed.items())
        renamed = self._names.changed()
        said.update((f"{NEW_NAME}{held}", name) for held, name in renamed.items())
        shown = [RunTag(key, value) for key, value in shown_tags(said).items()]
        entries = [Param(name, text) for name, text in new.items()]
        while entries or metrics or shown:
            batch = {"params": entries[:BATCH_OTHERS], "tags": shown[:BATCH_OTHERS]}
            room = BATCH_ENTITIES - sum(map(len, batch.values()))
            with self._place.asking() as client:
                client.log_batch(self.id, metrics=metrics[:room], **batch)
            self._params.update((each.key, each.value) for each in batch["params"])
            entries, shown, metrics = entries[BATCH_OTHERS:], shown[BATCH_OTHERS:], metrics[room:]
        self._params.update(changed)
        self._steps.taken(placed)
        self._names.told(renamed)

    def _texts(self, params: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the parameters that are new there, and those that have another value now."""
        written: dict[str, str] = {}
        changed: dict[str, str] = {}
        for name, value in flat(params):
            held, text = self._names.held(name), as_text(value)
            if len(text) > LONGEST_PARAM:
                place = whole_text_place(held)
                self._keep(text, place)
                text = f"{text[:SHOWN_OF_LONG]}… (whole in {place})"
            if held in self._params:
                if self._params[held] != text or held in changed:
                    changed[held] = text
            elif written.setdefault(held, text) != text:
                changed[held] = text
        return written, changed

    def _keep(self, text: str, place: str) -> None:
        if self._folder is None:
            with self._place.asking() as client:
                client.log_text(self.id, text, place)
        else:
            file = self._folder / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")

    def files(self, folder: Path) -> None:
        """Write all that is in a folder as artifacts."""
        with self._place.asking() as client:
            client.log_artifacts(self.id, str(folder))

    def artifact(self, name: str, artifact: Artifact) -> None:
        """Write the files of an artifact under its name, and its digest as a tag."""
        held = self.held(name)
        with tempfile.TemporaryDirectory(prefix="repro-mirror-") as folder:
            laid = Path(folder) / held
            laid.parent.mkdir(parents=True, exist_ok=True)
            artifact.lay_out(laid)
            self.files(Path(folder))
        self.write(tags={f"{ARTIFACT}{held}": str(artifact.digest)})

    def held(self, name: str) -> str:
        """Return a name as MLflow holds it."""
        return self._names.held(name)

    def end(self, state: str, ended: float | None = None) -> None:
        """Write the state, and the time in seconds since 1970: now if left out."""
        self.write(tags={STATE: state})
        self.terminate(state, ended)

    def terminate(self, state: str, ended: float | None = None) -> None:
        """End the run in MLflow's own words.

        MLflow has none for a state that nobody knows: such a run has not ended there.
        """
        if state in STATES:
            with self._place.asking() as client:
                when = None if ended is None else round(ended * 1000)
                client.set_terminated(self.id, STATES[state], end_time=when)


def first_tags(run: MirroredRun, names: Names) -> dict[str, str]:
    """Return the tags with which a run of ours begins in MLflow."""
    tags = {RUN_ID: run.run_id, NAME: holdable(run.name), STATE: "RUNNING"}
    if run.notes:
        tags[NOTE] = holdable(run.notes)[:LONGEST_TAG]
    return tags | {names.held(tag): "true" for tag in run.tags}


def shown_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags as long as MLflow takes them."""
    return {name[:LONGEST_NAME]: holdable(text)[:LONGEST_TAG] for name, text in tags.items()}


def fact_tags(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return what is on record of a run as tags: `repro.<name>` for all, and MLflow's own names for the source."""
    tags = {f"repro.{name}": as_text(value) for name, value in flat(facts)}
    named = {tag: facts.get(name) for tag, name in _SOURCE_TAGS.items()}
    named["mlflow.source.name"] = facts.get("recipe") or facts.get("asset")
    return tags | {tag: str(value) for tag, value in named.items() if value is not None}


def begin(place: Place, run: MirroredRun) -> RunWriter:
    """Make a run in MLflow, or take up the one that is there.

    Raises
    ------
    Refused, MachineError
        As `Place.asking`; if the experiment was deleted there.
    """
    names = new_names()
    tags = first_tags(run, names)
    experiment = place.experiment(holdable(run.project or NO_PROJECT))
    found = place.find(experiment, run.run_id) or make(place, experiment, run, tags)
    return RunWriter(place, found, names)


def make(place: Place, experiment: str, run: MirroredRun, tags: Mapping[str, str]) -> Any:
    """Make a run in MLflow and return it."""
    with place.asking() as client:
        began = run.started_ns // 1_000_000
        return client.create_run(experiment, run_name=holdable(run.name), start_time=began, tags=dict(tags))
