"""Dagster: the only folder, beside definitions.py, that imports it.

What another project's code location needs is offered here; a name of `__all__` is loaded when it is asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repro_assets.artifacts.handle import Artifact
    from repro_assets.orchestration.config import AssetConfig, TrainingConfig
    from repro_assets.orchestration.exporting import exported_asset
    from repro_assets.orchestration.io_manager import ArtifactIOManager
    from repro_assets.orchestration.location import reproducible_definitions, reproducible_resources
    from repro_assets.orchestration.naming import COLLECTION, DISPLAY
    from repro_assets.orchestration.observed import observed_source
    from repro_assets.orchestration.offered import reproducible_asset, reproducible_multi_asset
    from repro_assets.orchestration.resource import Repro
    from repro_assets.recording.run import Run

__all__ = [
    "COLLECTION",
    "DISPLAY",
    "Artifact",
    "ArtifactIOManager",
    "AssetConfig",
    "Repro",
    "Run",
    "TrainingConfig",
    "exported_asset",
    "observed_source",
    "reproducible_asset",
    "reproducible_definitions",
    "reproducible_multi_asset",
    "reproducible_resources",
]

_MODULES = {
    "COLLECTION": "orchestration.naming",
    "DISPLAY": "orchestration.naming",
    "Artifact": "artifacts.handle",
    "ArtifactIOManager": "orchestration.io_manager",
    "AssetConfig": "orchestration.config",
    "Repro": "orchestration.resource",
    "Run": "recording.run",
    "TrainingConfig": "orchestration.config",
    "exported_asset": "orchestration.exporting",
    "observed_source": "orchestration.observed",
    "reproducible_asset": "orchestration.offered",
    "reproducible_definitions": "orchestration.location",
    "reproducible_multi_asset": "orchestration.offered",
    "reproducible_resources": "orchestration.location",
}


def __getattr__(name: str) -> Any:
    """Load an offered name (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"repro_assets.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
