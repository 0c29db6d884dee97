"""The parts of a CycloneDX document for which its library has no class: the model card, and how the model was made.

Laws: they are JSON as CycloneDX 1.6 has it, and the whole document is validated with them; approach, task and
architecture are what a person wrote under these names into the parameters or the config of the run, or what an
evaluation says; figures are those of evaluations, with their intervals, and of a class where it was measured.
"""

from __future__ import annotations

import datetime
import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from repro_assets.cards.evaluated import Evaluated, figures
from repro_assets.cards.recipe import Recipe
from repro_assets.cards.said import said
from repro_assets.cards.subject import Subject
from repro_assets.interchange.exports.bill_components import PREFIX, as_text
from repro_assets.wording import plain

APPROACHES = ("supervised", "unsupervised", "reinforcement-learning", "semi-supervised", "self-supervised")
_NO_FIGURES = ("digit", "class", "support", "answered")
_FACTS = (
    "run_kind", "state", "recipe", "asset", "partition", "job", "seed", "seeds", "device", "capture_level",
    "code_version", "mode", "settings", "edited_sources", "warnings", "trial", "replay_of",
)  # fmt: skip


def model_card(subject: Subject, made: Sequence[Evaluated], datasets: Sequence[str]) -> dict[str, Any]:
    """Return the model card.

    Parameters
    ----------
    subject : Subject
        The model.
    made : sequence of Evaluated
        Its evaluations.
    datasets : sequence of str
        References of the data that it was trained and evaluated on.
    """
    run = subject.run
    approach = said(run, "approach")
    tasks = [item.task for item in made if item.task != "other"]
    parameters = {
        "approach": {"type": approach} if approach in APPROACHES else None,
        "task": said(run, "task") or (tasks[0] if tasks else None),
        "architectureFamily": said(run, "architecture_family"),
        "modelArchitecture": said(run, "architecture", "model_architecture"),
        "datasets": [{"ref": digest} for digest in datasets],
    }
    measured = [metric for item in made for metric in _metrics(item)]
    card = {
        "modelParameters": _filled(parameters),
        "quantitativeAnalysis": {"performanceMetrics": measured} if measured else None,
        "properties": said_as({**_counts(subject), **_evaluations(made)}),
    }
    return _filled(card)


def formula(run: Mapping[str, Any], recipe: Recipe, model: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return how a run made the model.

    Parameters
    ----------
    run : mapping
        What `show_run` returns.
    recipe : Recipe
        What its recipe said of itself.
    model : str
        Reference of the model.
    variables : mapping
        Variables of its environment.
    """
    inputs: list[dict[str, Any]] = [
        {"resource": {"ref": row["digest"]}, "properties": said_as({"slot": row["slot"], "made_by": row["made_by"]})}
        for row in run["inputs"]
    ]
    settings = [
        {"name": f"{part}.{name}", "value": as_text(value), "dataType": type(value).__name__}
        for part in ("config", "params")
        for name, value in (run[part] or {}).items()
    ]
    if settings:
        inputs.append({"parameters": _unique(settings)})
    if variables:
        inputs.append({"environmentVars": [{"name": name, "value": value} for name, value in variables.items()]})
    outputs: list[dict[str, Any]] = [
        {"type": "artifact", "resource": {"ref": model}},
    ]
    last = {row["name"]: row["value"] for row in run["metrics"]}
    if last:
        content = json.dumps(plain(last), ensure_ascii=False)
        outputs.append({"type": "metrics", "data": {"contentType": "application/json", "content": content}})
    command = _executed(run)
    others = {f"output:{row['slot']}": row["digest"] for row in run["outputs"] if row["digest"] != model}
    workflow = {
        "bom-ref": f"run:{run['run_id']}",
        "uid": run["run_id"],
        "name": run["name"],
        "description": recipe.action,
        "taskTypes": ["build"],
        "timeStart": moment(run["started_at"]),
        "timeEnd": moment(run["ended_at"]),
        "inputs": _unique(inputs),
        "outputs": outputs,
        "steps": [{"name": run["recipe"] or run["name"], "commands": [{"executed": command}]}] if command else [],
        "properties": said_as(
            {
                **{name: run[name] for name in _FACTS},
                "replay_command": run["command"],
                **_replays(run),
                **others,
            }
        ),
    }
    return {"bom-ref": f"formula:{run['run_id']}", "workflows": [_filled(workflow)]}


def said_as(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return facts as properties of ours, as JSON has them; what is None or empty is left out."""
    return [
        {"name": f"{PREFIX}{name}", "value": as_text(value)}
        for name, value in facts.items()
        if value is not None and value not in ("", [], {})
    ]


def moment(time: datetime.datetime | None) -> str | None:
    """Return a time of the catalog, which is UTC without saying so, as the schema has it."""
    return None if time is None else time.replace(tzinfo=datetime.UTC).isoformat()


def _metrics(item: Evaluated) -> Iterator[dict[str, Any]]:
    for name, (value, low, high) in figures(item).items():
        metric: dict[str, Any] = {"type": name, "value": as_text(value), "slice": item.dataset}
        if low is not None and high is not None:
            metric["confidenceInterval"] = {"lowerBound": as_text(low), "upperBound": as_text(high)}
        yield metric
    classes = (item.value or {}).get("classes")
    for row in classes if isinstance(classes, list) else ():
        if not isinstance(row, dict):
            continue
        label = next((row[name] for name in ("digit", "class") if name in row), None)
        for name, value in row.items():
            if name not in _NO_FIGURES and isinstance(value, int | float) and label is not None:
                yield {"type": name, "value": as_text(value), "slice": f"{item.dataset}, class {label}"}


def _evaluations(made: Sequence[Evaluated]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in made:
        confidence = ((item.value or {}).get("bootstrap") or {}).get("confidence")
        found[f"evaluation:{item.dataset}"] = {
            "name": item.name, "run": item.run_id, "digest": item.digest, "dataset": item.dataset_digest,
            "confidence": confidence,
        }  # fmt: skip
    return found


def _counts(subject: Subject) -> dict[str, int]:
    """Return how many numbers a model has, by their type."""
    counts: dict[str, int] = {}
    for entry in subject.record["entries"] if subject.record.get("kind") == "tensors" else ():
        if entry["facts"].get("shape") is not None:
            name = f"numbers:{entry['facts'].get('dtype')}"
            counts[name] = counts.get(name, 0) + math.prod(entry["facts"]["shape"])
    return counts


def _replays(run: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"replay:{number}": {"run": row["replay_run"], "verdict": row["verdict"], "time": row["time"]}
        for number, row in enumerate(run["replays"], 1)
    }


def _executed(run: Mapping[str, Any]) -> str | None:
    """Return the command that was executed; of an asset, the one that materializes it with the same settings."""
    plan = run["plan"] or {}
    words = plan.get("command") or plan.get("interpreter_argv")
    return shlex.join(words) if words else run.get("fresh_command")


def _unique(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return items without those that are there already, which the schema forbids."""
    return list({json.dumps(item, sort_keys=True): item for item in items}.values())


def _filled(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None and value not in ("", [], {})}
