"""What logging costs the caller, and what it takes until a million points can be asked for."""

from __future__ import annotations

CALLS = 100_000
POINTS = 1_000_000
