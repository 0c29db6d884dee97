"""The format ``croissant``: a data set with its metadata as Croissant 1.1, which data loaders and search engines read.

Laws: what is described lies beside the description, and each file has its size and SHA-256; the library that owns the
format has validated the document before it shows; license, citation and address are what a person wrote under these
names into the parameters or the config of the run that made the data, and are absent otherwise. The same data set gives
the same bytes.
"""

from __future__ import annotations

import contextlib
import datetime
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repro_assets.cards.recipe import recorded_recipe
from repro_assets.cards.records import opened
from repro_assets.cards.said import said
from repro_assets.cards.subject import Subject, subject_of
from repro_assets.errors import CheckFailed, from_os_error
from repro_assets.extras import need
from repro_assets.interchange.anonymity import Rules, rules_of
from repro_assets.interchange.exports import croissant_data, croissant_fields
from repro_assets.interchange.formats import Exported, Request
from repro_assets.interchange.presence import gone
from repro_assets.interchange.subjects import ended_runs
from repro_assets.interchange.targets import new_folder, target_file
from repro_assets.serialized import as_json
from repro_assets.store import outside

METADATA = "croissant.json"
VERSION = "http://mlcommons.org/croissant/1.1"
_LANGUAGES = {"@container": "@language"}
_CONTEXT = {
    "arrayShape": "cr:arrayShape",
    "containedIn": "cr:containedIn",
    "description": _LANGUAGES,
    "isArray": "cr:isArray",
    "name": _LANGUAGES,
    "prov": "http://www.w3.org/ns/prov#",
    "repro": "urn:repro-assets:croissant:",
}
"""What version 1.1 adds to the context that the library begins with, and the prefix of what is ours."""


def export(request: Request) -> Exported:
    """Write a data set and its metadata into a new folder, or the metadata alone where a ``.json`` file is asked for.

    Raises
    ------
    UnknownName, AmbiguousName, InvalidValue
        If nothing is called so, it is no data set, the run goes on or was deleted, or the extra is not installed.
    InvalidInput, ReusedElsewhere, MachineError
        If the folder or file cannot be written.
    MissingObject, CorruptObject
        If bytes of the data are gone or do not match; nothing is written then.
    CheckFailed
        If the document is not valid; nothing is written then.
    """
    need("mlcroissant", "croissant")
    (name,) = request.names
    with opened(request.home) as records:
        subject = subject_of(records, name, "dataset")
    if subject.asked_run is not None:
        ended_runs(request.home, [subject.asked_run])
    rules = rules_of(request.home) if request.anonymize else None
    alone = request.path.suffix == ".json"
    path = target_file(request.path, METADATA, force=request.force) if alone else request.path
    with tempfile.TemporaryDirectory() if alone else new_folder(request.path) as folder:
        with _written(path):
            laid = croissant_data.lay_out(subject.artifact, subject.name, Path(folder))
            document = describe(subject, laid, rules)
            if not alone:
                (Path(folder) / METADATA).write_bytes(as_json(document))
        lost = gone([subject.artifact])
        unheld = croissant_fields.left_out(laid)
    if alone:
        outside.write(path, as_json(document))
    notes = [*lost, *([f"its files can be loaded, but not as records: {laid.absence}"] if laid.absence else [])]
    notes += [f"column {name} is not in the records: Croissant has no such type" for name in unheld]
    if alone:
        notes.append(f"the files that it names come with: repro export {subject.name} --to FOLDER --format croissant")
    facts = {"files": len(laid.files), "record_sets": len(document.get("recordSet", ())), "left_out": unheld}
    return Exported(path, "croissant", subject.name, str(subject.artifact.digest), not lost, facts, tuple(notes))


def describe(subject: Subject, laid: croissant_data.Laid, rules: Rules | None = None) -> dict[str, Any]:
    """Return the document of a data set.

    Parameters
    ----------
    subject : Subject
        A data set.
    laid : Laid
        What lies beside the document.
    rules : Rules, optional
        By which it is to name nobody.

    Raises
    ------
    CheckFailed
        If the library finds it wrong.
    """
    import mlcroissant

    def named(value: Any) -> Any:
        return rules.value(value) if rules is not None else value

    context = mlcroissant.Context(
        conforms_to=VERSION, rdf=mlcroissant.Rdf(context=mlcroissant.Rdf().context | _CONTEXT)
    )
    run = subject.run
    license = named(said(run, "license"))
    try:
        metadata = mlcroissant.Metadata(
            ctx=context,
            name=named(subject.name),
            description=named(recorded_recipe(subject.artifact.home, run).summary),
            conforms_to=[VERSION],
            date_created=_created(subject),
            version=str(subject.version) if subject.version is not None else None,
            license=None if license is None else [license],
            cite_as=named(said(run, "citation", "cite_as")),
            url=named(said(run, "url")),
            distribution=croissant_fields.distribution(context, laid),
            record_sets=croissant_fields.record_sets(context, laid),
            extra_properties=named(_ours(subject)),
        )
        document: dict[str, Any] = metadata.to_json()
    except mlcroissant.ValidationError as error:
        raise CheckFailed(
            f"the document is not valid Croissant: {error}", "report it: this is a mistake of repro-assets"
        ) from error
    return document


def _created(subject: Subject) -> datetime.datetime:
    time: datetime.datetime = (subject.run or {}).get("ended_at") or subject.record["stored_at"]
    return time.replace(tzinfo=datetime.UTC)


def _ours(subject: Subject) -> dict[str, Any]:
    """Return what is on record and has no place in Croissant."""
    run = subject.run or {}
    facts = {
        "repro:digest": subject.record["digest"],
        "repro:kind": subject.record["kind"],
        "repro:recipe": run.get("recipe"),
        "repro:seed": run.get("seed"),
        "repro:source": run.get("source"),
        "repro:commit": run.get("commit"),
        "prov:wasGeneratedBy": {"@id": f"urn:repro-assets:run:{run['run_id']}"} if run else None,
        "prov:wasDerivedFrom": [{"@id": f"urn:repro-assets:{digest}"} for digest in _inputs(run)],
    }
    return {name: value for name, value in facts.items() if value not in (None, [])}


def _inputs(run: dict[str, Any]) -> list[str]:
    return sorted({row["digest"] for row in run.get("inputs") or ()})


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    """Say what the machine refuses as an error about the place that was asked for."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error, path) from error
