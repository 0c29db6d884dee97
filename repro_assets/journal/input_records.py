"""What the records of runs say of inputs that were not declared. `records` has the form that all have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from repro_assets.journal.records import Payload


@dataclass(frozen=True, slots=True)
class UndeclaredInputs(Payload):
    """What a process of the run read that is on no record: each with `kind` (``file``, ``network`` or ``entropy``),
    `name` and `count`, and a file with `size` and `mtime_ns`. The name None stands for all of a kind without one."""

    kind: ClassVar[str] = "undeclared_inputs"
    run_id: str
    inputs: list[dict[str, Any]]
