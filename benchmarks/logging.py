"""What logging costs the caller, and what it takes until a million points can be asked for."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import Figure, Section, peak_memory_of, repeated, timed
from repro_assets.catalog import queries
from repro_assets.catalog.projection import refresh
from repro_assets.journal import run_records
from repro_assets.journal.segments import Journal
from repro_assets.recording.lifetime import begin
from repro_assets.recording.run import new_run_id
from repro_assets.store.home import Home, make_store

CALLS = 100_000
POINTS = 1_000_000
