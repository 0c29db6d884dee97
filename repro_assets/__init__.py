"""Machine-learning results as Dagster assets: traceable, findable and provably reproducible.

The names of `__all__` are loaded when they are asked for: importing this package loads nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repro_assets.artifacts.handle import Artifact
    from repro_assets.capture.comparison import diff_environments
    from repro_assets.capture.data_manifest.comparison import compare_manifests
    from repro_assets.capture.data_manifest.creation import create_manifest, write_manifest
    from repro_assets.capture.data_manifest.verification import verify_manifest
    from repro_assets.capture.environment import capture_environment
    from repro_assets.capture.requirements import validate_environment
    from repro_assets.capture.system_info import get_system_info
    from repro_assets.cards.card import card
    from repro_assets.catalog.naming import resolve_artifact
    from repro_assets.determinism.data_fingerprints import DataFingerprint, fingerprint_data
    from repro_assets.determinism.data_loading import get_reproducible_dataloader_kwargs, seed_worker
    from repro_assets.determinism.fingerprint_differences import Difference, diff_fingerprints
    from repro_assets.determinism.global_rng import set_global_seed
    from repro_assets.determinism.mode import (
        LateSetting,
        Mode,
        SettingWarning,
        enable_deterministic_mode,
    )
    from repro_assets.determinism.model_fingerprints import ModelFingerprint, fingerprint_model
    from repro_assets.determinism.rng_states import load_rng_states, save_rng_states
    from repro_assets.determinism.seeds import Seeds
    from repro_assets.determinism.settings import settings_record
    from repro_assets.determinism.verification import TargetFailed, Verification, verify_determinism
    from repro_assets.errors import ReproError
    from repro_assets.inspection.ancestry import Lineage, lineage_of, validate_lineage
    from repro_assets.inspection.comparison import RunComparison, compare_runs
    from repro_assets.inspection.frames import list_artifacts, query, runs
    from repro_assets.inspection.recorded import RecordedRun, artifact, run
    from repro_assets.interchange.exports.mlflow_active import capture_to_mlflow
    from repro_assets.interchange.formats import Exported, export, take_in
    from repro_assets.recording.annotations import note_run, tag_run
    from repro_assets.recording.run import Run
    from repro_assets.replay.restoring import restore_environment
    from repro_assets.store.home import Home, find_store, make_store, open_store
    from repro_assets.tracking.artifact_decorators import checkpoint, track_artifacts
    from repro_assets.tracking.decorators import reproducible
    from repro_assets.tracking.experiment import Experiment
    from repro_assets.tracking.online import OnlineExperiment

__version__ = "0.1.0"

__all__ = [
    "Artifact",
    "DataFingerprint",
    "Difference",
    "Experiment",
    "Exported",
    "Home",
    "LateSetting",
    "Lineage",
    "Mode",
    "ModelFingerprint",
    "OnlineExperiment",
    "RecordedRun",
    "ReproError",
    "Run",
    "RunComparison",
    "Seeds",
    "SettingWarning",
    "TargetFailed",
    "Verification",
    "artifact",
    "capture_environment",
    "capture_to_mlflow",
    "card",
    "checkpoint",
    "compare_manifests",
    "compare_runs",
    "create_manifest",
    "diff_environments",
    "diff_fingerprints",
    "enable_deterministic_mode",
    "export",
    "find_store",
    "fingerprint_data",
    "fingerprint_model",
    "get_reproducible_dataloader_kwargs",
    "get_system_info",
    "lineage_of",
    "list_artifacts",
    "load_rng_states",
    "make_store",
    "note_run",
    "open_store",
    "query",
    "reproducible",
    "resolve_artifact",
    "restore_environment",
    "run",
    "runs",
    "save_rng_states",
    "seed_worker",
    "set_global_seed",
    "settings_record",
    "tag_run",
    "take_in",
    "track_artifacts",
    "validate_environment",
    "validate_lineage",
    "verify_determinism",
    "verify_manifest",
    "write_manifest",
]

_MODULES = {
    "Artifact": "artifacts.handle",
    "DataFingerprint": "determinism.data_fingerprints",
    "Difference": "determinism.fingerprint_differences",
    "Experiment": "tracking.experiment",
    "Exported": "interchange.formats",
    "Home": "store.home",
    "LateSetting": "determinism.mode",
    "Lineage": "inspection.ancestry",
    "Mode": "determinism.mode",
    "ModelFingerprint": "determinism.model_fingerprints",
    "RecordedRun": "inspection.recorded",
    "OnlineExperiment": "tracking.online",
    "ReproError": "errors",
    "Run": "recording.run",
    "RunComparison": "inspection.comparison",
    "Seeds": "determinism.seeds",
    "SettingWarning": "determinism.mode",
    "TargetFailed": "determinism.verification",
    "Verification": "determinism.verification",
    "artifact": "inspection.recorded",
    "capture_environment": "capture.environment",
    "capture_to_mlflow": "interchange.exports.mlflow_active",
    "card": "cards.card",
    "checkpoint": "tracking.artifact_decorators",
    "compare_manifests": "capture.data_manifest.comparison",
    "compare_runs": "inspection.comparison",
    "create_manifest": "capture.data_manifest.creation",
    "diff_environments": "capture.comparison",
    "diff_fingerprints": "determinism.fingerprint_differences",
    "enable_deterministic_mode": "determinism.mode",
    "export": "interchange.formats",
    "find_store": "store.home",
    "fingerprint_data": "determinism.data_fingerprints",
    "fingerprint_model": "determinism.model_fingerprints",
    "get_reproducible_dataloader_kwargs": "determinism.data_loading",
    "get_system_info": "capture.system_info",
    "lineage_of": "inspection.ancestry",
    "list_artifacts": "inspection.frames",
    "load_rng_states": "determinism.rng_states",
    "make_store": "store.home",
    "note_run": "recording.annotations",
    "open_store": "store.home",
    "query": "inspection.frames",
    "reproducible": "tracking.decorators",
    "resolve_artifact": "catalog.naming",
    "restore_environment": "replay.restoring",
    "run": "inspection.recorded",
    "runs": "inspection.frames",
    "save_rng_states": "determinism.rng_states",
    "seed_worker": "determinism.data_loading",
    "set_global_seed": "determinism.global_rng",
    "settings_record": "determinism.settings",
    "tag_run": "recording.annotations",
    "take_in": "interchange.formats",
    "track_artifacts": "tracking.artifact_decorators",
    "validate_environment": "capture.requirements",
    "validate_lineage": "inspection.ancestry",
    "verify_determinism": "determinism.verification",
    "verify_manifest": "capture.data_manifest.verification",
    "write_manifest": "capture.data_manifest.creation",
}


def __getattr__(name: str) -> Any:
    """Load an exported name (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
