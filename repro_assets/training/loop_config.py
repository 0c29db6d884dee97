"""Configs of the recipes with a loop: its cadence, its policy of checkpoints, and the processes that share it.

Law: it imports no torch, so that who only asks whether a config is of this kind starts without it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


class LoopConfig(BaseModel):
    """Cadence of a loop and its policy of checkpoints; the config of every recipe with a loop is one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    CHANGES_NO_BITS: ClassVar[frozenset[str]] = frozenset(
        {
            "log_every",
            "validate_every",
            "fingerprint_every",
            "fingerprint_gradients",
            "checkpoint_every",
            "checkpoint_epochs",
            "checkpoint_best",
            "checkpoint_mode",
            "checkpoint_keep",
            "checkpoint_in_background",
        }
    )
    """Fields that may differ between a checkpoint and what continues from it; a recipe may have more."""

    log_every: int = Field(default=10, ge=1, description="updates between points of the training curve")
    validate_every: int = Field(default=100, ge=1, description="updates between validations")
    fingerprint_every: int = Field(default=0, ge=0, description="updates between fingerprints; 0: as time allows")
    fingerprint_gradients: bool = Field(default=False, description="fingerprint the gradients too")
    checkpoint_every: int = Field(default=200, ge=0, description="updates between checkpoints; 0: only the last")
    checkpoint_epochs: int = Field(default=0, ge=0, description="also a checkpoint every so many epochs; 0: none")
    checkpoint_best: str = Field(default="", description="also one where this validation figure is the best so far")
    checkpoint_mode: Literal["min", "max"] = Field(default="max", description="whether less or more is best")
    checkpoint_keep: int = Field(default=0, ge=0, description="keep so many of the newest and of the best; 0: all")
    checkpoint_in_background: bool = Field(default=True, description="store checkpoints while training goes on")

    def deciding(self) -> dict[str, Any]:
        """Return the fields that decide bits.

        Those are what this class or a recipe's config declares; what a mix-in adds, such as an asset's pins, is not the
        recipe's.
        """
        own = {
            name for cls in type(self).__mro__ if issubclass(cls, LoopConfig) for name in inspect.get_annotations(cls)
        }
        values = self.model_dump(mode="json")
        return {name: value for name, value in values.items() if name in own - self.CHANGES_NO_BITS}

    def completed(self, checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a checkpoint with the fields that its config did not have yet, at the defaults that they came with."""
        made = checkpoint.get("config")
        if made is None:
            return checkpoint
        fields = type(self).model_fields
        missing = [name for name in self.deciding() if name not in made and not fields[name].is_required()]
        added = {name: fields[name].get_default(call_default_factory=True) for name in missing}
        return {**checkpoint, "config": {**made, **added}}


class ParallelConfig(LoopConfig):
    """What the config of a recipe holds that several processes can execute together; all of it decides bits."""

    device: Literal["cpu", "cuda"] = Field(default="cpu", description="where it trains; each process has its own GPU")
    processes: int = Field(default=1, ge=1, le=64, description="processes that share each batch, started by torchrun")
    bucket_megabytes: float = Field(
        default=25.0, gt=0, le=4096, description="gradients that the processes exchange at once, 10^6 bytes"
    )
