"""Which settings that decide bits differ between two records of them.

Law: nested settings are compared one by one, under dotted names; one that only one record has differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def setting_differences(original: Mapping[str, Any], replayed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the settings that decide bits and are not the same, nested ones by dotted name."""
    before, after = _flat(original), _flat(replayed)
    return [
        {"setting": name, "original": before.get(name), "replayed": after.get(name)}
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat
