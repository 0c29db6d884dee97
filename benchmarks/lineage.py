"""What the lineage of 100,000 nodes costs: to read, to validate, to walk.

Half of the nodes are runs, half artifacts whose bytes are in the store. In the chain each run reads what the one before
it wrote; in the wide store each reads two earlier artifacts.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring import Figure, Section, repeated, timed
from repro_assets.artifacts.kinds import DECODERS, kind_named
from repro_assets.catalog.projection import refresh
from repro_assets.journal.artifact_records import ArtifactStored
from repro_assets.journal.records import Payload
from repro_assets.journal.run_records import RunEnded, RunInput, RunOutput, RunStarted
from repro_assets.journal.segments import Journal
from repro_assets.lineage.impact import impact_of
from repro_assets.lineage.reading import read_graph
from repro_assets.lineage.rendering import FORMATS, render
from repro_assets.lineage.validation import validate
from repro_assets.store.home import Home, make_store
from repro_assets.store.opening import open_objects

RUNS = 50_000
AT_ONCE = 1_000


def measure() -> Section:
    """Measure a chain and a wide store of 100,000 nodes."""
    figures: list[Figure] = []
    for what in ("chain", "wide"):
        with tempfile.TemporaryDirectory() as folder:
            home = make_store(Path(folder) / "store")
            made = fill(home, RUNS, wide=what == "wide")
            refresh(home)
            figures += questions(home, made, what)
    about = (
        f"A store of {RUNS:,} runs and {RUNS + 1:,} artifacts in packs; in the chain each run reads what the one "
        "before it wrote, in the wide store each reads two earlier artifacts. Validating reads the catalog and "
        "looks up every object; walking is in a graph that was read. One process that has asked before."
    )
    return Section("Lineage of 100,000 nodes", about, figures)


def questions(home: Home, made: list[str], what: str) -> list[Figure]:
    """Measure the questions to one store."""
    graph = read_graph(home)
    first, last = made[0], made[-1]
    asked: dict[str, tuple[Callable[[], object], float | None]] = {
        "validated, bytes looked up": (lambda: validate(home), 1.0),
        "the graph read from the catalog": (lambda: read_graph(home), None),
        "all ancestors of the last": (lambda: graph.ancestors(last), None),
        "all descendants of the first": (lambda: graph.descendants(first), None),
        "shortest paths from the first to the last": (lambda: graph.paths(first, last), None),
        "common ancestors of the last two": (lambda: graph.common_ancestors(made[-2], last), None),
        "impact of the first, read anew": (lambda: impact_of(home, first), None),
        **{f"as {name}": (lambda name=name: render(graph, name), None) for name in FORMATS},  # type: ignore[misc]
    }
    figures = []
    for name, (ask, limit) in asked.items():
        ask()
        figures.append(repeated(f"{what}: {name}", lambda: timed(ask), limit))  # noqa: B023
    return figures


def fill(home: Home, runs: int, *, wide: bool) -> list[str]:
    """Record `runs` runs that each read and write, and return the artifacts in their order."""
    drawn = random.Random(0)
    made: list[str] = []
    sizes: list[int] = []
    for first in range(0, runs + 1, AT_ONCE):
        with open_objects(home, DECODERS).batch() as batch:
            for number in range(first, min(first + AT_ONCE, runs + 1)):
                manifest = kind_named("json").write({"n": number}, batch)
                made.append(str(batch.put(manifest.encode())))
                sizes.append(manifest.size)
    journal = Journal(home.journal)
    journal.append(*(ArtifactStored(digest, "json", size, 1) for digest, size in zip(made, sizes, strict=True)))
    for first in range(0, runs, AT_ONCE):
        records: list[Payload] = []
        for number in range(first, min(first + AT_ONCE, runs)):
            run = f"{number:08x}-run"
            read = [drawn.randrange(number + 1) for _ in range(2)] if wide else [number]
            records.append(RunStarted(run, "asset", f"link-{number}", asset="chain/link", seed=number % 5))
            records += [
                RunInput(run, f"in{place}", made[item], made_by=f"{item - 1:08x}-run" if item else None)
                for place, item in enumerate(read)
            ]
            records += [
                RunOutput(run, "result", made[number + 1], f"link-{number + 1}"),
                RunEnded(run, "COMPLETED"),
            ]
        journal.append(*records)
    journal.close()
    return made
