"""Runs as OpenLineage's events: START, and one of COMPLETE, FAIL and ABORT.

Laws: an event says no more than the record; what the standard facets have no place for is in facets of ours, which
other readers pass over. OpenLineage drops nulls and empty objects inside lists, so what a person or a program put
together freely (configuration, parameters, settings) is JSON in a text there. A dataset is a collection, its version
the digest of an artifact, so the same content is the same version wherever it is.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar, cast

from repro_assets.interchange.exports.described import Described
from repro_assets.mirrors.holding import as_text, flat, holdable
from repro_assets.wording import plain

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent
    from openlineage.client.facet_v2 import BaseFacet, DatasetFacet, JobFacet, RunFacet

NAMESPACE = "repro-assets"
SCHEMA = "urn:repro-assets:openlineage:1"
"""The id of the schema of our facets (docs/openlineage_facets.json); a name, which nothing ever asks for."""
PRODUCER = f"urn:repro-assets:{version('repro-assets')}"
_RUNS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:repro-assets:run")
_ENDS = {"COMPLETED": "COMPLETE", "FAILED": "FAIL", "INTERRUPTED": "ABORT"}
_SAID = (
    "run_kind", "name", "recipe", "asset", "partition", "job", "experiment", "state", "trial", "replay_of", "seed",
    "seeds", "device", "capture_level", "code_version", "commit", "branch", "dirty", "source", "tags", "note",
    "evaluations", "replays", "packages", "imported_from",
)  # fmt: skip
_WRITTEN = ("config", "params", "mode", "settings")
_SCP_LIKE = re.compile(r"(?P<host>[\w.-]+@[\w.-]+):(?!//)(?P<path>.+)")
_Facet = TypeVar("_Facet", bound="BaseFacet")


def run_uuid(run_id: str) -> str:
    """Return the UUID by which OpenLineage knows a run: its id where that is one, as Dagster's are, else made of it."""
    try:
        if str(uuid.UUID(run_id)) == run_id:
            return run_id
    except ValueError:
        pass
    return str(uuid.uuid5(_RUNS, holdable(run_id)))


def events(described: Described, namespace: str = NAMESPACE) -> list[RunEvent]:
    """Return the events of runs in the order of their times; a run that has not ended has no last one.

    Parameters
    ----------
    described : Described
        The runs, and what they name.
    namespace : str
        Of jobs and datasets.
    """
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState

    made = []
    for run in described.runs:
        run_id, start = run_uuid(run["run_id"]), _start_facets(described, run, namespace)
        shared: dict[str, Any] = {
            "job": Job(namespace, job_name(run), _job_facets(run)),
            "inputs": _inputs(described, run, namespace),
            "producer": PRODUCER,
        }
        began, ended = run["started_at"], run["last_seen"]
        if began is not None:
            made.append(
                (began, RunEvent(eventType=RunState.START, eventTime=plain(began), run=Run(run_id, start), **shared))
            )
        if run["state"] in _ENDS and ended is not None:
            made.append(
                (
                    ended,
                    RunEvent(
                        eventType=RunState[_ENDS[run["state"]]],
                        eventTime=plain(ended),
                        run=Run(run_id, {**start, **_end_facets(run)}),
                        outputs=_outputs(described, run, namespace),
                        **shared,
                    ),
                )
            )
    return [event for _, event in sorted(made, key=lambda item: item[0])]


def job_name(run: Mapping[str, Any]) -> str:
    """Return what is the same in every execution of the same thing."""
    plan = run["plan"] or {}
    found = run["asset"] or run["job"] or run["recipe"] or plan.get("script") or plan.get("module")
    return holdable(str(found or run["name"] or run["run_id"]))


