"""What an asset's products are called.

An asset names the collection of its versions in its metadata (`COLLECTION`), and a display form with ``{run}``,
``{version}``, ``{model}`` and ``{dataset}`` (`DISPLAY`); without them both are the asset key joined by dashes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from repro_assets.artifacts.handle import Artifact

COLLECTION = "repro/collection"
DISPLAY = "repro/display"


@dataclass(frozen=True, slots=True)
class Names:
    """Names of one asset's products."""

    collection: str
    pattern: str

    def display(self, run_id: str, inputs: Mapping[str, Artifact]) -> str:
        """Return the display name of what `run_id` makes."""
        named = {
            slot: inputs[slot].name or str(inputs[slot]) if slot in inputs else slot for slot in ("model", "dataset")
        }
        return self.pattern.format(run=run_id, version="{version}", **named)


def names_of(asset: dg.AssetsDefinition, key: dg.AssetKey) -> Names:
    """Read the names of one asset of a definition."""
    facts = asset.metadata_by_key.get(key) or {}
    collection = str(facts.get(COLLECTION, "-".join(key.path)))
    return Names(collection, str(facts.get(DISPLAY, collection)))


def recipe_name(recipe: Callable[..., Any]) -> str:
    """Return ``module:function``."""
    return f"{recipe.__module__}:{recipe.__qualname__}"
