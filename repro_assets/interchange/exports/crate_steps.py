"""Workflows of a crate: their runs, steps, tools and parameters.

Laws: a workflow's run is a parent run that is on record, or the run of a script itself; a step is an asset. Of several
runs of one tool each has its own values, and the tool its parameters once. No step stands before one whose products it
read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from repro_assets.interchange.exports.crate import Crate, identifier, reference
from repro_assets.interchange.exports.crate_workflow import LANGUAGES, positions
from repro_assets.wording import plain

if TYPE_CHECKING:
    from rocrate.model import Entity

_STATUS = {
    "COMPLETED": "http://schema.org/CompletedActionStatus",
    "FAILED": "http://schema.org/FailedActionStatus",
    "INTERRUPTED": "http://schema.org/FailedActionStatus",
}
_GOES_ON = "http://schema.org/ActiveActionStatus"
"""Of what may go on still: a process on a host that was not heard of, and a parent whose end Dagster never told."""
_NUMBERS = {"Integer", "Float"}


@dataclass(frozen=True, slots=True)
class Executed:
    """A run in a crate.

    Parameters
    ----------
    run : dict
        What is on record of it.
    action : Entity
        Its action.
    workflow : Entity or None
        The file that is its workflow.
    instrument : Entity
        What it executed: a tool, or the workflow itself.
    is_step : bool
        Whether it executed one step of the workflow.
    slots : list of tuple
        ``input`` or ``output``, name, value and the value's type of each parameter.
    read, wrote : list of Entity
        Artifacts.
    """

    run: dict[str, Any]
    action: Entity
    workflow: Entity | None
    instrument: Entity
    is_step: bool
    slots: list[tuple[str, str, Entity, str]]
    read: list[Entity]
    wrote: list[Entity]


@dataclass(slots=True)
class _Workflow:
    file: Entity
    steps: dict[str, list[Executed]] = field(default_factory=dict)
    runs: dict[str, list[Executed]] = field(default_factory=dict)


class Steps:
    """The workflows of a crate that is being made; `actions` are all of its actions that the root mentions."""

    def __init__(self, crate: Crate) -> None:
        self.actions: list[Entity] = []
        self._crate = crate
        self._executed: list[Executed] = []

    def executed(self, executed: Executed) -> None:
        """Take a run, in the order of their starts."""
        self._executed.append(executed)
        self.actions.append(executed.action)

    def add(self, above: Mapping[str, Mapping[str, Any]], engine: Callable[[], Entity]) -> list[str]:
        """Add workflows, their runs, steps and parameters, and return the profiles to which the crate conforms.

        Parameters
        ----------
        above : dict
            The parents of runs, by their ids.
        engine : Entity
            What orchestrated the steps.
        """
        workflows: dict[str, _Workflow] = {}
        newest: Entity | None = None
        for one in self._executed:
            parent = one.run["parent_run_id"]
            if one.workflow is None or (one.is_step and parent not in above):
                continue
            workflow = workflows.setdefault(one.workflow.id, _Workflow(one.workflow))
            newest = one.workflow
            if one.is_step:
                workflow.steps.setdefault(str(one.run["asset"] or one.instrument["name"]), []).append(one)
                workflow.runs.setdefault(str(parent), []).append(one)
            else:
                workflow.runs.setdefault(one.run["run_id"], [])
        for workflow in workflows.values():
            self._add_workflow(workflow, above, engine)
        self._add_parameters()
        names = ["process"]
        if newest is not None:
            self._crate.crate.root_dataset["mainEntity"] = newest
            names += ["workflow", "workflow-ro-crate"]
            if all(workflow.steps for workflow in workflows.values()):
                names.insert(2, "provenance")
        self._crate.add_profiles(names)
        return names

    def _add_workflow(
        self, workflow: _Workflow, above: Mapping[str, Mapping[str, Any]], engine: Callable[[], Entity]
    ) -> None:
        file = workflow.file
        facts = next(one.run for one in self._executed if one.workflow is file)
        language, url = LANGUAGES[PurePosixPath(file.id).suffix]
        kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow", *(["HowTo"] if workflow.steps else [])]
        file.properties()["@type"] = kinds
        file["programmingLanguage"] = self._crate.add(
            identifier("language", language), "ComputerLanguage", name=language, identifier=url, url=url
        )
        file["version"] = facts["commit"] if facts["commit"] and not facts["dirty"] else facts["source"]
        if not workflow.steps:
            return
        runs = [one for steps in workflow.steps.values() for one in steps]
        file["hasPart"] = list(dict.fromkeys(one.instrument for one in runs))
        places = positions({name: self._needed(workflow, name) for name in workflow.steps})
        steps = {
            name: self._crate.add(
                identifier("step", file.id, name),
                "HowToStep",
                name=name,
                position=str(places[name]) if name in places else None,
                workExample=list(dict.fromkeys(one.instrument for one in executed)),
            )
            for name, executed in workflow.steps.items()
        }
        file["step"] = list(steps.values())
        for parent, executed in workflow.runs.items():
            if executed:
                self._add_run(workflow, above[parent], executed, steps, engine)

    def _needed(self, workflow: _Workflow, name: str) -> set[str]:
        """Return the other steps whose products a step read."""
        read = {entity.id for one in workflow.steps[name] for entity in one.read}
        return {
            other
            for other, executed in workflow.steps.items()
            if other != name and any(entity.id in read for one in executed for entity in one.wrote)
        }

    def _add_run(
        self,
        workflow: _Workflow,
        parent: Mapping[str, Any],
        executed: list[Executed],
        steps: Mapping[str, Entity],
        engine: Callable[[], Entity],
    ) -> None:
        """Add the run of a workflow, those of its steps, and that of the engine."""
        place = identifier("run", parent["run_id"])
        if self._crate.crate.get(place) is not None:
            # The runs under one parent had several source trees.
            place = identifier("run", parent["run_id"], workflow.file.id)
        wrote = {entity.id: entity for one in executed for entity in one.wrote}
        read = {entity.id: entity for one in executed for entity in one.read if entity.id not in wrote}
        action = self._crate.add(
            place,
            "CreateAction",
            name=parent["name"] or parent["run_id"],
            identifier=parent["run_id"],
            description=f"Of its runs {len(executed)} are in this crate; State: {parent['state']}",
            instrument=workflow.file,
            object=list(read.values()),
            result=list(wrote.values()),
            **times_of(parent),
        )
        controls = [
            self._crate.add(
                identifier("control", one.run["run_id"]),
                "ControlAction",
                name=f"Step {one.instrument['name']} of {parent['name'] or parent['run_id']}",
                instrument=steps[str(one.run["asset"] or one.instrument["name"])],
                object=one.action,
            )
            for one in executed
        ]
        organized = self._crate.add(
            f"{place}/orchestration",
            "OrganizeAction",
            name=f"Orchestration of {parent['name'] or parent['run_id']}",
            instrument=engine(),
            object=controls,
            result=action,
        )
        self.actions += [action, organized]

    def _add_parameters(self) -> None:
        """Add the parameters of what was executed, each once, and let every value say which one it is."""
        found: dict[tuple[str, str, str], list[tuple[Entity, str]]] = {}
        instruments: dict[str, Entity] = {}
        for one in self._executed:
            instruments[one.instrument.id] = one.instrument
            for direction, name, entity, kind in one.slots:
                found.setdefault((one.instrument.id, direction, name), []).append((entity, kind))
        for (instrument, direction, name), examples in found.items():
            kinds = {kind for _, kind in examples if kind != "CreativeWork"}
            entities = list(dict.fromkeys(entity for entity, kind in examples if kind != "CreativeWork"))
            parameter = self._crate.add(
                identifier("parameter", instrument, direction, name),
                "FormalParameter",
                name=name,
                additionalType=_one_of(kinds),
                workExample=entities,
            )
            instruments[instrument].append_to(direction, parameter)
            for entity in entities:
                entity.append_to("exampleOfWork", parameter)


def _one_of(kinds: set[str]) -> str:
    """Return the one type that values of these types have in common."""
    if len(kinds) == 1:
        return next(iter(kinds))
    return "Float" if kinds and kinds <= _NUMBERS else "Text"


def times_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return when a run began and ended, and how, as members of an action."""
    state = run["state"]
    error = ": ".join(filter(None, (run["error_type"], run["error_message"])))
    return {
        "startTime": plain(run["started_at"]),
        "endTime": plain(run["ended_at"]),
        "actionStatus": reference(_STATUS.get(state, _GOES_ON)),
        "error": (error or f"It is {state}.") if state in ("FAILED", "INTERRUPTED") else None,
    }
