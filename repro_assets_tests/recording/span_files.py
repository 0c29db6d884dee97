"""Programs that make spans, and the spans of a store's files."""

from __future__ import annotations

import json
from typing import Any

from repro_assets.recording.tracers import tracers
from repro_assets.store.home import Home

Spans = dict[str, dict[str, Any]]

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

OPENING = """
import os, sys
from pathlib import Path
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin, recorded
from repro_assets.recording.tracing import process_environment, span
from repro_assets.store.home import open_store
home = open_store(Path(sys.argv[1]))
"""

ONE_RUN = """
with recorded(begin(home, RunStarted("0" * 16, "script", "one", seed=1))) as run:
    with span("inner"):
        run.log_metric("loss", 1.0, 1)
"""


def spans_of(home: Home) -> list[dict[str, Any]]:
    """Every span in the store's files, with its attributes as a dictionary and the file it is in."""
    tracers.flush_files()
    found = []
    for path in sorted(home.traces.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            for resource in json.loads(line)["resourceSpans"]:
                for one in resource["scopeSpans"][0]["spans"]:
                    pairs = [*resource["resource"]["attributes"], *one["attributes"]]
                    facts = {pair["key"]: next(iter(pair["value"].values())) for pair in pairs}
                    found.append({**one, "attributes": facts, "file": path.name})
    return found


def by_name(home: Home) -> Spans:
    found = spans_of(home)
    named = {one["name"]: one for one in found}
    assert len(named) == len(found), [one["name"] for one in found]
    return named


def parents(named: Spans) -> dict[str, str | None]:
    names = {one["spanId"]: name for name, one in named.items()}
    return {
        name: names.get(one["parentSpanId"], "elsewhere") if "parentSpanId" in one else None
        for name, one in named.items()
    }
