"""What each format is exported of, and its reader: the software of those who own the format, which must accept it.

A reader raises where it does not, and else returns a sentence with its name and what it read.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

_TARGETS = {"bundle": "run.repro", "card": "model.md", "cyclonedx": "model.cdx.json", "openlineage": "events.jsonl"}


def subject_of(format: str, run: str) -> tuple[str, str]:
    """Return what is exported in a format, and the file or folder that it goes to."""
    what = {"card": "model-wine", "cyclonedx": "model-wine", "croissant": "dataset-wine"}.get(format, run)
    return what, _TARGETS.get(format, f"run.{format}" if format in ("json", "yaml") else format)


def _bundle(path: Path) -> str:
    words = [str(Path(sys.executable).with_name("repro")), "import", str(path), "--dry-run", "--json"]
    found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    return f"repro import --dry-run: every byte verified is {found['verified']}"


def _card(path: Path) -> str:
    front = path.read_text().split("---\n")[1]
    return f"a reader of YAML: {', '.join(yaml.safe_load(front))}"


def _croissant(path: Path) -> str:
    import mlcroissant

    # It warns of members that are recommended, such as a license, which is not on record here.
    logging.getLogger("absl").setLevel(logging.ERROR)
    found = mlcroissant.Dataset(path / "croissant.json")
    rows = sum(1 for _ in found.records(found.metadata.record_sets[0].id))
    return f"mlcroissant: {rows} records"


def _cyclonedx(path: Path) -> str:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text())
    if error is not None:
        raise ValueError(str(error))
    return f"CycloneDX's strict validator: {len(json.loads(path.read_text())['components'])} components"


def _dvc(path: Path) -> str:
    variables = {**os.environ, "DVC_NO_ANALYTICS": "1", "HOME": str(path.parent)}
    for words in (["checkout"], ["status"]):
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *words], cwd=path, env=variables, capture_output=True, text=True, check=True
        )
    if "up to date" not in done.stdout + done.stderr:
        raise ValueError(done.stdout)
    return f"dvc checkout and dvc status: {done.stdout.strip()}"


def _mlflow(path: Path) -> str:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{path}/mlflow.db")
    (run,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    points = sum(len(client.get_metric_history(run.info.run_id, name)) for name in run.data.metrics)
    return f"MLflow's client: {len(run.data.params)} parameters, {points} points of {len(run.data.metrics)} metrics"


def _openlineage(path: Path) -> str:
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState

    events = [json.loads(line) for line in path.read_text().splitlines()]
    for each in events:
        RunEvent(
            eventTime=each["eventTime"],
            producer=each["producer"],
            run=Run(each["run"]["runId"]),
            job=Job(each["job"]["namespace"], each["job"]["name"]),
            eventType=RunState(each["eventType"]),
        )
    return f"OpenLineage's classes: {', '.join(each['eventType'] for each in events)}"


def _rocrate(path: Path) -> str:
    from rocrate.rocrate import ROCrate

    crate = ROCrate(path)
    actions = [each for each in crate.get_entities() if each.type == "CreateAction"]
    return f"rocrate: {len(list(crate.get_entities()))} entities, {len(actions)} runs"


def _tensorboard(path: Path) -> str:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = path.iterdir()
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    tags = found.Tags()["scalars"]
    return f"TensorBoard's event reader: {sum(len(found.Scalars(tag)) for tag in tags)} points of {', '.join(tags)}"


def _wandb(path: Path) -> str:
    (run,) = (path / "wandb").glob("offline-run-*")
    words = [str(Path(sys.executable).with_name("wandb")), "sync", "--dry-run", str(run)]
    done = subprocess.run(words, cwd=path, capture_output=True, text=True, check=True)
    if run.name not in done.stdout + done.stderr:
        raise ValueError(f"wandb sync would not send {run}: {done.stdout}{done.stderr}")
    return "wandb sync --dry-run: one run to send"


def _json(path: Path) -> str:
    return f"json: {', '.join(json.loads(path.read_text()))}"


def _yaml(path: Path) -> str:
    if yaml.safe_load(path.read_text()) != json.loads(path.with_suffix(".json").read_text()):
        raise ValueError("the YAML says something else than the JSON")
    return "a reader of YAML: equal to the JSON"


READERS: dict[str, Callable[[Path], str]] = {
    "bundle": _bundle,
    "card": _card,
    "croissant": _croissant,
    "cyclonedx": _cyclonedx,
    "dvc": _dvc,
    "json": _json,
    "mlflow": _mlflow,
    "openlineage": _openlineage,
    "rocrate": _rocrate,
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "yaml": _yaml,
}
