"""Why a replay may have diverged, as far as the records and the recorded source say.

Laws: what was measured comes first, that is files that changed and environments that differ; then the places in the
source, the likelier ones before the others; then what both executions read. What the replay itself set as it is on
record is no cause. A cause is possible, never shown: the verdict does not depend on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from repro_assets.capture.code_version import first_party_files
from repro_assets.capture.generators import LIBRARIES, seeded_by_all
from repro_assets.capture.project import source_folders
from repro_assets.capture.unrepeatable import Lead, Leads, Why, leads_in
from repro_assets.capture.variables import is_allowed
from repro_assets.catalog.queries import Rows
from repro_assets.errors import IntegrityError, InvalidInput, UnknownName
from repro_assets.recording.environments import load_environment
from repro_assets.replay import undeclared
from repro_assets.replay.entries import cells_of, parse
from repro_assets.replay.environments import Surroundings, found_later
from repro_assets.replay.execution import Executed
from repro_assets.replay.records import Recorded
from repro_assets.store.home import Home

LINES = 50
_OWN, _RECIPES = "repro_assets.", "repro_assets.training."
_HASH_SEED = "PYTHONHASHSEED"
_ALL_SEEDED = LIBRARIES | {""}
"""Of a run that was given a seed: all, and from its beginning."""

Cause = dict[str, str]
"""``kind``, ``name`` and ``why``."""


def possible_causes(
    home: Home,
    compared: list[Recorded],
    begun: list[Recorded],
    executed: Executed,
    found: Surroundings,
    reads: tuple[Rows, Rows],
) -> list[Cause]:
    """Return what may be why a replay diverged, the likeliest first.

    Parameters
    ----------
    home : Home
        The store.
    compared : list of Recorded
        The originals.
    begun : list of Recorded
        Those with which the execution began.
    executed : Executed
        The replay; what could not be looked at is added to its notes.
    found : Surroundings
        What was said of the environment before it.
    reads : pair of list of dict
        What the originals and their replays read that is on no record.
    """
    read = undeclared.possible_causes(*reads)
    changed = [cause for cause in read if cause["why"] == undeclared.CHANGED_FILE]
    return [
        *changed,
        *_of_environments(home, compared, executed, found),
        *_of_source(home, begun, executed),
        *(cause for cause in read if cause not in changed),
    ]


def _of_environments(home: Home, compared: list[Recorded], executed: Executed, found: Surroundings) -> list[Cause]:
    """Return what differs between the environments on record and was not said before the execution."""
    originals = {run.run_id: run for run in compared}
    causes: dict[tuple[str, str], Cause] = {}
    for item in executed.result.replays:
        if item.original not in originals:
            continue
        try:
            differences = found_later(home, originals[item.original], item.environment, found.differences)
        except (UnknownName, IntegrityError) as error:
            executed.notes.append(
                f"the environments of {item.original} and its replay were not compared: {error.message}"
            )
            continue
        for each in differences:
            sides = {"the original": each["original"], "the replay": each["current"]}
            why = " and ".join(f"{side} has {value}" for side, value in sides.items() if value is not None)
            causes[each["part"], each["name"]] = {"kind": each["part"], "name": each["name"], "why": why}
    return list(causes.values())


def _of_source(home: Home, begun: list[Recorded], executed: Executed) -> list[Cause]:
    """Return the places in the source of the runs with which an execution began, and the hash seed that nobody set."""
    causes: list[Cause] = []
    if executed.tree is not None:
        try:
            causes = [cause for run in begun for cause in causes_in(home, executed.tree, run)]
        except InvalidInput as error:
            executed.notes.append(f"the source was not searched for clocks: {error.message}")
    by_chance = any(run.settings.get(_HASH_SEED, "0") is None for run in begun)
    if by_chance and not any(cause["why"] == Why.HASH for cause in causes):
        why = "it was not set, so the order of a set of texts is another in each process"
        causes.append({"kind": "setting", "name": _HASH_SEED, "why": why})
    return list({(cause["kind"], cause["name"]): cause for cause in causes}.values())


def causes_in(home: Home, tree: Path, run: Recorded) -> list[Cause]:
    """Return the places in a run's first-party source that may give something else the next time.

    Parameters
    ----------
    home : Home
        The store.
    tree : Path
        Where its source tree is laid out.
    run : Recorded
        The run, or the one whose process is started for it.

    Returns
    -------
    list of dict
        At most `LINES`, the likeliest first, and then a last one that says how many more there are.

    Raises
    ------
    InvalidInput
        If a file of it is not Python.
    """
    files = list(_sources(home, tree, run))
    seeded = _ALL_SEEDED if run.seed is not None else seeded_by_all([leads.seeded for _, leads in files])
    recorded = {} if run.environment is None else load_environment(home, run.environment).get("variables", {})
    rank = list(Why)
    found = sorted(
        ((place, lead) for place, leads in files for lead in leads.found if not _is_known(lead, run, seeded, recorded)),
        key=lambda each: rank.index(each[1].why),
    )
    causes = [
        {"kind": "call", "name": f"{place}:{lead.line} {lead.name}", "why": str(lead.why)} for place, lead in found
    ]
    more = len(causes) - LINES
    return [*causes[:LINES], *([{"kind": "call", "name": f"and {more} more", "why": ""}] if more > 0 else [])]


def _is_known(lead: Lead, run: Recorded, seeded: frozenset[str], recorded: Mapping[str, Any]) -> bool:
    """Tell whether the record says that a place gives the same."""
    if lead.why is Why.UNSEEDED:
        return lead.of in seeded
    if lead.why is Why.VARIABLE:
        return lead.of in recorded or is_allowed(lead.of)
    return lead.why is Why.HASH and run.settings.get(_HASH_SEED, "0") is not None


def _sources(home: Home, tree: Path, run: Recorded) -> Iterator[tuple[str, Leads]]:
    """Yield what each file of the code that a run executes holds, and its place in the tree."""
    files, modules, texts = _programs(home, tree, run)
    for place, text in texts.items():
        yield place, leads_in(text, place)
    folders = [tree / folder for folder in run.plan.get("path") or []]
    roots = [*folders, *(file.parent for file in files), *source_folders(tree)]
    for name, file in sorted(first_party_files(files, modules, list(dict.fromkeys(roots))).items()):
        # What records a run reads the clock too, and changes no bits.
        if not name.startswith(_OWN) or name.startswith(_RECIPES):
            place = file.relative_to(tree).as_posix() if file.is_relative_to(tree) else str(file)
            yield place, leads_in(file.read_bytes(), place)


def _programs(home: Home, tree: Path, run: Recorded) -> tuple[list[Path], list[str], dict[str, str]]:
    """Return the files, the modules and the texts with which the code of a run begins."""
    form, words = run.plan.get("form"), [str(word) for word in run.plan.get("command") or []]
    if run.run_kind == "asset":
        location = (run.plan.get("code_location") or {}).get("module")
        module = run.recipe.partition(":")[0] if run.recipe else location
        return [], [str(module)] if module else [], {}
    if form == "notebook":
        cells = cells_of(home, run)[0]
        return [], [], {f"cell {number}": cell["source"] for number, cell in enumerate(cells, 1)}
    if form == "script":
        words = [str(run.plan["script"])]
    if form == "module":
        module = str(run.plan["module"])
        return [], [module, f"{module}.__main__"], {}
    if form == "code":
        return [], [], {"-c": parse(run.plan["interpreter_argv"]).target}
    modules = [word for before, word in itertools.pairwise(words) if before == "-m"]
    files = [tree / run.plan.get("working_folder", ".") / word if form == "command" else tree / word for word in words]
    return [file for file in files if file.suffix == ".py" and file.is_file()], modules, {}
