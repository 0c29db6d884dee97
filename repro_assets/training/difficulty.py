"""How hard a trace is, measured by what its teacher needed.

Laws: a difficulty is a function of one trace, so no other trace and no other split can move it; it is known before
anything is trained.

Difficulty, in 0 to 1: half the share of the `MAX_LOOKS` looks that the teacher took, half the posterior that it did not
yet give to the true label when it had only the coarse view (1 where its first thought names other digits). The teacher
is fitted on the SFT split, of which the traces are, and answers as soon as it is sure.
"""

from __future__ import annotations

from collections.abc import Sequence

from repro_assets.training import task
from repro_assets.training.traces import read_thought


def trace_difficulty(label: int, actions: Sequence[int], thoughts: Sequence[str]) -> float:
    """Difficulty of a well-formed trace, 0 to 1; the formula is in the module's docstring."""
    believed = (read_thought(thoughts[0]) or {}).get(label, 0.0)
    return 0.5 * (len(actions) - 1) / task.MAX_LOOKS + 0.5 * (1 - believed)
