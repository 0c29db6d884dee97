"""What is in ``store-merged-v1``: the segments of ``store-v1`` and one with columns of points, in a merge of format 1.

``python repro_assets_tests/golden/store_merged_v1.py`` writes the folder where it is not there; it is never written
over, because its purpose is to be old.
"""

from __future__ import annotations

import hashlib
import math
import sys
from pathlib import Path

import store_v1

from repro_assets.catalog import merging
from repro_assets.journal.lines import write_line
from repro_assets.journal.merged import forms
from repro_assets.journal.run_records import Metrics, RunEnded, RunStarted
from repro_assets.store.home import MERGED_FORMAT, make_store, require_format

ROOT = Path(__file__).parent / "store-merged-v1"
SEGMENT = "golden-103-00000000000000000000000000000003.jsonl"
RUN = "fedcba9876543210"
VALUES = [0.1, math.nan, math.inf, -math.inf, -0.0, 1e300]
DIGESTS = {
    store_v1.SEGMENT: "3e609d131e0999fd6744b6307b8287a2b998fda4b659d47c7d86d105314fa574",
    store_v1.DAMAGED_SEGMENT: "7410c9321c2aa5f8a5b75c6b1c1a873844c8bee60d2a5f97955e542deca2d2c9",
    SEGMENT: "c6a6f957ef107ac9488aab9f46f1289d465f3817bccbafd04694cb141eca6b9f",
}
"""SHA-256 of the bytes of each segment."""


def segments() -> dict[str, bytes]:
    """Return the bytes of each segment."""
    payloads = [
        store_v1.records()[0],
        RunStarted(RUN, "script", "columns"),
        Metrics.of(RUN, [["loss", step, value, store_v1.TIME + step] for step, value in enumerate(VALUES)]),
        Metrics.of(RUN, [['a "name"\n\U0001f600', None, 1.0, store_v1.TIME], ["loss", 9, 2.0, store_v1.TIME - 1]]),
        Metrics.of(RUN, [["cpu_percent", 1, 50.0, store_v1.TIME]], system=True),
        RunEnded(RUN, "COMPLETED"),
    ]
    found = {path.name: path.read_bytes() for path in (store_v1.ROOT / "journal").glob("*.jsonl")}
    found[SEGMENT] = b"".join(write_line(p, seq=seq, time=store_v1.TIME + seq) for seq, p in enumerate(payloads))
    return found


def write(root: Path) -> dict[str, str]:
    """Write the store and return the digests of its segments."""
    home = make_store(root)
    home.journal.mkdir()
    for name, data in segments().items():
        (home.journal / name).write_bytes(data)
    require_format(home, MERGED_FORMAT)
    # Not `merge`: another host wrote these segments, so that it would leave them.
    merging._write(home, list(forms(home).values()), (), merging.Merged(False))
    merging._clear(home)
    home.temporary.rmdir()
    return {name: hashlib.sha256(data).hexdigest() for name, data in segments().items()}


if __name__ == "__main__":
    if ROOT.exists():
        sys.exit(f"{ROOT} is there; what is old stays as it is")
    for name, digest in sorted(write(ROOT).items()):
        print(f'    "{name}": "{digest}",')
