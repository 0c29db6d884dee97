"""The fingerprints of a run, on their way to tables in the store.

Laws: whoever logs hands over digests and waits for no disk; a thread writes them as a table when they have waited
`WAIT_SECONDS` or are many, and whoever flushes or ends the run writes what is left; the table is durable before the
record names it; nothing is dropped: what could not be written stays. A forked child has none of its parent's.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from repro_assets.artifacts import repository
from repro_assets.journal.run_records import FingerprintsKept
from repro_assets.journal.segments import Journal
from repro_assets.store.home import Home

if TYPE_CHECKING:
    from repro_assets.determinism.quantities import Tensors

WAIT_SECONDS = 10.0
ROWS_AT_ONCE = 50_000

Row = tuple[int, str, str, bytes]
"""Step, quantity, tensor and the 16 bytes of its XXH3-128."""


class FingerprintLog:
    """Takes the fingerprints of one run and keeps them.

    Parameters
    ----------
    home : Home
        The store.
    journal : Journal
        Where the records go.
    run_id : str
        The run.
    """

    def __init__(self, home: Home, journal: Journal, run_id: str) -> None:
        self._home, self._journal, self._run_id = home, journal, run_id
        self._rows: deque[Row] = deque()
        self._since = 0.0
        self._lock = threading.Lock()

    def add(self, step: int, tensors: Tensors, quantity: str) -> None:
        """Fingerprint tensors and take what comes of it.

        Raises
        ------
        InvalidValue
            If a tensor has no bytes that are its value.
        """
        from repro_assets.determinism.fingerprints import ALGORITHM, fingerprint

        found = fingerprint(tensors)
        if not self._rows:
            self._since = time.monotonic()
        start = len(ALGORITHM) + 1
        self._rows.extend((step, quantity, name, bytes.fromhex(text[start:])) for name, text in found.items())

    def flush(self, *, patient: bool = False) -> None:
        """Write what waits; if `patient`, only where it has waited long enough."""
        waits = len(self._rows) < ROWS_AT_ONCE and time.monotonic() - self._since < WAIT_SECONDS
        if not self._rows or (patient and waits):
            return
        with self._lock:
            rows = [self._rows.popleft() for _ in range(len(self._rows))]
            if not rows:
                return
            try:
                self._journal.append(self._kept(rows))
            except BaseException:
                self._rows.extendleft(reversed(rows))
                raise

    def _kept(self, rows: list[Row]) -> FingerprintsKept:
        import pyarrow

        rows = sorted(rows)
        steps, quantities, tensors, digests = zip(*rows, strict=True)
        table = pyarrow.table(
            {
                "step": pyarrow.array(steps, pyarrow.int64()),
                "quantity": pyarrow.array(quantities, pyarrow.string()),
                "tensor": pyarrow.array(tensors, pyarrow.string()),
                "xxh3": pyarrow.array(digests, pyarrow.binary()),
            }
        )
        stored = repository.put(self._home, table)
        return FingerprintsKept(self._run_id, str(stored.digest), steps[0], steps[-1], len(rows))
