"""Records of what runs read, declared or not. `records` has the form that all have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from repro_assets.journal.records import Payload


@dataclass(frozen=True, slots=True)
class RunInput(Payload):
    """A run read an artifact. `made_by` is the run that wrote it, where known; `read_as` is what it was read as,
    ``NAME:v3``, where no run wrote it."""

    kind: ClassVar[str] = "run_input"
    run_id: str
    slot: str
    digest: str
    asset: str | None = None
    partition: str | None = None
    made_by: str | None = None
    pinned: bool = False
    read_as: str | None = None


@dataclass(frozen=True, slots=True)
class UndeclaredInputs(Payload):
    """What a process of the run read that is on no record: each with `kind` (``file``, ``network`` or ``entropy``),
    `name` and `count`, and a file with `size` and `mtime_ns`. The name None stands for all of a kind without one."""

    kind: ClassVar[str] = "undeclared_inputs"
    run_id: str
    inputs: list[dict[str, Any]]
