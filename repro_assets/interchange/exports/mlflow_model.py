"""A model as MLflow knows models: a folder with the file ``MLmodel`` beside what the model is.

Laws: the signature has the shapes and types of what the run read, as MLflow itself infers one from training data; where
nothing of that is on record there is none. Nothing is claimed of what the model returns. No flavor says how to load it
but our own, because the recipe that can is in the run's source tree.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.errors import MissingObject, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.interchange.exports.tracked import Product, TrackedRun

DATA = "data"
FLAVOR = "repro_assets"
_FILE = "MLmodel"
_NO_DATA = ("model-", "checkpoint")
_MOST_TENSORS = 1000
_COLUMNS = {
    "bool": "boolean",
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), "integer"),
    **dict.fromkeys(("int64", "uint32"), "long"),
    **dict.fromkeys(("halffloat", "float"), "float"),
    "double": "double",
    "string": "string",
    "binary": "binary",
}


def needs_description(product: Product) -> bool:
    """Tell whether a product is a model, and not a folder that MLflow wrote as one already."""
    if not product.is_model or product.artifact is None:
        return False
    manifest = product.artifact.manifest
    return manifest.kind != "tree" or all(entry.name != _FILE for entry in manifest.entries)


def describe_model(folder: Path, place: str, run: TrackedRun, product: Product) -> None:
    """Write the file ``MLmodel`` into the folder of a model, whose data lies in it under `DATA`."""
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature

    assert product.artifact is not None
    manifest, digest = product.artifact.manifest, product.artifact.digest
    inputs = _inputs(run)
    ended = run.record["ended_at"] or run.record["started_at"] or datetime.datetime(1970, 1, 1)
    metadata: dict[str, Any] = {"digest": str(digest), "run_id": run.run_id, "name": product.row["name"]}
    if manifest.kind == "tensors":
        metadata["tensors"] = [
            {"name": entry.name, "dtype": entry.facts["dtype"], "shape": entry.facts["shape"]}
            for entry in manifest.entries[:_MOST_TENSORS]
        ]
        metadata["tensor_count"] = len(manifest.entries)
    model = Model(
        artifact_path=place,
        utc_time_created=ended.isoformat(" "),
        flavors={FLAVOR: {"kind": manifest.kind, "digest": str(digest), "data": DATA}},
        signature=None if inputs is None else ModelSignature(inputs=inputs),
        model_uuid=digest.hex[:32],
        metadata=metadata,
    )
    model.save(str(folder / _FILE))


def _inputs(run: TrackedRun) -> Any:
    """Return the schema of the data that a run read, of tensors or else of tables; None where there is none."""
    from mlflow.types import Schema

    data = {
        slot: row
        for slot, row in run.inputs.items()
        if not str(row.get("collection") or row.get("name") or "").startswith(_NO_DATA)
    }
    specs = [spec for slot, row in data.items() if row.get("kind") == "tensors" for spec in _tensors(run, slot, row)]
    if not specs:
        tables = {slot: row for slot, row in data.items() if row.get("kind") == "table"}
        specs = [spec for slot, row in tables.items() for spec in _columns(slot if len(tables) > 1 else "", row)]
    return Schema(specs) if specs else None


def _tensors(run: TrackedRun, slot: str, row: dict[str, Any]) -> list[Any]:
    import numpy
    from mlflow.types import TensorSpec

    try:
        manifest = repository.by_digest(run.home, Digest.parse(row["digest"])).manifest
    except (UnknownName, MissingObject):
        return []
    found = []
    for entry in manifest.entries[:_MOST_TENSORS]:
        dtype, shape = entry.facts["dtype"], tuple(entry.facts["shape"])
        # NumPy, whose types these are, has no bfloat16, float8 or complex32.
        if shape and hasattr(numpy, dtype):
            name = f"{slot}.{entry.name}" if entry.name else slot
            found.append(TensorSpec(numpy.dtype(dtype), (-1, *shape[1:]), name))
    return found


def _columns(above: str, row: dict[str, Any]) -> list[Any]:
    from mlflow.types import ColSpec

    columns = (row.get("facts") or {}).get("columns") or []
    found = []
    for column in columns:
        type = _type(column["type"])
        if type is None:
            return []
        found.append(ColSpec(type, f"{above}.{column['name']}" if above else column["name"]))
    return found


def _type(arrow: str) -> Any:
    """Return MLflow's type for one of Arrow's, as a manifest of a table spells it; None where there is none."""
    from mlflow.types import DataType
    from mlflow.types.schema import Array

    if arrow.startswith("list<item: "):
        inner = _type(arrow.removeprefix("list<item: ").removesuffix(">"))
        return None if inner is None else Array(inner)
    if arrow.startswith(("timestamp", "date")):
        return DataType.datetime
    return getattr(DataType, _COLUMNS[arrow]) if arrow in _COLUMNS else None
