"""The files that an export puts beside a run in MLflow: its environment, the manifests of its inputs, what it made.

Laws: figures and parameters are those on record, and what was not captured is left out; every product lies where
`run.json` says, with its manifest beside it, so that an import knows it again bit for bit.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.capture.system_info import requirement
from repro_assets.errors import MissingObject, UnknownName
from repro_assets.identity import canonical
from repro_assets.identity.digest import Digest
from repro_assets.interchange.exports.mlflow_model import DATA, describe_model, needs_description
from repro_assets.interchange.exports.tracked import Product, TrackedRun
from repro_assets.mirrors.holding import as_json, path_of
from repro_assets.store.home import Home

ENVIRONMENT, DATA_MANIFEST, OURS = "environment", "data_manifest", "repro"
RECORD = f"{OURS}/run.json"
MANIFESTS = f"{OURS}/manifests"
FORMAT = 1
_TAKEN = (ENVIRONMENT, DATA_MANIFEST, OURS, "params")
_LONGEST = 200


def environment_params(document: Mapping[str, Any] | None, source: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what MLflow is told of an environment and a source as parameters; what is not known is left out."""
    document, source = document or {}, source or {}
    hardware = document.get("hardware") or {}
    gpus = hardware.get("gpus")
    known = {
        "python_version": (document.get("python") or {}).get("version"),
        "platform_system": (document.get("os") or {}).get("system"),
        "cpu_count": (hardware.get("cpu") or {}).get("logical_cores"),
        "gpu_count": None if gpus is None else len(gpus),
        "git_commit": source.get("commit"),
        "git_branch": source.get("branch"),
        "git_uncommitted_changes": source.get("dirty"),
    }
    return {name: value for name, value in known.items() if value is not None}


def manifest_params(manifests: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, float]]:
    """Return what MLflow is told of data manifests, as parameters and as metrics."""
    several = list(manifests)
    if not several:
        return {}, {}
    algorithms = dict.fromkeys(name for each in several for name in each["hash_algorithms"])
    params = {
        "data_path": ", ".join(dict.fromkeys(str(each["data_path"]) for each in several)),
        "hash_algorithms": ", ".join(algorithms),
        "manifest_version": ", ".join(dict.fromkeys(str(each["manifest_version"]) for each in several)),
    }
    metrics = {
        "data_files_count": float(sum(each["summary"]["total_files"] for each in several)),
        "data_size_bytes": float(sum(each["summary"]["total_size_bytes"] for each in several)),
    }
    # Manifests of a store have no times in them, so that equal files have an equal one.
    seconds = sum(each["summary"]["processing_time_seconds"] or 0.0 for each in several)
    return params, metrics | ({"data_processing_time": seconds} if seconds else {})


def environment_files(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts of an environment's files: the document, and its packages as requirements."""
    version = (document.get("python") or {}).get("version")
    lines = [f"# Python {version}"] if version else []
    lines += [requirement(package) for package in document.get("packages") or ()]
    return {
        f"{ENVIRONMENT}/environment.json": as_json(document),
        f"{ENVIRONMENT}/requirements.txt": "\n".join(lines) + "\n",
    }


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Write texts as files."""
    for name, text in texts.items():
        _write(folder / name, text)


def write_inputs(home: Home, folder: Path, run: TrackedRun) -> list[dict[str, Any]]:
    """Write the manifest of each input; return those that are data manifests of files."""
    found = []
    for slot, row in run.inputs.items():
        try:
            artifact = repository.by_digest(home, Digest.parse(row["digest"]))
            document = data_manifest(artifact.load()) if artifact.kind == "bytes" else None
            text = artifact.manifest.encode().decode() if document is None else as_json(document)
        except (UnknownName, MissingObject):
            continue
        if document is not None:
            found.append(document)
        _write(folder / DATA_MANIFEST / f"{path_of(slot)}.json", text)
    return found


def write_manifest(folder: Path, name: str, document: Mapping[str, Any]) -> None:
    """Write a data manifest."""
    _write(folder / DATA_MANIFEST / f"{path_of(name)}.json", as_json(document))


def data_manifest(data: bytes) -> dict[str, Any] | None:
    """Return the data manifest that some bytes are; None where they are none."""
    try:
        document = json.loads(data)
        summary = document["summary"]
        wanted = {"manifest_version", "data_path", "hash_algorithms", "files"} <= document.keys()
        return document if wanted and {"total_files", "total_size_bytes"} <= summary.keys() else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def write_products(folder: Path, run: TrackedRun) -> list[dict[str, Any]]:
    """Lay out what a run made; return, for each product, its row in `run.json`."""
    rows = []
    places: set[str] = set()
    for product in run.products:
        if product.artifact is None:
            continue
        place = _free(path_of(product.name), places, product)
        laid = f"{place}/{DATA}" if needs_description(product) else place
        target = folder / laid
        target.parent.mkdir(parents=True, exist_ok=True)
        product.artifact.lay_out(target)
        digest = str(product.artifact.digest)
        manifest = f"{MANIFESTS}/{product.artifact.digest.hex}.json"
        (folder / MANIFESTS).mkdir(parents=True, exist_ok=True)
        (folder / manifest).write_bytes(product.artifact.manifest.encode())
        if needs_description(product):
            describe_model(folder / place, place, run, product)
        row = product.row
        rows.append(
            {
                "slot": product.name,
                "name": row["name"],
                "digest": digest,
                "kind": product.artifact.kind,
                "collection": row["collection"],
                "version": row["version"],
                "path": laid,
                "manifest": manifest,
            }
        )
    return rows


def write_record(folder: Path, run: TrackedRun, products: list[dict[str, Any]], added: Mapping[str, Any]) -> None:
    """Write what an import needs to know the run again: values with their types, and where its products are."""
    stepped = {name for name, step, _, _ in run.points if step is not None}
    infinite = {name for name, _, value, _ in run.points if math.isinf(value)}
    greatest = {name for name, _, value, _ in run.points if abs(value) == sys.float_info.max}
    document = {
        "format": FORMAT,
        "run_id": run.run_id,
        "project": run.record["experiment"],
        "config": run.record["config"] or {},
        "params": run.record["params"],
        "tags": run.record["tags"],
        "stepless": sorted({name for name, _, _, _ in run.points} - stepped),
        "infinite": sorted(infinite - greatest),
        "added": added,
        "products": products,
    }
    (folder / RECORD).parent.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).write_bytes(canonical.encode(document))


def _free(place: str, places: set[str], product: Product) -> str:
    """Return a place that is no other's, nor above or below one."""
    taken = any(f"{place}/".startswith(f"{other}/") or other.startswith(f"{place}/") for other in places)
    if taken or place.partition("/")[0] in _TAKEN:
        place = f"{place.replace('/', '_')[: _LONGEST // 2]}_{Digest.parse(product.row['digest']).hex[:8]}"
    places.add(place)
    return place


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
