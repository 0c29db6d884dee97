"""What the profiles of Workflow Run RO-Crate require, in our words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rocrate.rocrate import ROCrate

PERMALINKS = {
    "process": "https://w3id.org/ro/wfrun/process/0.5",
    "workflow": "https://w3id.org/ro/wfrun/workflow/0.5",
    "provenance": "https://w3id.org/ro/wfrun/provenance/0.5",
    "workflow-ro-crate": "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
}
TOOLS = {"SoftwareApplication", "SoftwareSourceCode", "ComputationalWorkflow"}


def kinds(entity: Any) -> set[str]:
    return set(listed(entity.type))


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def of_type(found: ROCrate, kind: str) -> list[Any]:
    return [entity for entity in found.get_entities() if kind in kinds(entity)]


def requirements(found: ROCrate) -> Iterator[str]:
    """Yield what the profiles require, in our words, and a crate does not fulfil."""
    root, main = found.root_dataset, found.mainEntity
    claimed = {entity.id for entity in listed(root["conformsTo"])}
    names = {name for name, link in PERMALINKS.items() if link in claimed}
    actions = of_type(found, "CreateAction")
    for name in ("name", "description", "datePublished", "license"):
        if not root.get(name):
            yield f"the root has no {name}"
    for entity in listed(root["conformsTo"]):
        if entity.type != "CreativeWork":
            yield f"{entity.id} is no CreativeWork"
    for entity in [*of_type(found, "File"), *of_type(found, "Dataset")]:
        if entity.id != "./" and entity not in listed(root["hasPart"]):
            yield f"{entity.id} is no part of the root"
    if "process" not in names or not actions:
        yield "it is no Process Run Crate"
    for action in actions:
        if not kinds(action["instrument"]) & TOOLS:
            yield f"{action.id} has no instrument"
        if action not in listed(root["mentions"]):
            yield f"{action.id} is not mentioned"
    if "workflow" in names:
        if not {"File", "SoftwareSourceCode", "ComputationalWorkflow"} <= kinds(main):
            yield "the main entity is no workflow"
        if main["programmingLanguage"].type != "ComputerLanguage":
            yield "the workflow has no language"
        if all(action["instrument"] != main for action in actions):
            yield "the workflow was not executed"
        if PERMALINKS["workflow-ro-crate"] not in [
            entity["@id"] for entity in listed(found.metadata.properties()["conformsTo"])
        ]:
            yield "the metadata does not name the Workflow RO-Crate"
    elif main is not None:
        yield "there is a main entity without the profile of one"
    for parameter in of_type(found, "FormalParameter"):
        if not parameter.get("additionalType") or "name" not in parameter:
            yield f"{parameter.id} has no type or name"
        for example in listed(parameter.get("workExample")):
            if parameter not in listed(example["exampleOfWork"]):
                yield f"{example.id} does not say what it is an example of"
    steps = of_type(found, "HowToStep")
    if "provenance" in names:
        for workflow in of_type(found, "ComputationalWorkflow"):
            tools = listed(workflow.get("hasPart"))
            if not tools or any(all(action["instrument"] != tool for action in actions) for tool in tools):
                yield f"{workflow.id} orchestrated nothing that was executed"
            if "HowTo" not in kinds(workflow) or not listed(workflow.get("step")):
                yield f"{workflow.id} has no steps"
        for step in steps:
            if not kinds(listed(step["workExample"])[0]) & TOOLS:
                yield f"{step.id} has no tool"
        for control in of_type(found, "ControlAction"):
            if control["instrument"] not in steps or control["object"] not in actions:
                yield f"{control.id} is of no step"
        for organized in of_type(found, "OrganizeAction"):
            if organized["result"] not in actions or not listed(organized["object"]):
                yield f"{organized.id} organized nothing"
