"""What the lineage of 100,000 nodes costs: reading it, validating it, walking it.

Half of the nodes are runs, half artifacts, whose bytes are in the store. In the chain each run reads what the one
before it wrote; in the wide store runs read two earlier artifacts each.
"""

from __future__ import annotations

import random
from pathlib import Path

from benchmarks.measuring import timed
from repro_assets.artifacts.kinds import DECODERS, kind_named
from repro_assets.catalog.projection import refresh
from repro_assets.journal.artifact_records import ArtifactStored
from repro_assets.journal.records import Payload
from repro_assets.journal.run_records import RunEnded, RunInput, RunOutput, RunStarted
from repro_assets.journal.segments import Journal
from repro_assets.store.home import Home, make_store
from repro_assets.store.opening import open_objects

RUNS = 50_000
AT_ONCE = 1_000


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


if __name__ == "__main__":
    import sys

    home = make_store(Path(sys.argv[1]))
    print(timed(lambda: fill(home, RUNS, wide=len(sys.argv) > 2)))
    print(timed(lambda: refresh(home)))
