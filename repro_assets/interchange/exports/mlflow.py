"""The format ``mlflow``: runs in MLflow, in a folder with a database, at an address, or in the run that is active.

Laws: a run looks as its mirror would have left it, written by the same code, and has beside that the environment, the
manifests of its inputs and its record (`mlflow_files`); an experiment is the project. A folder shows whole or not at
all. At an address a run that is there already, as it is now, is left alone, so an export that was cut off is simply
repeated; until all of a run is there, MLflow shows it as running.

Limit: MLflow keeps absolute paths of artifacts in its database, so its pages find them only where the folder was made.
Our own import finds them wherever it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from repro_assets.capture.secrets import redact_url
from repro_assets.errors import InvalidValue, MachineError, ReproError, from_os_error
from repro_assets.extras import need
from repro_assets.identity import canonical
from repro_assets.interchange.exports.mlflow_address import is_address
from repro_assets.interchange.exports.mlflow_files import (
    environment_files,
    environment_params,
    manifest_params,
    write_inputs,
    write_products,
    write_record,
    write_texts,
)
from repro_assets.interchange.exports.mlflow_tables import new_database
from repro_assets.interchange.exports.tracked import TrackedRun, exported, gone_of, tracked
from repro_assets.interchange.formats import Exported, Request
from repro_assets.interchange.targets import new_folder
from repro_assets.mirrors.holding import holdable
from repro_assets.mirrors.mlflow_writing import (
    ARTIFACT,
    BATCH_OTHERS,
    LONGEST_NAME,
    NO_PROJECT,
    PARENT,
    RUN_ID,
    STATE,
    STATES,
    Place,
    RunWriter,
    fact_tags,
    first_tags,
    make,
    new_names,
    shown_tags,
)
from repro_assets.recording.readings import Point
from repro_assets.store.home import refuse_own

ACTIVE = "active"
DATABASE, ARTIFACTS = "mlflow.db", "artifacts"
CONTENT = "repro.content"
_PAGE = 1000
_FILE_STORE = "MLFLOW_ALLOW_FILE_STORE"
_OURS = f"tags.`{RUN_ID}` LIKE '%'"


def export(request: Request) -> Exported:
    """Write runs into MLflow.

    Raises
    ------
    UnknownName, AmbiguousName, InvalidValue
        If nothing is called so, a run goes on or was deleted, MLflow or the driver of a database is not installed, it
        is no whole address, or no run is active.
    InvalidInput, ReusedElsewhere
        If the folder cannot be made, or something is in it.
    Refused
        If MLflow takes something at no time.
    MachineError
        If the server is away, or something cannot be written.
    """
    need("mlflow")
    to_address = request.to != ACTIVE and is_address(request.to)
    runs = tracked(request)
    if request.to == ACTIVE:
        from repro_assets.interchange.exports.mlflow_active import write_into_active

        return write_into_active(request, runs)
    notes: list[str] = []
    written: list[str] = []
    with understood():
        if to_address:
            to: Path | str = redact_url(request.to)
            _refuse_other_file(request.to)
            writer = _Writer(Place(request.to))
            for run in runs:
                written.append(writer.write(run))
                notes += gone_of(run)
        else:
            to = request.path
            with new_folder(request.path) as made:
                final = request.path.expanduser().resolve()
                place = new_database(request.home, made / DATABASE, final / ARTIFACTS)
                writer = _Writer(place, made, final)
                for run in runs:
                    written.append(writer.write(run))
                    notes += gone_of(run)
    return exported(request, to, "mlflow", written, notes)


class _Writer:
    """Where runs are written; `made` will be `final` when all of them are."""

    def __init__(self, place: Place, made: Path | None = None, final: Path | None = None) -> None:
        self._place = place
        self._made, self._final = made, final
        self._there: dict[str, dict[str, Any]] = {}
        self._ids: dict[str, str] = {}
        self._environments: dict[str, dict[str, str]] = {}

    def write(self, run: TrackedRun) -> str:
        """Write a run, and return its id."""
        names = new_names()
        mirrored, state = run.mirrored, run.record["state"]
        experiment = self._place.experiment(holdable(mirrored.project or NO_PROJECT))
        tags = first_tags(mirrored, names) | tags_of(run, names.held) | {CONTENT: _content(run), STATE: state}
        parent = self._ids.get(run.record["parent_run_id"] or "")
        if parent is not None:
            tags[PARENT] = parent
        found = self._known(experiment).get(run.run_id)
        if found is not None and _is_whole(found, tags[CONTENT], state):
            self._ids[run.run_id] = found.info.run_id
            return run.run_id
        left = tags
        if found is None:
            # What is given here costs nothing more.
            first = dict(itertools.islice(shown_tags(tags).items(), BATCH_OTHERS))
            found = make(self._place, experiment, mirrored, first)
            left = {name: text for name, text in tags.items() if name[:LONGEST_NAME] not in first}
        self._ids[run.run_id] = found.info.run_id
        with self._files(found) as (folder, is_sent):
            writer = RunWriter(self._place, found, names, folder)
            write_run(writer, run, folder, self._environment(run), left)
            if is_sent and any(folder.iterdir()):
                writer.files(folder)
        writer.terminate(state, run.ended)
        return run.run_id

    def _known(self, experiment: str) -> dict[str, Any]:
        """Return MLflow's runs of an experiment that are runs of ours, by our ids."""
        if self._made is not None:
            return {}
        if experiment not in self._there:
            found: dict[str, Any] = {}
            token = None
            while True:
                with self._place.asking() as client:
                    page = client.search_runs([experiment], _OURS, max_results=_PAGE, page_token=token)
                found.update((run.data.tags[RUN_ID], run) for run in page)
                token = page.token
                if not token:
                    break
            self._there[experiment] = found
        return self._there[experiment]

    def _environment(self, run: TrackedRun) -> dict[str, str]:
        """Return the files of a run's environment, which many runs share."""
        if run.environment is None:
            return {}
        digest = str(run.record["environment"])
        if digest not in self._environments:
            self._environments[digest] = environment_files(run.environment)
        return self._environments[digest]

    @contextlib.contextmanager
    def _files(self, run: Any) -> Iterator[tuple[Path, bool]]:
        """Give a folder for the artifacts of a run, and whether they have to be sent from there."""
        uri = run.info.artifact_uri
        scheme = urlsplit(uri).scheme
        place = Path(unquote(urlsplit(uri).path) if scheme == "file" else uri)
        if self._made is not None and self._final is not None:
            if not place.is_relative_to(self._final):
                raise MachineError(f"MLflow keeps artifacts in {place} and not in {self._final}")
            yield self._made / place.relative_to(self._final), False
        elif scheme in ("", "file") and not place.exists():
            yield place, False
        else:
            # On a server, or over what an export had written that was cut off.
            with tempfile.TemporaryDirectory(prefix="repro-mlflow-") as folder:
                yield Path(folder), True


