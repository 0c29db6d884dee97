"""OpenLineage's events, read through the library's own classes and held against what its schema requires."""

from __future__ import annotations

import functools
import importlib
import json
import pkgutil
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import jsonschema
import openlineage.client.generated as generated
import pytest
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import parent_run
from openlineage.client.serde import Serde

from repro_assets.interchange.exports.lineage_events import SCHEMA

FACETS = json.loads((Path(__file__).parents[3] / "docs" / "openlineage_facets.json").read_text())
OURS = {"reproAssets_run", "reproAssets_environment", "reproAssets_artifact", "reproAssets_slots"}


def events_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=pytest.fail) for line in path.read_text("utf-8").splitlines()]


def classes() -> dict[str, type]:
    """OpenLineage's facets by the addresses of their schemas."""
    found: dict[str, type] = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for value in vars(importlib.import_module(f"{generated.__name__}.{module.name}")).values():
            if isinstance(value, type) and value.__name__.endswith("Facet"):
                found[value._get_schema()] = value  # type: ignore[attr-defined]
    return found


KNOWN = classes()


@functools.cache
def validator(pointer: str) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(FACETS)
    return jsonschema.Draft202012Validator({**FACETS, "$ref": pointer})


def read_facet(name: str, document: dict[str, Any]) -> Any:
    """Read a facet through the library's class for its schema, or hold it against ours."""
    address = document["_schemaURL"]
    if name in OURS:
        assert address.startswith(f"{SCHEMA}#/$defs/")
        validator(address.removeprefix(SCHEMA)).validate(document)
        return document
    members = {key: value for key, value in document.items() if not key.startswith("_")}
    if name == "parent":
        root = members.get("root")
        members = {
            "run": parent_run.Run(**members["run"]),
            "job": parent_run.Job(**members["job"]),
            "root": root and parent_run.Root(parent_run.RootRun(**root["run"]), parent_run.RootJob(**root["job"])),
        }
    made = KNOWN[address](**members, producer=document["_producer"])
    assert Serde.to_dict(made)["_schemaURL"] == address
    return made


def read_event(document: dict[str, Any]) -> RunEvent:
    """Read an event through the library's classes, which check times, ids and addresses and know no other member."""

    def facets(found: dict[str, Any]) -> dict[str, Any]:
        return {name: read_facet(name, item) for name, item in found.items()}

    run, job = document["run"], document["job"]
    made = RunEvent(
        eventType=RunState(document["eventType"]),
        eventTime=document["eventTime"],
        run=Run(run["runId"], facets(run["facets"])),
        job=Job(job["namespace"], job["name"], facets(job["facets"])),
        inputs=[
            InputDataset(
                item["namespace"], item["name"], inputFacets=facets(item["inputFacets"]), facets=facets(item["facets"])
            )
            for item in document["inputs"]
        ],
        outputs=[
            OutputDataset(
                item["namespace"],
                item["name"],
                outputFacets=facets(item["outputFacets"]),
                facets=facets(item["facets"]),
            )
            for item in document["outputs"]
        ],
        producer=document["producer"],
    )
    assert made.schemaURL == document["schemaURL"]
    return made


def required(document: dict[str, Any]) -> Iterator[str]:
    """Yield what OpenLineage's schema 2-0-2 requires of an event, in our words, and this one has not."""
    for name in ("eventTime", "producer", "schemaURL", "run", "job"):
        if not document.get(name):
            yield f"no {name}"
    if datetime.fromisoformat(document["eventTime"]).tzinfo is None:
        yield "a time without a zone"
    if document["eventType"] not in ("START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"):
        yield "no such type"
    if str(uuid.UUID(document["run"]["runId"])) != document["run"]["runId"]:
        yield "no UUID"
    places = [document["job"], *document["inputs"], *document["outputs"]]
    if not all(isinstance(place[name], str) and place[name] for place in places for name in ("namespace", "name")):
        yield "a name is missing"
    holders = [document["run"]["facets"], document["job"]["facets"]]
    holders += [item[name] for item in document["inputs"] for name in ("facets", "inputFacets")]
    holders += [item[name] for item in document["outputs"] for name in ("facets", "outputFacets")]
    for holder in holders:
        for name, found in holder.items():
            if not all(urlparse(found[address]).scheme for address in ("_producer", "_schemaURL")):
                yield f"{name} does not say whose it is"
