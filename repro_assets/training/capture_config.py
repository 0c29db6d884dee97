"""What a run keeps beside its source, for recipes whose config lets a person switch it off.

Law: a switch changes what is recorded and no bit of what is made; it is a setting like any other, so it is on record
itself, and work of which less was recorded is not reused where more is asked for.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CaptureConfig(BaseModel):
    """Base of such a config; whatever has another base has both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    capture_environment: bool = Field(default=True, description="keep the environment with the run")
    capture_manifest: bool = Field(default=True, description="keep a manifest of the source files with the run")
