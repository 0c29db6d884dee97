"""Kind ``json``: one value, stored in its canonical encoding (`repro_assets.identity.canonical`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from repro_assets.identity import canonical
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.store.batch import Batch
from repro_assets.store.objects import LocalObjects, concatenate

NAME = "json"


def write(value: Any, batch: Batch) -> Manifest:
    """Put a JSON-like value."""
    data = canonical.encode(value)
    return Manifest(NAME, (Entry("value", len(data), (batch.put(data),)),))


def read(manifest: Manifest, objects: LocalObjects) -> Any:
    """Return the value."""
    return canonical.decode(concatenate(objects, manifest.entries[0].objects))


def lay_out(manifest: Manifest, objects: LocalObjects, target: Path) -> int:
    """Write a JSON file, indented; NaN and infinities as JavaScript writes them."""
    target.write_text(json.dumps(read(manifest, objects), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1