def _start_facets(described: Described, run: Mapping[str, Any], namespace: str) -> dict[str, RunFacet]:
    """What is known when a run begins."""
    from openlineage.client.facet_v2 import (
        environment_variables_run,
        execution_parameters_run,
        parent_run,
        processing_engine_run,
        tags_run,
    )

    found: dict[str, RunFacet] = {}
    above = described.above.get(run["parent_run_id"])
    if above is not None:
        top = above["parent_run_id"] is None
        ids = run_uuid(above["run_id"]), job_name(above)
        found["parent"] = parent_run.ParentRunFacet(
            run=parent_run.Run(ids[0]),
            job=parent_run.Job(namespace, ids[1]),
            root=parent_run.Root(parent_run.RootRun(ids[0]), parent_run.RootJob(namespace, ids[1])) if top else None,
            producer=PRODUCER,
        )
    given = {**dict(flat(run["config"] or {})), **dict(flat(run["params"]))}
    if given:
        found["executionParameters"] = execution_parameters_run.ExecutionParametersRunFacet(
            [
                execution_parameters_run.ExecutionParameter(key=holdable(name), value=as_text(value))
                for name, value in sorted(given.items())
            ],
            producer=PRODUCER,
        )
    if run["tags"]:
        pairs = [tag.partition("=") for tag in run["tags"]]
        found["tags"] = tags_run.TagsRunFacet(
            [
                tags_run.TagsRunFacetFields(holdable(key), holdable(value) if equals else "true", NAMESPACE)
                for key, equals, value in pairs
            ],
            producer=PRODUCER,
        )
    document = described.environments.get(run["environment"])
    if document is not None:
        variables = document.get("variables") or {}
        if variables:
            found["environmentVariables"] = environment_variables_run.EnvironmentVariablesRunFacet(
                [
                    environment_variables_run.EnvironmentVariable(holdable(name), as_text(value))
                    for name, value in sorted(variables.items())
                ],
                producer=PRODUCER,
            )
        engine = _package(document, "dagster")
        if run["run_kind"] == "asset" and engine is not None:
            found["processing_engine"] = processing_engine_run.ProcessingEngineRunFacet(
                version=engine, name="Dagster", openlineageAdapterVersion=version("repro-assets"), producer=PRODUCER
            )
        found["reproAssets_environment"] = _run_facet("Environment", _environment(run["environment"], document))
    return found


def _end_facets(run: Mapping[str, Any]) -> dict[str, RunFacet]:
    """What is known once it has ended."""
    from openlineage.client.facet_v2 import error_message_run

    found: dict[str, RunFacet] = {}
    said = ": ".join(filter(None, (run["error_type"], run["error_message"])))
    if said:
        trace = run["error_trace"]
        found["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            message=holdable(said),
            # Of a command that failed nothing says what it is written in; a trace on record is Python's.
            programmingLanguage="PYTHON" if trace else "UNKNOWN",
            stackTrace=holdable(trace) if trace else None,
            producer=PRODUCER,
        )
    members = {name: run[name] for name in _SAID if run[name] not in (None, [], {})}
    written = {name: json.dumps(plain(run[name]), sort_keys=True) for name in _WRITTEN if run[name]}
    metrics = {"metrics": run["metrics"]} if run["metrics"] else {}
    ended = {"ended": run["ended_at"] is not None, "run_id": run["run_id"]}
    found["reproAssets_run"] = _run_facet("Run", {**members, **written, **metrics, **ended})
    return found


def _job_facets(run: Mapping[str, Any]) -> dict[str, JobFacet]:
    from openlineage.client.facet_v2 import job_type_job, source_code_location_job

    kind = "job" if run["run_kind"] == "parent" else run["run_kind"] or "run"
    found: dict[str, JobFacet] = {
        "jobType": job_type_job.JobTypeJobFacet(
            processingType="BATCH", integration="REPRO_ASSETS", jobType=kind.upper(), producer=PRODUCER
        )
    }
    source, plan = run["source_facts"] or {}, run["plan"] or {}
    if source.get("remote"):
        found["sourceCodeLocation"] = source_code_location_job.SourceCodeLocationJobFacet(
            type="git",
            url=holdable(_uri(source["remote"])),
            repoUrl=holdable(source["remote"]),
            path=holdable(plan["script"]) if plan.get("script") else None,
            version=source["commit"],
            tag=holdable(source["tags"][0]) if source["tags"] else None,
            branch=holdable(source["branch"]) if source["branch"] else None,
            producer=PRODUCER,
        )
    return found


def _inputs(described: Described, run: Mapping[str, Any], namespace: str) -> list[InputDataset]:
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import InputDatasetFacet, input_statistics_input_dataset

    found = []
    for digest, slots in _by_digest(run["inputs"]).items():
        artifact = described.artifact(digest, slots[0].get("made_by"))
        facets, counts = _dataset_facets(digest, artifact)
        ours = _facet(InputDatasetFacet(producer=PRODUCER), "Slots", {"slots": slots})
        statistics = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(**counts, producer=PRODUCER)
        given = {"inputStatistics": statistics} if counts else {}
        found.append(
            InputDataset(
                namespace, _dataset(digest, artifact), inputFacets={**given, "reproAssets_slots": ours}, facets=facets
            )
        )
    return found


