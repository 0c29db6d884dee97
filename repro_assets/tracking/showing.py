"""An experiment as a document, and as the small table that a notebook shows."""

from __future__ import annotations

import html as markup
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_assets.errors import InvalidValue
from repro_assets.serialized import as_json, as_yaml
from repro_assets.store import outside
from repro_assets.wording import plain, words

if TYPE_CHECKING:
    from repro_assets.tracking.experiment import Experiment


def document(experiment: Experiment) -> dict[str, Any]:
    """Return what a run is and what it has logged so far, as JSON has it."""
    run = experiment.run
    run.flush()
    started = run.started
    return {
        "run_id": run.run_id,
        "name": started.name,
        "state": experiment.state or "RUNNING",
        "project": started.experiment,
        "tags": started.tags,
        "parent_run_id": started.parent_run_id,
        "replay_of": started.replay_of,
        "seed": run.seeds.root if started.seed is not None or run.seeds.root else None,
        "config": plain(started.config),
        "params": plain(run.params),
        "metrics": plain(run.last_metrics),
        "inputs": {slot: _artifact(item) for slot, item in experiment.inputs.items()},
        "outputs": {slot: _artifact(item) for slot, item in run.outputs.items()},
        "checkpoints": dict(run.checkpoints),
        "environment": started.environment,
        "source": started.source,
        "commit": started.source_facts.get("commit"),
        "dirty": started.source_facts.get("dirty"),
        "warnings": list(run.warnings),
    }


def write(experiment: Experiment, path: Path) -> Path:
    """Write the document as JSON or YAML, by the suffix of `path`.

    Raises
    ------
    InvalidValue
        If the suffix is another one, or the file would replace a part of a store.
    MachineError
        If it cannot be written.
    """
    written = {".json": as_json, ".yaml": as_yaml, ".yml": as_yaml}.get(path.suffix)
    if written is None:
        raise InvalidValue(f"{path.name} is neither JSON nor YAML", "end its name with .json or .yaml")
    outside.write(path, written(document(experiment)))
    return path


def line(experiment: Experiment) -> str:
    """Return the line that a terminal shows."""
    if experiment.state is None and not experiment.is_open:
        return f"<experiment {experiment.name!r}, not begun>"
    return f"<experiment {experiment.name!r}, run {experiment.run_id}: {experiment.state or 'RUNNING'}>"


def html(experiment: Experiment) -> str:
    """Return the table that a notebook shows."""
    if experiment.state is None and not experiment.is_open:
        return f"<p>experiment <b>{markup.escape(experiment.name)}</b>, not begun</p>"
    found = document(experiment)
    metrics = ", ".join(f"{name} {words(value)}" for name, value in found["metrics"].items())
    rows = {
        "run": found["run_id"],
        "name": found["name"],
        "state": found["state"],
        "seed": words(found["seed"]),
        "metrics": metrics,
        "outputs": ", ".join(item["name"] for item in found["outputs"].values()),
    }
    cells = "".join(
        f"<tr><th style='text-align:left'>{name}</th><td style='text-align:left'>{markup.escape(str(value))}</td></tr>"
        for name, value in rows.items()
        if value
    )
    return f"<table>{cells}</table>"


def _artifact(item: Any) -> dict[str, Any]:
    return {"name": str(item), "digest": str(item.digest), "kind": item.kind}
