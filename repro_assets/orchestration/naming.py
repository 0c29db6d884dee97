"""What an asset's products are called.

An asset names the collection of its versions in its metadata (`COLLECTION`), and a display form (`DISPLAY`); without
them both are the asset key joined by dashes. In both ``{partition}`` stands for the partition that was made. In a
display form ``{run}``, ``{version}``, and ``{model}`` and ``{dataset}``, the names of these inputs, are filled in. An
asset that makes what a person asks for may also leave places in its collection: fields of its config in both, and in
the collection ``{model}`` and ``{dataset}``, which are the collections of these inputs without their first word:
``sft`` for ``model-sft``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from repro_assets.artifacts.handle import Artifact

COLLECTION = "repro/collection"
DISPLAY = "repro/display"
_NAMED = ("model", "dataset")
_FIRST_WORD = re.compile(r"^(?:model|dataset)-")


@dataclass(frozen=True, slots=True)
class Names:
    """Names of one asset's products."""

    collection: str
    pattern: str

    def display(self, run_id: str, inputs: Mapping[str, Artifact], config: Mapping[str, Any] | None = None) -> str:
        """Return the display name of what `run_id` makes."""
        named = {slot: inputs[slot].name or str(inputs[slot]) if slot in inputs else slot for slot in _NAMED}
        return self.pattern.format(**{**(config or {}), **named, "run": run_id, "version": "{version}"})

    def versions(self, inputs: Mapping[str, Artifact], config: Mapping[str, Any]) -> str:
        """Return the collection in which what is made from these inputs gets a version."""
        named = {slot: _word(inputs[slot]) if slot in inputs else slot for slot in _NAMED}
        return self.collection.format(**{**config, **named})


def _word(artifact: Artifact) -> str:
    return _FIRST_WORD.sub("", artifact.collection or f"{artifact.kind}-{artifact.digest.hex[:12]}")


def names_of(asset: dg.AssetsDefinition, key: dg.AssetKey, partition: str | None) -> Names:
    """Read the names of one asset of a definition, for one of its partitions."""
    facts = asset.metadata_by_key.get(key) or {}
    collection = str(facts.get(COLLECTION, "-".join(key.path)))
    made = [str(text).replace("{partition}", partition or "") for text in (collection, facts.get(DISPLAY, collection))]
    return Names(*made)


def recipe_name(recipe: Callable[..., Any]) -> str:
    """Return ``module:function``."""
    return f"{recipe.__module__}:{recipe.__qualname__}"