def _outputs(described: Described, run: Mapping[str, Any], namespace: str) -> list[OutputDataset]:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import OutputDatasetFacet, output_statistics_output_dataset

    found = []
    for digest, slots in _by_digest(run["outputs"]).items():
        artifact = described.artifact(digest, run["run_id"])
        facets, counts = _dataset_facets(digest, artifact)
        ours = _facet(OutputDatasetFacet(producer=PRODUCER), "Slots", {"slots": slots})
        statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(**counts, producer=PRODUCER)
        given = {"outputStatistics": statistics} if counts else {}
        found.append(
            OutputDataset(
                namespace, _dataset(digest, artifact), outputFacets={**given, "reproAssets_slots": ours}, facets=facets
            )
        )
    return found


def _dataset_facets(digest: str, artifact: Mapping[str, Any]) -> tuple[dict[str, DatasetFacet], dict[str, int]]:
    """Return the facets of an artifact, and what can be counted in it."""
    from openlineage.client.facet_v2 import (
        DatasetFacet,
        dataset_type_dataset,
        dataset_version_dataset,
        schema_dataset,
    )

    facets: dict[str, DatasetFacet] = {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(digest, producer=PRODUCER)
    }
    kind, counts = artifact["kind"], {}
    members = {name: artifact[name] for name in ("kind", "size", "name", "collection", "version")}
    facets["reproAssets_artifact"] = _facet(
        DatasetFacet(producer=PRODUCER), "Artifact", {"digest": digest, **_known(members)}
    )
    if kind is not None:
        facets["datasetType"] = dataset_type_dataset.DatasetTypeDatasetFacet(
            "TABLE" if kind == "table" else "FILE", kind, producer=PRODUCER
        )
        counts["size"] = artifact["size"]
    if kind == "tree":
        counts["fileCount"] = artifact["files"]
    table = artifact["facts"]
    if table is not None:
        counts["rowCount"] = table["rows"]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(
            [
                schema_dataset.SchemaDatasetFacetFields(
                    holdable(column["name"]), column["type"], ordinal_position=place
                )
                for place, column in enumerate(table["columns"], 1)
            ],
            producer=PRODUCER,
        )
    return facets, counts


def _dataset(digest: str, artifact: Mapping[str, Any]) -> str:
    return holdable(artifact["collection"] or artifact["name"] or digest)


def _by_digest(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return what each artifact was read or written as."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        members = {name: row.get(name) for name in ("slot", "name", "asset", "partition", "made_by", "pinned")}
        found.setdefault(row["digest"], []).append(_known(members))
    return found


def _environment(digest: str, document: Mapping[str, Any]) -> dict[str, Any]:
    hardware = {name: value for name, value in (document.get("hardware") or {}).items() if value}
    parts = {name: document.get(name) for name in ("level", "python", "torch", "os")}
    return _known({"digest": digest, **parts, "hardware": hardware or None})


def _package(document: Mapping[str, Any], name: str) -> str | None:
    for package in document.get("packages") or ():
        if package.get("name") == name and package.get("version"):
            return str(package["version"])
    return None


def _known(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _run_facet(name: str, members: Mapping[str, Any]) -> RunFacet:
    from openlineage.client.facet_v2 import RunFacet

    return _facet(RunFacet(producer=PRODUCER), name, members)


def _facet(base: _Facet, name: str, members: Mapping[str, Any]) -> _Facet:
    """Return a facet of ours, by its name in the schema."""
    made = base.with_additional_properties(**{name: _held(plain(value)) for name, value in members.items()})
    made._schemaURL = f"{SCHEMA}#/$defs/{name}"
    return cast(_Facet, made)


def _held(value: Any) -> Any:
    """Return a JSON-like value with texts that UTF-8 can hold."""
    if isinstance(value, str):
        return holdable(value)
    if isinstance(value, dict):
        return {holdable(name): _held(item) for name, item in value.items()}
    return [_held(item) for item in value] if isinstance(value, list) else value


def _uri(remote: str) -> str:
    """Return the address of a git remote as a URI, which the form ``user@host:path`` is not."""
    found = _SCP_LIKE.fullmatch(remote)
    if found is not None:
        return f"ssh://{found['host']}/{found['path'].lstrip('/')}"
    return f"file://{remote}" if remote.startswith("/") else remote


def lines(made: list[RunEvent]) -> Iterator[bytes]:
    """Yield events as lines of JSON, as OpenLineage's own transports write them."""
    from openlineage.client.serde import Serde

    for event in made:
        yield Serde.to_json(event).encode() + b"\n"
