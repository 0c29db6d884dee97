"""The format ``cyclonedx``: a machine-learning bill of materials of a model, as CycloneDX 1.6 in JSON.

Laws: serial number and times come from the record, so the same record gives the same bytes; whatever the library has a
class for is written by it, and the whole document is valid by its strict validator before the file shows. Data that the
model came from is there to its roots, with digests; what was not captured is left out.
"""

from __future__ import annotations

import datetime
import json
import uuid
from importlib.metadata import version
from typing import Any

from repro_assets.cards.evaluated import evaluations_of
from repro_assets.cards.provenance import card_file
from repro_assets.cards.recipe import recorded_recipe
from repro_assets.cards.records import Records, opened
from repro_assets.cards.subject import Subject, subject_of
from repro_assets.errors import CheckFailed
from repro_assets.extras import need
from repro_assets.identity import canonical
from repro_assets.identity.digest import Digest
from repro_assets.interchange.anonymity import rules_of
from repro_assets.interchange.formats import Exported, Request
from repro_assets.interchange.presence import gone
from repro_assets.interchange.subjects import ended_runs
from repro_assets.interchange.targets import target_file
from repro_assets.serialized import as_json
from repro_assets.store import outside

SUFFIX = ".cdx.json"
_SERIALS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:repro-assets:cyclonedx:v1")


def export(request: Request) -> Exported:
    """Write the bill of materials of a model, or of the model that a run made.

    Raises
    ------
    UnknownName, AmbiguousName, InvalidValue
        If nothing is called so, it is no model, the run goes on or was deleted, or the extra is not installed.
    InvalidInput, ReusedElsewhere, MachineError
        If the file cannot be written.
    CheckFailed
        If the document is not valid; nothing is written then.
    """
    need("cyclonedx")
    need("jsonschema", "cyclonedx")
    (name,) = request.names
    with opened(request.home) as records:
        subject = subject_of(records, name, "model")
        if subject.asked_run is not None:
            ended_runs(request.home, [subject.asked_run])
        stem = card_file(subject.name).removesuffix(".md")
        path = target_file(request.path, f"{stem}{SUFFIX}", force=request.force)
        environment = _environment(records, subject)
        document = bill_of_materials(records, subject, environment)
    if request.anonymize:
        document = _values(document, rules_of(request.home).text)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(_SERIALS, str(Digest.of(canonical.encode(document))))}"
    written = as_json(document)
    _validate(written.decode())
    lost = gone([subject.artifact])
    outside.write(path, written)
    facts = {"components": len(document.get("components", ())), "spec_version": document["specVersion"]}
    digest = str(subject.artifact.digest)
    named = (subject.run or {}).get("environment")
    unread = (f"its packages are not in it: environment {named} does not read",) if named and not environment else ()
    return Exported(path, "cyclonedx", subject.name, digest, not lost, facts, (*lost, *unread))


def bill_of_materials(records: Records, subject: Subject, environment: dict[str, Any]) -> dict[str, Any]:
    """Return the document, but for its serial number.

    Parameters
    ----------
    records : Records
        Of the store.
    subject : Subject
        A model.
    environment : dict
        The environment document of the run that made it; empty where there is none.
    """
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    from repro_assets.interchange.exports import bill_components, bill_model

    run, digest = subject.run, subject.record["digest"]
    recipe = recorded_recipe(records.home, run)
    made = evaluations_of(records, digest, trials=bool((run or {}).get("trial")))
    parents = _parents(records, digest)
    read = [row["digest"] for row in (run or {}).get("inputs") or ()]
    parents.setdefault(digest, set()).update(read)
    measured = [item.dataset_digest for item in made]
    others = list(dict.fromkeys([*sorted(parents), *sorted(read), *measured]))
    artifacts = bill_components.Artifacts(records, [digest, *others])
    model = bill_components.model_component(subject, artifacts, recipe.summary)
    components = {key: artifacts.component(key) for key in others if key != digest}
    around = bill_components.environment_components(environment, (run or {}).get("used_packages") or {})
    source = bill_components.source_component(run or {})
    around += [source] if source is not None else []
    tool = Component(type=ComponentType.APPLICATION, name="repro-assets", version=version("repro-assets"))
    captured = {name: (run or {}).get(name) for name in ("environment", "capture_level")}
    absent = {f"unavailable:{name}": reason for name, reason in (environment.get("unavailable") or {}).items()}
    bom = Bom(
        components=[*components.values(), *around],
        metadata=BomMetaData(
            component=model,
            timestamp=_when(subject),
            properties=bill_components.properties({**captured, **absent}),
        ),
    )
    bom.metadata.tools.components.add(tool)
    bom.register_dependency(model, [*(components[key] for key in sorted(parents[digest] - {digest})), *around])
    for key, component in components.items():
        known = sorted((parents.get(key, set()) & components.keys()) - {key})
        bom.register_dependency(component, [components[parent] for parent in known])
    for component in around:
        bom.register_dependency(component)
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    # The library draws one.
    del document["serialNumber"]
    for item in document.get("components", ()):
        if item["type"] == ComponentType.DATA:
            item["data"] = [artifacts.data(item["bom-ref"])]
    datasets = [key for key in dict.fromkeys([*read, *measured]) if not artifacts.is_model(key)]
    document["metadata"]["component"]["modelCard"] = bill_model.model_card(subject, made, datasets)
    if run is not None:
        document["formulation"] = [bill_model.formula(run, recipe, digest, environment.get("variables") or {})]
    return document


def _environment(records: Records, subject: Subject) -> dict[str, Any]:
    given = {"digest": (subject.run or {}).get("environment")}
    rows = records.rows("SELECT document FROM environments WHERE environment = $digest", given)
    return dict(json.loads(rows[0]["document"])) if rows else {}


def _parents(records: Records, digest: str) -> dict[str, set[str]]:
    """Return what each artifact that a model came from was made of, itself included."""
    graph = records.graph
    if digest not in graph.nodes:
        return {}
    known = [key for key in (digest, *graph.ancestors(digest)) if graph.nodes[key].kind == "artifact"]
    return {
        key: {parent for run in graph.backward.get(key, ()) for parent in graph.backward.get(run, ())} for key in known
    }


def _when(subject: Subject) -> datetime.datetime:
    run = subject.run or {}
    time: datetime.datetime = run.get("ended_at") or run.get("started_at") or subject.record["stored_at"]
    return time.replace(tzinfo=datetime.UTC)


def _values(value: Any, text: Any) -> Any:
    """Return a document with every text in it, but for the names of its members, put through a function."""
    if isinstance(value, dict):
        return {name: _values(item, text) for name, item in value.items()}
    if isinstance(value, list):
        return [_values(item, text) for item in value]
    return text(value) if isinstance(value, str) else value


def _validate(written: str) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(written)
    if error is not None:
        raise CheckFailed(
            f"the document is not valid CycloneDX: {error}", "report it: this is a mistake of repro-assets"
        )