def tags_of(run: TrackedRun, held: Callable[[str], str]) -> dict[str, str]:
    """Return the tags that say what is on record of a run, with the digest of each product."""
    digests = {f"{ARTIFACT}{held(product.name)}": str(product.row["digest"]) for product in run.products}
    return fact_tags(run.facts()) | digests


def write_run(
    writer: RunWriter, run: TrackedRun, folder: Path, environment: Mapping[str, str], tags: Mapping[str, str]
) -> None:
    """Write what a run has into a run of MLflow, its files into a folder."""
    write_texts(folder, environment)
    params, metrics = manifest_params(write_inputs(run.home, folder, run))
    params = environment_params(run.environment, run.record["source_facts"]) | params
    own = {**(run.record["config"] or {}), **run.record["params"]}
    params = {name: value for name, value in params.items() if name not in own}
    measured = {name for name, _, _, _ in run.points}
    metrics = {name: value for name, value in metrics.items() if name not in measured}
    added: list[Point] = [(name, 0, value, run.started_ns) for name, value in metrics.items()]
    products = write_products(folder, run)
    write_record(folder, run, products, {"params": sorted(params), "metrics": sorted(metrics)})
    writer.write(params={**own, **params}, points=[*run.points, *added], tags=tags)


def _content(run: TrackedRun) -> str:
    """Return a digest of what of a run is written, by which a run that is there is known to be the same."""
    record = run.record
    facts = {name: record[name] for name in ("name", "experiment", "state", "tags", "note", "config", "params")}
    said = {**facts, **run.facts(), "ended": run.ended, "points": hashlib.sha256(repr(run.points).encode()).hexdigest()}
    return str(canonical.digest_of(said))


def _is_whole(found: Any, content: str, state: str) -> bool:
    return found.data.tags.get(CONTENT) == content and (
        found.info.status in STATES.values() or found.data.tags.get("repro.state") == state == "UNKNOWN"
    )


def _refuse_other_file(address: str) -> None:
    """Refuse an address that is a file of a store, or a database of something else."""
    if not address.startswith(("sqlite:", "file:")):
        return
    path = Path(unquote(urlsplit(address).path.removeprefix("/") if address.startswith("sqlite:") else address[5:]))
    refuse_own(path)
    if address.startswith("sqlite:") and path.is_file() and path.stat().st_size:
        import sqlite3

        try:
            with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
                tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.DatabaseError as error:
            raise InvalidValue(f"{path} is no database of MLflow: {error}", "name another") from error
        if tables and "experiments" not in tables:
            raise InvalidValue(f"{path} is a database of something else", "name another, which MLflow then makes")


@contextlib.contextmanager
def understood() -> Iterator[None]:
    """Say what MLflow says as an error of ours."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except ReproError:
        raise
    except OSError as error:
        raise from_os_error(error, error.filename or "the artifacts") from error
    except MlflowException as error:
        said = " ".join(str(error).split())
        if _FILE_STORE in said:
            raise InvalidValue(
                "MLflow takes no runs into a folder of files as it is set up here",
                f"name the folder without file:, which gets a database, or set {_FILE_STORE}=true",
            ) from error
        if error.error_code in ("INVALID_PARAMETER_VALUE", "FEATURE_DISABLED"):
            raise InvalidValue(f"MLflow refuses: {said}") from error
        raise MachineError(f"MLflow fails: {redact_url(said)}") from error
