"""Executing again what Dagster did not execute: the process of a script, a command or a notebook.

Laws: the process begins as the recorded one did, in a laid-out tree, with every run of that execution pinned to what it
read (`repro_assets.tracking.pinned`); its runs record themselves, and what they made is read from their records.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import IO

from repro_assets.determinism.fresh_process import run_words
from repro_assets.replay import entries
from repro_assets.replay.environments import Surroundings, check_imports
from repro_assets.replay.execution import Executed, too_long
from repro_assets.replay.first_party import wrong_code
from repro_assets.replay.places import Places, lay_out
from repro_assets.replay.plan import Replayed, Result
from repro_assets.replay.records import COMPLETED, Asked, Recorded, runs_of
from repro_assets.replay.stopping import stop_variables
from repro_assets.replay.variables import variables_of
from repro_assets.store.home import Home
from repro_assets.tracking.pinned import Pinned, PinnedRun


def execute(
    home: Home, asked: Asked, work: Path, found: Surroundings, timeout: float | None, log: IO[bytes] | None
) -> Executed:
    """Execute the process of `asked` again; arguments, and what is raised, as `dagster_runs.execute`."""
    entry = asked.entry
    assert entry is not None
    entries.check_entry(home, entry, found.python)
    work = work.resolve()
    places = lay_out(home, entry, work)
    cells, said, own = None, list[str](), dict[str, str]()
    if entry.plan["form"] == "notebook":
        # What a person's IPython does when it starts was no part of the record.
        cells, own = work / "cells.ipynb", {"IPYTHONDIR": str(work / "ipython")}
        written, said = entries.cells_of(home, entry)
        cells.write_text(json.dumps({"cells": written, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}))
    pinned = _pinned(asked, work, places)
    variables = {
        **variables_of(home, places.tree, entry, found.recorded),
        **found.variables,
        **own,
        **stop_variables(home, asked.family),
        **pinned.written(work / "pins.json"),
    }
    words = [places.there(word) for word in entries.command_of(entry, found.python, cells=cells)]
    if found.variables:
        module = "repro_assets.cli.app" if entry.plan["form"] == "command" else "repro_assets.tracking.experiment"
        check_imports(found, module, variables, places.tree)
    try:
        code = run_words(words, places.folder, variables, timeout, log)
    except subprocess.TimeoutExpired as slow:
        raise too_long(timeout) from slow
    became = pinned.replays()
    again = runs_of(home, list(became.values()))
    replays = [
        _replayed(run, again[became[run.run_id]], places) for run in asked.runs if became.get(run.run_id) in again
    ]
    wrong = wrong_code(home, places.tree, str(entry.source), pinned.modules(), entry.plan.get("path", []))
    failed = next((run for run in again.values() if run.state != COMPLETED and run.error), None)
    error = None
    if failed is not None:
        kind, _, message = str(failed.error).partition(": ")
        error = {"type": kind, "message": message, "trace": ""}
    elif code != 0 or not replays:
        error = {"type": Path(words[0]).name, "message": f"it ended with code {code}", "trace": ""}
    notes = [*places.notes, *said]
    return Executed(Result(replays, wrong, error), notes=notes, tree=places.tree, run_ids=list(became.values()))


def _pinned(asked: Asked, work: Path, places: Places) -> Pinned:
    entry = asked.entry
    assert entry is not None
    known = {run.run_id for run in asked.family}
    runs = tuple(
        PinnedRun(
            run.run_id,
            run.name,
            run.parent if run.parent in known else None,
            {str(slot): str(digest) for slot, _, digest in run.inputs},
            run.source,
            run.source_facts,
            run.config,
            run.seed,
            # What it would go on to has nothing to be compared with; a child of it may still be at work, though.
            sorted(run.products) if [run] == asked.runs and run.state == "INTERRUPTED" else [],
        )
        for run in asked.family
    )
    return Pinned(runs, work / "replay", places.tree, entry.plan.get("project_root"))


def _replayed(run: Recorded, again: Recorded, places: Places) -> Replayed:
    made = {places.slot(slot): digest for slot, (_, digest) in again.products.items()}
    return Replayed(
        original=run.run_id,
        run_id=again.run_id,
        state=again.state,
        products=made,
        settings=again.settings,
        environment=again.environment,
        metrics=again.metrics,
    )
